"""`salespulse check`: whether everything that Salespulse needs is there, and for what is not, how to mend it."""

from collections.abc import Callable, Sequence

import msgspec
from rich.console import Console

from config.settings import Settings
from processors.ingest.clients import DEFAULT_TIMEOUT_SECONDS, admin_client
from processors.ingest.topics import examine, wanted_topics
from schemas.errors import SalespulseError, Unavailable

Probe = Callable[[], str]
"""Says in a few words what is right; raises SalespulseError with what is wrong and the mend."""


class Check(msgspec.Struct, frozen=True):
    """One thing to look at."""

    name: str
    probe: Probe


def run_checks(checks: Sequence[Check], console: Console) -> int:
    """Look at everything, print a line for each; gives the exit code: 1 if something is wrong."""
    results = [_look(check, console) for check in checks]
    wrong = results.count(False)
    console.print(f"{wrong} of {len(checks)} are wrong" if wrong else "everything is in place", highlight=False)
    return 1 if wrong else 0


def kafka_checks(settings: Settings, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> tuple[Check, ...]:
    """The broker and the topics."""
    return (
        Check("kafka", lambda: broker_answers(settings, timeout_seconds)),
        Check("topics", lambda: topics_are_right(settings, timeout_seconds)),
    )


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
    """How many topics there are; raises Unavailable with the mend for each that is missing or wrong."""
    with admin_client(settings.kafka, timeout_seconds) as admin:
        findings = examine(admin, wanted_topics(settings.kafka, settings.retention))
    problems = [finding.problem for finding in findings if finding.problem]
    if problems:
        raise Unavailable("; ".join(problems))
    return f"{len(findings)} topics with the right partitions and cleanup policies"


def _look(check: Check, console: Console) -> bool:
    try:
        said, right = check.probe(), True
    except SalespulseError as error:
        said, right = str(error), False
    mark = "[green]ok   [/green]" if right else "[red]wrong[/red]"
    console.print(f"{mark} {check.name:9}", end="", highlight=False)
    console.print(said, markup=False, highlight=False, soft_wrap=True)
    return right
