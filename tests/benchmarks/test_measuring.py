"""What the benchmarks measure with: samples, rates, spreads, and the mix on disk."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.corpus import Corpus, corpus
from benchmarks.machine import ALLOWED, cores, cpu_seconds, pinned
from benchmarks.meter import OwnMeter, Rate, Sample, rate, read_samples
from benchmarks.spread import spread
from schemas.codec import decode_event


def test_a_rate_is_taken_between_two_shares_of_all_events() -> None:
    samples = [Sample(0.0, 0.0, 0), Sample(5.0, 1.0, 100), Sample(7.0, 2.0, 900), Sample(20.0, 9.0, 1000)]
    found = rate(samples, 1000, 0.1, 0.95)
    assert found == Rate(events=800, wall_seconds=2.0, cpu_seconds=1.0)
    assert (found.per_second, found.per_cpu_second, found.cpu_per_million) == (400.0, 800.0, 1250.0)


def test_a_rate_of_too_few_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="take more events"):
        rate([Sample(0.0, 0.0, 0), Sample(1.0, 1.0, 500), Sample(2.0, 2.0, 1000)], 1000, 0.1, 0.95)


def test_a_meter_writes_what_its_process_has_done(tmp_path: Path) -> None:
    meter = OwnMeter(tmp_path / "samples", lambda: 7)
    meter.start()
    meter.stop()
    samples = read_samples(tmp_path / "samples")
    assert samples[-1].events == 7
    assert samples[-1].cpu_seconds > 0


def test_a_spread_is_by_nearest_rank() -> None:
    found = spread(float(number) for number in range(1000, 0, -1))
    assert (found.count, found.p50, found.p99, found.most) == (1000, 500.0, 991.0, 1000.0)
    with pytest.raises(ValueError, match="nothing"):
        spread([])


def test_the_mix_is_simulated_once_and_then_read(tmp_path: Path) -> None:
    first = corpus(3000, tmp_path)
    written = first.path.stat().st_mtime_ns
    again = corpus(3000, tmp_path)
    assert again.path == first.path
    assert again.path.stat().st_mtime_ns == written
    assert len(list(again.values())) == 3000
    assert [path.suffix for path in tmp_path.iterdir()] == [".jsonl"]


def test_the_mix_has_every_common_type_some_duplicates_and_keys_by_customer(tmp_path: Path) -> None:
    mix: Corpus = corpus(3000, tmp_path)
    events = [decode_event(value) for value in mix.values()]
    kinds = {type(event).__name__ for event in events}
    assert {"ActivityLogged", "RequestOpened", "RequestAnswered", "OpportunityStageEntered", "CustomerCost"} <= kinds
    assert 0 < len(events) - len({event.event_id for event in events}) < 100
    assert [key.decode() for _, key, _ in mix.outgoing()] == [event.customer_id for event in events]
    assert len(list(mix.outgoing(10))) == 10


def test_what_is_measured_has_a_core_of_its_own_also_when_the_bench_has_pinned_itself_to_the_others() -> None:
    mine, others = cores()
    with pinned(others):
        assert cores() == (mine, others)
    assert mine.isdisjoint(others) or len(ALLOWED) < 2


def test_a_child_is_pinned_and_its_time_is_counted() -> None:
    mine, _ = cores()
    with pinned(mine):
        child = subprocess.Popen(
            [sys.executable, "-c", "import os, sys; print(sorted(os.sched_getaffinity(0))); sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == str(sorted(mine))
    assert cpu_seconds(child.pid) >= 0
    child.communicate("")
    assert child.returncode == 0
