"""The app's models, by the module each lives in."""

from hanse.service.review.assignments import Assignment, Reminder
from hanse.service.review.clearing import ConflictAnswer
from hanse.service.review.orders import OutOfOrder
from hanse.service.review.ranked import Recommendation, Round
from hanse.service.review.reviewers import Reviewer
from hanse.service.review.steps import Step

__all__ = ["Assignment", "ConflictAnswer", "OutOfOrder", "Recommendation", "Reminder", "Reviewer", "Round", "Step"]
