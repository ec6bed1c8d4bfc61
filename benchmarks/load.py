"""A steady stream of live events in the background, as a simulated team sends them, with probes among them."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

from benchmarks.corpus import Corpus, corpus
from config.clock import wall_us
from config.settings import Settings
from processors.core.time.instants import SECOND_US, moment
from processors.kafka.bulk_producer import produce
from processors.kafka.pacing import Steady
from processors.kafka.timed_messages import TimedMessage, from_messages
from schemas.codec import parse_event
from schemas.events import Event

PROBE_EVERY = 50
SPARE_SECONDS = 120.0
STOP_SECONDS = 30.0

Probe = Callable[[], Event]
"""Makes the next probe at the moment at which it is sent."""


class Load:
    """So many events a second until `stop`; every fiftieth is a probe."""

    def __init__(self, settings: Settings, mix: Corpus, per_second: float, probe: Probe | None = None) -> None:
        self._values = mix.values()
        self._settings = settings
        self._per_second = per_second
        self._probe = probe
        self._stopped = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(STOP_SECONDS)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        kafka = self._settings.kafka
        try:
            produce(kafka, kafka.events_topics[0], self._outgoing(), Steady(self._per_second))
        except Exception as error:  # noqa: BLE001 - it is raised again by whoever ends the load
            self._failure = error

    def _outgoing(self) -> Iterator[TimedMessage]:
        return from_messages(self._live())

    def _live(self) -> Iterator[Event]:
        """What the team sends, as if it happened now."""
        for number, event in enumerate(map(parse_event, self._values)):
            if self._stopped.is_set():
                return
            if self._probe is not None and number % PROBE_EVERY == 0:
                yield self._probe()
            event.occurred_at = moment(wall_us())
            yield event


def mix_for(per_second: float, seconds: float) -> Corpus:
    """Enough of the mix for so long, with time to spare for start and end."""
    return corpus(int(per_second * (seconds + SPARE_SECONDS)))


def rest_until(seconds: float) -> None:
    """Sleep until a monotonic instant; does nothing once it has passed."""
    time.sleep(max(0.0, seconds - time.monotonic()))


def seconds_since(at_us: int) -> float:
    """Seconds of the wall since an instant (microseconds since 1970)."""
    return (wall_us() - at_us) / SECOND_US
