"""A draft between its file and the service: `hanse apply --draft FILE --save` and `--open ID`.

Beside the file stands which draft of the service it is and at which revision, so that neither side overwrites what the
other has not seen.
"""

from __future__ import annotations

import json
from pathlib import Path

from hanse.cli import apply_draft
from hanse.cli.connect import client as connect
from hanse.cli.output import note
from hanse.client.drafts import Drafts
from hanse.contracts.errors import UsageError
from hanse.contracts.forms import KeptDraft
from hanse.files.durable import write_atomically


def pull(id: str, path: Path | None) -> None:
    """The service's draft in the file.

    Raises:
        UsageError: no file is named, there is no such draft, or the file holds what was not saved.
    """
    if path is None:
        raise UsageError("--open needs a file.", fix="Give one: --draft FILE.")
    kept = Drafts(connect()).get(id)
    if path.exists():
        known, held = _known(path), apply_draft.read(path)
        if held != kept.draft and (known is None or known.get("digest") != held.digest()):
            raise UsageError(
                "the file holds something that was not saved on the service", where=str(path),
                fix="Save it first (--save), or name another file.",
            )  # fmt: skip
    apply_draft.save(path, kept.draft, ())
    _remember(path, kept)


def push(path: Path | None) -> None:
    """The file's draft on the service: a new one, or the one it was opened from.

    Raises:
        UsageError: no file is named.
        Conflict: the service's was changed since.
    """
    if path is None:
        raise UsageError("--save needs a file.", fix="Give one: --draft FILE.")
    draft, known, drafts = apply_draft.read(path), _known(path), Drafts(connect())
    kept = drafts.save(known["id"], draft, revision=int(known["revision"])) if known else drafts.begin(draft)
    _remember(path, kept)
    note(f"Kept on the service as {kept.id}, saved as revision {kept.revision}.")


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.kept")


def _known(path: Path) -> dict[str, str] | None:
    try:
        found = json.loads(_beside(path).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise UsageError("it is not as Hanse wrote it", where=str(_beside(path)), fix="Remove it.") from None
    return found if isinstance(found, dict) and {"id", "revision"} <= found.keys() else None


def _remember(path: Path, kept: KeptDraft) -> None:
    told = {"id": kept.id, "revision": str(kept.revision), "digest": apply_draft.read(path).digest()}
    write_atomically(_beside(path), json.dumps(told) + "\n")
