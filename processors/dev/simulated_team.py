"""The demo's team: thirty days of history at full speed, then the same team live, as the clock goes on."""

import threading
from collections.abc import Callable, Iterator

import msgspec

from config.clock import Clock
from config.settings import KafkaSettings
from processors.core.time.instants import DAY_US
from processors.ingest.simulator.simulator import Simulator
from processors.kafka.bulk_producer import SendProgress, produce
from processors.kafka.pacing import FullSpeed, Live, Pace
from processors.kafka.timed_messages import TimedMessage, from_events, from_messages

MAX_WAIT_US = 100_000
"""The live team pauses in pieces of this length, so that it can be stopped."""
STOP_TIMEOUT_SECONDS = 10.0

OnShare = Callable[[float], None]
"""Called with the share (0 to 1) that is done."""


class TeamOptions(msgspec.Struct, frozen=True):
    """Who is simulated, and for how long before the live part."""

    seed: int
    reps: int
    days: int


class SimulatedTeam:
    """One simulated team on its way into Kafka."""

    def __init__(self, kafka: KafkaSettings, team: TeamOptions, live_from_us: int) -> None:
        self._kafka = kafka
        self._start_us = live_from_us - team.days * DAY_US
        self._live_from_us = live_from_us
        self._simulator = Simulator(team.seed, self._start_us, reps=team.reps)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.delivery = SendProgress()
        """What the live part has sent so far."""
        self.failure: Exception | None = None
        """The error that ended the live part early."""

    def send_history(self, on_share: OnShare) -> int:
        """The directory of reps and the history; gives the number of events. Raises Unavailable."""
        produce(self._kafka, self._kafka.reps_topic, from_messages(self._simulator.directory()), FullSpeed())
        history = from_events(self._simulator.timed(self._live_from_us))
        sent = self._produce(self._watched(history, on_share), FullSpeed()).acknowledged
        self.delivery = SendProgress()
        return sent

    def start_live(self, clock: Clock) -> None:
        """Go on by this clock in the background, until `stop`."""
        self._thread = threading.Thread(target=self._go_live, args=(clock,), name="live team", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the live part, if it has begun; what was handed to the broker by then is acknowledged."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_SECONDS)

    def _go_live(self, clock: Clock) -> None:
        try:
            self._produce(from_events(self._simulator.timed()), _Stoppable(Live(clock), self._stop))
        except _StoppedError:
            return
        except Exception as error:  # noqa: BLE001 -- a thread cannot raise: `_raise_failure` does
            self.failure = error

    def _produce(self, outgoing: Iterator[TimedMessage], pace: Pace) -> SendProgress:
        return produce(self._kafka, self._kafka.events_topics[0], outgoing, pace, self._landed)

    def _landed(self, delivery: SendProgress) -> None:
        self.delivery = delivery

    def _watched(self, outgoing: Iterator[TimedMessage], on_share: OnShare) -> Iterator[TimedMessage]:
        length_us = self._live_from_us - self._start_us
        for message in outgoing:
            on_share((message[0] - self._start_us) / length_us)
            yield message


class _StoppedError(Exception):
    """The live part was asked to end."""


class _Stoppable:
    """A pace that waits in short pieces, and raises _StoppedError once it is asked to stop."""

    def __init__(self, pace: Pace, stop: threading.Event) -> None:
        self._pace = pace
        self._stop = stop

    def wait_us(self, at_us: int) -> int:
        """Microseconds until the next message is due, or until it is worth asking again."""
        if self._stop.is_set():
            raise _StoppedError
        return min(self._pace.wait_us(at_us), MAX_WAIT_US)
