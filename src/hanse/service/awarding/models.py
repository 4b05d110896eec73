"""The app's models, by the module each lives in."""

from hanse.service.awarding.capacity import Capacity
from hanse.service.awarding.changes import ChangeRequest
from hanse.service.awarding.duties import Duty, Reminder
from hanse.service.awarding.movements import Movement
from hanse.service.awarding.paying import BilledEntry, Price, Statement
from hanse.service.awarding.proposals import Proposal

__all__ = [
    "BilledEntry",
    "Capacity",
    "ChangeRequest",
    "Duty",
    "Movement",
    "Price",
    "Proposal",
    "Reminder",
    "Statement",
]
