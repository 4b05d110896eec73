"""Which nodes are to blame for a failed job, from what the scheduler and the log say. Pure.

A node is named only where a message of the hardware's, the network's or the scheduler's own stands beside its name; a
Python error on a node is the program's. Patterns follow the messages of Slurm, the NVIDIA and AMD drivers, NCCL, RCCL
and libfabric.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from hanse.contracts.job import JobReport
from hanse.contracts.site import BadNode

MOST = 8
"""More nodes than this at once are a fabric's or a file system's fault, not theirs."""

_FAULTS: Final = {
    "uncorrectable memory error": r"uncorrect(?:able|ed)\s+(?:double bit\s+)?ecc|double.bit ecc|ecc error.*uncorrect",
    "GPU fault (Xid)": r"\bxid\b\s*(?:\([^)]*\))?\s*[:=]?\s*(?:48|63|64|74|79|92|94|95|119|120)\b",
    "GPU lost": r"gpu has fallen off the bus|device.{0,20}\blost\b|no rocm-capable device|"
    r"unable to determine the device handle",
    "InfiniBand link": r"(?:mlx5|ibv?|hsn|cxi)\w*.{0,60}(?:link (?:is )?down|port (?:is )?(?:down|error)|local qp "
    r"operation error|transport retry counter exceeded)|ibv_poll_cq.{0,80}error|wc status.{0,40}retry exceeded",
    "collective library": r"(?:n|r)ccl warn.{0,200}(?:remote error|connection closed by remote|unhandled system error|"
    r"hardware error|call to (?:ibv_|recv|connect)\S*.{0,60}failed)",
    "launch failure": r"(?:communication connection failure|launch failed|error launching|zero bytes were transmitted|"
    r"unable to contact slurmd|socket timed out).{0,80}\bnode",
    "node failure": r"node fail(?:ure|ed)|node .{0,60}(?:not responding|went down)|nodes? \S+ (?:was|were) lost",
}
_FAULT: Final = tuple((what, re.compile(pattern, re.IGNORECASE)) for what, pattern in _FAULTS.items())


def to_blame(job: JobReport, log: Sequence[str], *, at: datetime) -> tuple[BadNode, ...]:
    """The job's own nodes that its end is laid at; none where nothing names one surely."""
    own = set(job.nodes)
    found: dict[str, str] = {}
    for line in (job.reason, *log):
        what = next((what for what, pattern in _FAULT if pattern.search(line)), None)
        if what is not None:
            for node in _named(line, own):
                found.setdefault(node, what)
    if job.state == "node-failed" and not found and len(own) == 1:
        found = dict.fromkeys(own, f"the scheduler lost it: {job.reason or job.raw_state}")
    if len(found) > MOST or (len(found) > 1 and len(found) == len(own)):
        return ()
    return tuple(BadNode(name=node, reason=what, since=at) for node, what in sorted(found.items()))


def _named(line: str, own: set[str]) -> list[str]:
    """The job's nodes that stand in a line as words of their own, with or without a domain."""
    words = {word.split(".")[0] for word in re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)}
    return sorted(node for node in own if node.split(".")[0] in words)
