"""The core on the realistic mix, as a worker drives it: what an event costs, by step and by type."""

import cProfile
import gc
import pstats
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from zlib import crc32

import msgspec

from benchmarks.corpus import directory_of_reps
from processors.core.ledger.ledger import Ledger
from processors.core.ledger.retention import Retention
from processors.core.state.directory import Directory, directory_of
from processors.core.time.instants import instant_us
from processors.worker import GC_THRESHOLDS
from schemas.codec import parse_event
from schemas.events import Event
from schemas.policy import DEFAULT_POLICY

PARTITIONS = 4
BATCH = 4000
TURN = 24_000
"""A worker that is behind stays with a partition for so many events (`worker.max_fetch_bytes` of them)."""
ADVANCE_EVERY, PUBLISH_EVERY = 10, 40
"""In batches: at 150,000 events a second the worker lets time pass every 0.25 s, and publishes every second."""
INTERRUPTED_SECONDS = 0.001
"""What takes longer was interrupted by another process, or by garbage collection."""
PROFILE_LINES = 35
MOVED = (1, 31, 500)
"""One rep; as many as move at once, when all do; all of them."""


class Costs(msgspec.Struct):
    """CPU seconds by step over a number of events."""

    events: int = 0
    decode: float = 0.0
    apply: float = 0.0
    advance: float = 0.0
    publish: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.decode + self.apply + self.advance + self.publish

    def per_event(self) -> dict[str, float]:
        """Microseconds an event."""
        steps = ("decode", "apply", "advance", "publish", "total")
        return {step: getattr(self, step) / self.events * 1e6 for step in steps}


class TypeCost(msgspec.Struct):
    """What the events of one type cost when they are applied."""

    events: int = 0
    seconds: float = 0.0


class Move(msgspec.Struct):
    """What it costs when so many reps have another team."""

    reps: int
    seconds_per_million: float
    """CPU seconds per million facts."""


class Core:
    """The ledgers of one worker, fed in batches."""

    def __init__(self, clock_us: int) -> None:
        """`clock_us`: what the clock says meanwhile. What came due more than an hour before is history."""
        self._directory = bench_directory()
        self.ledgers = [Ledger(DEFAULT_POLICY, self._directory, Retention()) for _ in range(PARTITIONS)]
        self.costs = Costs()
        self._clock_us = clock_us
        self._batches = 0

    def run(self, values: Iterable[bytes]) -> None:
        """Take all messages."""
        for number, raw in batches(values):
            self._take(self.ledgers[number], raw)

    def _take(self, ledger: Ledger, raw: list[bytes]) -> None:
        clock, costs, apply = time.process_time, self.costs, ledger.apply
        started = clock()
        events = [parse_event(value) for value in raw]
        decoded = clock()
        for event in events:
            apply(event)
        costs.decode += decoded - started
        costs.apply += clock() - decoded
        costs.events += len(raw)
        self._batches += 1
        if self._batches % ADVANCE_EVERY == 0:
            self._advance()
        if self._batches % PUBLISH_EVERY == 0:
            self._publish()

    def _advance(self) -> None:
        started = time.process_time()
        for ledger in self.ledgers:
            ledger.set_clock(self._clock_us)
            ledger.advance(ledger.stream_us)
            ledger.drain_transitions()
        self.costs.advance += time.process_time() - started

    def _publish(self) -> None:
        started = time.process_time()
        for ledger in self.ledgers:
            ledger.drain_changes()
        self.costs.publish += time.process_time() - started

    def moves(self) -> list[Move]:
        """What it costs when reps have another team, after all messages."""
        return [Move(reps, self._move(reps, f"of {reps}") / self.costs.events * 1e6) for reps in MOVED]

    def _move(self, reps: int, team: str) -> float:
        """CPU seconds until so many reps are in another team."""
        entries = [msgspec.structs.replace(rep, team=team) for rep in directory_of_reps()[:reps]]
        for rep in entries:
            self._directory.put(rep)
        started = time.process_time()
        for ledger in self.ledgers:
            ledger.reps_changed([rep.rep_id for rep in entries])
        return time.process_time() - started


def bench_directory() -> Directory:
    """The reps of the mix."""
    directory = directory_of(DEFAULT_POLICY)
    for rep in directory_of_reps():
        directory.put(rep)
    return directory


def batches(values: Iterable[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Batches by partition, some in turn of each, as fetches give them; a customer is in one partition."""
    waiting: dict[int, list[bytes]] = defaultdict(list)
    for value in values:
        start = value.index(b'"customer_id":"') + 15
        number = crc32(value[start : value.index(b'"', start)]) % PARTITIONS
        waiting[number].append(value)
        if len(waiting[number]) == TURN:
            yield from _cut(number, waiting.pop(number))
    for number, rest in waiting.items():
        yield from _cut(number, rest)


def _cut(number: int, values: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    for start in range(0, len(values), BATCH):
        yield number, values[start : start + BATCH]


def timed(values: list[bytes]) -> Core:
    """The core after all messages, with what they cost by step; garbage collection is set as in the worker."""
    core = Core(_end_us(values))
    with_worker_gc()
    core.run(values)
    return core


def cost_by_type(values: list[bytes]) -> dict[str, TypeCost]:
    """What `apply` costs for each type, by a clock around every call. Settling comes later and is not in it."""
    core, found = Core(_end_us(values)), defaultdict[str, TypeCost](TypeCost)
    with_worker_gc()
    for number, raw in batches(values):
        ledger = core.ledgers[number]
        for event in map(parse_event, raw):
            _time_one(ledger, event, found)
        ledger.advance(ledger.stream_us)
    return dict(sorted(found.items(), key=lambda item: -item[1].seconds))


def profile(values: list[bytes]) -> None:
    """Print where the time goes, by function."""
    core, profiler = Core(_end_us(values)), cProfile.Profile()
    with_worker_gc()
    profiler.runcall(core.run, values)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(PROFILE_LINES)


def with_worker_gc() -> None:
    """What exists so far is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _end_us(values: list[bytes]) -> int:
    return max(instant_us(parse_event(value).occurred_at) for value in values[-1000:])


def _time_one(ledger: Ledger, event: Event, found: dict[str, TypeCost]) -> None:
    started = time.perf_counter()
    ledger.apply(event)
    seconds = time.perf_counter() - started
    if seconds < INTERRUPTED_SECONDS:
        cost = found[str(event.__struct_config__.tag)]
        cost.events += 1
        cost.seconds += seconds
