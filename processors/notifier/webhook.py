"""The generic webhook: every transition as one JSON object, signed, in order for each alert."""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence

import msgspec

from config.values import Secret
from processors.core.time.instants import rfc3339
from processors.notifier.acks import TurnKey
from processors.notifier.http import Poster
from processors.notifier.notices import Habits, Notice, Parcel
from processors.notifier.wording import details, headline, link
from schemas.alerts import State, Transition

AT_ONCE = 16
SIGNATURE_VERSION = "v1"


class Message(msgspec.Struct, kw_only=True, frozen=True):
    """What a webhook gets. Instants are RFC 3339 in UTC."""

    version: int = 1
    key: str
    """The same when the same thing is sent again: drop what you have got already."""
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
    """It was told before, then acknowledged or snoozed, and is still active."""
    summary: str
    description: str
    link: str


def message_of(notice: Notice, board_url: str) -> Message:
    """The message for one notice."""
    t = notice.transition
    return Message(
        key=notice.key,
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
        reminder=notice.again_us is not None,
        summary=headline(t),
        description=details(t),
        link=link(board_url, t),
    )


def signature(secret: Secret, timestamp: int, body: bytes) -> str:
    """`v1=` and the hexadecimal HMAC-SHA256 of timestamp, a dot and the body."""
    signed = b"%d." % timestamp + body
    return f"{SIGNATURE_VERSION}={hmac.new(secret.reveal().encode(), signed, hashlib.sha256).hexdigest()}"


class Webhook:
    """Posts each transition to one address."""

    def __init__(self, poster: Poster, secret: Secret | None, board_url: str, wall_us: Callable[[], int]) -> None:
        self.name = "webhook"
        self.habits = Habits(every=True, at_once=AT_ONCE)
        self._poster = poster
        self._secret = secret
        self._board_url = board_url
        self._wall_us = wall_us

    async def send(self, parcel: Parcel) -> Mapping[str, str]:
        """Post them; raises TryAgain or Rejected."""
        for notice in parcel:
            body = msgspec.json.encode(message_of(notice, self._board_url))
            await self._poster.post(body, self._headers(notice, body))
        return {}

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """A webhook needs no reminders."""

    async def close(self) -> None:
        """Give connections back."""
        await self._poster.close()

    def _headers(self, notice: Notice, body: bytes) -> dict[str, str]:
        timestamp = self._wall_us() // 1_000_000
        headers = {"Idempotency-Key": hashlib.sha256(notice.key.encode()).hexdigest()}
        if self._secret is not None:
            headers["X-Salespulse-Timestamp"] = str(timestamp)
            headers["X-Salespulse-Signature"] = signature(self._secret, timestamp, body)
        return headers
