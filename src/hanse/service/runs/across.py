"""What the legs of a run across machines agree on: checked when it is launched, and written once for all of them."""

from __future__ import annotations

from pydantic import ValidationError

from hanse.client.answers import LaunchRequest
from hanse.contracts.errors import UsageError
from hanse.contracts.outer import OuterLeg, OuterTerms
from hanse.service.runs import issue

_TRIED = "run-not-yet-launched"


def check(asked: LaunchRequest) -> None:
    """Raises UsageError where legs, plans and train.yaml do not belong together."""
    spec, names = asked.spec, [one.machine for one in asked.legs]
    if sorted(names) != sorted(spec.where.machines):
        raise UsageError(
            f"across is for {', '.join(spec.where.machines)}, the launch for {', '.join(names) or 'no legs'}",
            where="legs", fix="plan a leg for each of where.machines; hanse launch does it",
        )  # fmt: skip
    first = asked.legs[0]
    if (asked.machine, asked.allocation, asked.plan) != (first.machine, first.allocation, first.plan):
        raise UsageError("machine, allocation and plan are to be those of the first leg", where="legs")
    for one in asked.legs:
        if one.plan.machine != one.machine:
            raise UsageError(
                f"the plan is for {one.plan.machine}, its leg for {one.machine}", where="legs", fix="plan again"
            )
        if one.plan.layout.pp > 1:
            raise UsageError(
                f"the leg on {one.machine} is planned as a pipeline, which a leg cannot be", where="legs.plan.layout",
                fix="plan it with fsdp and tp",
            )  # fmt: skip
    batch = sum(one.plan.layout.global_batch for one in asked.legs)
    if spec.batch is not None and batch > spec.batch:
        raise UsageError(
            f"the legs' layouts hold {batch} sequences together, the spec says {spec.batch}", where="legs.plan.layout",
            fix="plan again after changing train.yaml",
        )  # fmt: skip
    terms_for(_TRIED, asked)


def terms_for(run_id: str, asked: LaunchRequest) -> OuterTerms:
    """The terms of a run, with the public key of each leg.

    Raises:
        UsageError: what train.yaml says under `across` contradicts itself.
    """
    assert asked.spec.across is not None
    legs = tuple(
        OuterLeg(
            name=one.machine, public_key=issue.exchange_public_key(run_id, one.machine), inner_steps=one.inner_steps,
            batch=one.plan.layout.global_batch,
        )
        for one in asked.legs
    )  # fmt: skip
    given = {"inner_steps": max(one.inner_steps for one in asked.legs), **asked.spec.across.given}
    try:
        return OuterTerms.model_validate({"run_id": run_id, "legs": legs, **given})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["across", *map(str, first["loc"])])
        raise UsageError(first["msg"].removeprefix("Value error, "), where=f"train.yaml, key {key}") from error
