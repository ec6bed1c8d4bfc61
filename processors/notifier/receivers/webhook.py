"""The generic webhook: every transition as one signed JSON object, in order for each alert."""

import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from config.clock import Clock, wall_us
from config.notifier_settings import NotifierSettings
from config.values import Secret
from processors.core.time.instants import rfc3339
from processors.notifier.receivers.base import DeliveryPolicy, Notification, NotificationBatch
from processors.notifier.receivers.http import HttpPoster, http_poster
from processors.notifier.receivers.wording import details, headline, link
from processors.read_model.acknowledgements import TurnKey
from schemas.alerts import State, Transition

MAX_IN_FLIGHT = 16
SIGNATURE_VERSION = "v1"


class WebhookMessage(msgspec.Struct, kw_only=True, frozen=True):
    """The body of a webhook's request. Instants are RFC 3339 in UTC."""

    version: int = 1
    key: str
    """The same when the same thing is sent again: drop what you already have."""
    alert_id: str
    revision: int
    state: State
    reason: str
    level: str
    severity: str
    customer_id: str
    request_id: str
    turn: int
    rep_id: str
    team: str
    channel: str
    priority: str
    topic: str | None
    opened_at: str
    due_at: str
    at: str
    reminder: bool
    """It was sent before, then acknowledged or snoozed, and is still active."""
    summary: str
    description: str
    link: str


def message_of(notification: Notification, board_url: str) -> WebhookMessage:
    """The message for one notification."""
    t = notification.transition
    return WebhookMessage(
        key=notification.key,
        alert_id=t.alert_id,
        revision=t.revision,
        state=t.state,
        reason=t.reason,
        level=t.level,
        severity=t.severity,
        rep_id=t.rep_id,
        team=t.team,
        channel=t.channel,
        priority=t.priority,
        topic=t.topic,
        **TurnKey(t.customer_id, t.request_id, t.turn)._asdict(),
        opened_at=rfc3339(t.opened_us),
        due_at=rfc3339(t.due_us),
        at=rfc3339(t.at_us),
        reminder=notification.reminder_us is not None,
        summary=headline(t),
        description=details(t),
        link=link(board_url, t),
    )


def signature(secret: Secret, timestamp: int, body: bytes) -> str:
    """`v1=` and the hexadecimal HMAC-SHA256 of timestamp, a dot and the body."""
    signed = b"%d." % timestamp + body
    return f"{SIGNATURE_VERSION}={hmac.new(secret.reveal().encode(), signed, hashlib.sha256).hexdigest()}"


def webhooks(settings: NotifierSettings, _clock: Clock) -> Iterator["Webhook"]:
    """The webhook, if `notifier.webhook_url` is set."""
    if settings.webhook_url is not None:
        poster = http_poster(settings, settings.webhook_url)
        yield Webhook(poster, settings.webhook_secret, settings.board_url, wall_us)


class Webhook:
    """Posts each transition to one address."""

    def __init__(self, poster: HttpPoster, secret: Secret | None, board_url: str, wall_us: Callable[[], int]) -> None:
        self.name = "webhook"
        self.policy = DeliveryPolicy(every_transition=True, max_in_flight=MAX_IN_FLIGHT)
        self._poster = poster
        self._secret = secret
        self._board_url = board_url
        self._wall_us = wall_us

    async def send(self, batch: NotificationBatch) -> Mapping[str, str]:
        """Post each of them; raises TryAgain or Rejected."""
        for notification in batch:
            body = msgspec.json.encode(message_of(notification, self._board_url))
            await self._poster.post(body, self._headers(notification, body))
        return {}

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """A webhook keeps what it got."""

    async def close(self) -> None:
        """Release connections."""
        await self._poster.close()

    def _headers(self, notification: Notification, body: bytes) -> dict[str, str]:
        timestamp = self._wall_us() // 1_000_000
        headers = {"Idempotency-Key": hashlib.sha256(notification.key.encode()).hexdigest()}
        if self._secret is not None:
            headers["X-Salespulse-Timestamp"] = str(timestamp)
            headers["X-Salespulse-Signature"] = signature(self._secret, timestamp, body)
        return headers
