"""`hanse import`: a file, and a Waldur that is read page by page, prepared by one officer and confirmed by another."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hanse.cli.main import app
from hanse.client.waldur import Waldur
from hanse.contracts.errors import HanseError, ServiceError, UsageError
from hanse.service.access.models import Allocation
from hanse.service.imports.batches import Batch
from hanse.service.runs.models import Machine, UsageEntry
from tests.awarding.world import Programme
from tests.docs.test_docs import DOCS, commands
from tests.imports.rows import BOOSTER, a_file
from tests.imports.test_pages import NOW
from tests.imports.waldurs import SmallWaldur, a_waldur, resource

PAGE = DOCS / "how-to" / "import-awards.md"
OFFERED = ("--mode", "fast-lane", "--machine", "booster=other:boost")


class Officer:
    """Runs `hanse` as one officer against the live service."""

    def __init__(self, url: str, token: str) -> None:
        self.env = {"HANSE_URL": url, "HANSE_TOKEN": token, "COLUMNS": "200", "NO_COLOR": "1"}

    def __call__(self, *arguments: str) -> Any:
        return CliRunner().invoke(app, ["import", *arguments], env=self.env)

    def told(self, *arguments: str) -> Any:
        answer = self(*arguments, "--json")
        assert answer.exit_code == 0, answer.output
        return json.loads(answer.stdout)


@pytest.fixture
def officers(shared_programme: Programme, live_server: Any) -> tuple[Officer, Officer]:
    Machine.objects.filter(public_id="other").update(facts=BOOSTER.model_copy(update={"id": "other"}))
    world = shared_programme.world
    first, second = (Officer(live_server.url, world.token(one)) for one in (world.officer, shared_programme.second))
    return first, second


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    file = tmp_path / "waldur.token"
    file.touch(mode=0o600)
    file.write_text("a-token\n")
    return str(file)


def test_a_file_is_previewed_prepared_and_confirmed_by_another(
    officers: tuple[Officer, Officer], tmp_path: Path
) -> None:
    first, second = officers
    file = tmp_path / "awards.csv"
    file.write_text(a_file(NOW, NOW | {"reference": "b", "machine": "nowhere"}, NOW | {"amount": "40.000"}))
    look = first("awards", str(file), "--dry-run")
    assert look.exit_code == 0, look.output
    assert "1 not read" in look.output
    assert "Line 4, amount: 40.000 can be read as 40.000 or as 40000." in look.output
    assert "no machine nowhere is joined" in look.output.replace("No machine", "no machine")
    assert not Batch.objects.exists()
    made = first.told("awards", str(file))
    assert made["state"] == "waiting"
    own = first("confirm", made["id"])
    assert own.exit_code == 1
    assert "who prepared it does not confirm it" in own.output.lower()
    done = second.told("confirm", made["id"], "--seen", made["report"]["seen"])
    assert done["report"]["counts"] == {"create": 1, "refused": 1}
    again = first("awards", str(file))
    assert "nothing to bring in" in again.output
    assert "confirmed" in second("list").output


def test_a_wrong_file_is_one_message_and_exit_code_2(officers: tuple[Officer, Officer], tmp_path: Path) -> None:
    file = tmp_path / "awards.csv"
    file.write_bytes("source,title\nä,Größe\n".encode("cp1252"))
    answer = officers[0]("awards", str(file))
    assert answer.exit_code == 2
    assert "Line 2 is not UTF-8" in answer.output
    assert officers[0]("awards", str(tmp_path / "none.csv")).exit_code != 0


def test_a_waldur_is_read_in_pages_and_the_same_again_changes_nothing(
    officers: tuple[Officer, Officer], token_file: str
) -> None:
    first, second = officers
    many = [resource(number, limits={"gpu": 100 + number}) for number in range(1, 8)]
    gone = resource(9, state="Terminated")
    with a_waldur(*many, gone, largest_page=3) as there:
        made = first.told("waldur", there.url, "--token-file", token_file, *OFFERED)
        assert made["report"]["counts"] == {"create": 7}, made["report"]
        pages = [path for path in there.asked if path.startswith("/api/marketplace-resources/")]
        assert len(pages) == 3
        assert all("state=OK&state=Updating" in path for path in pages)
        assert sum("list_users" in path for path in there.asked) == 1, "each project is asked for once"
        second.told("confirm", made["id"])
        assert Allocation.objects.filter(imported_part__isnull=False).count() == 7
        assert Allocation.objects.filter(imported_part__isnull=False).values("project").distinct().count() == 1
        held = Allocation.objects.get(imported_part__part=f"{3:032x}")
        assert (held.granted_accelerator_seconds, held.account) == (103 * 3600, "hpc_3")
        again = first.told("waldur", f"{there.url}/api/", "--token-file", token_file, *OFFERED)
        assert (again["state"], again["report"]["counts"]) == ("nothing-to-do", {"same": 7})
        there.answers["/api/marketplace-resources/"] = [*many[:2], resource(3, limits={"gpu": 500})]
        changed = first.told("waldur", there.url, "--token-file", token_file, *OFFERED, "--dry-run")
        assert changed["report"]["counts"] == {"same": 2, "change": 1}


def test_the_how_to_page_brings_awards_in_as_it_says(
    officers: tuple[Officer, Officer], token_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = officers
    booster = Machine.objects.get(public_id="other")
    Machine.objects.create(public_id="booster", site=booster.site, facts=BOOSTER)
    Path(token_file).rename(tmp_path / "waldur.token")
    (table,) = re.findall(r'```csv title="awards.csv"\n(.*?)```', PAGE.read_text(), re.DOTALL)
    (tmp_path / "awards.csv").write_text(table)
    monkeypatch.chdir(tmp_path)
    with a_waldur(resource(1)) as there:
        for command in commands(PAGE):
            words = shlex.split(command.replace("https://waldur.example.eu", there.url))[2:]
            if words[0] == "confirm":
                words[1] = Batch.objects.get(state="waiting").public_id
            answer = (second if words[0] == "confirm" else first)(*words)
            assert answer.exit_code == 0, f"{command}\n{answer.output}"
    award, waits = Batch.objects.order_by("pk")
    assert (award.state, waits.state, waits.kind) == ("confirmed", "waiting", "waldur")
    rows = Allocation.objects.filter(imported_part__isnull=False).select_related("machine")
    hours = {one.machine.public_id: one.granted_accelerator_seconds // 3600 for one in rows}
    assert hours == {"booster": 5000, "local": 200}, "as the page reckons"


def test_awards_that_a_waldur_no_longer_tells_of_are_named_and_left(
    officers: tuple[Officer, Officer], token_file: str
) -> None:
    first, second = officers
    with a_waldur(resource(1)) as there:
        made = first.told("waldur", there.url, "--token-file", token_file, *OFFERED)
        second.told("confirm", made["id"])
        other = {"project_uuid": "d" * 32, "project_name": "Another"}
        there.answers["/api/marketplace-resources/"] = [resource(2, **other)]
        there.answers[f"/api/projects/{'d' * 32}/list_users/"] = there.answers[f"/api/projects/{'b' * 32}/list_users/"]
        told = first.told("waldur", there.url, "--token-file", token_file, *OFFERED, "--dry-run")
    assert told["report"]["missing"] == [f"127.0.0.1 {'b' * 32}"]


def test_what_a_waldur_does_not_tell_is_said_resource_by_resource(
    officers: tuple[Officer, Officer], token_file: str
) -> None:
    with a_waldur(resource(1), resource(2, end_date=None)) as there:
        answer = officers[0]("waldur", there.url, "--token-file", token_file, *OFFERED, "--dry-run")
    assert "Line 2, ends: alloc-2: neither it nor its project has an end." in answer.output
    assert "1 not read" in answer.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--mode", "fast-lan"), "Did you mean fast-lane"),
        (("--mode", "fast-lane", "--machine", "booster"), "OFFERING=MACHINE"),
        (("--mode", "fast-lane", "--until", "soon"), "Soon is no day"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anybody_is_asked(
    arguments: tuple[str, ...], said: str, token_file: str
) -> None:
    answer = CliRunner().invoke(
        app, ["import", "waldur", "https://none.invalid", "--token-file", token_file, *arguments]
    )
    assert answer.exit_code == 2
    assert said in answer.output


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-token")
    file.chmod(0o644)
    answer = CliRunner().invoke(
        app, ["import", "waldur", "https://none.invalid", "--token-file", str(file), "--mode", "fast-lane"]
    )
    assert answer.exit_code == 2
    assert "others can read the token" in answer.output.lower()


def _fails(there: SmallWaldur, kind: type[HanseError], said: str, token: str = "a-token") -> None:
    client = Waldur(there.url, token)
    with pytest.raises(kind) as raised:
        client.resources(("OK",))
    client.close()
    assert said in raised.value.what


def test_what_is_no_waldur_or_takes_no_token_is_one_message() -> None:
    with a_waldur(resource(1)) as there:
        _fails(there, UsageError, "does not take the token", token="another")
        there.answers["/api/marketplace-resources/"] = {"detail": "a page"}
        _fails(there, ServiceError, "it is no list")
        there.answers["/api/marketplace-resources/"] = None
        _fails(there, ServiceError, "it answered 404")
    _fails(there, ServiceError, "does not answer")
    for url in ("waldur.example.eu", "http://waldur.example.eu", "https://user@waldur.example.eu"):
        with pytest.raises(UsageError):
            Waldur(url, "a-token")


def test_the_token_does_not_follow_a_link_to_another_host() -> None:
    import httpx

    def elsewhere(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "waldur.example.eu"
        return httpx.Response(200, json=[], headers={"Link": '<https://evil.example/api/x/?page=2>; rel="next"'})

    client = Waldur("https://waldur.example.eu", "a-token", transport=httpx.MockTransport(elsewhere))
    with pytest.raises(ServiceError, match=r"its next page lies at evil\.example"):
        client.resources(("OK",))


def test_more_resources_than_an_import_takes_are_refused_by_their_count() -> None:
    with a_waldur(*[resource(1)] * 1001) as there:
        _fails(there, UsageError, "it holds 1,001 resources")


def test_a_months_use_is_reported_by_the_reference_it_has_where_it_was_decided(
    officers: tuple[Officer, Officer], tmp_path: Path, shared_programme: Programme
) -> None:
    first, second = officers
    file = tmp_path / "awards.csv"
    file.write_text(a_file(NOW | {"organisation": "=Norrlyd"}))
    second.told("confirm", first.told("awards", str(file))["id"])
    held = Allocation.objects.get(imported_part__isnull=False)
    at = datetime(2026, 10, 14, 12, tzinfo=UTC)
    UsageEntry.objects.create(allocation=held, kind="site", accelerator_seconds=5400, recorded_at=at)
    told = CliRunner().invoke(app, ["usage", "--month", "2026-10", "--csv"], env=first.env)
    (line,) = csv.DictReader(io.StringIO(told.stdout))
    assert (line["reference"], line["mode"], line["gpu_hours"]) == ("EHPC-AIF-2026FL01-012", "fast-lane", "1.5")
    assert line["organisation"] == "'=Norrlyd"
    shown = CliRunner().invoke(app, ["usage", "--month", "2026-10"], env=first.env)
    assert "EHPC-AIF-2026FL01-012" in shown.output
    assert (
        "Nothing was used in 2026-09" in CliRunner().invoke(app, ["usage", "--month", "2026-09"], env=first.env).output
    )
    member = first.env | {"HANSE_TOKEN": shared_programme.world.token(shared_programme.world.founder)}
    assert CliRunner().invoke(app, ["usage", "--month", "2026-10"], env=member).exit_code == 1
    assert CliRunner().invoke(app, ["usage", "--csv"], env=first.env).exit_code == 2
