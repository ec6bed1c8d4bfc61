"""Alertmanager, by version 2 of its API. It ends what is not posted again, so active alerts are posted every minute.

Alertmanager identifies an alert by its labels alone. Two requests of one rep have the same level, team and channel, so
the label `request_key` distinguishes them. It is the same for all levels of a turn, and a hash: people find the ids in
the annotations.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from config.clock import Clock, wall_us
from config.notifier_settings import NotifierSettings
from processors.core.time.instants import SECOND_US, rfc3339
from processors.notifier.receivers.base import DeliveryPolicy, Notification, NotificationBatch, Rejected
from processors.notifier.receivers.http import HttpPoster, http_poster
from processors.notifier.receivers.wording import details, headline, link
from processors.read_model.acknowledgements import field_of, turn_of
from schemas.alerts import Transition

ALERT_LIFETIME_US = 240 * SECOND_US
"""Alertmanager ends an alert that is not posted again within this time."""
ALERTS_BATCH_SIZE = 500
REQUEST_KEY_DIGITS = 12
LEVELS_WITH_RUNBOOK = frozenset({"1h", "24h"})
"""Levels whose alerts have a runbook of their own."""

Json = dict[str, Any]


def alertmanagers(settings: NotifierSettings, clock: Clock) -> Iterator["Alertmanager"]:
    """One receiver for each of `notifier.alertmanager_urls`."""
    for number, url in enumerate(settings.alertmanager_urls, 1):
        name = "alertmanager" if number == 1 else f"alertmanager-{number}"
        poster = http_poster(settings, f"{url.rstrip('/')}/api/v2/alerts", _authorization(settings))
        yield Alertmanager(name, poster, settings.board_url, clock, wall_us)


def _authorization(settings: NotifierSettings) -> dict[str, str]:
    """The header that authenticates us; empty without a token or a password."""
    if settings.alertmanager_token is not None:
        return {"Authorization": f"Bearer {settings.alertmanager_token.reveal()}"}
    if settings.alertmanager_username is None or settings.alertmanager_password is None:
        return {}
    pair = f"{settings.alertmanager_username}:{settings.alertmanager_password.reveal()}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


class Alertmanager:
    """One instance of Alertmanager."""

    def __init__(self, name: str, poster: HttpPoster, board_url: str, clock: Clock, wall_us: Callable[[], int]) -> None:
        """`poster` posts to `/api/v2/alerts` of the instance; `wall_us` gives the wall clock's microseconds."""
        self.name = name
        self.policy = DeliveryPolicy(shows_active=True, batch_size=ALERTS_BATCH_SIZE)
        self._poster = poster
        self._format = AlertmanagerFormat(board_url, clock, wall_us)

    async def send(self, batch: NotificationBatch) -> Mapping[str, str]:
        """Post a batch; returns what was rejected. Raises TryAgain, or Rejected for a single notification."""
        try:
            await self._post([alert for notification in batch for alert in self._format.of(notification)])
        except Rejected:
            if len(batch) == 1:
                raise
            return await self._send_each(batch)
        return {}

    async def _send_each(self, batch: NotificationBatch) -> dict[str, str]:
        """After a refusal: Alertmanager accepted the good ones of the batch, and does not name the bad one."""
        rejected = {}
        for notification in batch:
            try:
                await self._post(self._format.of(notification))
            except Rejected as error:
                rejected[notification.key] = str(error)
        return rejected

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """Post what is active; raises TryAgain or Rejected."""
        await self._post([self._format.active(transition) for transition in active])

    async def close(self) -> None:
        """Release connections."""
        await self._poster.close()

    async def _post(self, alerts: list[Json]) -> None:
        await self._poster.post(msgspec.json.encode(alerts), {})


class AlertmanagerFormat:
    """Alerts in the form of Alertmanager's API. Instants are the wall clock's, also with a scaled clock."""

    def __init__(self, board_url: str, clock: Clock, wall_us: Callable[[], int]) -> None:
        self._board_url = board_url
        self._clock = clock
        self._wall_us = wall_us

    def of(self, notification: Notification) -> list[Json]:
        """The alerts that one notification starts and ends."""
        transition = notification.transition
        if notification.hold is not None:
            return [self._ended(transition, at_risk=transition.state == "at_risk", why=str(notification.hold))]
        match transition.state:
            case "at_risk":
                return [self.active(transition)]
            case "fired":
                return [self._ended(transition, at_risk=True), self.active(transition)]
            case _:
                return [self._ended(transition, at_risk=True), self._ended(transition, at_risk=False)]

    def active(self, transition: Transition) -> Json:
        """An alert that lasts for ALERT_LIFETIME_US from now."""
        return self._alert(transition, transition.state == "at_risk", self._wall_us() + ALERT_LIFETIME_US)

    def _ended(self, transition: Transition, *, at_risk: bool, why: str | None = None) -> Json:
        alert = self._alert(transition, at_risk, self._wall_us())
        if why is not None:
            alert["annotations"]["summary"] = f"{headline(transition)}: {why}"
        return alert

    def _alert(self, transition: Transition, at_risk: bool, ends_us: int) -> Json:
        starts_us = self._wall(transition.opened_us if at_risk else transition.due_us)
        return {
            "labels": labels(transition, at_risk),
            "annotations": self._annotations(transition),
            "startsAt": rfc3339(starts_us),
            "endsAt": rfc3339(max(ends_us, starts_us)),
            "generatorURL": link(self._board_url, transition),
        }

    def _annotations(self, transition: Transition) -> Json:
        annotations = {
            "summary": headline(transition),
            "description": details(transition),
            "link": link(self._board_url, transition),
            "customer_id": transition.customer_id,
            "request_id": transition.request_id,
            "turn": str(transition.turn),
            "reason": transition.reason,
        }
        if transition.level in LEVELS_WITH_RUNBOOK:
            annotations["runbook_url"] = f"docs/runbooks/RequestUnanswered{transition.level}.md#what-to-do"
        return annotations

    def _wall(self, at_us: int) -> int:
        """The wall clock's instant for one of Salespulse's clock: the same at each call, and not in the future."""
        shown_us = self._clock.shown_at_wall_us(at_us)
        return min(at_us if shown_us is None else shown_us, self._wall_us())


def labels(transition: Transition, at_risk: bool) -> dict[str, str]:
    """What Alertmanager identifies, groups and routes an alert by."""
    return {
        "alertname": f"{'RequestAtRisk' if at_risk else 'RequestUnanswered'}{transition.level}",
        "severity": "info" if at_risk else transition.severity,
        "level": transition.level,
        "rep": transition.rep_id,
        "team": transition.team,
        "channel": transition.channel,
        "priority": transition.priority,
        "request_key": sha256(field_of(turn_of(transition)).encode()).hexdigest()[:REQUEST_KEY_DIGITS],
    }
