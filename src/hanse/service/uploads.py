"""How much a request may bring, said before any of it is read.

A body without a stated length is refused too (411, RFC 9110 section 15.5.12): nobody here needs one, and it never ends.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from hanse.client.answers import Problem
from hanse.contracts.parcel import MAX_PIECE_BYTES
from hanse.contracts.units import format_bytes
from hanse.service.portal import language

CODE = "/api/v1/code/"
CODE_IS_LARGE = "keep data and checkpoints out of train.yaml's folder; name them in .hanseignore"


def most_bytes(path: str) -> int:
    """What a body sent to this address may hold."""
    if path.startswith(CODE):
        return int(settings.CODE_MAX_BYTES)
    if path.startswith("/api/agent/v1/parcels/") and "/pieces/" in path:
        return MAX_PIECE_BYTES
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def refused(request: HttpRequest) -> HttpResponse | None:
    """The answer to a body that is too large or of unknown length; None where there is nothing against it."""
    if "Transfer-Encoding" in request.headers:
        return _answer(request, 411, "the request does not say how long it is", "Send it with a Content-Length.")
    stated, most = request.headers.get("Content-Length") or "0", most_bytes(request.path)
    if stated.isascii() and stated.isdecimal() and int(stated) <= most:
        return None
    if request.path.startswith(CODE):
        return _answer(request, 413, f"the archive is larger than {most // 2**20} MB", CODE_IS_LARGE)
    what = f"{format_bytes(int(stated)) if stated.isascii() and stated.isdecimal() else stated} are too much to send"
    return _answer(request, 413, what, f"At most {format_bytes(most)} are taken here; send less.")


def _answer(request: HttpRequest, status: int, what: str, fix: str) -> HttpResponse:
    if request.path.startswith("/api/"):
        problem = Problem(what=what, where=request.path, fix=fix)
        return HttpResponse(problem.to_json(), content_type="application/json", status=status)
    with language.of(request):
        page = render_to_string("notices/too_much.html", {"what": what, "fix": fix}, request)
    return HttpResponse(page, status=status)
