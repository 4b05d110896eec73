"""Documents from records: nothing is invented, every value can be traced, and what was changed afterwards is found."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.cli import documents as folder_of
from hanse.contracts.document import Document
from hanse.contracts.errors import SpecError, UsageError
from hanse.contracts.record import RunRecord
from hanse.contracts.telemetry import DatasetRead
from hanse.reporting import documents as pages
from hanse.rules.documents import build, compute
from hanse.rules.documents.forms import ids, load, parse
from tests.reporting import records

MAKERS = (records.finished, records.interrupted, records.under_way, records.waiting)
FACT_IDS = sorted({field.id for kind in ids() for field in load(kind).fields})


@pytest.mark.parametrize("kind", ids())
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_every_value_is_from_the_record_or_unknown_and_every_pointer_leads_somewhere(kind: str, make: Any) -> None:
    record = make()
    made = build.make(kind, record, {})
    for field in made.fields:
        assert (field.origin == "unknown") == (field.value == ""), field.id
        assert field.origin != "stated", "nobody stated anything"
        assert bool(field.records) == (field.origin == "record"), field.id
        for pointer in field.records:
            at: Any = record
            for part in pointer.split("."):
                at = getattr(at, part) if at is not None else None
        assert field.max_words is None or len(field.value.split()) <= field.max_words, field.id
    assert Document.from_json(made.to_json()) == made
    assert made.keep_until.year == made.made_at.year + 10
    assert build.differences(made, record, {}) == ()


@pytest.mark.parametrize(
    ("placed", "until"),
    [("2027-03-01", date(2037, 3, 1)), ("2020-01-01", date(2036, 11, 23)), ("soon", date(2036, 11, 23)),
     ("", date(2036, 11, 23)), ("2028-02-29", date(2038, 2, 28))],
)  # fmt: skip
def test_the_ten_years_count_from_the_market_where_that_day_is_stated(placed: str, until: date) -> None:
    made = build.make(
        "model-documentation", records.finished(), {"union-market-date": placed}, at=datetime(2026, 11, 23, tzinfo=UTC)
    )
    assert made.keep_until == until


def test_the_law_s_ways_of_counting_operations_are_kept() -> None:
    record = records.finished()
    assert record.result is not None
    assert compute.by_architecture(record) == 6 * record.result.parameters * record.result.tokens
    by_hardware = compute.by_hardware(record)
    seconds = sum(entry.accelerator_seconds for entry in record.usage)
    peak = record.machines[0].accelerator.peak_flops["fp32"]
    assert by_hardware is not None and 0 < by_hardware < seconds * peak
    assert compute.energy_joules(record) is None, "nobody counted energy: unknown, not zero"


@settings(deadline=None, max_examples=25)
@given(st.dictionaries(st.sampled_from(FACT_IDS), st.text("abc xyz<&", min_size=1, max_size=20), max_size=8))
def test_what_people_state_fills_gaps_and_never_overrules_a_record(facts: dict[str, str]) -> None:
    record = records.finished()
    bare = {field.id: field for field in build.make("model-documentation", record, {}).fields}
    for field in build.make("model-documentation", record, facts).fields:
        if bare[field.id].origin == "record":
            assert field == bare[field.id]
        else:
            assert field.value == facts.get(field.id, "").strip()
            assert field.origin == ("stated" if field.value else "unknown")


def test_an_edited_figure_and_a_mutated_record_are_found(tmp_path: Path) -> None:
    record = records.finished()
    documents = folder_of.write(record, {"licence": "Apache-2.0"}, tmp_path)
    assert len(documents) == len(ids()) and folder_of.verify(tmp_path) == ()

    path = tmp_path / "model-documentation.json"
    kept = path.read_text()
    path.write_text(kept.replace("FLOP", "GFLOP", 1))
    said = folder_of.verify(tmp_path)
    assert any("was changed" in one for one in said) and any("computation says" in one for one in said)
    path.write_text(kept)

    ledger = json.loads((tmp_path / "record.json").read_text())
    ledger["result"]["tokens"] //= 2
    (tmp_path / "record.json").write_text(json.dumps(ledger))
    said = folder_of.verify(tmp_path)
    assert "record.json was changed after it was written" in said
    assert any("contradicts itself" in one for one in said), said


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Another form"}, {"about": "another-model"}, {"record_sha256": "0" * 64},
        {"basis": {"citation": "-", "url": "https://example.eu", "confidence": "read", "checked_on": "2026-11-22"}},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_whatever_of_a_document_is_edited_is_told_by_name(change: dict[str, Any]) -> None:
    record = records.finished()
    made = build.make("energy-statement", record, {})
    edited = Document.model_validate(made.model_dump() | change)
    assert [one.where for one in build.differences(edited, record, {})] == list(change)
    first, *rest = made.sections
    swapped = made.model_copy(update={"sections": (*rest, first)})
    assert [one.where for one in build.differences(swapped, record, {})] == ["sections"]
    hours = next(field for field in made.fields if field.id == "hours")
    fields = tuple(
        one.model_copy(update={"origin": "stated"}) if one == hours else one for one in first.fields
    )  # fmt: skip
    claimed = made.model_copy(update={"sections": (first.model_copy(update={"fields": fields}), *rest)})
    (one,) = build.differences(claimed, record, {})
    assert (one.where, one.found, one.expected) == ("hours.origin", "stated", "record")


def test_of_adapters_the_whole_model_is_its_size_and_frozen_weights_are_counted_by_their_own_formula() -> None:
    record = records.finished()
    plan, result = record.run.plan, record.result
    assert plan is not None and result is not None
    work = plan.workload.model_copy(update={"training": "lora", "trainable_parameters": 1000})
    run = record.run.model_copy(
        update={"spec": record.run.spec.model_copy(update={"training": "lora"}),
                "plan": plan.model_copy(update={"workload": work})}
    )  # fmt: skip
    tuned = record.model_copy(update={"run": run, "result": result.model_copy(update={"parameters": 1000})})
    assert compute.parameters(tuned) == plan.workload.parameters
    passed = plan.workload.active_parameters or plan.workload.parameters
    assert compute.by_architecture(tuned) == (4 * passed + 2 * 1000) * result.tokens


def test_a_record_whose_hours_do_not_add_up_makes_no_document() -> None:
    record = records.finished()
    more = record.usage[0].model_copy(update={"attempt_id": "a-1", "accelerator_seconds": 10**6})
    with pytest.raises(SpecError, match="sum to 1,000,000"):
        build.make("energy-statement", record.model_copy(update={"usage": (more,)}), {})


def test_data_that_was_read_is_told_with_its_tokens_and_undeclared_data_stop_the_documents() -> None:
    record = records.finished()
    assert record.result is not None
    name = record.run.spec.data[0].name
    read = DatasetRead(name=name, source="x", licence="MIT", samples=4, tokens=1_000_000, shards_sha256="a" * 64)

    def with_data(one: DatasetRead) -> RunRecord:
        return record.model_copy(update={"result": record.result.model_copy(update={"datasets": (one,)})})  # type: ignore[union-attr]

    fields = {field.id: field for field in build.make("model-documentation", with_data(read), {}).fields}
    assert "1.00 million tokens read" in fields["provenance"].value.replace("\N{NO-BREAK SPACE}", " ")
    with pytest.raises(SpecError, match="secret was read and is not declared"):
        build.make("model-documentation", with_data(read.model_copy(update={"name": "secret"})), {})


def test_what_is_unknown_comes_back_as_a_file_to_fill_in(tmp_path: Path) -> None:
    record = records.finished()
    folder_of.write(record, {}, tmp_path)
    asked = yaml.safe_load((tmp_path / "unknown.yaml").read_text())
    assert "licence" in asked and "computation" not in asked
    filled = tmp_path / "facts.yaml"
    filled.write_text("licence: MIT\nlanguages: en\nrelease-date: 2026-12-01\n")
    facts = folder_of.read_facts(filled)
    documents = folder_of.write(record, facts, tmp_path / "again")
    card = (tmp_path / "again" / "README.md").read_text()
    front = yaml.safe_load(re.split(r"^---$", card, flags=re.MULTILINE)[1])
    assert front["license"] == "MIT" and front["language"] == ["en"] and "Apache" not in card
    assert not any(field.id == "release-date" for one in documents for field in one.unknown)


@pytest.mark.parametrize(
    ("text", "says"),
    [("licenc: MIT", "Did you mean licence"), ("- a\n- b", "no list of fields"), ("a: [", "cannot read it")],
)
def test_wrong_facts_get_one_clear_message(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=says) as error:
        folder_of.read_facts(path)
    assert error.value.exit_code == 2
    with pytest.raises(UsageError, match="Did you mean"):
        build.make("model-docs", records.finished(), {})
    with pytest.raises(SpecError, match="not a folder of documents"):
        folder_of.verify(tmp_path)


def test_a_form_that_asks_a_record_for_what_it_does_not_know_is_refused() -> None:
    text = "id: x\ntitle: X\nbasis: {citation: c, url: 'https://x', confidence: read, checked_on: 2026-11-22}\n"
    with pytest.raises(SpecError, match="nothing is known of 'weather'"):
        parse(text + "sections: [{title: A, fields: [{id: a, label: A, from: weather}]}]", where="x.yaml")


def test_a_hostile_name_stays_text_on_the_page() -> None:
    record: RunRecord = records.hostile()
    for made in build.make_all(record, {"licence": "<script>alert(1)</script>"}):
        assert "<script" not in pages.render(made)
