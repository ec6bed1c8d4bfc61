"""Memory of requests that wait, and the time to get them back: from the journal's bytes.

Measured in a process of its own (`python -m benchmarks.footprint`), as resident memory: what the operating system sees.
"""

import time

import click
import msgspec

from benchmarks.machine import resident_mib
from benchmarks.mix import with_worker_gc
from processors.agents.journal import Journal
from processors.agents.partitions import OwnedPartition
from processors.core.ledger.ledger import Ledger
from processors.core.ledger.retention import Retention
from processors.core.state.directory import Directory
from processors.core.time.instants import SECOND_US, moment
from schemas.codec import encode
from schemas.events import RequestOpened
from schemas.policy import DEFAULT_POLICY

START_US = 1_767_571_200 * SECOND_US
SPAN_US = 1800 * SECOND_US
"""They all came within half an hour, so that none is overdue yet."""
REPS = 500


class Footprint(msgspec.Struct):
    """What so many open requests take."""

    requests: int
    mib: float
    """Resident memory that they added."""
    recovery_seconds: float
    """CPU time from the journal's segments to a ledger that is ready."""
    everything_seconds: float
    """CPU time to give all fields of the read model."""


def opened(number: int, count: int) -> bytes:
    """A request that waits, as it comes from Kafka."""
    return encode(
        RequestOpened(
            event_id=f"evt-{number:09d}",
            occurred_at=moment(START_US + number * SPAN_US // count),
            customer_id=f"customer-{number // 2:08d}",
            request_id=f"request-{number:09d}",
            channel="email",
            rep_id=f"rep-{number % REPS:04d}",
            topic="pricing",
        )
    )


def journalled(count: int) -> list[tuple[bytes, bytes | None]]:
    """The changelog records of so many open requests."""
    part = _part()
    for number in range(count):
        part.journal.pending.append(opened(number, count))
        part.journal.pending_ids.append(f"evt-{number:09d}")
    part.next_offsets["crm.events"] = count
    return part.cut()[1]


def measure(count: int) -> Footprint:
    """Recover a part with so many open requests, as a worker does, and look at it."""
    entries = journalled(count)
    with_worker_gc()
    part, before = _part(), resident_mib()
    started = time.process_time()
    for offset, (key, value) in enumerate(entries):
        part.restore(key, value, offset)
    part.begin(START_US + SPAN_US)
    recovered = time.process_time()
    mib = resident_mib() - before
    part.ledger.everything()
    return Footprint(count, mib, recovered - started, time.process_time() - recovered)


def _part() -> OwnedPartition:
    ledger = Ledger(DEFAULT_POLICY, Directory(), Retention())
    return OwnedPartition(0, "crm.events/0", ledger, Journal(1))


@click.command()
@click.argument("count", type=int)
def main(count: int) -> None:
    """Print what COUNT open requests take, as JSON."""
    click.echo(msgspec.json.encode(measure(count)))


if __name__ == "__main__":
    main()
