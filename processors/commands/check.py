"""`salespulse check`: what is missing or wrong in this installation, and how to fix it."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console

from config.board_settings import anonymous_role, tokens_of
from config.clock import Clock
from config.data_dir import require_data_dir
from config.load_policy import load_policy
from config.settings import Settings, exposed_files
from processors.commands.command_line import output
from processors.commands.options import CONFIG, settings_of
from processors.core.time.instants import DAY_US
from processors.kafka.admin import admin_client
from processors.kafka.compression import INSTALL_MEND, NAMES, missing
from processors.kafka.connection import DEFAULT_TIMEOUT_SECONDS
from processors.kafka.topics import all_topics, examine, problems
from processors.read_model.keys import ReadModelKeys
from processors.read_model.redis_connection import connect
from processors.read_model.redis_probe import probe_redis
from schemas.errors import Reason, SalespulseError, Unavailable, UsageError

Probe = Callable[[], "str | Caution"]
"""Returns what is right, or a caution; raises SalespulseError with what is wrong and how to fix it."""

_counts = msgspec.msgpack.Decoder(dict[str, int]).decode
_example = msgspec.msgpack.Decoder(str).decode

FIELD_BATCH_SIZE = 1000
KEYS_DAYS = 7
"""Days, today included, whose wrong record keys are reported."""


@click.command("check")
@CONFIG
def command(config_file: Path | None) -> None:
    """What is wrong here, if anything, and how to fix it.

    Exit 2 if a setting is wrong, 1 if only Kafka, a topic or Redis is.
    """
    raise SystemExit(run_checks(all_checks(settings_of(config_file)), output()))


class Caution(msgspec.Struct, frozen=True):
    """Everything needed is there, yet numbers may be wrong: why, and how to fix it."""

    why: str


class Check(msgspec.Struct, frozen=True):
    """One thing to check."""

    name: str
    probe: Probe
    needs: str | None = None
    """An earlier check that must have passed, as this one would only run into a timeout without it."""


def run_checks(checks: Sequence[Check], console: Console) -> int:
    """Run every check and print a line for each; returns the exit code.

    0: nothing is wrong; 2: a setting is; 1: only Kafka, a topic or Redis is. A warning changes nothing.
    """
    wrong: dict[str, SalespulseError] = {}
    cautions = 0
    for check in checks:
        found = _look(check, console, wrong)
        if isinstance(found, SalespulseError):
            wrong[check.name] = found
        cautions += isinstance(found, Caution)
    beware = f", {cautions} warning{'s' * (cautions != 1)}" if cautions else ""
    verdict = (f"{len(wrong)} of {len(checks)} are wrong" if wrong else "everything is in place") + beware
    console.print(verdict, highlight=False)
    return max((2 if isinstance(error, UsageError) else 1 for error in wrong.values()), default=0)


def all_checks(settings: Settings) -> tuple[Check, ...]:
    """Everything that a worker and a board need. The settings themselves were checked when they were loaded."""
    return (
        Check("policy", lambda: policy_is_right(settings)),
        Check("board", lambda: board_is_guarded(settings)),
        Check("worker", lambda: worker_may_write(settings)),
        Check("codecs", lambda: codecs_are_installed(settings)),
        *kafka_checks(settings),
        Check("redis", lambda: redis_answers(settings)),
        Check("keys", lambda: keys_are_customers(settings), needs="redis"),
    )


def kafka_checks(settings: Settings, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> tuple[Check, ...]:
    """The broker and the topics."""
    return (
        Check("kafka", lambda: broker_answers(settings, timeout_seconds)),
        Check("topics", lambda: topics_are_right(settings, timeout_seconds), needs="kafka"),
    )


def policy_is_right(settings: Settings) -> str:
    """The policy's levels and pipelines; raises ConfigError."""
    policy = load_policy(settings.policy.path)
    levels, pipelines = ", ".join(level.name for level in policy.levels), ", ".join(policy.pipelines)
    return f"{settings.policy.path}: levels {levels or 'none'}; pipelines {pipelines or 'none'}"


def board_is_guarded(settings: Settings) -> str:
    """Who may do what on the board in short; raises ConfigError when it would be left open to a network."""
    board = settings.board
    role, tokens = anonymous_role(board), len(tokens_of(board))
    parts = [f"everybody may {role}" if role else "people sign in"]
    parts += [f"{tokens} token{'s' * (tokens != 1)}"] * (tokens > 0)
    parts += [f"users by {board.user_header}"] * (board.user_header is not None)
    return "; ".join([f"{board.host}:{board.port}: {', '.join(parts)}", *exposed_files(settings)])


