"""Entries of the directory that are none: one dead letter of each, however many workers read it and however often."""

from pathlib import Path
from typing import Any

import msgspec

from config.settings import Settings
from processors.agents.directory_dead_letters import REPORTING_PARTITION
from processors.agents.journal_format import decode_segment
from processors.commands.dead_letters import latest, replay_mended, values
from processors.commands.verify import verify
from processors.kafka.timed_messages import from_messages
from schemas.events import RepUpdated
from tests.integration.stack import ReadModel, Worker, records, send_raw, wait_until, worker

BAD = {
    "cut": (b'{"type": "rep.updated",', "malformed"),
    "nameless": (b'{"type":"rep.updated","rep_id":"nameless"}', "malformed"),
    "martian": (b'{"type":"rep.updated","rep_id":"martian","name":"M","time_zone":"Mars/Olympus"}', "malformed"),
    "nobody": (b'{"type":"rep.updated","rep_id":"_unassigned","name":"Triage","team":"north"}', "malformed"),
    "odd": (b'{"type":"rep.invented","rep_id":"odd","name":"Odd"}', "unknown_type"),
}


def announce(settings: Settings, *entries: tuple[bytes, bytes]) -> None:
    send_raw(settings, [(0, key, value) for key, value in entries], settings.kafka.reps_topic)


def letters(settings: Settings) -> list[tuple[str, str]]:
    """Key and reason of every dead letter, each of which says where its entry lies."""
    found: list[Any] = records(settings, settings.kafka.dead_letters_topic)
    for letter in found:
        headers = dict(letter.headers)
        assert headers["topic"] == settings.kafka.reps_topic.encode()
        assert headers["offset"].isdigit()
    return sorted((letter.key.decode(), dict(letter.headers)["reason"].decode()) for letter in found)


def wanted(*names: str) -> list[tuple[str, str]]:
    return sorted((name, BAD[name][1]) for name in names)


def read_by(running: Worker, count: int) -> bool:
    """Whether a worker has read so many refused entries."""
    bad = ("malformed", "unknown_type")
    page = running.page()
    return sum(page.total("salespulse_events_total", type="rep.updated", result=result) for result in bad) >= count


def speaks(running: Worker) -> bool:
    """Whether a worker owns the part whose owner speaks of the directory."""
    return str(REPORTING_PARTITION) in running.page().totals_by("salespulse_consumer_lag_records", "partition")


def is_durable(settings: Settings, count: int) -> bool:
    """Whether the journal says that so many entries of the directory were told."""
    written = [record.value for record in records(settings, settings.kafka.journal_topic) if record.value is not None]
    return any(decode_segment(value).directory_reported_to == {0: count} for value in written)


def test_of_several_workers_one_writes_the_dead_letters_of_the_directory_and_its_successor_goes_on(
    settings: Settings, tmp_path: Path
) -> None:
    *names, last = BAD
    announce(settings, *((name.encode(), BAD[name][0]) for name in names))
    with worker(settings, tmp_path) as one, worker(settings, tmp_path) as two:
        wait_until(lambda: letters(settings) == wanted(*names), "what was there at the start", one, two)
        wait_until(lambda: one.owns(2) and two.owns(2), "both share the partitions", one, two)
        wait_until(lambda: speaks(one) or speaks(two), "one speaks", one, two)
        speaker, other = (one, two) if speaks(one) else (two, one)
        announce(settings, (last.encode(), BAD[last][0]))
        wait_until(lambda: letters(settings) == wanted(*BAD), "what came while both ran", one, two)
        wait_until(lambda: read_by(one, len(BAD)) and read_by(two, len(BAD)), "both read it all", one, two)
        wait_until(lambda: is_durable(settings, len(BAD)), "how far was told is durable", one, two)
        speaker.process.kill()
        announce(settings, (b"late", b"{"))
        wait_until(lambda: other.owns(4) and len(letters(settings)) > len(BAD), "the successor's", other)
        assert letters(settings) == sorted([*wanted(*BAD), ("late", "malformed")])


def test_a_restart_writes_no_dead_letter_of_the_directory_again(settings: Settings, tmp_path: Path) -> None:
    model = ReadModel(settings)
    announce(settings, *((name.encode(), value) for name, (value, _) in BAD.items()))
    with worker(settings, tmp_path) as running:
        wait_until(lambda: letters(settings) == wanted(*BAD), "the dead letters", running)
        assert running.process.stop() == 0

    with worker(settings, tmp_path) as again:
        wait_until(lambda: again.owns(4) and read_by(again, len(BAD)), "it was read again", again)
        announce(settings, (b"late", b"{"))
        wait_until(lambda: len(letters(settings)) > len(BAD), "a later one", again)
        wait_until(lambda: model.quality("malformed") == len(BAD), "the data quality", again)

        assert letters(settings) == sorted([*wanted(*BAD), ("late", "malformed")])
        assert model.quality("unknown_type") == 1
        assert again.page().total("salespulse_dead_letters_total") == 1
        assert verify(settings).differences == []
    assert model.reps() == {}


def test_what_an_earlier_version_took_gives_way_to_what_stays(settings: Settings, tmp_path: Path) -> None:
    former = RepUpdated(rep_id="martian", name="Former")
    taken = [msgspec.json.decode(BAD[name][0], type=RepUpdated) for name in ("martian", "nobody")]
    announce(
        settings,
        (b"martian", msgspec.json.encode(former)),
        (b"martian", BAD["martian"][0]),
        (b"_unassigned", BAD["nobody"][0]),
    )
    model = ReadModel(settings)
    for offset, rep in enumerate(taken, 1):
        model.put_rep(rep, offset)

    with worker(settings, tmp_path) as running:
        wait_until(lambda: model.reps() == {"martian": msgspec.msgpack.encode(former)}, "only what stays", running)


def test_a_mended_entry_goes_back_to_the_directory(settings: Settings, tmp_path: Path) -> None:
    model = ReadModel(settings)
    good = RepUpdated(rep_id="martian", name="M", time_zone="Europe/Rome")
    announce(settings, (b"martian", BAD["martian"][0]))
    mended = tmp_path / "mended.jsonl"
    with worker(settings, tmp_path) as running:
        wait_until(lambda: len(latest(settings, 9, None)[0]) == 1, "its dead letter", running)
        mended.write_bytes(values(latest(settings, 9, None)[0]).replace(b"Mars/Olympus", b"Europe/Rome"))
        assert replay_mended(settings, str(mended)) == 1
        wait_until(lambda: "martian" in model.reps(), "the mended entry", running)
    assert msgspec.msgpack.decode(model.reps()["martian"], type=RepUpdated) == good
    ((_, key, _),) = from_messages([good])
    assert [record.key for record in records(settings, settings.kafka.reps_topic)] == [key, key]
