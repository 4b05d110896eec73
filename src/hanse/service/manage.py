"""Django's commands (migrate, createsuperuser, tick …) for this service: `hanse manage …`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; `argv` is without the program's name."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hanse.service.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(["hanse manage", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    main()
