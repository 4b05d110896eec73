"""A reference to each dataset that was read, as Croissant JSON-LD: what the ledger knows of it, and nothing else.

The vocabulary is Croissant 1.0's (https://docs.mlcommons.org/croissant/docs/croissant-spec.html), which 1.1 keeps.
Who made a dataset, when and where it is to be had, no ledger says: its holder adds `LACKING`.
"""

from __future__ import annotations

import json
from typing import Any, Final

from hanse.contracts.record import RunRecord
from hanse.contracts.telemetry import DatasetRead

CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.0"
LACKING: Final = ("citeAs", "creator", "datePublished", "url", "version")
_CONTEXT: Final[dict[str, Any]] = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/", "equivalentProperty": "cr:equivalentProperty",
    "samplingRate": "cr:samplingRate", "conformsTo": "dct:conformsTo", "citeAs": "cr:citeAs", "column": "cr:column",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract", "field": "cr:field",
    "fileObject": "cr:fileObject", "fileProperty": "cr:fileProperty", "fileSet": "cr:fileSet", "format": "cr:format",
    "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key",
    "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet",
    "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace",
    "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip


def references(record: RunRecord) -> dict[str, str]:
    """Of each dataset the run read, its file name and its JSON-LD; empty where the trainer did not tell."""
    read = record.result.datasets if record.result else ()
    return {f"croissant/{one.name}.json": _text(record, one) for one in read}


def _text(record: RunRecord, read: DatasetRead) -> str:
    declared = next((one for one in record.run.spec.data if one.name == read.name), None)
    personal = declared.personal_data if declared else None
    made: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": read.name,
        "description": (
            f"Text that run {record.run.id} was trained on, read from {read.source}: {read.samples:,} samples, "
            f"{read.tokens:,} tokens."
        ),
        "license": read.licence,
        "isBasedOn": read.source,
        "identifier": [
            {
                "@type": "PropertyValue",
                "propertyID": "SHA-256 of the prepared shards' manifest",
                "value": read.shards_sha256,
            }
        ],
    }
    if read.source.startswith(("https://", "http://")):
        made["url"] = read.source
    if personal is not None:
        made["rai:personalSensitiveInformation"] = (
            "declared to hold data of persons" if personal else "none is declared"
        )
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"
