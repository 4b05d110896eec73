"""Imports of awards: prepared by one officer, confirmed by another, the same twice, changed ones, and who may not."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from hanse.contracts.base import now
from hanse.contracts.errors import Conflict, PolicyError, UsageError
from hanse.contracts.imports import AwardRow, ImportAsked, ImportBatch
from hanse.programme.awards import months_later
from hanse.service.access.models import Allocation, Application, Award, Call, Membership, Organisation, Person
from hanse.service.awarding.movements import hours_of
from hanse.service.imports.batches import Batch
from hanse.service.imports.models import ImportedAward
from hanse.service.monitoring import register
from hanse.service.notices.invitations import Invitation
from hanse.service.notices.models import Notice
from hanse.service.runs.models import Event, Machine, UsageEntry
from hanse.service.tick import tick
from tests.awarding.world import Programme
from tests.imports.rows import BOOSTER, a_row
from tests.service.fixtures import a_plan, a_spec
from tests.service.test_races import at_once

pytestmark = pytest.mark.django_db
HOUR = 3600
TODAY = now().date()
LATER = months_later(TODAY, 6)


def row(line: int = 2, **changes: Any) -> AwardRow:
    return a_row(line, **({"starts": TODAY - timedelta(days=2), "ends": LATER, "contact_email": "ida@norr.eu",
                           "organisation": "Norrlyd", "country": "SE"} | changes))  # fmt: skip


def asked(*rows: AwardRow, **changes: Any) -> ImportAsked:
    made = ImportAsked(kind="csv", name="awards.csv", sha256="0" * 64, rows=rows)
    return made.model_copy(update={"sha256": made.digest(), **changes})


def brought(programme: Programme, *rows: AwardRow, **changes: Any) -> ImportBatch:
    """Prepared by one officer, and confirmed by the other as they saw it."""
    prepared = Batch.prepare(programme.world.officer, asked(*rows, **changes))
    if prepared.state == "nothing-to-do":
        return prepared
    batch = Batch.objects.get(public_id=prepared.id)
    batch.confirm(programme.second, seen=batch.report(programme.second).seen)
    return batch.contract(batch.report())


def effects(batch: ImportBatch) -> list[str]:
    assert batch.report is not None
    return [one.effect for one in batch.report.rows]


def the_allocation() -> Allocation:
    return Allocation.objects.with_balance().select_related("award__application__call", "machine", "project").get(
        imported_part__isnull=False
    )  # fmt: skip


def test_an_imported_award_has_all_that_one_granted_here_has(programme: Programme) -> None:
    batch = brought(programme, row(partition="", account="ehpc-1", storage_bytes=10**12, names_may_be_published=True))
    assert effects(batch) == ["create"]
    held = the_allocation()
    assert (held.granted_accelerator_seconds, held.account, held.storage_bytes) == (5000 * HOUR, "ehpc-1", 10**12)
    assert (held.starts, held.ends) == (TODAY - timedelta(days=2), LATER)
    assert hours_of(held).granted == hours_of(held).left == 5000 * HOUR
    application = held.award.application
    assert (application.state, application.form.gpu_hours) == ("granted", 5000)
    assert application.organisation.country == "SE"
    elsewhere = application.call.terms.decided_elsewhere
    assert elsewhere is not None
    assert elsewhere.source == "eurohpc"
    assert not application.call.terms.offered
    assert {one.name for one in held.award.duties.all()} >= {"final-report"}
    named = [one.organisation for one in register.lines(register.rows(register.Wanted()))]
    assert named == ["Norrlyd"], "the register names it by its consent"
    assert Event.objects.filter(name="officer:application:imported", subject_id=application.public_id).exists()


def test_without_consent_the_register_does_not_name_it(programme: Programme) -> None:
    brought(programme, row())
    (line,) = register.lines(register.rows(register.Wanted()))
    assert (line.organisation, line.mode, line.country) == (None, "fast-lane", "SE")


def test_its_contact_is_invited_as_owner_takes_it_up_and_launches(programme: Programme) -> None:
    brought(programme, row(members=("kim@norr.eu", "ida@norr.eu")))
    sent = {one.email: one for one in Invitation.objects.all()}
    assert {email: one.role for email, one in sent.items()} == {"ida@norr.eu": "owner", "kim@norr.eu": "member"}
    ida = sent["ida@norr.eu"].accept_as_new("ida", "a long password of hers")
    held = Allocation.objects.seen_by(ida).get()
    assert held.pk == the_allocation().pk
    tick()
    assert Application.objects.get(award=held.award).applicant == ida, "she stands for it from now on"
    run = programme.world.launch(a_spec(), a_plan(), by=ida, allocation=held.public_id)
    assert run.state == "queued"
    assert any("granted elsewhere" in finding.reason for finding in run.admission.findings)


def test_the_same_file_twice_changes_nothing_and_keeps_nothing(programme: Programme) -> None:
    brought(programme, row())
    before = Event.objects.count()
    again = brought(programme, row(), sha256="1" * 64)
    assert (again.state, effects(again)) == ("nothing-to-do", ["same"])
    assert (Batch.objects.count(), Award.objects.filter(imported__isnull=False).count()) == (1, 1)
    assert Event.objects.count() == before
    assert Invitation.objects.count() == 1


def test_a_file_that_waits_is_prepared_once(programme: Programme) -> None:
    first = Batch.prepare(programme.world.officer, asked(row()))
    assert Batch.prepare(programme.second, asked(row())).id == first.id


def test_more_hours_and_a_later_end_are_requests_with_history_and_move_the_report(programme: Programme) -> None:
    brought(programme, row())
    due = the_allocation().award.duties.get(name="final-report").due
    UsageEntry.objects.create(
        allocation=the_allocation(), kind="site", accelerator_seconds=100 * HOUR, recorded_at=now()
    )
    batch = brought(programme, row(amount=6000, ends=months_later(LATER, 2)))
    assert effects(batch) == ["change"]
    held = the_allocation()
    assert (held.granted_accelerator_seconds, held.used) == (6000 * HOUR, 100 * HOUR)
    assert held.ends == months_later(LATER, 2)
    told = {one.kind: one for one in held.changes.all()}
    assert set(told) == {"supplement", "extension"}
    assert {one.state for one in told.values()} == {"granted"}
    assert told["supplement"].proposed_by == programme.world.officer
    assert told["supplement"].decided_by == programme.second
    assert [one.kind for one in held.movements.all()] == ["opened", "supplement"]
    report = held.award.duties.get(name="final-report")
    assert report.due is not None and due is not None
    assert report.due > due
    assert hours_of(held).granted == 6000 * HOUR


def test_fewer_hours_are_taken_off_but_never_what_was_used(programme: Programme) -> None:
    brought(programme, row())
    UsageEntry.objects.create(
        allocation=the_allocation(), kind="site", accelerator_seconds=4000 * HOUR, recorded_at=now()
    )
    refused = brought(programme, row(amount=3000))
    assert effects(refused) == ["refused"]
    assert effects(brought(programme, row(amount=4500))) == ["change"]
    held = the_allocation()
    assert (held.granted_accelerator_seconds, held.used) == (4500 * HOUR, 4000 * HOUR)
    assert Event.objects.filter(name="officer:allocation:restated", subject_id=held.public_id).exists()
    tick()
    assert hours_of(the_allocation()).left == 500 * HOUR


def test_an_award_on_two_machines_is_one_award_in_each_machines_unit(programme: Programme) -> None:
    Machine.objects.filter(pk=programme.other.pk).update(facts=BOOSTER.model_copy(update={"id": "other"}))
    brought(programme, row(), row(3, machine="other", partition="boost", amount=8000, unit="core-hours"))
    award = Award.objects.get(imported__isnull=False)
    held = {one.machine.public_id: one.granted_accelerator_seconds // HOUR for one in award.allocations.all()}
    assert (held, award.gpu_hours) == ({"local": 5000, "other": 1000}, 6000)
    added = brought(programme, row(), row(3, machine="other", partition="", amount=100))
    assert effects(added) == ["same", "create"]
    award.refresh_from_db()
    assert (award.allocations.count(), award.gpu_hours) == (3, 6100)


def test_a_new_award_is_brought_in_with_all_its_rows_or_not_yet(programme: Programme) -> None:
    batch = brought(programme, row(), row(3, machine="nowhere"), row(4, reference="b"))
    assert effects(batch) == ["refused", "refused", "create"]
    assert list(ImportedAward.objects.values_list("reference", flat=True)) == ["b"]


def test_whole_means_all_rows_or_none(programme: Programme) -> None:
    prepared = Batch.prepare(programme.world.officer, asked(row(), row(3, reference="b", machine="x"), whole=True))
    batch = Batch.objects.get(public_id=prepared.id)
    with pytest.raises(PolicyError, match="1 row cannot be"):
        batch.confirm(programme.second)
    batch.refresh_from_db()
    assert (batch.state, ImportedAward.objects.count()) == ("waiting", 0)


def test_a_near_name_waits_until_who_prepared_it_says_which_it_is(programme: Programme) -> None:
    world = programme.world
    prepared = Batch.prepare(world.officer, asked(row(organisation="Brick A.I. GmbH"), row(3, reference="b")))
    batch = Batch.objects.get(public_id=prepared.id)
    assert effects(batch.contract(batch.report())) == ["waits", "create"]
    with pytest.raises(PolicyError, match="who prepared it says"):
        batch.choose(programme.second, 2, world.organisation.public_id)
    with pytest.raises(UsageError, match="no row of line 9"):
        batch.choose(world.officer, 9, "new")
    batch.choose(world.officer, 2, world.organisation.public_id)
    batch.confirm(programme.second)
    assert effects(batch.contract(batch.report())) == ["create", "create"]
    assert world.organisation.projects.filter(awards__imported__isnull=False).count() == 1
    invited = Invitation.objects.get(organisation=world.organisation)
    assert invited.role == "member", "it has an owner already"


def test_an_organisation_is_known_by_the_numbers_an_earlier_import_named(programme: Programme) -> None:
    brought(programme, row(pic="912345678"))
    brought(programme, row(organisation="Norrlyd Artificiell", pic="912345678", reference="b"))
    assert Organisation.objects.filter(name__startswith="Norrlyd").count() == 1


def test_two_officers_of_neither_organisation_bring_it_in(programme: Programme) -> None:
    world = programme.world
    for person in (world.founder, world.operator):
        with pytest.raises(PolicyError):
            Batch.prepare(person, asked(row()))
    prepared = Batch.prepare(world.officer, asked(row(organisation="Brick AI")))
    batch = Batch.objects.get(public_id=prepared.id)
    with pytest.raises(PolicyError, match="who prepared it does not confirm it"):
        batch.confirm(world.officer)
    Membership.objects.create(person=programme.second, organisation=world.organisation, role="member")
    with pytest.raises(PolicyError, match="nothing to bring in"):
        batch.confirm(programme.second)
    assert "Second stands in Brick AI" in batch.report(programme.second).rows[0].reason
    assert not ImportedAward.objects.exists()


def test_one_officer_is_enough_where_awards_take_one(programme: Programme, settings: Any) -> None:
    settings.HANSE_AWARDS_BY = 1
    prepared = Batch.prepare(programme.world.officer, asked(row()))
    batch = Batch.objects.get(public_id=prepared.id)
    batch.confirm(programme.world.officer)
    assert ImportedAward.objects.count() == 1


def test_what_would_now_do_something_else_than_was_seen_is_looked_at_again(programme: Programme) -> None:
    prepared = Batch.prepare(programme.world.officer, asked(row()))
    batch = Batch.objects.get(public_id=prepared.id)
    seen = batch.report(programme.second).seen
    Organisation.objects.create(name="Norrlyd", kind="sme", country="SE")
    with pytest.raises(Conflict, match="something else than you saw"):
        batch.confirm(programme.second, seen=seen)
    batch.refresh_from_db()
    assert batch.state == "waiting"


def test_it_is_refused_with_a_reason_or_taken_back_and_ends_once(programme: Programme) -> None:
    batch = Batch.objects.get(public_id=Batch.prepare(programme.world.officer, asked(row())).id)
    with pytest.raises(UsageError, match="needs its reason"):
        batch.refuse(programme.second, reason=" ")
    with pytest.raises(PolicyError, match="does not refuse it"):
        batch.refuse(programme.world.officer, reason="No.")
    batch.refuse(programme.second, reason="It is last year's file.")
    with pytest.raises(Conflict):
        batch.confirm(programme.second)
    other = Batch.objects.get(public_id=Batch.prepare(programme.world.officer, asked(row())).id)
    other.take_back(programme.world.officer)
    assert not ImportedAward.objects.exists()


def test_duties_that_fell_due_before_it_came_here_are_the_sources(programme: Programme) -> None:
    brought(programme, row(mode="ai-for-science", starts=TODAY - timedelta(days=400), ends=TODAY + timedelta(days=5)))
    award = Award.objects.get(imported__isnull=False)
    late = award.duties.filter(due__lt=TODAY)
    assert {one.state for one in late} <= {"waived"}
    tick()
    assert not Event.objects.filter(name="service:duty:overdue").exists()


def test_officers_are_told_of_an_import_that_waits_and_its_organisation_of_what_came(programme: Programme) -> None:
    world = programme.world
    tick()
    brought(programme, row(organisation="Brick AI"))
    tick()
    told = {one.person.username for one in Notice.objects.filter(kind="import-prepared")}
    assert told == {"second"}
    assert {one.person for one in Notice.objects.filter(kind="award-imported")} == {world.founder, world.colleague}
    brought(programme, row(organisation="Brick AI", amount=4000, ends=date(2099, 1, 1)))
    tick()
    kinds = set(Notice.objects.filter(person=world.founder).values_list("kind", flat=True))
    assert {"allocation-restated", "request-answered"} <= kinds


def test_a_published_call_is_made_once_for_all_awards_under_it(programme: Programme) -> None:
    brought(programme, row(), row(3, reference="b"), row(4, reference="c", call_reference="AIF-2026-LS"))
    assert Call.objects.filter(call_id__startswith="eurohpc-").count() == 2


def test_the_rows_of_an_erased_contact_name_them_no_more(programme: Programme) -> None:
    from hanse.service.notices import own_data

    brought(programme, row())
    ida = Invitation.objects.get().accept_as_new("ida", "a long password of hers")
    kim = Person.objects.create_user("kim", "kim@norr.eu", "a long password")
    Membership.objects.create(person=kim, organisation=ida.memberships.get().organisation, role="owner")
    own_data.erase(ida, by=ida, confirmed="ida")
    assert "ida@norr.eu" not in Batch.objects.get().asked.to_json()
    assert effects(brought(programme, row(), sha256="2" * 64)) == ["same"], "and they are not invited again"


@pytest.mark.django_db(transaction=True)
def test_of_two_who_confirm_at_once_one_does_and_an_award_of_two_files_comes_once(
    shared_programme: Programme,
) -> None:
    world, second = shared_programme.world, shared_programme.second
    one, other = (
        Batch.objects.get(public_id=Batch.prepare(world.officer, asked(*rows)).id)
        for rows in ((row(),), (row(), row(3, reference="b")))
    )
    same = Batch.objects.get(pk=one.pk)

    def confirm(batch: Batch) -> Any:
        return lambda: batch.confirm(second)

    answers = at_once([confirm(one), confirm(same), confirm(other)])
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    assert failed, "the same import is confirmed once"
    assert all(isinstance(one, Conflict | PolicyError) for one in failed), answers
    assert sorted(ImportedAward.objects.values_list("reference", flat=True)) == ["EHPC-AIF-2026FL01-012", "b"]
    assert Organisation.objects.filter(name="Norrlyd").count() == 1
