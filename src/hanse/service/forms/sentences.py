"""The words and sentences of hanse.programme that applicants read, marked for translation."""

from __future__ import annotations

from hanse.programme.completeness import ALWAYS, BASICS, REQUIRED


def _(text: str) -> str:
    """Marks a text for the catalogue; it is translated when it is shown."""
    return text


ENTAILED = (
    _("how personal data is protected"),
    _("which parts are confidential"),
    _("until when the employment lasts"),
    _("what help is wanted for"),
    _("why these reviewers are excluded"),
    _("the VAT number"),
    _("the figures for the size test, with partners and linked enterprises"),
    _("when it was founded"),
    _("why it counts itself a start-up"),
)
WORDS = frozenset(
    {
        *BASICS.values(), *ALWAYS.values(), *ENTAILED, *(text for part in REQUIRED.values() for text in part.values()),
        _("The programme serves civilian purposes only."), _("The call's terms have to be accepted."),
        _("The statements have to be true."), _("The months are not in order, or one stands there twice."),
        _("a micro enterprise"), _("a small enterprise"), _("a medium-sized enterprise"),
        _("a small mid-cap, so no SME"), _("a large enterprise"),
        _("Its own figures."), _("It is autonomous: only its own figures count."),
    }
)  # fmt: skip
PATTERNS = (
    _("Missing: %(what)s."),
    _("%(number)s begins with %(letters)s; a VAT number of %(country)s begins with %(wanted)s."),
    _("%(number)s cannot be a VAT number: letters and digits only, 5 to 20 of them."),
    _("%(number)s cannot be a VAT number of %(country)s: %(reason)s."),
    _("%(code)s cannot be a PIC: it has nine digits."),
    _("%(address)s cannot be an e-mail address."),
    _("The shares of the research fields come to %(share)s %%, more than 100 %%."),
    _("%(email)s stands there twice."),
    _("%(name)s has no accounts, not even an estimate."),
    _("%(count)s persons are called principal investigator; there is one."),
    _("Month %(month)s lies after the %(months)s months that are asked for."),
    _("The months come to %(total)s GPU-hours, and %(asked)s are asked for."),
    _("It was written for version %(old)s of %(title)s, which is at version %(new)s."),
    _("%(name)s is linked to it and counts in full."),
    _("It is %(size)s."),
    _("By the figures of %(year)s alone it is %(size)s."),
    _("With %(share)s of %(name)s."),
    _("%(name)s is its partner and counts for %(share)s."),
)
