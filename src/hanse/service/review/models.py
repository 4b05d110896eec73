"""The app's models, by the module each lives in."""

from hanse.service.review.assignments import Assignment, Reminder
from hanse.service.review.reviewers import Reviewer

__all__ = ["Assignment", "Reminder", "Reviewer"]
