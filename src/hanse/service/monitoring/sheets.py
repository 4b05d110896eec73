"""Rows of dataclasses as CSV, line by line, so that a long table needs no memory.

A cell that a spreadsheet would take for a formula gets an apostrophe before it: names come from strangers.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import astuple, fields
from typing import Any

from django.http import StreamingHttpResponse

from hanse.reporting.sheet import cell


class _Echo:
    def write(self, line: str) -> str:
        return line


def csv_of(kind: type[Any], rows: Iterable[Any], *, name: str) -> StreamingHttpResponse:
    """All of `rows`, which are of `kind`, as an attachment of that name."""

    def lines() -> Iterator[str]:
        writer = csv.writer(_Echo())
        yield writer.writerow([field.name for field in fields(kind)])
        for row in rows:
            yield writer.writerow([cell(value) for value in astuple(row)])

    response = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
