"""The environment variables a job's steps may rely on, whichever scheduler started them."""

from typing import Final

RUN_DIR: Final = "HANSE_RUN_DIR"
"""Absolute path of the run's folder on this machine (see `rundir`)."""
ATTEMPT: Final = "HANSE_ATTEMPT"
"""The attempt's number, from 1."""
JOB_ID: Final = "HANSE_JOB_ID"
NODES: Final = "HANSE_NODES"
NODE_RANK: Final = "HANSE_NODE_RANK"
"""0 … NODES-1; node 0 holds the rendezvous."""
ACCELERATORS_PER_NODE: Final = "HANSE_ACCELERATORS_PER_NODE"
RDZV_HOST: Final = "HANSE_RDZV_HOST"
RDZV_PORT: Final = "HANSE_RDZV_PORT"
RDZV_ID: Final = "HANSE_RDZV_ID"
TICKET_KEY: Final = "HANSE_TICKET_KEY"
"""Base64 of the service's Ed25519 public key: what the data loader checks the ticket against, offline."""
DATA_DIR: Final = "HANSE_DATA_DIR"
"""Prepared datasets shared by the runs of this machine."""

# For the CLI and the services, not for jobs:
URL: Final = "HANSE_URL"
TOKEN: Final = "HANSE_TOKEN"  # noqa: S105 - a variable's name
HOME: Final = "HANSE_HOME"
"""State of this user's installation; default $XDG_DATA_HOME/hanse or ~/.local/share/hanse."""
