"""The user's side of the API: `Client(url, token)`, one method for each thing that can be asked.

Polling is cheap: what was read before is asked for with its ETag, and an unchanged answer is not sent again.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from hanse.client.answers import (
    AgentStatus,
    CancelRequest,
    CodeRequest,
    DecisionRequest,
    Drained,
    DrainRequest,
    EnrolRequest,
    LaunchLeg,
    LaunchRequest,
    LogText,
    MachineOffer,
    Me,
    NewCode,
    NewLoginLink,
    NewToken,
    OwnHoursRequest,
    Page,
    RetryRequest,
    UndrainRequest,
)
from hanse.client.http import NOT_MODIFIED, Connection, parsed
from hanse.client.transport import Answer, Unreachable
from hanse.contracts.base import Contract
from hanse.contracts.errors import ServiceError
from hanse.contracts.event import Event
from hanse.contracts.machine import Machine
from hanse.contracts.placement import Placement
from hanse.contracts.plan import Plan
from hanse.contracts.programme import Allocation, Application, ApplicationForm, CallTerms
from hanse.contracts.record import RunRecord
from hanse.contracts.run import CodeBundle, Run
from hanse.contracts.site import MachineState
from hanse.contracts.spec import TrainSpec
from hanse.contracts.telemetry import StepSummary

if TYPE_CHECKING:
    import httpx

T = TypeVar("T", bound=Contract)


class Client(Connection):
    """Speaks to `/api/v1/` as one person. Every method returns contracts and raises errors of the one tree."""

    def __init__(
        self, url: str, token: str, *, transport: httpx.BaseTransport | None = None, timeout_s: float = 30.0
    ) -> None:
        super().__init__(url, token, transport=transport, timeout_s=timeout_s)
        self._seen: dict[str, tuple[str, Any]] = {}
        """Path to (ETag, last answer)."""

    def me(self) -> Me:
        return self._get(Me, "me")

    def machines(self) -> tuple[Machine, ...]:
        return self._all(Machine, "machines")

    def machine(self, id: str) -> Machine:
        return self._get(Machine, f"machines/{id}")

    def agent_status(self, machine: str) -> AgentStatus:
        return self._get(AgentStatus, f"machines/{machine}/agent")

    def machine_state(self, machine: str) -> MachineState:
        """How full it is, as its agent last told. Raises UsageError where it has told nothing."""
        return self._get(MachineState, f"machines/{machine}/state")

    def calls(self) -> tuple[CallTerms, ...]:
        return self._all(CallTerms, "calls")

    def apply(self, form: ApplicationForm) -> Application:
        """Send an application. Raises PolicyError with the findings where the call does not admit it."""
        return self._post(Application, "applications", form)

    def applications(self) -> tuple[Application, ...]:
        return self._all(Application, "applications")

    def application(self, id: str) -> Application:
        return self._get(Application, f"applications/{id}")

    def decide(self, application: str, decision: DecisionRequest) -> Application:
        """Grant or decline, as an officer. Raises Conflict if somebody decided first."""
        return self._post(Application, f"applications/{application}/decide", decision)

    def allocations(self) -> tuple[Allocation, ...]:
        return self._all(Allocation, "allocations")

    def allocation(self, id: str) -> Allocation:
        return self._get(Allocation, f"allocations/{id}")

    def upload_code(self, archive: bytes) -> CodeBundle:
        """Store a gzipped tar (at most 20 MB); sending the same one again is harmless."""
        sha256 = hashlib.sha256(archive).hexdigest()
        return parsed(
            CodeBundle,
            self.exchange(
                "PUT", f"/api/v1/code/{sha256}", content=archive, headers={"Content-Type": "application/gzip"}
            ),
        )

    def launch(
        self,
        spec: TrainSpec,
        plan: Plan | None,
        *,
        allocation: str,
        machine: str,
        code_sha256: str | None = None,
        placement: Placement | None = None,
        legs: tuple[LaunchLeg, ...] = (),
    ) -> Run:
        """Start a run. A retry of this call after a lost answer does not start a second one.

        Raises:
            PolicyError: admission said no; `findings` has every check's answer.
        """
        request = LaunchRequest(
            spec=spec, plan=plan, allocation=allocation, machine=machine, code_sha256=code_sha256, placement=placement,
            legs=legs,
        )  # fmt: skip
        key = {"Idempotency-Key": uuid.uuid4().hex}
        return parsed(Run, self._twice("POST", "/api/v1/runs", body=request, headers=key))

    def runs(self, limit: int = 50) -> tuple[Run, ...]:
        """The latest runs, newest first."""
        answer = self.exchange("GET", "/api/v1/runs", params={"limit": min(limit, 100)})
        return parsed(Page[Run], answer).items

    def run(self, id: str) -> Run:
        return self._get(Run, f"runs/{id}")

    def cancel(self, run: str, reason: str = "") -> Run:
        return self._post(Run, f"runs/{run}/cancel", CancelRequest(reason=reason))

    def retry(self, run: str, machine: str | None = None) -> Run:
        """Begin a failed or cancelled run anew. A retry of this call after a lost answer does not begin it twice."""
        key = {"Idempotency-Key": uuid.uuid4().hex}
        answer = self._twice("POST", f"/api/v1/runs/{run}/retry", body=RetryRequest(machine=machine), headers=key)
        return parsed(Run, answer)

    def offers(self) -> tuple[MachineOffer, ...]:
        """How the machines stand on which this person has hours."""
        return parsed(Page[MachineOffer], self.exchange("GET", "/api/v1/offers")).items

    def drain(self, machine: str, reason: str, *, move: bool = False) -> Drained:
        """As its operator: nothing new there, and with `move` what is there goes on elsewhere where it may."""
        return self._post(Drained, f"machines/{machine}/drain", DrainRequest(reason=reason, move=move))

    def undrain(self, machine: str, reason: str) -> Drained:
        return self._post(Drained, f"machines/{machine}/undrain", UndrainRequest(reason=reason))

    def telemetry(self, run: str, after_step: int = 0) -> tuple[StepSummary, ...]:
        """Steps after `after_step` in order, at most a thousand: go on from the last one."""
        answer = self.exchange("GET", f"/api/v1/runs/{run}/telemetry", params={"after_step": after_step})
        return parsed(Page[StepSummary], answer).items

    def log(self, run: str, offset: int = 0) -> LogText:
        return parsed(LogText, self.exchange("GET", f"/api/v1/runs/{run}/log", params={"offset": offset}))

    def events(self, run: str) -> tuple[Event, ...]:
        return self._all(Event, f"runs/{run}/events")

    def record(self, run: str) -> RunRecord:
        return parsed(RunRecord, self.exchange("GET", f"/api/v1/runs/{run}/record"))

    def own_hours(self, machine: str, hours: OwnHoursRequest) -> Allocation:
        """Enter hours granted elsewhere, as an operator of the machine; the same account again changes them."""
        return self._post(Allocation, f"machines/{machine}/own-hours", hours)

    def enrol_agent(self, machine: str, site: str, name: str = "agent") -> NewToken:
        """A token for the agent of one machine, as an operator of its site. It is shown this once."""
        return self._post(NewToken, "agents/enrol", EnrolRequest(machine=machine, site=site, name=name))

    def enrol_code(self, machine: str, site: str) -> NewCode:
        """A code with which the agent of one machine enrols itself, once, within the hour."""
        return self._post(NewCode, "agents/codes", CodeRequest(machine=machine, site=site))

    def login_link(self) -> NewLoginLink:
        """An address that opens the portal signed in as this person: once, within ten minutes."""
        return self._post(NewLoginLink, "login-links", None)

    def _get(self, kind: type[T], path: str) -> T:
        etag, before = self._seen.get(path, ("", None))
        answer = self.exchange("GET", f"/api/v1/{path}", headers={"If-None-Match": etag} if etag else None)
        if answer.status == NOT_MODIFIED:
            assert isinstance(before, kind)
            return before
        found = parsed(kind, answer)
        if "etag" in answer.headers:
            self._seen[path] = (answer.headers["etag"], found)
        return found

    def _post(self, kind: type[T], path: str, body: Contract | None) -> T:
        return parsed(kind, self.exchange("POST", f"/api/v1/{path}", body=body))

    def _all(self, kind: type[T], path: str) -> tuple[T, ...]:
        return tuple(self._walk(kind, path))

    def _walk(self, kind: type[T], path: str) -> Iterator[T]:
        offset = 0
        while True:
            answer = self.exchange("GET", f"/api/v1/{path}", params={"limit": 100, "offset": offset})
            page = parsed(Page[kind], answer)  # type: ignore[valid-type]
            yield from page.items
            offset += len(page.items)
            if not page.items or offset >= page.count:
                return

    def _twice(self, method: str, path: str, *, body: Contract, headers: dict[str, str]) -> Answer:
        """Ask again once where the answer was lost; only for requests that carry an idempotency key."""
        try:
            return self.exchange(method, path, body=body, headers=headers)
        except ServiceError as error:
            if not isinstance(error.__cause__, Unreachable):
                raise
            return self.exchange(method, path, body=body, headers=headers)
