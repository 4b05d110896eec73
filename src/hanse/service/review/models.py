"""The app's models, by the module each lives in."""

from hanse.service.review.assignments import Assignment, Reminder
from hanse.service.review.clearing import ConflictAnswer
from hanse.service.review.letters import Letter
from hanse.service.review.orders import OutOfOrder
from hanse.service.review.panel import Panel, PanelMember, PanelMove
from hanse.service.review.ranked import Recommendation, Round
from hanse.service.review.redress import Redress
from hanse.service.review.replies import Reply
from hanse.service.review.reserve import PlaceFreed
from hanse.service.review.reviewers import Reviewer
from hanse.service.review.stand_ins import StandIn
from hanse.service.review.steps import Step

__all__ = [
    "Assignment",
    "ConflictAnswer",
    "Letter",
    "OutOfOrder",
    "Panel",
    "PanelMember",
    "PanelMove",
    "PlaceFreed",
    "Recommendation",
    "Redress",
    "Reminder",
    "Reply",
    "Reviewer",
    "Round",
    "StandIn",
    "Step",
]
