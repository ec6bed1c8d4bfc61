"""The topics: what they should be, what they are, and how to create or mend them."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import monotonic, sleep
from typing import Any, TypeVar

import msgspec
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import InvalidConfigurationError, InvalidRequestError, TopicAlreadyExistsError, for_code
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from config.settings import KafkaSettings, RetentionSettings, Settings
from processors.core.time.instants import DAY_MS
from processors.kafka.admin import admin_client
from schemas.errors import Unavailable

T = TypeVar("T")

DEAD_LETTER_RETENTION_DAYS = 30
DELETE, COMPACT = frozenset({"delete"}), frozenset({"compact"})
LARGE_RECORDS = {"max.message.bytes": str(8 * 1024 * 1024)}
"""Even a record that is far too large must reach the dead letters, so these topics accept it."""
SMALL_RECORDS = {"max.message.bytes": str(1024 * 1024)}
"""Records of the other topics have a few hundred bytes."""
MAX_AHEAD = {"message.timestamp.after.max.ms": str(3600 * 1000)}
"""Timestamps further ahead are refused to the sender: such a record would outlive retention."""
NO_BOUNDS: dict[str, str] = {}
READY_TIMEOUT_MS = 30_000
POLL_SECONDS = 0.2
JOURNAL_CONFIGS = {"segment.bytes": str(64 * 1024 * 1024), "segment.ms": "3600000", "min.cleanable.dirty.ratio": "0.1"}
"""The journal's last records are rewritten often. Small segments let compaction drop the superseded ones soon."""
CREATE_MEND = "run `salespulse topics`"
EVENTS_MEND = (
    "set kafka.partitions to what the topic has if it was made so; adding partitions to a topic in use moves customers "
    "away from their history: then stop all workers and producers, and run `salespulse topics --grow N`"
)
JOURNAL_MEND = "set kafka.group to another name, then run `salespulse topics`: the workers read all events anew"


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it should be."""

    name: str
    purpose: str
    cleanup: frozenset[str]
    """`delete`, `compact` or both."""
    partitions: int
    """The number to create it with."""
    exact: str | None = None
    """How to mend another number of partitions; None: any number will do."""
    replication_factor: int = 1
    configs: dict[str, str] = {}
    """More settings to create it with. An existing topic may differ."""
    bounds: dict[str, str] = {}
    """Like `configs`, for brokers that know them: Apache Kafka from 3.6 on."""


class TopicState(msgspec.Struct, frozen=True):
    """A topic as it is."""

    partitions: int
    cleanup: frozenset[str]


class Finding(msgspec.Struct, frozen=True):
    """A topic as it should be, as it is (None: missing), and its problem with the mend (None: it is right)."""

    spec: TopicSpec
    state: TopicState | None
    problem: str | None


def wanted_topics(kafka: KafkaSettings, retention: RetentionSettings) -> tuple[TopicSpec, ...]:
    """Every topic that workers read or write. Dead letters are kept as long as the events, because `verify` needs both.

    A record so old that retention would drop it at once is refused, so that its sender notices.
    """
    kept_ms = str((retention.roots_days + retention.slack_days) * DAY_MS)
    kept = {"retention.ms": kept_ms}
    bounds = MAX_AHEAD | {"message.timestamp.before.max.ms": kept_ms}
    partitioned = partial(_spec, kafka, partitions=kafka.partitions)
    return (
        *(
            partitioned(name, "events of customers", DELETE, LARGE_RECORDS | kept, bounds, exact=EVENTS_MEND)
            for name in kafka.events_topics
        ),
        partitioned(
            kafka.journal_topic, "the workers' state", COMPACT, LARGE_RECORDS | JOURNAL_CONFIGS, exact=JOURNAL_MEND
        ),
        _spec(kafka, kafka.reps_topic, "directory of reps", COMPACT, SMALL_RECORDS, MAX_AHEAD),
        _spec(kafka, kafka.dead_letters_topic, "dead letters", DELETE, LARGE_RECORDS | kept),
        _spec(kafka, kafka.alerts_topic, "alert transitions", DELETE | COMPACT, SMALL_RECORDS | kept),
    )


def all_topics(settings: Settings) -> tuple[TopicSpec, ...]:
    """The topics of the workers and of the notifier."""
    kafka, retention, notifier = settings.kafka, settings.retention, settings.notifier
    kept = {"retention.ms": str((retention.roots_days + retention.slack_days) * DAY_MS)}
    letters = {"retention.ms": str(DEAD_LETTER_RETENTION_DAYS * DAY_MS)}
    return (
        *wanted_topics(kafka, retention),
        _spec(kafka, notifier.log_topic, "what receivers were told", DELETE | COMPACT, SMALL_RECORDS | kept),
        _spec(kafka, notifier.acks_topic, "acknowledged and snoozed turns", DELETE | COMPACT, SMALL_RECORDS | kept),
        _spec(kafka, notifier.dead_letters_topic, "refused notifications", DELETE, LARGE_RECORDS | letters),
    )


def create_missing(admin: KafkaAdminClient, specs: Sequence[TopicSpec]) -> list[str]:
    """Create missing topics and wait until they are usable; returns their names. Existing topics stay as they are."""
    present = set(admin.list_topics())
    missing = [spec for spec in specs if spec.name not in present]
    created = [spec.name for spec in missing if _create(admin, spec)]
    admin.wait_for_topics([spec.name for spec in missing], timeout_ms=READY_TIMEOUT_MS)
    return created


def examine(admin: KafkaAdminClient, specs: Sequence[TopicSpec]) -> list[Finding]:
    """Compare the topics with their specs. Asks for existing ones only, because some brokers create on asking."""
    present = sorted({spec.name for spec in specs} & set(admin.list_topics()))
    partitions = (
        {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(present)} if present else {}
    )
    cleanup = {name: _cleanup(admin, name) for name in present}
    states = {name: TopicState(partitions[name], cleanup[name]) for name in present}
    return [Finding(spec, states.get(spec.name), _problem(spec, states.get(spec.name))) for spec in specs]


def examine_new(admin: KafkaAdminClient, specs: Sequence[TopicSpec], created: Sequence[str]) -> list[Finding]:
    """Like `examine`, when some were just created: not every node of a cluster knows those at once."""
    deadline = monotonic() + READY_TIMEOUT_MS / 1000
    while True:
        findings = examine(admin, specs)
        if not any(finding.problem and finding.spec.name in created for finding in findings) or monotonic() > deadline:
            return findings
        sleep(POLL_SECONDS)


def ensure_topics(settings: Settings) -> list[str]:
    """Create missing topics; returns their names. Raises Unavailable with the mend if one is not as it should be."""
    specs = all_topics(settings)
    with admin_client(settings.kafka) as admin:
        created = create_missing(admin, specs)
        wrong = problems(examine_new(admin, specs, created))
    if wrong:
        raise Unavailable("; ".join(wrong))
    return created


def run_topics(settings: Settings, console: Console, *, create: bool) -> int:
    """Create missing topics if `create`, print all with their problems; returns the exit code, 1 if one is wrong."""
    specs = all_topics(settings)
    with admin_client(settings.kafka) as admin:
        created = create_missing(admin, specs) if create else []
        findings = examine_new(admin, specs, created)
    console.print(_table(findings, created))
    wrong = problems(findings)
    for problem in wrong:
        console.print(problem, soft_wrap=True, highlight=False, markup=False)
    return 1 if wrong else 0


def problems(findings: Sequence[Finding]) -> list[str]:
    """All problems with their mends. Missing topics have the same mend, so they share a line."""
    missing = [finding.spec.name for finding in findings if finding.state is None]
    reported = (
        [f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: {CREATE_MEND}"] if missing else []
    )
    return reported + [finding.problem for finding in findings if finding.state is not None and finding.problem]


def _spec(  # noqa: PLR0913 -- each is a column of the table above
    kafka: KafkaSettings,
    name: str,
    purpose: str,
    cleanup: frozenset[str],
    configs: dict[str, str],
    bounds: dict[str, str] = NO_BOUNDS,
    *,
    partitions: int = 1,
    exact: str | None = None,
) -> TopicSpec:
    """A topic with the replication of the settings. All replicas but one must have a record before it counts."""
    copies = kafka.replication_factor
    return TopicSpec(
        name=name,
        purpose=purpose,
        cleanup=cleanup,
        partitions=partitions,
        exact=exact,
        replication_factor=copies,
        configs=configs | {"min.insync.replicas": str(max(1, copies - 1))},
        bounds=bounds,
    )


def _create(admin: KafkaAdminClient, spec: TopicSpec) -> bool:
    """Create a topic, with its bounds if the broker knows them; False if it exists. Raises Unavailable."""
    result = _ask_for(admin, spec, spec.bounds)
    if spec.bounds and result["error_code"] in (InvalidConfigurationError.errno, InvalidRequestError.errno):
        result = _ask_for(admin, spec, NO_BOUNDS)
    if result["error_code"] == TopicAlreadyExistsError.errno:  # another process was faster
        return False
    if result["error_code"]:
        raise Unavailable(f"{spec.name} cannot be created: {result['error_message'] or for_code(result['error_code'])}")
    return True


def _ask_for(admin: KafkaAdminClient, spec: TopicSpec, bounds: dict[str, str]) -> dict[str, Any]:
    options = {
        "num_partitions": spec.partitions,
        "replication_factor": spec.replication_factor,
        "configs": {"cleanup.policy": ",".join(sorted(spec.cleanup)), **spec.configs, **bounds},
    }
    result: dict[str, Any] = admin.create_topics({spec.name: options}, raise_errors=False)["topics"][0]
    return result


def _cleanup(admin: KafkaAdminClient, name: str) -> frozenset[str]:
    """The cleanup policy; Kafka's default if the broker does not name one."""
    resource = ConfigResource(ConfigResourceType.TOPIC, name)
    answer = admin.describe_configs([resource], config_filter="all")
    policy = answer["topic"][name].get("cleanup.policy", {}).get("value") or "delete"
    return frozenset(policy.replace(" ", "").split(","))


