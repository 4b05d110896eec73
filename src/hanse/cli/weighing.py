"""What a launch weighs where train.yaml names several machines: how each stands, its plan there, what rules it out.

`ask` asks a service. `without_service` knows plans only: what is granted and how long jobs wait is not known then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.cli import pick, planning
from hanse.contracts.base import now
from hanse.contracts.errors import HanseError, PlanError
from hanse.contracts.placement import Unusable
from hanse.contracts.units import SECONDS_PER_HOUR
from hanse.planning import sites
from hanse.planning.sites import Offer

if TYPE_CHECKING:
    from hanse.client.answers import MachineOffer
    from hanse.client.api import Client
    from hanse.contracts.machine import Machine
    from hanse.contracts.placement import Placement
    from hanse.contracts.plan import Plan
    from hanse.contracts.programme import Allocation
    from hanse.contracts.spec import TrainSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    offers: tuple[Offer, ...]
    beside: tuple[Unusable, ...] = ()
    """Ruled out before there was anything to weigh."""

    def placed(self, spec: TrainSpec) -> Placement | None:
        return sites.place(spec, self.offers, at=now(), beside=self.beside)

    def ruled_out(self, spec: TrainSpec) -> tuple[Unusable, ...]:
        return (*sites.unusable_of(spec, self.offers, at=now()), *self.beside)

    def offer(self, machine: str) -> Offer | None:
        return next((each for each in self.offers if each.machine.id == machine), None)


def ask(client: Client, spec: TrainSpec, spec_path: Path, machines: Sequence[str]) -> Weighed:
    """Each machine as its service has it; planned only where there are hours to use.

    Raises:
        UsageError: more than one allocation on a machine fits.
    """
    known = {one.id: one for one in client.machines()}
    stand = {one.machine: one for one in client.offers()}
    mine = client.allocations()
    offers: list[Offer] = []
    beside: list[Unusable] = []
    for name in machines:
        here = [one for one in mine if one.machine == name]
        if name not in known:
            beside.append(Unusable(machine=name, reason="No agent of it has ever reported to this service."))
        elif name not in stand or not here:
            beside.append(Unusable(machine=name, reason="You have no hours there."))
        else:
            charged = _charged(here, name, spec)
            plan, why_not = _planned(spec, spec_path, known[name], charged.partition)
            offers.append(_offer(spec, known[name], stand[name], charged, plan, why_not))
    return Weighed(offers=tuple(offers), beside=tuple(beside))


def pinned(
    client: Client, spec: TrainSpec, machine: Machine, charged: Allocation, plan: Plan | None
) -> Placement | None:
    """Of a machine the user named; None where it cannot be used, which admission tells better."""
    stands = next((one for one in client.offers() if one.machine == machine.id), None)
    if stands is None:
        return None
    return sites.place(spec, [_offer(spec, machine, stands, charged, plan, "")], at=now(), pinned=True)


def without_service(spec: TrainSpec, spec_path: Path, machines: Sequence[str]) -> Weighed:
    """Each machine as the catalogue has it."""
    from hanse.cli.machine import resolve

    offers: list[Offer] = []
    beside: list[Unusable] = []
    for name in machines:
        try:
            machine = resolve(name)
        except HanseError as error:
            beside.append(Unusable(machine=name, reason=error.what))
            continue
        plan, why_not = _planned(spec, spec_path, machine, None)
        offers.append(Offer(machine=machine, allocation=None, plan=plan, no_plan=why_not, hours_known=False))
    return Weighed(offers=tuple(offers), beside=tuple(beside))


def _offer(
    spec: TrainSpec, machine: Machine, stands: MachineOffer, charged: Allocation, plan: Plan | None, why_not: str
) -> Offer:
    return Offer(
        machine=machine, allocation=charged, plan=plan, no_plan=why_not, state=stands.state, past_waits=stands.waits,
        away=stands.away, draining=stands.draining, stopped=stands.stopped,
        data_there=sites.has_data(spec, stands.data),
    )  # fmt: skip


def _charged(here: Sequence[Allocation], name: str, spec: TrainSpec) -> Allocation:
    """The only one, or the only one that fits; of several that are all closed the latest, whose end is then told."""
    today = now().date()
    if len(here) == 1 or not any(one.starts <= today <= one.ends and one.free_accelerator_seconds > 0 for one in here):
        return max(here, key=lambda one: one.ends)
    return pick.allocation(here, (name,), round(spec.where.max_gpu_hours * SECONDS_PER_HOUR), None)


def _planned(spec: TrainSpec, spec_path: Path, machine: Machine, partition: str | None) -> tuple[Plan | None, str]:
    if spec.command is not None:
        return None, ""
    try:
        return planning.plan_for(spec, spec_path, machine, partition=partition), ""
    except PlanError as error:
        return None, error.what
