"""The base of every contract, and how one becomes a file and comes back.

`parse(print(x)) == x` holds for every contract; tests/contracts proves it.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
"""A short name safe in paths, URLs, Slurm job names and shells."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Timestamp = AwareDatetime


class Contract(BaseModel):
    """A frozen value object. Unknown keys are refused; text is kept as it came."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_inf_nan="null",
        protected_namespaces=(),
        defer_build=True,  # a verb pays for the contracts it uses, not for all it imports
    )

    def to_json(self) -> str:
        """Indented JSON in field order, ending in a newline: the form these objects have as files."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The inverse of `to_json`. Raises pydantic.ValidationError on anything else."""
        return cls.model_validate_json(text)

    def canonical(self) -> bytes:
        """One byte string per value (sorted keys, no spaces): what is hashed and signed."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()

    def digest(self) -> str:
        """SHA-256 of `canonical()`, in hexadecimal."""
        return hashlib.sha256(self.canonical()).hexdigest()


def now() -> datetime:
    """The present moment in UTC, to the microsecond."""
    return datetime.now(UTC)
