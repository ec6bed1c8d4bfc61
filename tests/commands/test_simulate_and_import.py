"""`simulate` and `import csv` as a whole, onto a stream and into Kafka."""

import io
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from config.settings import ClockSettings, Settings
from processors.commands.cli import main
from processors.commands.import_csv import run_import_csv
from processors.commands.simulate import SimulateOptions, run_simulate, simulation
from processors.commands.target import Target
from processors.core.ledger.ledger import MAX_CLOCK_SKEW_US
from processors.core.time.instants import DAY_US, SECOND_US, instant_us, moment, rfc3339
from processors.ingest.faults import Faults
from processors.ingest.simulator.simulator import Simulator
from processors.kafka.admin import admin_client
from processors.kafka.topic_reader import consumer
from processors.kafka.topics import ensure_topics
from schemas.codec import decode_message, encode
from schemas.errors import UsageError
from schemas.events import Message, RepUpdated

START_US = 1_760_000_000 * SECOND_US
MAPPING = """
source = "crm"
identity = ["id"]
[columns.at]
kind = "instant"
[[events]]
name = "rep"
type = "rep.updated"
fields = { rep_id = "{rep}", name = "{rep}" }
[[events]]
name = "call"
type = "activity.logged"
fields = { occurred_at = "{at}", customer_id = "C-{id}", rep_id = "{rep}", kind = "call" }
"""
ROWS = "id,at,rep\n1,2026-02-03T00:00:00Z,Ada\n2,2026-02-01T00:00:00Z,Bo\n3,someday,Cy\n"


def lines(stream: io.BytesIO) -> list[Message]:
    return [decode_message(line) for line in stream.getvalue().splitlines()]


def test_simulate_writes_the_directory_and_then_the_events_until_the_instant() -> None:
    stream = io.BytesIO()
    until_us = START_US + 2 * DAY_US
    delivery = run_simulate(
        SimulateOptions(start_us=START_US, until_us=until_us, reps=3, seed=4), Target(Settings(), stream)
    )
    simulator = Simulator(4, START_US, reps=3)
    expected = [*simulator.directory(), *simulator.events(until_us)]
    assert lines(stream) == expected
    assert delivery.acknowledged == len(expected) - 3


def test_simulate_ends_after_the_count_asked_for() -> None:
    stream = io.BytesIO()
    options = SimulateOptions(start_us=START_US, count=500, rate=100_000.0)
    assert run_simulate(options, Target(Settings(), stream)).sent == 500
    assert lines(stream)[24:] == list(islice(Simulator(1, START_US).events(), 500))


def test_simulate_adds_the_faults_asked_for() -> None:
    stream = io.BytesIO()
    options = SimulateOptions(start_us=START_US, until_us=START_US + 2 * DAY_US, faults=Faults(duplicates=0.5))
    run_simulate(options, Target(Settings(), stream))
    written = stream.getvalue().splitlines()
    assert 1.3 < len(written) / len(set(written)) < 1.7


def test_live_and_a_rate_exclude_each_other() -> None:
    options = SimulateOptions(start_us=START_US, live=True, rate=5.0)
    with pytest.raises(UsageError, match="--rate and --live"):
        run_simulate(options, Target(Settings(), io.BytesIO()))


def test_an_import_writes_oldest_first_with_reps_before_all(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(MAPPING, encoding="utf-8")
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    stream = io.BytesIO()
    report = run_import_csv([tmp_path / "rows.csv"], tmp_path / "m.toml", Target(Settings(), stream))
    written = lines(stream)
    assert [entry.rep_id for entry in written if isinstance(entry, RepUpdated)] == ["Ada", "Bo"]
    assert [event.event_id for event in written[2:]] == ["crm/2/call", "crm/1/call"]
    assert report.rows == 3
    assert report.skipped == {"at is no instant written as ISO 8601": 1}


def import_with(tmp_path: Path, rows: str, *options: str) -> Result:
    (tmp_path / "m.toml").write_text(MAPPING, encoding="utf-8")
    (tmp_path / "rows.csv").write_text(rows, encoding="utf-8")
    arguments = ("import", "csv", str(tmp_path / "rows.csv"), "--mapping", str(tmp_path / "m.toml"), *options)
    return CliRunner().invoke(main, arguments)


def test_an_import_of_which_most_rows_are_skipped_sends_nothing_and_fails(tmp_path: Path) -> None:
    header, first, _, bad = ROWS.splitlines(keepends=True)
    rows = header + first + bad + bad.replace("3,", "4,")
    result = import_with(tmp_path, rows)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("nothing was sent, as most rows were skipped: mend the mapping")
    allowed = import_with(tmp_path, rows, "--allow-skipped")
    assert (allowed.exit_code, len(allowed.stdout.splitlines())) == (0, 2)


def test_an_import_ends_with_the_data_quality_of_its_events(tmp_path: Path) -> None:
    result = import_with(tmp_path, ROWS)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1] == "data quality of 4 records: nothing was wrong"


def test_a_file_that_is_named_twice_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(MAPPING, encoding="utf-8")
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    stream = io.BytesIO()
    files = [tmp_path / "rows.csv", tmp_path / ".." / tmp_path.name / "rows.csv"]
    with pytest.raises(UsageError, match=r"rows\.csv: the file is named twice"):
        run_import_csv(files, tmp_path / "m.toml", Target(Settings(), stream))
    assert stream.getvalue() == b""


