"""The app's models, by the module each lives in."""

from hanse.service.runs.attempts import Attempt
from hanse.service.runs.code import CodeBundle
from hanse.service.runs.events import Event
from hanse.service.runs.forecast import StopAsked
from hanse.service.runs.legs import Leg
from hanse.service.runs.lifecycle import Run
from hanse.service.runs.machines import Machine, Site
from hanse.service.runs.metering import SiteCounter, SiteJobRow
from hanse.service.runs.parcels import Parcel
from hanse.service.runs.revisions import Revision
from hanse.service.runs.telemetry import LogChunk, StepRow
from hanse.service.runs.trail import TrailRow
from hanse.service.runs.trouble import NodeTrouble
from hanse.service.runs.usage import UsageEntry

__all__ = [
    "Attempt",
    "CodeBundle",
    "Event",
    "Leg",
    "LogChunk",
    "Machine",
    "NodeTrouble",
    "Parcel",
    "Revision",
    "Run",
    "Site",
    "SiteCounter",
    "SiteJobRow",
    "StepRow",
    "StopAsked",
    "TrailRow",
    "UsageEntry",
]
