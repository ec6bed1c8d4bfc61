"""A simulated team's month, shuffled, through the core and through the oracle: every number is the same."""

from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from processors.core.reports.replay import replay
from processors.ingest.simulator.simulator import Simulator
from schemas.codec import decode_message, encode
from schemas.policy import DEFAULT_POLICY
from tests.oracle import oracle
from tests.oracle.compare import differences

SECOND_US = 1_000_000
START_US = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp()) * SECOND_US
END_US = int(datetime(2024, 4, 1, 10, 30, tzinfo=UTC).timestamp()) * SECOND_US
"""In the middle of a working day: some customers wait."""


def simulate(reps: int, intensity: float) -> list[bytes]:
    """The directory and the events of a month as JSON lines; the events shuffled, one in a hundred of them twice."""
    simulator = Simulator(20240301, START_US, reps=reps, intensity=intensity)
    directory = [encode(rep) for rep in simulator.directory()]
    events = [value for _, value in simulator.encoded(END_US)]
    random = Random(1)
    events += random.sample(events, len(events) // 100)
    random.shuffle(events)
    return [*directory, *events]


@pytest.mark.parametrize(
    ("reps", "intensity", "at_least"),
    [
        pytest.param(24, 2.0, 50_000, id="50 thousand events"),
        pytest.param(200, 5.5, 1_000_000, id="a million events", marks=[pytest.mark.slow, pytest.mark.timeout(5400)]),
    ],
)
def test_the_core_and_the_oracle_agree_on_a_simulated_month(
    tmp_path: Path, reps: int, intensity: float, at_least: int
) -> None:
    lines = simulate(reps, intensity)
    assert len(lines) >= at_least
    path = tmp_path / "month.jsonl"
    path.write_bytes(b"\n".join(lines))
    answer = oracle.report(path, END_US)
    ours = replay((decode_message(line) for line in lines), DEFAULT_POLICY, END_US, partitions=3)
    assert differences(ours, answer) == []
    assert answer["open_requests"]
    assert all(answer["company"]["all"][number] for number in ("responses", "won", "lost", "opportunities_created"))