def test_into_kafka_reps_and_events_go_to_their_own_topics(settings: Settings, tmp_path: Path) -> None:
    kafka = settings.kafka
    with admin_client(kafka) as admin:
        admin.create_topics(
            {
                topic: {"num_partitions": 2, "replication_factor": 1}
                for topic in (kafka.events_topics[0], kafka.reps_topic)
            }
        )
    (tmp_path / "m.toml").write_text(MAPPING, encoding="utf-8")
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    run_import_csv([tmp_path / "rows.csv"], tmp_path / "m.toml", Target(settings))
    simulated = run_simulate(SimulateOptions(start_us=START_US, count=100, reps=2), Target(settings))
    assert simulated.acknowledged == 100
    assert len(read(settings, kafka.reps_topic, 4)) == 4
    events = read(settings, kafka.events_topics[0], 102)
    calls = [msgspec.json.decode(encode(event)) for event in events if event.event_id in ("crm/1/call", "crm/2/call")]
    assert sorted(call["customer_id"] for call in calls) == ["C-1", "C-2"]
    assert len(events) == 102
    assert all(not isinstance(event, RepUpdated) and instant_us(event.occurred_at) for event in events)


def test_a_history_older_than_workers_keep_any_goes_to_kafka_with_a_warning_that_has_the_mend(
    settings: Settings, tmp_path: Path
) -> None:
    ensure_topics(settings)
    late = msgspec.structs.replace(settings, clock=ClockSettings(mode="fixed", at=moment(START_US + 400 * DAY_US)))
    options = SimulateOptions(start_us=START_US, until_us=START_US + 60 * DAY_US, reps=2)
    target = Target(late)
    sent = run_simulate(options, target).acknowledged
    [warning] = target.warnings
    count = int(warning.split()[0].replace(",", ""))
    assert 0 < count < sent  # activities and requests of the first 30 days; opportunities are kept for 400
    newest_us = max(at_us for at_us, _ in Simulator(1, START_US, reps=2).timed(options.until_us))
    assert f"too_late: set clock.mode = fixed and clock.at = {rfc3339(newest_us)} for everything that runs" in warning
    assert warning.endswith("or retention.windows_days and retention.roots_days = 401")

    (tmp_path / "m.toml").write_text(MAPPING, encoding="utf-8")
    (tmp_path / "rows.csv").write_text(ROWS.replace("02-03", "02-02"), encoding="utf-8")
    old = msgspec.structs.replace(settings, clock=ClockSettings(mode="fixed", at=moment(instant("2027-03-01"))))
    target = Target(old)
    run_import_csv([tmp_path / "rows.csv"], tmp_path / "m.toml", target)
    assert [line.split(" are older")[0] for line in target.warnings] == ["2 events"]


def test_a_count_of_events_ends_now_in_kafka_and_a_shortfall_is_reported(settings: Settings) -> None:
    ensure_topics(settings)
    now_us = START_US + 5 * DAY_US
    target = Target(msgspec.structs.replace(settings, clock=ClockSettings(mode="fixed", at=moment(now_us))))
    options = simulation(target, asked(start=START_US, count=100_000, reps=2))
    sent = run_simulate(options, target).acknowledged
    assert sent == len(list(Simulator(1, START_US, reps=2).events(now_us)))
    [warning] = target.warnings
    assert warning.startswith(
        f"from {rfc3339(START_US)} until {rfc3339(now_us)} there are fewer than the 100,000 events"
    )
    events = read(settings, settings.kafka.events_topics[0], sent)
    assert all(event.occurred_at is not None and event.occurred_at <= moment(now_us) for event in events)


def test_only_into_kafka_does_a_count_end_now_and_never_before_what_the_caller_says() -> None:
    kafka, stream = Target(Settings()), Target(Settings(), io.BytesIO())
    assert simulation(stream, asked(count=5)).until_us is None
    assert simulation(kafka, asked(count=5, live=True)).until_us is None
    assert simulation(kafka, asked(count=5, until=START_US)).until_us == START_US
    for target in (kafka, stream):
        options = simulation(target, asked())
        assert options.until_us == options.start_us + 30 * DAY_US


def test_a_simulated_future_goes_to_kafka_when_asked_for_with_a_warning(settings: Settings) -> None:
    ensure_topics(settings)
    target = Target(msgspec.structs.replace(settings, clock=ClockSettings(mode="fixed", at=moment(START_US))))
    options = simulation(target, asked(start=START_US, until=START_US + 2 * DAY_US, reps=2))
    run_simulate(options, target)
    [warning] = target.warnings
    ahead = [
        at_us
        for at_us, _ in Simulator(1, START_US, reps=2).timed(options.until_us)
        if at_us > START_US + MAX_CLOCK_SKEW_US
    ]
    assert warning.startswith(
        f"{len(ahead):,} events are more than 5 minutes ahead of this clock ({rfc3339(START_US)})"
    )


def test_what_workers_keep_and_what_goes_to_a_file_needs_no_warning(settings: Settings) -> None:
    ensure_topics(settings)
    options = SimulateOptions(start_us=START_US, count=50, reps=2)
    in_time = msgspec.structs.replace(settings, clock=ClockSettings(mode="fixed", at=moment(START_US + 60 * DAY_US)))
    for target in (Target(in_time), Target(Settings(clock=settings.clock), io.BytesIO())):
        run_simulate(options, target)
        assert target.warnings == []


def asked(**options: Any) -> dict[str, Any]:
    """The options of a command line, those that were not given included."""
    names = ("start", "until", "count", "disorder", "duplicates", "malformed")
    return {**dict.fromkeys(names[:3]), **dict.fromkeys(names[3:], 0.0), "live": False, **options}


def instant(day: str) -> int:
    return instant_us(datetime.fromisoformat(day).replace(tzinfo=UTC))


def read(settings: Settings, topic: str, count: int) -> list[Message]:
    with consumer(settings.kafka, auto_offset_reset="earliest", consumer_timeout_ms=20_000) as client:
        client.subscribe([topic])
        return [decode_message(record.value) for record in islice(client, count)]
