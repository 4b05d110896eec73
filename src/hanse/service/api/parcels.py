"""Parcels as agents carry them: what was packed, which pieces are missing, pieces by their SHA-256.

A machine writes what was ordered from it and reads what is addressed to it, nothing else.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from hanse.client.parcels import PIECES_TYPE, Lacking, ParcelManifest
from hanse.service.api.replies import PROBLEMS, Missing, find, reply
from hanse.service.runs.models import Parcel
from hanse.service.runs.pieces import read_piece

router = Router(tags=["parcels"])


def _of(**side: Any) -> Any:
    return Parcel.objects.filter(**side).select_related("run__project", "from_machine", "to_machine")


@router.put("parcels/{id}", response={200: Lacking, **PROBLEMS}, summary="What was packed; answers the pieces to send")
def offer(request: HttpRequest, id: str, body: ParcelManifest) -> HttpResponse:
    parcel = find(_of(from_machine=request.auth), id)
    return reply(parcel.register(body, by=request.auth.actor))


@router.get("parcels/{id}", response={200: ParcelManifest, **PROBLEMS}, summary="What a parcel to this machine holds")
def manifest(request: HttpRequest, id: str) -> HttpResponse:
    parcel = find(_of(to_machine=request.auth), id)
    if parcel.manifest is None:
        raise Missing(f"nothing has been packed for {id} yet", where=id)
    return reply(parcel.manifest)


@router.put("parcels/{id}/pieces/{sha256}", response={204: None, **PROBLEMS}, summary="One piece, at most 8 MiB")
def put_piece(request: HttpRequest, id: str, sha256: str) -> HttpResponse:
    parcel = find(_of(from_machine=request.auth), id)
    parcel.receive(sha256, read_piece(request, sha256))
    return HttpResponse(status=204)


@router.get("parcels/{id}/pieces/{sha256}", response=PROBLEMS, summary="One piece of a parcel to this machine")
def piece(request: HttpRequest, id: str, sha256: str) -> HttpResponse:
    parcel = find(_of(to_machine=request.auth), id)
    return HttpResponse(parcel.piece(sha256), content_type=PIECES_TYPE)
