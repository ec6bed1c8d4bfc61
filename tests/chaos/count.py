"""What must be true after a campaign, counted in SQL from the lines that were sent: numbers, who waits, and alerts."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from processors.core.time.instants import instant_us
from tests.chaos.receiver import Letter
from tests.chaos.scene import LEVELS
from tests.chaos.watcher import items
from tests.oracle.oracle import report

COMPARED = ("responses", "customers_answered", "opportunities_created", "created_won", "won", "lost", "won_amount")
REPEATS_A_KILL = 16
"""So many messages are under way to a webhook at most, and told again after a kill."""
SHOWN = 5


class Alert(NamedTuple):
    """An alert that was due."""

    state: str
    """What it is by then: `fired` or `resolved`."""
    due_at: str


class Expected(NamedTuple):
    """What the independent count says."""

    reps: Mapping[str, Mapping[str, Any]]
    """Rep to the numbers of all time."""
    waiting: set[tuple[str, str, int]]
    """Customer, request and turn."""
    alerts: Mapping[str, Alert]
    """By their ids."""


def count(lines: Path, as_of_us: int) -> Expected:
    """Count what was sent, as of an instant (microseconds since 1970)."""
    found = report(lines, as_of_us, LEVELS)
    return Expected(
        reps={rep_id: windows["all"] for rep_id, windows in found["reps"].items()},
        waiting={_turn(request) for request in found["open_requests"]},
        alerts={each["alert_id"]: Alert(each["state"], each["due_at"]) for each in found["alerts"]},
    )


def _turn(request: Mapping[str, Any]) -> tuple[str, str, int]:
    return request["customer_id"], request["request_id"], request["turn"]


def wrong_numbers(port: int, expected: Expected) -> Iterator[str]:
    """Where the board's API says anything else."""
    shown = {rep["rep_id"]: rep["windows"]["all"] for rep in items(port, "reps?window=all")}
    for rep_id, numbers in expected.reps.items():
        yield from _wrong(rep_id, shown.get(rep_id, {}), numbers)
    waiting = {_turn(request) for request in items(port, "requests")}
    for what, some in (("is missing", expected.waiting - waiting), ("waits no more", waiting - expected.waiting)):
        if some:
            yield f"{len(some)} of {len(expected.waiting)} who wait: {what}: {sorted(some)[:SHOWN]}"


def _wrong(rep_id: str, shown: Mapping[str, Any], numbers: Mapping[str, Any]) -> Iterator[str]:
    for name in COMPARED:
        if shown.get(name) != numbers[name]:
            yield f"{rep_id}: {name} is {shown.get(name)}, not {numbers[name]}"
    for name in ("activities", "answered_within"):
        ours, theirs = Counter(shown.get(name, {})), Counter(numbers[name])
        if +ours != +theirs:
            yield f"{rep_id}: {name} are {+ours}, not {+theirs}"


class Told(NamedTuple):
    """What the receiver was told, against what it should have been."""

    wrong: list[str]
    alerts: int
    """Alerts that were to be told."""
    letters: int
    repeats: int
    """Messages that the receiver had already, or that say the same as the one before."""
    taken_back: int
    """Alerts that were false by what was known later, and were taken back."""


class Span(NamedTuple):
    """Deadlines between these instants (microseconds since 1970) are looked at."""

    from_us: int
    to_us: int

    def has(self, due_at: str) -> bool:
        """Whether a deadline (RFC 3339) is between them."""
        return self.from_us <= instant_us(datetime.fromisoformat(due_at)) <= self.to_us


def told(letters: Sequence[Letter], expected: Expected, span: Span) -> Told:
    """Compare the letters about deadlines of a span with the alerts that were due."""
    by_alert: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for letter in letters:
        by_alert[letter.body["alert_id"]].append(letter.body)
    wanted = {alert_id: alert for alert_id, alert in expected.alerts.items() if span.has(alert.due_at)}
    false = {
        alert_id: found
        for alert_id, found in by_alert.items()
        if alert_id not in expected.alerts and all(span.has(body["due_at"]) for body in found)
    }
    wrong = [*_missing(wanted, by_alert), *_false(false), *_disordered(by_alert)]
    taken_back = sum(1 for found in false.values() if found[-1]["state"] == "retracted")
    repeats = sum(_repeats(found) for found in by_alert.values())
    return Told(wrong, len(wanted), len(letters), repeats, taken_back)


def _missing(wanted: Mapping[str, Alert], by_alert: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    for alert_id, alert in wanted.items():
        states = [body["state"] for body in by_alert.get(alert_id, ())]
        if "fired" not in states:
            yield f"never told that {alert_id} was due at {alert.due_at}; told was {states}"
        elif states[-1] != alert.state:
            yield f"{alert_id} is {alert.state}; told was {states}"


def _false(false: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    for alert_id, found in false.items():
        states = [body["state"] for body in found]
        if "fired" in states and states[-1] != "retracted":
            yield f"a false alarm that stays: {alert_id} was not due; told was {states}"


def _disordered(every: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    for alert, found in every.items():
        revisions = list(dict.fromkeys(body["revision"] for body in found))
        if revisions != sorted(revisions):
            yield f"{alert} was told out of order: revisions {revisions}"


def _repeats(found: Sequence[Mapping[str, Any]]) -> int:
    """How many of an alert's messages say nothing new."""
    keys = [body["key"] for body in found]
    said = [(body["state"], body["due_at"], body["rep_id"]) for body in found]
    same = sum(1 for before, after in pairwise(said) if before == after)
    return max(len(keys) - len(set(keys)), same)
