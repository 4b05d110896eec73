"""The page docs/reference/permissions.md: who may do what, from hanse.service.policy."""

from __future__ import annotations

MADE = "<!-- made by tools/reference.py; change src/hanse/service/policy.py, then run: make reference -->\n"
HEAD = """# Who may do what

Every act that is not open to whoever is signed in, with the roles that may do it. A role is what a person is towards
the thing: a member of the organisation that it belongs to, the operator of the machine's site, and so on. What one may
not see does not exist for one: its address answers 404.

Every address and every operation of the API is asked as every role by `tests/service/test_permissions.py`; what it is
answered stands in `tests/service/permissions.txt`, one line an address.
"""


def page() -> str:
    from hanse.service.policy import ACTS, ROLES

    roles = [f"| {role} | {what} |" for role, what in ROLES.items()]
    acts = [
        f"| `{act}` | {_joined(rule.may)} | {_joined(rule.never) if rule.never else ''} | {rule.ask} |"
        for act, rule in ACTS.items()
    ]
    return "\n".join([
        MADE + HEAD,
        "## Roles\n", "| Role | Who |", "| --- | --- |", *roles,
        "\n## Acts\n", "| Act | Who may | Who may not, although they could | The others |", "| --- | --- | --- | --- |",
        *acts, "",
    ])  # fmt: skip


def _joined(roles: frozenset[str]) -> str:
    from hanse.service.policy import ROLES

    return ", ".join(role for role in ROLES if role in roles)
