"""`salespulse dead-letters`: what could not count, with its reason; mended ones go back to where they came from."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from heapq import nlargest
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from config.settings import KafkaSettings, Settings
from processors.commands.command_line import output
from processors.commands.options import CONFIG, settings_of
from processors.commands.printable import printable
from processors.core.time.instants import rfc3339
from processors.kafka.producer import producer
from processors.kafka.timed_messages import key_of
from processors.kafka.topic_reader import TopicRecord, read_topics
from schemas.codec import decode_message
from schemas.errors import BadRecord, Reason, UsageError
from schemas.events import Message, RepUpdated

MAX_SHOWN_BYTES = 100
MAX_DIGITS = 20


@click.command("dead-letters")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="at most this many, the newest"
)
@click.option(
    "--reason", type=click.Choice([why.value for why in Reason]), metavar="REASON", help="only of this reason"
)
@click.option("--replay", "mended", metavar="FILE", help="send corrected records (JSONL, - for standard input) back")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "values"]),
    default="table",
    show_default=True,
    help="values: what was sent, one a line, to be corrected and sent back",
)
@CONFIG
def command(limit: int, reason: str | None, mended: str | None, form: str, config_file: Path | None) -> None:
    """What could not be counted, and why; resends corrected ones."""
    settings = settings_of(config_file)
    if mended is not None:
        click.echo(f"{replay_mended(settings, mended)} mended records sent back")
        return
    letters, counts = latest(settings, limit, reason)
    if form == "table":
        print_dead_letters(letters, counts, output())
    else:
        click.echo(as_json(letters) if form == "json" else values(letters), nl=False)


def latest(settings: Settings, limit: int, reason: str | None) -> tuple[list[TopicRecord], Counter[str]]:
    """The newest dead letters of a reason (or of all), oldest first, and how many there are of each reason."""
    counts: Counter[str] = Counter()

    def wanted() -> Iterator[TopicRecord]:
        for record in read_topics(settings.kafka, (settings.kafka.dead_letters_topic,)):
            why = record.headers.get("reason", "unknown")
            counts[why] += 1
            if reason in (None, why):
                yield record

    newest = nlargest(limit, wanted(), key=_by_age)
    return sorted(newest, key=_by_age), counts


def _by_age(letter: TopicRecord) -> tuple[int, int, int]:
    return letter.timestamp_ms, letter.partition, letter.offset


def as_json(records: list[TopicRecord]) -> str:
    """The dead letters as JSON lines, for programs."""
    return "".join(f"{json.dumps(_fields(record), ensure_ascii=False)}\n" for record in records)


def values(records: list[TopicRecord]) -> bytes:
    """What was sent, one a line: to be mended in an editor and put back."""
    return b"".join((record.value or b"").replace(b"\n", b" ") + b"\n" for record in records)


def _number(text: str | None) -> int | None:
    """A number of ours, or nothing: anybody may write headers."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < MAX_DIGITS else None


def _fields(record: TopicRecord) -> dict[str, str | int | None]:
    headers = record.headers
    return {
        "topic": headers.get("topic"),
        "partition": _number(headers.get("partition")),
        "offset": _number(headers.get("offset")),
        "last_offset": _number(headers.get("last_offset")),
        "group": headers.get("group"),
        "reason": headers.get("reason"),
        "detail": headers.get("detail"),
        "said_at": rfc3339(record.timestamp_ms * 1000),
        "key": (record.key or b"").decode("utf-8", "replace"),
        "value": (record.value or b"").decode("utf-8", "replace"),
    }


def print_dead_letters(records: list[TopicRecord], counts: Counter[str], console: Console) -> None:
    """A table for people."""
    table = Table("from", "reason", "detail", "value", title="Dead letters", title_justify="left")
    for record in records:
        headers = record.headers
        position = f"{headers.get('topic', '?')}/{headers.get('partition', '?')}@{headers.get('offset', '?')}"
        value = (record.value or b"")[:MAX_SHOWN_BYTES].decode("utf-8", "replace")
        table.add_row(position, headers.get("reason", "?"), printable(headers.get("detail", "")), printable(value))
    console.print(table)
    console.print(", ".join(f"{reason} {count}" for reason, count in counts.most_common()) or "there are none")


def replay_mended(settings: Settings, file: str) -> int:
    """Put mended events and directory entries back to their topics (JSONL, `-` for standard input); how many.

    All lines are checked first: with one bad line nothing is sent. Raises UsageError, Unavailable.
    """
    lines = sys.stdin.buffer.read().splitlines() if file == "-" else _lines(file)
    mended = [_mended(file, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    kafka = settings.kafka
    with producer(kafka) as client:
        sent = [client.send(_topic_of(kafka, one), key=key_of(one), value=line) for one, line in mended]
        client.flush()
        for future in sent:
            future.get(timeout=30)
    return len(mended)


def _topic_of(kafka: KafkaSettings, message: Message) -> str:
    return kafka.reps_topic if isinstance(message, RepUpdated) else kafka.events_topics[0]


def _lines(file: str) -> list[bytes]:
    try:
        return Path(file).read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; a JSONL file of mended events is expected") from error


def _mended(file: str, number: int, line: bytes) -> tuple[Message, bytes]:
    try:
        return decode_message(line), line.strip()
    except BadRecord as error:
        raise UsageError(f"{file}:{number}: {error}; nothing was sent: mend this line first") from error
