"""The realistic mix on disk: a simulated team's events, encoded once, read by every benchmark.

500 reps and their 20,000 customers from a Monday on. One message in a hundred comes twice, two in a hundred are
overtaken by others. The same arguments give the same bytes on every machine.
"""

import os
from collections import deque
from collections.abc import Iterator
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path

import msgspec

from processors.core.time.instants import instant_us
from processors.ingest.faults import Faults, with_faults
from processors.ingest.simulator.simulator import Simulator
from processors.kafka.timed_messages import TimedMessage, from_events
from schemas.codec import decode_event
from schemas.events import RepUpdated

SEED = 7
REPS = 500
START_US = 1_767_571_200_000_000
"""2026-01-05, a Monday."""
FAULTS = Faults(disorder=0.02, duplicates=0.01)
LABEL_MESSAGES = 2000


class _Keyed(msgspec.Struct, gc=False):
    customer_id: str


_key_of = msgspec.json.Decoder(_Keyed).decode


class Corpus:
    """So many messages of the mix, one JSON value per line."""

    def __init__(self, path: Path, events: int) -> None:
        self.path = path
        self.events = events

    def values(self, most: int | None = None) -> Iterator[bytes]:
        """The messages from the beginning."""
        with self.path.open("rb") as lines:
            for line in islice(lines, self.events if most is None else min(most, self.events)):
                yield line[:-1]

    def outgoing(self, most: int | None = None) -> Iterator[TimedMessage]:
        """The messages with their keys, ready to be produced."""
        return ((0, _key_of(value).customer_id.encode(), value) for value in self.values(most))

    def end_us(self, most: int | None = None) -> int:
        """The newest instant in it (microseconds since 1970)."""
        return max(instant_us(decode_event(value).occurred_at) for value in _last(self.values(most), 1000))


def corpus(events: int, directory: Path | None = None) -> Corpus:
    """The mix of so many messages, from the cache directory, or simulated into it first (10 us a message)."""
    directory = directory or cache_directory()
    path = directory / f"mix-{REPS}-{events}-{_label()}.jsonl"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        with unfinished.open("wb", buffering=1 << 20) as out:
            out.writelines(value + b"\n" for _, _, value in islice(_messages(), events))
        unfinished.rename(path)
    return Corpus(path, events)


def directory_of_reps() -> list[RepUpdated]:
    """The reps of the mix."""
    return Simulator(SEED, START_US, reps=REPS).directory()


def cache_directory() -> Path:
    """Where the mix is kept: `SALESPULSE_BENCHMARK_CACHE`, else the user's cache."""
    told = os.environ.get("SALESPULSE_BENCHMARK_CACHE")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(told) if told else caches / "salespulse-benchmarks"


def _messages() -> Iterator[TimedMessage]:
    return with_faults(from_events(Simulator(SEED, START_US, reps=REPS).timed()), FAULTS, SEED)


def _label() -> str:
    """Another simulator gives other bytes: then the cached file is not the one."""
    return blake2b(
        b"".join(chain(*(message[1:] for message in islice(_messages(), LABEL_MESSAGES)))), digest_size=4
    ).hexdigest()


def _last(values: Iterator[bytes], count: int) -> list[bytes]:
    return list(deque(values, maxlen=count))
