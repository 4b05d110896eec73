"""Admin of machines and runs."""

from __future__ import annotations

from django.contrib import admin

from hanse.service.readonly import KeptAdmin, ReadOnlyAdmin
from hanse.service.runs.models import (
    Attempt,
    CodeBundle,
    Event,
    Leg,
    LogChunk,
    Machine,
    NodeTrouble,
    Parcel,
    Revision,
    Run,
    Site,
    SiteCounter,
    SiteJobRow,
    StepRow,
    StopAsked,
    TrailRow,
    UsageEntry,
)


@admin.register(Site)
class SiteAdmin(KeptAdmin):
    list_display = ["public_id", "name", "organisation"]


@admin.register(Machine)
class MachineAdmin(KeptAdmin):
    """Only draining is switched here; everything else the agent says."""

    list_display = ["public_id", "site", "agent_epoch", "last_heard_at", "draining"]
    readonly_fields = [
        "public_id", "site", "facts", "agent_epoch", "acknowledged", "software", "last_heard_at", "away_since",
    ]  # fmt: skip
    fields = [*readonly_fields, "draining"]

    def has_add_permission(self, _request: object) -> bool:
        return False


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ["public_id", "name", "project", "state", "created_at", "ended_at"]
    list_filter = ["state"]
    search_fields = ["public_id", "name"]


@admin.register(Leg)
class LegAdmin(ReadOnlyAdmin):
    list_display = ["public_id", "run", "machine", "allocation"]


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    list_display = ["public_id", "leg", "number", "state", "job_id", "last_heard_at"]
    list_filter = ["state"]
    search_fields = ["public_id", "job_id"]


@admin.register(NodeTrouble)
class NodeTroubleAdmin(ReadOnlyAdmin):
    list_display = ["machine", "node", "run", "reason", "at", "cleared_at"]


@admin.register(Revision)
class RevisionAdmin(ReadOnlyAdmin):
    list_display = ["machine", "number"]


@admin.register(UsageEntry)
class UsageEntryAdmin(ReadOnlyAdmin):
    list_display = ["public_id", "allocation", "attempt", "kind", "accelerator_seconds", "recorded_at"]
    list_filter = ["kind"]


@admin.register(SiteJobRow)
class SiteJobAdmin(ReadOnlyAdmin):
    list_display = ["job_id", "machine", "account", "allocation", "attempt", "accelerator_seconds", "final"]
    list_filter = ["machine", "final"]
    search_fields = ["job_id", "account"]


@admin.register(SiteCounter)
class SiteCounterAdmin(ReadOnlyAdmin):
    list_display = ["account", "machine", "at"]


@admin.register(StopAsked)
class StopAskedAdmin(ReadOnlyAdmin):
    list_display = ["attempt", "at", "because"]


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ["at", "name", "subject_id", "actor", "reason"]
    search_fields = ["name", "subject_id", "actor"]


@admin.register(CodeBundle)
class CodeBundleAdmin(ReadOnlyAdmin):
    list_display = ["sha256", "size_bytes", "uploaded_by", "uploaded_at"]


@admin.register(Parcel)
class ParcelAdmin(ReadOnlyAdmin):
    list_display = ["public_id", "run", "kind", "from_machine", "to_machine", "state", "reason"]
    list_filter = ["state", "kind"]


@admin.register(StepRow)
class StepRowAdmin(ReadOnlyAdmin):
    list_display = ["attempt", "step"]
    list_select_related = ["attempt"]


@admin.register(TrailRow)
class TrailRowAdmin(ReadOnlyAdmin):
    list_display = ["run", "slot", "at", "what", "exchange", "reason"]
    list_filter = ["what"]
    list_select_related = ["run"]


@admin.register(LogChunk)
class LogChunkAdmin(ReadOnlyAdmin):
    list_display = ["attempt", "offset", "size_bytes"]
