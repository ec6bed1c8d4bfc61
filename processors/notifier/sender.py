"""Sending what is due to one receiver, and what follows from its answer: recorded, refused or tried again later."""

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Mapping

from config.clock import wall_us
from processors.notifier.batching import parcels
from processors.notifier.delivery_log import DeadLetters, Memory, ToldLog
from processors.notifier.delivery_queue import Book
from processors.notifier.metrics import NotifierMetrics
from processors.notifier.notifications import Notice, Parcel, Word, is_newer
from processors.notifier.receivers.base import Receiver, Rejected, TryAgain
from processors.notifier.redacted_errors import fault_of

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
MOST_DOUBLINGS = 16
MAX_FAILURES_ALONE = 30
"""So often a message is tried while the receiver takes others: with the pauses that is a quarter of an hour."""

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
        self._owed_paces: dict[str, int] = {}
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
        failed: list[tuple[Parcel, TryAgain]] = []
        refused: list[tuple[Notice, str]] = []
        taken = False
        for parcel, outcome in zip(chosen, outcomes, strict=True):
            if isinstance(outcome, TryAgain):
                failed.append((parcel, outcome))
            else:
                taken = True
                refused += self._taken(parcel, outcome)
        self._note_paces(chosen, outcomes)
        await self.record()
        refused += self._hopeless(failed, taken=taken)
        for notice, why in refused:
            await self._refuse(notice, why)
        await self.record()
        self._note(failed, taken=taken)

    async def record(self) -> None:
        """Write what was sent; returns when the broker has it. Raises KafkaError: then it is written later."""
        await self._log.write(self.book.log, self._owed_paces.items())
        self.book.log.clear()
        self._owed_paces.clear()

    def begin_again(self, memory: Memory) -> dict[str, Word]:
        """Start over with what the log holds; gives the last record of each alert, by its id.

        What was sent while Kafka took no records is still owed to the log, and counts as sent.
        """
        words = dict(memory.words)
        owed = [word for word in self.book.log if is_newer(word, words.get(word.alert_id))]
        words |= {word.alert_id: word for word in owed}
        self.book = Book(self._receiver.habits)
        self.book.log = owed
        self.paces = memory.paces | self._owed_paces
        return words

    async def _send(self, parcel: Parcel) -> Outcome:
        try:
            return await self._receiver.send(parcel)
        except (TryAgain, Rejected) as error:
            return error
        except Exception as error:  # noqa: BLE001 -- whatever one message does, it costs that message alone
            return await self._send_halves(parcel, error)

    async def _send_halves(self, parcel: Parcel, error: Exception) -> Outcome:
        """A message could not be composed: find the notice that it fails on, and send the others."""
        if len(parcel) == 1:
            return Rejected(fault_of(error))
        middle = len(parcel) // 2
        rejected: dict[str, str] = {}
        for half in (parcel[:middle], parcel[middle:]):
            outcome = await self._send(half)
            if isinstance(outcome, TryAgain):
                return outcome
            rejected |= {n.key: str(outcome) for n in half} if isinstance(outcome, Rejected) else outcome
        return rejected

    def _hopeless(self, failed: list[tuple[Parcel, TryAgain]], *, taken: bool) -> list[tuple[Notice, str]]:
        """What fails again and again while the receiver takes others; it is out of `failed` then, and refused."""
        hopeless = [one for one in failed if taken and any(n.failures >= MAX_FAILURES_ALONE for n in one[0])]
        failed[:] = [one for one in failed if one not in hopeless]
        return [(n, f"tried {n.failures + 1} times: {error}") for parcel, error in hopeless for n in parcel]

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

    def _note_paces(self, chosen: Iterable[Parcel], outcomes: Iterable[Outcome]) -> None:
        """Note the reps whose digest went out just now."""
        if not self._receiver.habits.digest_seconds:
            return
        sent = [
            parcel
            for parcel, outcome in zip(chosen, outcomes, strict=True)
            if not isinstance(outcome, TryAgain | Rejected)
        ]
        paced = {parcel[0].transition.rep_id: wall_us() for parcel in sent}
        self.paces |= paced
        self._owed_paces |= paced

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
