"""Admin of mail, invitations and looks: to read, never to change."""

from __future__ import annotations

from django.contrib import admin

from hanse.service.notices.models import Invitation, Mail, Viewing
from hanse.service.readonly import ReadOnlyAdmin


@admin.register(Mail)
class MailAdmin(ReadOnlyAdmin):
    list_display = ["public_id", "to", "subject", "state", "tries", "sent_at"]
    list_filter = ["state"]
    exclude = ["body"]


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    list_display = ["public_id", "organisation", "email", "role", "expires_at", "accepted_at", "revoked_at"]


@admin.register(Viewing)
class ViewingAdmin(ReadOnlyAdmin):
    list_display = ["viewer", "what", "subject_id", "organisation", "how", "address", "at"]
    search_fields = ["viewer", "subject_id"]
