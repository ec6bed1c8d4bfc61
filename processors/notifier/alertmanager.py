"""Alertmanager's API, version 2: it mirrors what is active, so all of it is posted again every minute.

Alertmanager knows an alert by its labels alone. Two requests of one rep have the same level, team and channel, so the
label `request_key` tells them apart; it is the same for all levels of a turn, and an opaque number for people, who find
the ids in the annotations.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from config.clock import Clock
from processors.core.time.instants import SECOND_US, rfc3339
from processors.notifier.acks import field_of, turn_of
from processors.notifier.http import Poster
from processors.notifier.notices import Habits, Notice, Parcel
from processors.notifier.receiver import Rejected
from processors.notifier.wording import details, headline, link
from schemas.alerts import Transition

LIFE_US = 240 * SECOND_US
"""An alert that is not posted again for so long is over for Alertmanager."""
TOGETHER = 500
KEY_DIGITS = 12
RUNBOOKS = frozenset({"1h", "24h"})
"""Levels with a page of their own."""

Json = dict[str, Any]


class Alertmanager:
    """One instance of Alertmanager."""

    def __init__(self, name: str, poster: Poster, board_url: str, clock: Clock, wall_us: Callable[[], int]) -> None:
        """`poster` posts to `/api/v2/alerts` of the instance."""
        self.name = name
        self.habits = Habits(mirrors=True, together=TOGETHER)
        self._poster = poster
        self._words = AlertWords(board_url, clock, wall_us)

    async def send(self, parcel: Parcel) -> Mapping[str, str]:
        """Post them; gives those that were rejected. Raises TryAgain, or Rejected for a single one."""
        try:
            await self._post([alert for notice in parcel for alert in self._words.of(notice)])
        except Rejected:
            if len(parcel) == 1:
                raise
            return await self._send_each(parcel)
        return {}

    async def _send_each(self, parcel: Parcel) -> dict[str, str]:
        """After a batch was refused: Alertmanager kept the good ones, and does not say which was bad."""
        rejected = {}
        for notice in parcel:
            try:
                await self._post(self._words.of(notice))
            except Rejected as error:
                rejected[notice.key] = str(error)
        return rejected

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """Post what is active; raises TryAgain or Rejected."""
        await self._post([self._words.active(transition) for transition in active])

    async def close(self) -> None:
        """Give connections back."""
        await self._poster.close()

    async def _post(self, alerts: list[Json]) -> None:
        await self._poster.post(msgspec.json.encode(alerts), {})


class AlertWords:
    """Alerts as Alertmanager takes them, in the wall's time."""

    def __init__(self, board_url: str, clock: Clock, wall_us: Callable[[], int]) -> None:
        self._board_url = board_url
        self._clock = clock
        self._wall_us = wall_us

    def of(self, notice: Notice) -> list[Json]:
        """What one notice changes."""
        transition = notice.transition
        if notice.hold is not None:
            return [self._ended(transition, at_risk=transition.state == "at_risk", why=str(notice.hold))]
        match transition.state:
            case "at_risk":
                return [self.active(transition)]
            case "fired":
                return [self._ended(transition, at_risk=True), self.active(transition)]
            case _:
                return [self._ended(transition, at_risk=True), self._ended(transition, at_risk=False)]

    def active(self, transition: Transition) -> Json:
        """An alert that goes on for a while."""
        return self._alert(transition, transition.state == "at_risk", self._wall_us() + LIFE_US)

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
        if transition.level in RUNBOOKS:
            annotations["runbook_url"] = f"docs/runbooks/RequestUnanswered{transition.level}.md#what-to-do"
        return annotations

    def _wall(self, at_us: int) -> int:
        """When this instant was, or will have been, on the wall: always the same answer, which must not lie ahead."""
        shown_us = self._clock.shown_at_wall_us(at_us)
        return min(at_us if shown_us is None else shown_us, self._wall_us())


def labels(transition: Transition, at_risk: bool) -> dict[str, str]:
    """What Alertmanager knows an alert by, groups and routes."""
    return {
        "alertname": f"{'RequestAtRisk' if at_risk else 'RequestUnanswered'}{transition.level}",
        "severity": "info" if at_risk else transition.severity,
        "level": transition.level,
        "rep": transition.rep_id,
        "team": transition.team,
        "channel": transition.channel,
        "priority": transition.priority,
        "request_key": sha256(field_of(turn_of(transition)).encode()).hexdigest()[:KEY_DIGITS],
    }
