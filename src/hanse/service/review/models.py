"""The app's models, by the module each lives in."""

from hanse.service.review.assignments import Assignment, Reminder
from hanse.service.review.clearing import ConflictAnswer
from hanse.service.review.ranked import Recommendation, Round
from hanse.service.review.reviewers import Reviewer

__all__ = ["Assignment", "ConflictAnswer", "Recommendation", "Reminder", "Reviewer", "Round"]
