"""nginx with the configuration that deploy/ holds: only names, ports and places are this test's."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import needs
from tests.daemons import answers, free_ports
from tests.waiting import until

DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = "hanse.example.eu"


@contextmanager
def nginx(folder: Path, service: str) -> Iterator[tuple[int, int, Path]]:
    """Its ports for http and https, and its access log; `service` is what it stands before."""
    program = needs.program("nginx", package="nginx-light")
    plain, secure = free_ports(2)
    key, certificate = folder / "privkey.pem", folder / "fullchain.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate),
         "-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "hanse-proxy.conf").write_text((DEPLOY / "nginx-hanse-proxy.conf").read_text())
    site = (DEPLOY / "nginx.conf").read_text()
    for pattern, mine in (
        (r"listen 80;", f"listen 127.0.0.1:{plain};"), (r"listen 443 ", f"listen 127.0.0.1:{secure} "),
        (r"/etc/letsencrypt/live/[^/]+", str(folder)),
        (r"/etc/nginx/hanse-proxy.conf", str(folder / "hanse-proxy.conf")),
        (r"http://127\.0\.0\.1:8000", service),
    ):  # fmt: skip
        site, count = re.subn(pattern, mine, site)
        assert count, pattern
    scratch = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nuser root;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\nhttp {{\n"
        f"access_log {folder}/access.log;\n{scratch}\n{site}\n}}\n"
    )
    checked = subprocess.run(
        [program, "-t", "-c", str(folder / "nginx.conf")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen([program, "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(plain) and answers(secure), within_s=30, what="nginx")
        yield plain, secure, folder / "access.log"
    finally:
        process.terminate()
        process.wait(20)
