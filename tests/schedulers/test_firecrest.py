"""A machine behind FirecREST v2: pyfirecrest's own client speaks HTTP to recorded answers."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest

from hanse.contracts.errors import SchedulerUnknown, SiteError, UsageError
from hanse.schedulers.firecrest import SINGLY, FirecrestScheduler
from hanse.schedulers.firecrest_call import Access, Line
from hanse.schedulers.firecrest_files import FirecrestFiles
from hanse.schedulers.host import HostUnreachable
from hanse.schedulers.make import make
from tests.schedulers.firecrest_site import Site, firecrest
from tests.schedulers.jobs import job_of, run_dir_in, shell, submit
from tests.schedulers.machines import GENERIC

AT = datetime.fromtimestamp(1795341700, UTC)
JOBS, ONE = "GET /compute/alpha/jobs", "GET /compute/alpha/jobs/4600"
SUBMIT = "POST /compute/alpha/jobs"
LOG = PurePosixPath("/home/fed1/job.log")


@pytest.fixture
def site() -> Iterator[Site]:
    with firecrest() as served:
        yield served


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def line(site: Site, clock: list[float]) -> Line:
    return Line(site.access(), timeout_s=10.0, clock=lambda: clock[0])


@pytest.fixture
def scheduler(line: Line) -> FirecrestScheduler:
    return FirecrestScheduler(GENERIC, line, clock=lambda: AT)


def test_a_job_is_submitted_with_the_script_that_hanse_renders(
    site: Site, scheduler: FirecrestScheduler, tmp_path: Path
) -> None:
    site.answer(SUBMIT, 201, "submitted")
    run_dir = run_dir_in(tmp_path)
    job_id = scheduler.submit(job_of(shell("true")), run_dir, ticket_key="a2V5", data_dir="/data", after="4700")
    assert job_id == "4711"
    sent = json.loads(next(body for said, body in site.heard if said == SUBMIT))["job"]
    assert sent["working_directory"] == str(run_dir.attempt(1).root)
    assert "#SBATCH --job-name=hanse-a1" in sent["script"]
    assert "#SBATCH --dependency=afterany:4700" in sent["script"]


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (500, "refused", SiteError, "Slurm refused the job: .*Invalid account"),
        (403, "over_quota", SiteError, "QOSMaxSubmitJobPerUserLimit"),
        (500, "controller_away", SchedulerUnknown, "Unable to contact"),
        (424, "no_connection", SchedulerUnknown, "SSH connection"),
        (502, b"<html>bad gateway</html>", SchedulerUnknown, "502"),
        (201, b"{}", SchedulerUnknown, "no job id"),
        (201, b"what", SchedulerUnknown, "cannot be read"),
        (429, "too_many", SchedulerUnknown, "limit of calls"),
    ],
)
def test_only_what_sbatch_refused_is_refused(
    site: Site, scheduler: FirecrestScheduler, tmp_path: Path, status: int, body: str | bytes,
    kind: type[SiteError], words: str,
) -> None:  # fmt: skip
    site.answer(SUBMIT, status, body)
    with pytest.raises(SiteError, match=words) as raised:
        submit(scheduler, job_of(shell("true")), run_dir_in(tmp_path))
    assert type(raised.value) is kind


def test_a_firecrest_that_would_drop_the_scripts_options_is_refused(site: Site, tmp_path: Path) -> None:
    scheduler = FirecrestScheduler(GENERIC, Line(site.access("beta")))
    with pytest.raises(SiteError, match="reads no #SBATCH line"):
        submit(scheduler, job_of(shell("true")), run_dir_in(tmp_path))
    with pytest.raises(SiteError, match="it knows alpha, beta"):
        submit(FirecrestScheduler(GENERIC, Line(site.access("gamma"))), job_of(shell("true")), run_dir_in(tmp_path))
    assert not site.asked("POST /compute")


def test_one_request_tells_of_all_jobs(site: Site, scheduler: FirecrestScheduler) -> None:
    site.answer(JOBS, 200, "jobs")
    names = ["done", "oom", "ended", "runs", "waits", "ending"]
    found = scheduler.observe({f"hanse-{name}": None for name in names} | {"hanse-other": None})
    assert len(site.asked("GET /compute")) == 1 and "time_window=7d" in site.asked("GET /compute")[0]
    (done,), (oom,), (ended,), (runs,), (waits,), (ending,) = (found[f"hanse-{name}"] for name in names)
    assert found["hanse-other"] == ()
    assert (done.state, done.exit_code, done.elapsed_s, done.nodes) == ("completed", 0, 61, ("nid001", "nid002"))
    assert done.accelerator_seconds == 61 * 2
    assert (oom.state, oom.exit_code) == ("out-of-memory", 253)
    assert (ended.state, ended.exit_code, ended.raw_state) == ("cancelled", 143, "CANCELLED by 1000")
    assert (runs.state, runs.ended_at, runs.accelerators) == ("running", None, 2)
    assert (waits.state, waits.reason, waits.accelerators, waits.started_at) == ("queued", "Priority", 0, None)
    assert waits.expected_start_at == AT + timedelta(hours=1)
    assert (ending.state, ending.reason) == ("running", "waiting for accounting")


def test_a_job_that_the_list_leaves_out_is_asked_after_by_its_id(site: Site, scheduler: FirecrestScheduler) -> None:
    site.answer(JOBS, 200, b'{"jobs": []}')
    site.answer(ONE, 200, "job_of_the_other_interface")
    site.answer("GET /compute/alpha/jobs/4601", 404, "no_such_job")
    site.answer("GET /compute/alpha/jobs/4602", 424, "no_connection")
    found = scheduler.observe({"hanse-old": "4600", "hanse-gone": "4601", "hanse-hid": "4602", "hanse-new": None})
    (old,) = found["hanse-old"]
    assert (old.state, old.elapsed_s, old.accelerator_seconds) == ("timeout", 3600, 7200)
    assert found["hanse-gone"] == () == found["hanse-new"]
    assert "hanse-hid" not in found, "of a job nothing was said of, nothing is known"


def test_few_jobs_are_asked_after_singly_and_of_the_rest_nothing_is_said(
    site: Site, scheduler: FirecrestScheduler
) -> None:
    site.answer(JOBS, 200, b'{"jobs": null}')
    for number in range(SINGLY):
        site.answer(f"GET /compute/alpha/jobs/{number}", 404, "no_such_job")
    found = scheduler.observe({f"hanse-{number}": str(number) for number in range(SINGLY + 5)})
    assert len(found) == SINGLY and len(site.asked("GET /compute/alpha/jobs/")) == SINGLY


def test_an_older_firecrest_is_asked_without_a_window(site: Site, scheduler: FirecrestScheduler) -> None:
    site.version = "2.4.0"
    site.answer(JOBS, 200, "jobs")
    assert scheduler.observe({"hanse-done": None})["hanse-done"]
    assert scheduler.observe({"hanse-done": None})["hanse-done"]
    assert "time_window" not in site.asked("GET /compute")[-1]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, "controller_away"), (404, b"no such page"), (200, b"<html>"), (200, b'{"jobs": [{"jobId": 1}]}'),
        (200, b"{}"), (200, b'{"jobs": "none"}'), (401, b'{"message": "expired"}'), (503, b""),
    ],
)  # fmt: skip
def test_what_is_no_answer_never_means_that_jobs_are_gone(
    site: Site, scheduler: FirecrestScheduler, status: int, body: str | bytes
) -> None:
    site.answer(JOBS, status, body)
    with pytest.raises(SchedulerUnknown):
        scheduler.observe({"hanse-done": "4705"})


def test_a_firecrest_that_does_not_listen_is_asked_less_and_less_often(clock: list[float]) -> None:
    with firecrest() as site:
        access = site.access()
    line = Line(access, clock=lambda: clock[0])
    scheduler = FirecrestScheduler(GENERIC, line)
    for _ in range(2):
        with pytest.raises(SchedulerUnknown, match="did not answer"):
            scheduler.observe({"hanse-done": None})
    with pytest.raises(SchedulerUnknown, match="asked again in 4 s"):
        scheduler.observe({"hanse-done": None})


def test_nothing_is_asked_before_the_moment_a_limit_names(
    site: Site, scheduler: FirecrestScheduler, clock: list[float]
) -> None:
    site.answer(JOBS, 429, "too_many", Retry_After="30")
    with pytest.raises(SchedulerUnknown, match="limit of calls"):
        scheduler.observe({"hanse-done": None})
    site.answer(JOBS, 200, "jobs")
    clock[0] = 29.0
    with pytest.raises(SchedulerUnknown, match="asked again in 1 s"):
        scheduler.observe({"hanse-done": None})
    clock[0] = 31.0
    assert scheduler.observe({"hanse-done": None})["hanse-done"]
    assert len(site.asked(JOBS)) == 2


def test_a_token_is_kept_while_it_lives_and_renewed_before_it_ends(site: Site, scheduler: FirecrestScheduler) -> None:
    site.answer(JOBS, 200, "jobs")
    scheduler.observe({"hanse-done": None})
    scheduler.observe({"hanse-done": None})
    assert site.seen_tokens == ["Bearer token-1"] * 2
    site.token_lives_s = 5  # pyfirecrest renews ten seconds before the end
    brief = FirecrestScheduler(GENERIC, Line(site.access()))
    brief.observe({"hanse-done": None})
    brief.observe({"hanse-done": None})
    assert site.seen_tokens[2:] == ["Bearer token-2", "Bearer token-3"]


def test_a_wrong_secret_is_unknown_and_is_never_shown(site: Site) -> None:
    access = site.access(secret="wr0ng")
    assert "wr0ng" not in repr(access)
    with pytest.raises(SchedulerUnknown, match="gave no token") as raised:
        FirecrestScheduler(GENERIC, Line(access)).observe({"hanse-done": None})
    assert "wr0ng" not in str(raised.value)


def test_ending_an_ended_job_is_no_error(site: Site, scheduler: FirecrestScheduler) -> None:
    site.answer("DELETE /compute/alpha/jobs/4708", 204)
    site.answer("DELETE /compute/alpha/jobs/4705", 500, "ended_already")
    site.answer("DELETE /compute/alpha/jobs/1", 404, "no_such_job")
    scheduler.cancel(["4708", "4705", "1"])
    site.answer("DELETE /compute/alpha/jobs/4705", 424, "no_connection")
    with pytest.raises(SchedulerUnknown, match="SSH connection"):
        scheduler.cancel(["4705", "4708"])
    assert len(site.asked("DELETE /compute/alpha/jobs/4708")) == 2, "one that failed does not keep the others"


def test_the_machines_queues_and_nodes_are_told(site: Site, scheduler: FirecrestScheduler) -> None:
    site.answer("GET /status/alpha/partitions", 200, "partitions")
    site.answer("GET /status/alpha/nodes", 200, "nodes")
    state = scheduler.state()
    gpu, debug = state.partitions
    assert (gpu.up, gpu.nodes, gpu.nodes_idle, gpu.nodes_down) == (True, 4, 1, 2)
    assert (debug.up, debug.reason) == (False, "inactive")
    assert [node.name for node in state.bad_nodes] == ["nid003", "nid004"]
    with pytest.raises(SchedulerUnknown, match="no accounting to the second"):
        scheduler.accounting(["proj1"], AT)


def test_small_files_go_in_one_request_and_long_logs_from_an_offset_on(site: Site, line: Line, tmp_path: Path) -> None:
    files = FirecrestFiles(line)
    base = "/filesystem/alpha/ops"
    site.answer(f"GET {base}/stat", 200, "stat")
    site.answer(f"GET {base}/download", 200, b"epoch 1\n\xff\x00ab")
    assert files.read(LOG) == b"epoch 1\n\xff\x00ab" and files.size(LOG) == 12
    assert files.tails({LOG: 8}, 2) == {LOG: b"\xff\x00"}
    assert files.read(LOG, offset=12) == b""
    site.answer(f"GET {base}/stat", 200, "stat_large")
    site.answer(f"GET {base}/tail", 200, "tail")
    assert files.read(LOG, offset=1_999_985, limit=8) == b"the last"
    assert "bytes=1999986" in site.asked(f"GET {base}/tail")[0]
    site.answer(f"GET {base}/ls", 200, "ls")
    assert files.list(LOG.parent) == ("claim", "job.log")
    (tmp_path / "job.json").write_text("{}")
    site.answer(f"POST {base}/upload", 204)
    files.put(tmp_path / "job.json", LOG.with_name("job.json"))
    assert "path=%2Fhome%2Ffed1" in site.asked(f"POST {base}/upload")[0]


def test_what_a_file_system_refuses_has_its_own_error(site: Site, line: Line, tmp_path: Path) -> None:
    files, base = FirecrestFiles(line), "/filesystem/alpha/ops"
    site.answer(f"GET {base}/stat", 404, "missing_file")
    assert files.size(LOG) is None and files.tails({LOG: 0}, 9) == {LOG: None}
    with pytest.raises(FileNotFoundError):
        files.read(LOG)
    (tmp_path / "small").write_text("x")
    site.answer(f"POST {base}/upload", 500, "full_disk")
    with pytest.raises(OSError) as raised:
        files.put(tmp_path / "small", LOG)
    assert raised.value.errno == errno.ENOSPC
    site.answer(f"GET {base}/stat", 424, "no_connection")
    with pytest.raises(HostUnreachable):
        files.size(LOG)


def test_the_machine_chooses_firecrest_and_its_settings_are_asked_for_together(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(make(GENERIC, tmp_path, firecrest=site.access()), FirecrestScheduler)
    through = GENERIC.model_copy(update={"scheduler": GENERIC.scheduler.model_copy(update={"kind": "firecrest"})})
    with pytest.raises(SiteError, match="spoken to through FirecREST"):
        make(through, tmp_path)
    with pytest.raises(UsageError, match="AUTH_TOKEN_URL, FIRECREST_CLIENT_SECRET"):
        Access.from_environment({"FIRECREST_CLIENT_ID": "me", "FIRECREST_SYSTEM": "alpha"}, url=site.url)
    monkeypatch.setitem(sys.modules, "firecrest", None)
    with pytest.raises(UsageError, match="pip install 'hanse\\[firecrest\\]'"):
        Line(site.access())
