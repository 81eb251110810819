"""Sends events to callbacks: signed as Standard Webhooks has it, to checked addresses only, again where it failed."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import cache
from typing import Any

import httpx
from standardwebhooks import Webhook
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential_jitter,
)

from include.errors import InvalidInputData, ParameterError
from include.net.http import async_http_client
from include.net.urls import parse_callback
from include.orchestration.metrics import record_webhook
from include.orchestration.webhook_events import Event
from include.settings import Settings
from include.worker.callback import Callback

__all__ = ["Courier", "Delivery"]

logger = logging.getLogger(__name__)

# As Standard Webhooks advises: a receiver acknowledges first and works afterwards.
ANSWER_SECONDS = 15.0
# What a receiver may ask for with Retry-After: the run that is told of is not over for as long.
MOST_ASKED = 30.0
GONE = 410


@dataclass
class Delivery:
    """What became of one event for one callback; shown in Airflow."""

    type: str
    id: str
    client: str
    url: str
    delivered: bool = False
    attempts: int = 0
    answer: str = ""

    @property
    def gone(self) -> bool:
        """Whether the receiver wants to be told nothing any more."""
        return self.answer == f"HTTP {GONE}"

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


class _Refused(Exception):
    """The receiver did not answer 2xx."""

    def __init__(self, status: int, retry_after: float) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.retry_after = status, retry_after


class Courier:
    """Delivers events of one run's attempt.

    :param run: what identifies the attempt; part of each event's id, so that a receiver can drop what comes twice.
    :param pause: seconds before the second attempt, doubled before each further one; up to as many again are added by chance.
    """

    def __init__(self, settings: Settings, run: tuple[object, ...], *, pause: float = 1.0) -> None:
        self._settings = settings
        self._run = run
        self._back_off = wait_exponential_jitter(multiplier=pause, jitter=pause)

    async def send(self, event: Event, callback: Callback, *, attempts: int = 1, seconds: float | None = None) -> Delivery:
        """Deliver an event in at most so many ``attempts``, none of which begins later than after ``seconds``; never raises."""
        shown = _shown(callback.url)
        delivery = Delivery(event.type, event.message_id(callback.client, *self._run), callback.client, shown)
        secret = self._settings.webhook_secrets.get(callback.client)
        if secret is None:
            delivery.answer = "no secret to sign with (MEDIA_WEBHOOK_SECRETS)"
            logger.warning("%s to %s: %s", event.type, shown, delivery.answer)
            record_webhook(event.type, delivered=False, attempts=0)
            return delivery
        webhook, body = Webhook(secret.get_secret_value()), event.body(callback.about)
        retrying = AsyncRetrying(
            stop=stop_after_attempt(attempts) | stop_before_delay(seconds) if seconds else stop_after_attempt(attempts),
            wait=self._wait,
            retry=retry_if_exception(_is_worth_another),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    delivery.attempts += 1
                    delivery.answer = await self._attempt(webhook, callback.url, delivery, body)
            delivery.delivered = True
        # httpx decodes what follows xn-- in a host, and raises UnicodeError where that is no international name.
        except (httpx.HTTPError, _Refused, InvalidInputData, ParameterError, TimeoutError, UnicodeError) as error:
            delivery.answer = _reason(error)
            logger.warning("%s to %s: not delivered in %d attempts", event.type, shown, delivery.attempts)
        record_webhook(event.type, delivered=delivery.delivered, attempts=delivery.attempts)
        return delivery

    async def _attempt(self, webhook: Webhook, url: str, delivery: Delivery, body: str) -> str:
        now = datetime.now(timezone.utc)
        headers = {
            "content-type": "application/json",
            "user-agent": "Reelflow",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": webhook.sign(delivery.id, now, body),
        }
        try:
            tls = await asyncio.to_thread(_tls)
            # What the receiver has to say is not read, however long it is.
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                async_http_client(self._settings, verify=tls) as client,
                client.stream("POST", url, content=body.encode(), headers=headers) as answer,
            ):
                if not answer.is_success:
                    raise _Refused(answer.status_code, _seconds(answer.headers.get("retry-after", "")))
                logger.info("%s to %s: HTTP %d", delivery.type, delivery.url, answer.status_code)
                return f"HTTP {answer.status_code}"
        except Exception as error:
            logger.warning("%s to %s: attempt %d: %s", delivery.type, delivery.url, delivery.attempts, _reason(error))
            raise

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, _Refused) else 0.0
        return max(self._back_off(state), min(asked, MOST_ASKED))


@cache
def _tls() -> ssl.SSLContext:
    # Making one takes long enough to hold up all triggers of the process.
    return httpx.create_ssl_context()


def _is_worth_another(error: BaseException) -> bool:
    if isinstance(error, _Refused):
        return error.status != GONE
    # A name that is not found now may be found later; an address that may not be reached stays so, and costs nothing to try.
    return isinstance(error, (httpx.HTTPError, TimeoutError, InvalidInputData))


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0.0


def _reason(error: BaseException) -> str:
    if isinstance(error, (_Refused, InvalidInputData, ParameterError)):
        return str(error)
    if isinstance(error, UnicodeError):
        return "its host is no international name"
    # What the transport says may repeat the address.
    return "no answer in time" if isinstance(error, (TimeoutError, httpx.TimeoutException)) else type(error).__name__


def _shown(url: str) -> str:
    try:
        return parse_callback(url).redacted
    except ParameterError:
        return "an address that is none"
