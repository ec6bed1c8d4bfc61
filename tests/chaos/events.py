"""The event stream of a campaign: a simulated team whose hours pass in seconds, sent live until every broker has it."""

import threading
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import msgspec

from config.clock import wall_us
from config.settings import KafkaSettings
from processors.core.time.instants import DAY_US, HOUR_US, instant_us, moment
from processors.ingest.faults import Faults, with_faults
from processors.ingest.simulator.simulator import Simulator
from processors.kafka.bulk_producer import produce
from processors.kafka.timed_messages import TimedMessage, from_events, from_messages
from schemas.errors import Unavailable
from schemas.events import Event, EventRetracted, RepUpdated

SPEED = 120
"""So many simulated seconds pass in one: a chat is answered after some 4 s, an e-mail after some 30 s."""
REPS, INTENSITY = 24, 8.0
HISTORY_DAYS = 4
LIVE_FROM_US = 20_501 * DAY_US + 9 * HOUR_US
"""A Tuesday, 09:00 UTC: three continents work one after the other for the length of any campaign."""
PORTION_SECONDS = 0.3
FAULTS = Faults(disorder=0.01, duplicates=0.02)


class Stream:
    """Sends in a thread; `lines` is the file of everything that was sent, as JSON lines."""

    def __init__(self, kafka: KafkaSettings, seed: int, lines: Path) -> None:
        self._kafka = kafka
        self._lines = lines
        self._simulator = Simulator(seed, LIVE_FROM_US - HISTORY_DAYS * DAY_US, reps=REPS, intensity=INTENSITY)
        self._live_from_us = 0
        timed = with_faults(from_events(map(self._compressed, self._countable())), FAULTS, seed)
        self._outgoing = iter(timed)
        self._ahead: TimedMessage | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_live, name="events", daemon=True)
        self.sent = 0
        self.retries = 0
        self.failure: Exception | None = None
        """What ended the thread before its time."""

    def send_history(self) -> None:
        """The directory, and what happened before now; raises Unavailable."""
        self._live_from_us = wall_us()
        self._send(self._kafka.reps_topic, [*from_messages(map(self._entry, self._simulator.directory()))])
        self._send(self._kafka.events_topics[0], [*self._due()])

    def start(self) -> None:
        """Go on live."""
        self._thread.start()

    def stop(self) -> None:
        """End once the last portion is acknowledged; raises what went wrong."""
        self._stop.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _go_live(self) -> None:
        try:
            while not self._stop.wait(PORTION_SECONDS):
                self._send_surely([*self._due()])
        except Exception as error:  # noqa: BLE001 -- a thread cannot raise: `stop` does
            self.failure = error

    def _send_surely(self, portion: list[TimedMessage]) -> None:
        """A portion of which nobody knows whether it arrived is sent again: the copies are the same events."""
        while True:
            try:
                self._send(self._kafka.events_topics[0], portion)
            except Unavailable:
                self.retries += 1
                time.sleep(PORTION_SECONDS)
            else:
                return

    def _send(self, topic: str, portion: list[TimedMessage]) -> None:
        if not portion:
            return
        produce(self._kafka, topic, portion)
        with self._lines.open("ab") as lines:
            lines.writelines(value + b"\n" for _, _, value in portion)
        self.sent += len(portion)

    def _due(self) -> Iterator[TimedMessage]:
        """What has happened by now and was not taken yet."""
        now_us = wall_us()
        if self._ahead is not None:
            if self._ahead[0] > now_us:
                return
            yield self._ahead
            self._ahead = None
        yield from takewhile(lambda message: not self._is_ahead(message, now_us), self._outgoing)

    def _is_ahead(self, message: TimedMessage, now_us: int) -> bool:
        if message[0] <= now_us:
            return False
        self._ahead = message
        return True

    def _countable(self) -> Iterator[tuple[int, Event]]:
        """No activity is taken back: so the number of activities may never fall."""
        for at_us, event in self._simulator.timed():
            if not (isinstance(event, EventRetracted) and event.entity == "activity"):
                yield at_us, event

    def _compressed(self, timed: tuple[int, Event]) -> tuple[int, Event]:
        at_us, event = self._at(timed[0]), timed[1]
        return at_us, msgspec.structs.replace(event, occurred_at=moment(at_us))

    def _entry(self, rep: RepUpdated) -> RepUpdated:
        at = rep.occurred_at
        return rep if at is None else msgspec.structs.replace(rep, occurred_at=moment(self._at(instant_us(at))))

    def _at(self, simulated_us: int) -> int:
        return self._live_from_us + (simulated_us - LIVE_FROM_US) // SPEED
