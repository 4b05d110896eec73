"""Admin of screenings and of what is watched."""

from __future__ import annotations

from django.contrib import admin

from hanse.service.compliance import models
from hanse.service.readonly import ReadOnlyAdmin

_SHOWN: dict[type, list[str]] = {
    models.Screening: ["application", "made_at"],
    models.Rescreening: ["screening", "as_of", "made_at"],
    models.RescreenPass: ["basis", "read_to", "done_at"],
    models.RescreeningAnswer: ["rescreening", "stands", "by", "at"],
    models.Condition: ["public_id", "award", "kind", "state", "due", "said_by"],
    models.Permit: ["public_id", "award", "valid_until", "state"],
    models.PermitWarning: ["permit", "days", "at"],
    models.RunChange: ["public_id", "award", "state", "asked_at"],
    models.RunCompute: ["run", "flops", "at", "final"],
    models.ThresholdMark: ["award", "threshold", "level", "at"],
    models.Release: ["public_id", "run", "version", "published_at"],
    models.RunEvaluation: ["run", "sha256", "attached_at"],
    models.Question: ["public_id", "state", "asked_at", "answered_at"],
}

for _model, _columns in _SHOWN.items():
    admin.register(_model)(type(f"{_model.__name__}Admin", (ReadOnlyAdmin,), {"list_display": _columns}))
