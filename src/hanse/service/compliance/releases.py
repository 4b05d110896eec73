"""What was published of a run and how its model was evaluated: kept as rows, each once, with an event.

`evidence` is what closes the obligation to release: the manifest's hash and where the folder was put.
"""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

from hanse.contracts import release as contract
from hanse.contracts.errors import Conflict, UsageError
from hanse.service.access.people import Person
from hanse.service.records import ContractField, PublicIdField
from hanse.service.runs.events import AppendOnly, Event


class Release(AppendOnly):
    """One published folder. A corrected one is a new row with another version."""

    public_id = PublicIdField(prefix="rel")
    run = models.ForeignKey("runs.Run", on_delete=models.PROTECT, related_name="releases")
    version = models.CharField(max_length=60)
    release = ContractField(contract="hanse.contracts.release.Release")
    sha256 = models.CharField(max_length=64)
    published_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    published_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "compliance"
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["run", "version"], name="release_version_once")]

    def __str__(self) -> str:
        return f"{self.run} {self.version}"


class RunEvaluation(AppendOnly):
    """One file of evaluation results of a run."""

    run = models.ForeignKey("runs.Run", on_delete=models.PROTECT, related_name="evaluations")
    sha256 = models.CharField(max_length=64)
    evaluation = ContractField(contract="hanse.contracts.release.Evaluation")
    attached_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    attached_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "compliance"
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["run", "sha256"], name="evaluation_once_a_run")]

    def __str__(self) -> str:
        return f"{self.run} {self.evaluation.tool}"


def publish(run: Any, told: contract.Release, by: Person) -> Release:
    """Keep a release; the same again changes nothing.

    Raises:
        UsageError: it is about another run, a run that is not finished, or data that was not declared.
        Conflict: that version was published with another content.
    """
    if told.run_id != run.public_id:
        raise UsageError(f"this release is of {told.run_id}", where="run_id", fix=f"Publish it to {told.run_id}.")
    if run.state != "finished" or run.result is None:
        raise UsageError(f"the run is {run.state}", where=run.public_id, fix="Publish it once it is finished.")
    declared = {one.name for one in run.spec.data}
    if strange := sorted(set(told.datasets) - declared):
        raise UsageError(
            f"{', '.join(strange)} is not declared in train.yaml", where="datasets",
            fix="A model is published with the data it was really trained on, declared.",
        )  # fmt: skip
    digest = told.digest()
    with transaction.atomic():
        type(run).objects.select_for_update().get(pk=run.pk)
        kept = Release.objects.filter(run=run, version=told.version).first()
        if kept is not None:
            if kept.sha256 != digest:
                raise Conflict(
                    f"version {told.version} is published with another content", where=run.public_id,
                    fix="Give it another version.",
                )  # fmt: skip
            return kept
        made = Release.objects.create(run=run, version=told.version, release=told, sha256=digest, published_by=by)
        Event.record(
            "user:release:published", run.public_id, by=by.username, reason=f"{told.name} {told.version}",
            release=made.public_id, sha256=digest, files=len(told.files), licence=told.licence, url=told.url,
        )  # fmt: skip
    return made


def evidence(run: Any) -> dict[str, str] | None:
    """What shows that the run's model was released: of the latest release; None where there is none."""
    latest = Release.objects.filter(run=run).order_by("-pk").first()
    if latest is None:
        return None
    told = latest.release
    where = told.url or "not said where"
    return {
        "release": latest.public_id, "sha256": latest.sha256, "licence": told.licence, "url": told.url,
        "published_at": latest.published_at.isoformat(), "version": told.version,
        "text": f"{told.name} {told.version} under {told.licence}, {len(told.files)} files ({where}).",
    }  # fmt: skip


def attach(run: Any, told: contract.Evaluation, by: Person) -> RunEvaluation:
    """Keep the results of an evaluation; the same file again changes nothing."""
    with transaction.atomic():
        made, new = RunEvaluation.objects.get_or_create(
            run=run, sha256=told.sha256, defaults={"evaluation": told, "attached_by": by}
        )
        if new:
            Event.record(
                "user:evaluation:attached", run.public_id, by=by.username,
                reason=f"{told.tool}: {', '.join(dict.fromkeys(one.task for one in told.scores))}"[:500],
                sha256=told.sha256, scores=len(told.scores),
            )  # fmt: skip
    return made


def evaluations_of(run: Any) -> tuple[contract.Evaluation, ...]:
    return tuple(one.evaluation for one in RunEvaluation.objects.filter(run=run))


def evaluation_facts(application: Any) -> dict[str, float]:
    """For the gate: how many evaluations of runs under this application's award are on file."""
    count = RunEvaluation.objects.filter(run__legs__allocation__award__application=application).distinct().count()
    return {"evaluations": float(count)} if count else {}
