"""A mail server of the test's own that speaks SMTP (RFC 5321) on a socket, keeps what it takes, and refuses as told."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

REFUSALS = {"later": b"451 4.3.0 come back later", "never": b"550 5.1.1 no such mailbox"}


class _Conversation(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.say(b"220 test ESMTP")
        while line := self.rfile.readline():
            word = line.strip().upper()
            if word.startswith((b"EHLO", b"HELO")):
                self.say(b"250 test")
            elif word.startswith(b"RCPT TO"):
                self.say(REFUSALS.get(self.server.answers.get(self._address(line), ""), b"250 ok"))
            elif word == b"DATA":
                self.say(b"354 go on")
                self._take()
            elif word == b"QUIT":
                self.say(b"221 bye")
                return
            else:
                self.say(b"250 ok")

    def _take(self) -> None:
        data = b""
        while (line := self.rfile.readline()) != b".\r\n":
            data += line[1:] if line.startswith(b"..") else line
        self.server.taken.append(message_from_bytes(data, policy=policy.default))  # type: ignore[arg-type]
        if self.server.hangs_up:
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.say(b"250 taken")

    @staticmethod
    def _address(line: bytes) -> str:
        return line.decode().partition("<")[2].partition(">")[0]

    def say(self, text: bytes) -> None:
        self.wfile.write(text + b"\r\n")


class MailServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.taken: list[EmailMessage] = []
        self.answers: dict[str, str] = {}
        """By address: later or never."""
        self.hangs_up = False

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "MAIL_ON": True, "PUBLIC_URL": "https://hanse.example", "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": self.server_address[1], "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "DEFAULT_FROM_EMAIL": "hanse@hanse.example", "EMAIL_TIMEOUT": 20,
        }  # fmt: skip


@contextmanager
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
