"""The app's models, by the module each lives in."""

from hanse.service.notices.inbox import Cursor, Notice, Preference
from hanse.service.notices.invitations import Invitation
from hanse.service.notices.outbox import Mail
from hanse.service.notices.viewings import Viewing

__all__ = ["Cursor", "Invitation", "Mail", "Notice", "Preference", "Viewing"]
