"""Checkpoints: what a part has to say is sent, its journal is written, and only then are source offsets committed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import msgspec

from processors.agents.dead_letters import DeadLetters
from processors.agents.metrics import WorkerMetrics
from processors.agents.outgoing import Message, Outgoing
from processors.agents.parts import Part, Parts
from schemas.alerts import Transition
from schemas.errors import Reason

_encode_transition = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class OutputTopics:
    """Where a worker writes."""

    journal: str
    dead_letters: DeadLetters
    alerts: str


class Checkpoints:
    """Makes parts durable. A failure stops the worker: what is not acknowledged is done again by its successor."""

    def __init__(
        self,
        parts: Parts,
        outgoing: Outgoing,
        topics: OutputTopics,
        metrics: WorkerMetrics,
        crash: Callable[[BaseException], Awaitable[None]],
    ) -> None:
        self._parts = parts
        self._outgoing = outgoing
        self._topics = topics
        self._metrics = metrics
        self._crash = crash

    def say(self, part: Part, now_us: int) -> None:
        """Send what the part has to say to other topics: dead letters and alert transitions."""
        messages, part.unsent = part.unsent, []
        for transition in part.ledger.take_transitions():
            self._metrics.transition(transition, now_us, part.watched_us)
            messages.append(self._alert(transition))
        self._metrics.outcomes(part.ledger.take_outcomes())
        messages += self._rejected(part)
        if messages:
            part.spoken = True
            part.outbox.append(asyncio.create_task(self._guard(self._outgoing.send(messages))))

    def _rejected(self, part: Part) -> Iterator[Message]:
        """The dead letters of accepted facts that turned out bad. An orphan is forgotten: it is said once."""
        source = (self._parts.topics[0], part.number)
        rejected = part.ledger.take_rejected()
        part.journal.forget(event.event_id for event, bad in rejected if bad.reason is Reason.ORPHAN)
        for event, bad in rejected:
            self._metrics.dead_letter(bad.reason)
            yield self._topics.dead_letters.of_event(source, event, bad, part.counted_offsets())

    async def flush(self, part: Part, now_us: int) -> None:
        """Make the part durable up to where it is now."""
        async with part.flushing:
            if not part.recovered or not self._parts.owns(part):
                return
            self.say(part, now_us)
            part.journal.expire(part.ledger.take_expired())
            part.journal.wear(part)
            if not part.is_durable():
                await self._guard(self._write(part))

    async def flush_all(self, now_us: int) -> None:
        """Make all parts durable."""
        await asyncio.gather(*(self.flush(part, now_us) for part in self._parts))

    async def _write(self, part: Part) -> None:
        mark, entries = part.cut()
        outbox, part.outbox = part.outbox, []
        started = time.perf_counter()
        await asyncio.gather(*outbox)
        offset = await self._outgoing.write(self._topics.journal, part.number, entries)
        part.changelog_offset = max(part.changelog_offset, offset)
        part.durable = part.broker_offsets(mark)
        self._metrics.changelog_seconds.observe(time.perf_counter() - started)

    def _alert(self, transition: Transition) -> Message:
        return Message(self._topics.alerts, transition.alert_id.encode(), _encode_transition(transition))

    async def _guard(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            await self._crash(error)
            raise