def worker_may_write(settings: Settings) -> str:
    """Where a worker keeps its files; raises ConfigError when it may not write there."""
    require_data_dir(settings.worker.data_dir)
    return f"keeps its files in {settings.worker.data_dir}"


def codecs_are_installed(settings: Settings) -> str:
    """Which compressed batches can be read, and up to which size; raises Unavailable for what is not installed."""
    absent = missing()
    if absent:
        raise Unavailable(f"batches compressed with {', '.join(absent)} cannot be read: {INSTALL_MEND}")
    largest = settings.kafka.max_batch_bytes
    return f"reads {', '.join(NAMES.values())}; a batch may have {largest} bytes when decompressed"


def redis_answers(settings: Settings) -> str:
    """Where Redis is; raises Unavailable, with the fix, if it lacks what workers and boards need."""
    try:
        asyncio.run(probe_redis(settings.redis))
    except Unavailable as error:
        if "does not answer" not in str(error):
            raise
        raise Unavailable(f"{error}; is it running, and are redis.url and redis.password_file right?") from error
    return f"takes and gives numbers at {settings.redis.url}, keys begin with {settings.redis.prefix}:"


def keys_are_customers(settings: Settings) -> str | Caution:
    """Whether the records of the last days had their customers as keys, by what workers noted; raises Unavailable."""
    counts, example = asyncio.run(_wrong_keys(settings))
    if not counts:
        return f"all records of the last {KEYS_DAYS} days have their customer as key, as far as workers have read"
    return Caution(
        f"{counts:,} records of the last {KEYS_DAYS} days have no key, or another one than their customer"
        f"{f', such as {example}' if example else ''}: one customer's records may be in several partitions, whose "
        "numbers are wrong then; let the sender key all records by customer_id, and see docs/runbooks/KeyMismatch.md"
    )


async def _wrong_keys(settings: Settings) -> tuple[int, str | None]:
    """How many records of the last days had another key than their customer, and an example of all that are kept."""
    connection, keys = connect(settings.redis), ReadModelKeys(settings.redis.prefix)
    first = Clock(settings.clock).now_us() // DAY_US - KEYS_DAYS + 1
    count, example = 0, None
    try:
        for partition in sorted(await connection.members(keys.partitions)):
            days: dict[bytes, bytes] = {}
            async for some in connection.scan(keys.section(partition, "quality"), FIELD_BATCH_SIZE):
                days |= some
            recent = (_counts(value) for day, value in days.items() if int(day) >= first)
            count += sum(counts.get(Reason.KEY_MISMATCH, 0) for counts in recent)
            (raw,) = await connection.fields(keys.section(partition, "examples"), [Reason.KEY_MISMATCH])
            example = example if raw is None else _example(raw)
    finally:
        await connection.close()
    return count, example


def broker_answers(settings: Settings, timeout_seconds: float) -> str:
    """How many brokers there are; raises Unavailable if there are none, or fewer than copies of the data are wanted."""
    kafka = settings.kafka
    with admin_client(kafka, timeout_seconds) as admin:
        brokers = len(admin.describe_cluster()["brokers"])
    if brokers < kafka.replication_factor:
        raise Unavailable(
            f"Kafka at {kafka.bootstrap} has {brokers} brokers, but kafka.replication_factor is "
            f"{kafka.replication_factor}: lower it to {brokers} at most, or start more brokers",
        )
    return f"{brokers} broker{'s' * (brokers != 1)} at {kafka.bootstrap}, {kafka.security_protocol}"


def topics_are_right(settings: Settings, timeout_seconds: float) -> str:
    """How many topics there are; raises Unavailable, with the fix, for each that is missing or wrong."""
    with admin_client(settings.kafka, timeout_seconds) as admin:
        findings = examine(admin, all_topics(settings))
    wrong = problems(findings)
    if wrong:
        raise Unavailable("; ".join(wrong))
    return f"{len(findings)} topics with the right partitions and cleanup policies"


def _look(check: Check, console: Console, wrong: Collection[str]) -> SalespulseError | Caution | None:
    """Run one check and print its line; returns the error or the caution."""
    try:
        if check.needs in wrong:
            raise Unavailable(f"cannot be looked at while {check.needs} is wrong")
        found = check.probe()
    except SalespulseError as error:
        _print(console, "[red]wrong[/red]", check.name, str(error))
        return error
    if isinstance(found, Caution):
        _print(console, "[yellow]warns[/yellow]", check.name, found.why)
        return found
    _print(console, "[green]ok   [/green]", check.name, found)
    return None


def _print(console: Console, mark: str, name: str, text: str) -> None:
    console.print(f"{mark} {name:9}", end="", highlight=False)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
