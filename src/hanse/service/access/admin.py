"""Admin of people and programme."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from hanse.service.access.models import (
    Allocation,
    ApiToken,
    Application,
    Award,
    Call,
    EnrolCode,
    LoginLink,
    Membership,
    Organisation,
    Person,
    Project,
    Review,
)
from hanse.service.readonly import KeptAdmin, ReadOnlyAdmin


class MembershipInline(admin.TabularInline):
    model = Membership
    extra = 0


@admin.register(Person)
class PersonAdmin(UserAdmin):
    inlines = [MembershipInline]


@admin.register(Organisation)
class OrganisationAdmin(KeptAdmin):
    list_display = ["name", "kind", "country"]
    search_fields = ["name"]
    inlines = [MembershipInline]


@admin.register(Project)
class ProjectAdmin(KeptAdmin):
    list_display = ["public_id", "name", "organisation"]
    search_fields = ["public_id", "name"]


@admin.register(Allocation)
class AllocationAdmin(KeptAdmin):
    """Scheduler account and partition are the site's to fill in; what was granted is not."""

    list_display = ["public_id", "project", "machine", "granted_accelerator_seconds", "starts", "ends"]
    readonly_fields = ["public_id", "award", "project", "machine", "granted_accelerator_seconds", "ended_at"]

    def has_add_permission(self, _request: object) -> bool:
        return False


@admin.register(Call)
class CallAdmin(ReadOnlyAdmin):
    list_display = ["call_id", "version", "published_at"]


@admin.register(Application)
class ApplicationAdmin(ReadOnlyAdmin):
    list_display = ["public_id", "organisation", "call", "state", "sent_at", "decide_by"]
    list_filter = ["state"]


@admin.register(Award)
class AwardAdmin(ReadOnlyAdmin):
    list_display = ["public_id", "project", "gpu_hours", "granted_by", "granted_at"]


@admin.register(Review)
class ReviewAdmin(ReadOnlyAdmin):
    list_display = ["application", "officer", "verdict", "at"]


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    list_display = ["name", "person", "machine", "last_used_at", "expires_at", "revoked_at"]
    exclude = ["digest"]
    actions = ["revoke"]

    @admin.action(description="Revoke the chosen tokens", permissions=["view"])
    def revoke(self, request: object, queryset: object) -> None:
        for token in queryset:  # type: ignore[attr-defined]
            token.revoke(by=request.user.username, reason="revoked in the admin")  # type: ignore[attr-defined]


@admin.register(LoginLink)
class LoginLinkAdmin(ReadOnlyAdmin):
    list_display = ["person", "expires_at", "used_at"]
    exclude = ["digest"]


@admin.register(EnrolCode)
class EnrolCodeAdmin(ReadOnlyAdmin):
    list_display = ["machine", "made_by", "expires_at", "used_at"]
    exclude = ["digest"]
