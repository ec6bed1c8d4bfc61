"""Sending what is due to one receiver, and what follows from its answer: recorded, refused or tried again later."""

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Mapping

from config.clock import wall_us
from processors.notifier.book import Book
from processors.notifier.metrics import NotifierMetrics
from processors.notifier.notices import Notice, Parcel
from processors.notifier.parcels import parcels
from processors.notifier.receiver import Receiver, Rejected, TryAgain
from processors.notifier.told import DeadLetters, ToldLog

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
MOST_DOUBLINGS = 16

Outcome = Mapping[str, str] | TryAgain | Rejected
"""Keys of rejected notices with the reason, or what was raised."""


class Teller:
    """Tells one receiver, a round at a time."""

    def __init__(
        self,
        receiver: Receiver,
        log: ToldLog,
        dead_letters: DeadLetters,
        metrics: NotifierMetrics,
        longest_pause: float,
    ) -> None:
        """`longest_pause`: seconds."""
        self.book = Book(receiver.habits)
        self.paces: dict[str, int] = {}
        """When each rep was sent a digest last (wall, microseconds since 1970)."""
        self._receiver = receiver
        self._log = log
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._longest_pause_seconds = longest_pause
        self._failures = 0
        self._pause_until = 0.0

    def chosen(self) -> list[Parcel]:
        """What may go out now; while the receiver takes nothing, one parcel to see whether it does."""
        now = time.monotonic()
        if now < self._pause_until:
            return []
        at_once = 1 if self._failures else self._receiver.habits.at_once
        return parcels(self.book.due(now), self._receiver.habits, self.paces, wall_us(), at_once)

    async def tell(self) -> None:
        """Send what may go out now, and record what became of it; raises KafkaError."""
        chosen = self.chosen()
        outcomes = await asyncio.gather(*map(self._send, chosen))
        failed, refused, taken = [], [], False
        for parcel, outcome in zip(chosen, outcomes, strict=True):
            if isinstance(outcome, TryAgain):
                failed.append((parcel, outcome))
            else:
                taken = True
                refused += self._taken(parcel, outcome)
        await self.record(self._paced(chosen, outcomes).items())
        for notice, why in refused:
            await self._refuse(notice, why)
        await self.record()
        self._note(failed, taken=taken)

    async def record(self, paces: Iterable[tuple[str, int]] = ()) -> None:
        """Write what the book has to say; returns when the broker has it, raises KafkaError."""
        words, self.book.log = self.book.log, []
        await self._log.write(words, paces)

    async def _send(self, parcel: Parcel) -> Outcome:
        try:
            return await self._receiver.send(parcel)
        except (TryAgain, Rejected) as error:
            return error

    def _taken(self, parcel: Parcel, outcome: Mapping[str, str] | Rejected) -> list[tuple[Notice, str]]:
        """Note what the receiver has; gives what it refused."""
        if isinstance(outcome, Rejected):
            return [(notice, str(outcome)) for notice in parcel]
        for notice in parcel:
            if notice.key not in outcome:
                self.book.sent(notice)
                self._count(notice)
        return [(notice, outcome[notice.key]) for notice in parcel if notice.key in outcome]

    def _count(self, notice: Notice) -> None:
        self._metrics.notifications.labels(self._receiver.name, "sent").inc()
        if notice.place is not None:
            delay_us = wall_us() - notice.place.timestamp_ms * 1000
            self._metrics.delay_seconds.labels(self._receiver.name).observe(max(delay_us, 0) / 1_000_000)

    def _paced(self, chosen: Iterable[Parcel], outcomes: Iterable[Outcome]) -> dict[str, int]:
        """The reps whose digest went out just now."""
        if not self._receiver.habits.digest_seconds:
            return {}
        sent = [
            parcel
            for parcel, outcome in zip(chosen, outcomes, strict=True)
            if not isinstance(outcome, TryAgain | Rejected)
        ]
        paced = {parcel[0].transition.rep_id: wall_us() for parcel in sent}
        self.paces |= paced
        return paced

    async def _refuse(self, notice: Notice, why: str) -> None:
        """To the dead letters first: a crash in between sends it there twice rather than nowhere."""
        await self._dead_letters.refused(self._receiver.name, notice, why)
        self.book.rejected(notice)
        self._metrics.notifications.labels(self._receiver.name, "rejected").inc()
        logger.warning("%s rejected %s: %s", self._receiver.name, notice.key, why)

    def _note(self, failed: list[tuple[Parcel, TryAgain]], *, taken: bool) -> None:
        """Wait before the next try: the receiver's, if it took nothing, else that of what it did not take."""
        if taken and self._failures:
            logger.info("%s takes alerts again", self._receiver.name)
        self._failures = 0 if taken else self._failures + bool(failed)
        for parcel, error in failed:
            self._metrics.notifications.labels(self._receiver.name, "failed").inc(len(parcel))
            self._put_off(parcel, error, alone=taken)
        if failed and self._failures == 1:
            logger.warning("%s does not take alerts: %s; trying again", self._receiver.name, failed[0][1])

    def _put_off(self, parcel: Parcel, error: TryAgain, *, alone: bool) -> None:
        now = time.monotonic()
        for notice in parcel if alone else ():
            notice.failures += 1
            notice.not_before = now + self._pause_seconds(notice.failures)
        after_seconds = error.after_seconds or 0.0
        pause = after_seconds if alone else max(after_seconds, self._pause_seconds(self._failures))
        self._pause_until = max(self._pause_until, now + pause)

    def _pause_seconds(self, failures: int) -> float:
        """Twice as long each time, up to a limit; a random half of it, so that not all come back at once."""
        longest = min(self._longest_pause_seconds, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, MOST_DOUBLINGS))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 -- nothing secret
