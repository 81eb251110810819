"""A mail server that keeps what it gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.controller import Controller

from tests.servers import free_port

__all__ = ["MailServer", "mail_server"]


@dataclass
class MailServer:
    port: int
    mails: list[EmailMessage] = field(default_factory=list)

    @property
    def connection(self) -> str:
        """Airflow's connection to it, as a value of ``AIRFLOW_CONN_SMTP_DEFAULT``."""
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "reelflow@example.test", "timeout": 5, "retry_limit": 0}
        return json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": self.port, "extra": extra})

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.mails.append(cast("EmailMessage", message_from_bytes(envelope.content, policy=policy.default)))
        return "250 OK"


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Serve SMTP on loopback."""
    server = MailServer(free_port())
    controller = Controller(server, hostname="127.0.0.1", port=server.port)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