def _problem(spec: TopicSpec, state: TopicState | None) -> str | None:
    if state is None:
        return f"{spec.name} is missing: {CREATE_MEND}"
    return next(_faults(spec, state), None)


def _faults(spec: TopicSpec, state: TopicState) -> Iterator[str]:
    if spec.exact and state.partitions != spec.partitions:
        yield (f"{spec.name} has {state.partitions} partitions, kafka.partitions is {spec.partitions}: {spec.exact}")
    if state.cleanup != spec.cleanup:
        policy = ",".join(sorted(spec.cleanup))
        yield (
            f"{spec.name} has cleanup.policy {','.join(sorted(state.cleanup))}, it must be {policy}: run "
            f"`kafka-configs.sh --bootstrap-server ... --alter --entity-type topics --entity-name {spec.name} "
            f"--add-config cleanup.policy=[{policy}]`"
        )


def _table(findings: Sequence[Finding], created: Sequence[str]) -> Table:
    table = Table(Column("topic", overflow="fold"), "partitions", "cleanup", "", "for", box=SIMPLE_HEAD)
    for finding in findings:
        spec, state = finding.spec, finding.state
        partitions, cleanup = (state.partitions, state.cleanup) if state else (None, None)
        table.add_row(
            spec.name,
            _compared(partitions, spec.partitions if spec.exact else partitions, str),
            _compared(cleanup, spec.cleanup, lambda policy: ",".join(sorted(policy))),
            "wrong" if finding.problem else "created" if spec.name in created else "ok",
            spec.purpose,
        )
    return table


def _compared(found: T | None, wanted: T | None, show: Callable[[T], str]) -> str:
    """The value found and, if another was wanted, that one too."""
    shown = "-" if found is None else show(found)
    return shown if found is None or wanted is None or found == wanted else f"{shown}, not {show(wanted)}"
