"""The app's models, by the module each lives in."""

from hanse.service.access.awards import Allocation, Award
from hanse.service.access.calls import Application, Call, Review
from hanse.service.access.enrol import EnrolCode
from hanse.service.access.people import Membership, Organisation, Person, Project
from hanse.service.access.tokens import ApiToken, LoginLink

__all__ = [
    "Allocation",
    "ApiToken",
    "Application",
    "Award",
    "Call",
    "EnrolCode",
    "LoginLink",
    "Membership",
    "Organisation",
    "Person",
    "Project",
    "Review",
]
