"""Files of awards: what is read, and what is refused by line and column."""

from __future__ import annotations

import csv
import io
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.contracts.errors import UsageError
from hanse.contracts.imports import MOST_BYTES, MOST_ROWS
from hanse.programme.imports import csv_file, values
from hanse.programme.imports.columns import COLUMNS
from tests.imports.rows import NEEDED, a_file, a_row


def read(text: str, **more: object) -> csv_file.ImportAsked:
    return csv_file.read(text.encode(), name="awards.csv", **more)  # type: ignore[arg-type]


def test_a_file_with_the_needed_columns_is_read_row_by_row() -> None:
    asked = read(
        a_file({}, {"machine": "other", "unit": "node-hour", "storage_tb": "1.5", "members": "a@b.eu; c@d.eu"})
    )
    first, second = asked.rows
    assert first == a_row(2)
    assert (second.line, second.machine, second.unit) == (3, "other", "node-hour")
    assert (second.storage_bytes, second.members) == (1_500_000_000_000, ("a@b.eu", "c@d.eu"))
    assert not asked.unread


def test_a_file_of_a_german_spreadsheet_is_read_with_its_mark_semicolons_days_and_decimal_comma() -> None:
    text = a_file(
        {"amount": "1.250,5", "starts": "01.11.2026", "ends": "31.12.2099", "title": "Größe; und Gewicht",
         "names_may_be_published": "ja"},
        separator=";",
    )  # fmt: skip
    asked = csv_file.read(b"\xef\xbb\xbf" + text.encode(), name="awards.csv")
    (row,) = asked.rows
    assert row.amount == Decimal("1250.5")
    assert (row.starts, row.ends) == (date(2026, 11, 1), date(2099, 12, 31))
    assert row.title == "Größe; und Gewicht"
    assert row.names_may_be_published


@pytest.mark.parametrize(
    ("changes", "column", "said"),
    [
        ({"amount": "40.000"}, "amount", "40.000 can be read as 40.000 or as 40000"),
        ({"amount": "-5"}, "amount", "-5 is no amount"),
        ({"amount": "0"}, "amount", "0 cannot stand here"),
        ({"starts": "11/01/2026"}, "starts", "11/01/2026 is no day"),
        ({"starts": "31.02.2027"}, "starts", "there is no day 31.02.2027"),
        ({"ends": "2026-10-01"}, "ends", "2026-10-01 is before it starts"),
        ({"mode": "fast-lan"}, "mode", "there is no mode fast-lan"),
        ({"organisation_kind": "firm"}, "organisation_kind", "firm cannot stand here"),
        ({"country": "Belgium"}, "country", "BELGIUM cannot stand here"),
        ({"contact_email": "nobody"}, "contact_email", "nobody cannot stand here"),
        ({"pic": "12345"}, "pic", "12345 cannot stand here"),
        ({"vat_number": "BE0000000000"}, "vat_number", "cannot be a VAT number of BE"),
        ({"title": ""}, "title", "it is empty"),
        ({"url": "javascript:alert(1)"}, "url", "cannot stand here"),
        ({"names_may_be_published": "perhaps"}, "names_may_be_published", "perhaps is neither yes nor no"),
        ({"account": "a b; rm"}, "account", "cannot stand here"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_column_and_the_others_are_read(
    changes: dict[str, str], column: str, said: str
) -> None:
    asked = read(a_file({}, changes, {"machine": "other"}))
    assert [row.line for row in asked.rows] == [2, 4]
    (wrong,) = asked.unread
    assert (wrong.line, wrong.column) == (3, column)
    assert said in wrong.what
    assert wrong.fix


def test_every_fault_of_a_line_is_told_at_once() -> None:
    asked = read(a_file({"amount": "much", "starts": "soon", "title": ""}))
    assert {one.column for one in asked.unread} == {"amount", "starts", "title"}


@pytest.mark.parametrize(
    ("content", "said", "fix"),
    [
        (b"", "names no column", "Write them there"),
        (b"PK\x03\x04...", "a workbook", "CSV UTF-8"),
        (a_file({"title": "Größe"}).encode("cp1252"), "line 2 is not UTF-8", "CSV UTF-8"),
        (b"source,refrence\n", "no column refrence", "reference"),
        (b"source,source\n", "stands there twice", "Take one out"),
        (b"source,reference\na,b\n", "columns are missing: mode", "Add them"),
        ((",".join(NEEDED) + "\n").encode(), "it has no rows", "one line for each"),
        (b"x" * (MOST_BYTES + 1), "more than", "several files"),
        (a_file(*[{}] * (MOST_ROWS + 1)).encode(), "more than 1,000 rows", "several files"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_message(content: bytes, said: str, fix: str) -> None:
    with pytest.raises(UsageError) as refused:
        csv_file.read(content, name="awards.csv")
    assert said in refused.value.what
    assert fix in refused.value.fix
    assert refused.value.where.startswith("awards.csv")


def test_a_cell_too_many_and_an_open_quotation_mark_are_told_by_line() -> None:
    text = a_file({}, {})
    spoilt = text.replace("Delivery notes", "Delivery, notes", 1) + 'eurohpc,"open\r\n'
    asked = read(spoilt)
    assert [row.line for row in asked.rows] == [3]
    assert [(one.line, one.what.split()[0]) for one in asked.unread] == [(2, "it"), (4, "its")]


def test_what_an_officer_gives_fills_empty_cells_and_may_stand_for_a_column() -> None:
    text = a_file({"country": ""}, columns=tuple(name for name in NEEDED if name != "source"))
    (row,) = read(text, given={"source": "elsewhere", "country": "FI"}).rows
    assert (row.source, row.country) == ("elsewhere", "FI")


@given(st.integers(0, 10**9), st.integers(0, 10**4 - 1))
def test_an_amount_is_never_read_as_another_one(whole: int, part: int) -> None:
    """However it is grouped and pointed, it is what was meant, or refused."""
    meant = Decimal(f"{whole}.{part:04}")
    grouped = f"{whole:,}"
    for text in (
        f"{whole}.{part:04}", f"{whole},{part:04}", f"{grouped}.{part:04}",
        f"{grouped.replace(',', '.')},{part:04}", f"{grouped.replace(',', ' ')},{part:04}",
    ):  # fmt: skip
        assert values.amount(text) == meant
    for text in (grouped, grouped.replace(",", ".")):
        try:
            assert values.amount(text) == whole
        except ValueError:
            assert text.count(",") + text.count(".") == 1, "only one separator can be read in two ways"


LINE = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=30)


@given(LINE, LINE, st.sampled_from(";,\t"))
def test_what_a_spreadsheet_writes_is_read_as_it_was(title: str, organisation: str, separator: str) -> None:
    written = io.StringIO()
    row = NEEDED | {"title": title, "organisation": organisation}
    maker = csv.DictWriter(written, list(COLUMNS), delimiter=separator, restval="")
    maker.writeheader()
    maker.writerow(row)
    (back,) = read(written.getvalue()).rows
    assert (back.title, back.organisation) == (title, organisation)


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda t: (a_file({}) + t).encode()))
def test_no_file_whatever_breaks_the_reader(content: bytes) -> None:
    try:
        csv_file.read(content, name="x.csv")
    except UsageError as refused:
        assert refused.what
