"""What every answer of the service tells the browser to refuse: on each page, for who is in and who is not."""

from __future__ import annotations

import re

import pytest
from django.test import override_settings

from tests.service import permissions

pytestmark = pytest.mark.django_db
POLICY = {
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "font-src 'self'",
    "connect-src 'self'", "manifest-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'",
}  # fmt: skip
HEADERS = {
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}  # fmt: skip
OWN_POLICY = {"/runs/{run_id}/report.html"}
"""A document to keep: it stands alone, with its stylesheet inside, and says so in a policy of its own."""
INLINE = re.compile(r"<[^>]+\s(?:style|on\w+)\s*=|<style|<script(?![^>]*\ssrc=)|javascript:", re.IGNORECASE)


def test_every_page_sends_the_headers_that_keep_it_safe_and_nothing_inline() -> None:
    on, wrong = permissions.stage(), []
    for act in permissions.acts():
        method, address = act.split()
        if method != "GET" or address.startswith("/api/"):
            continue
        for role in ("nobody", "owner"):
            response = on.clients[role].get(permissions.filled(address, on.values))
            for name, right in HEADERS.items():
                if response.get(name) != right:
                    wrong.append(f"{address} as {role}: {name} is {response.get(name)}")
            given = {part.strip() for part in response.get("Content-Security-Policy", "").split(";")}
            if address in OWN_POLICY and response.status_code == 200:
                continue
            if given != POLICY:
                wrong.append(f"{address} as {role}: the policy is {given ^ POLICY}")
            if response["Content-Type"].startswith("text/html") and INLINE.search(response.content.decode()):
                wrong.append(f"{address} as {role}: something stands inline")
    assert not wrong, "\n".join(wrong)


def test_what_is_somebodys_own_is_kept_by_no_shared_cache() -> None:
    on = permissions.stage()
    for address in ("/my-data/hanse-my-data.json", "/my-data/", "/notices/", "/views/", "/tokens/"):
        assert "private" in on.clients["owner"].get(address)["Cache-Control"], address


@override_settings(SECURE_SSL_REDIRECT=True, SECURE_HSTS_SECONDS=31_536_000)
def test_behind_tls_plain_http_is_led_to_https_and_remembered() -> None:
    on = permissions.stage()
    assert on.clients["nobody"].get("/login/")["Location"] == "https://testserver/login/"
    secure = on.clients["nobody"].get("/login/", secure=True)
    assert secure["Strict-Transport-Security"] == "max-age=31536000"
