"""What other levels and calendars would have meant: the same history under one policy, or under two and side by side.

Alerts are deadlines that a turn went past: each would have called somebody. Breaches are those that count: turns that
were withdrawn or were spam do not (S06). Both belong to the owner at the due instant (S08).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from processors.core.ledger.ledger import Ledger
from processors.core.reports.replay import Replay
from processors.core.state.directory import Directory
from processors.core.time.instants import DAY_US, HOUR_US, rfc3339
from processors.core.time.zones import zone_days
from schemas.alerts import Transition
from schemas.errors import BadRecord
from schemas.events import Message
from schemas.policy import Policy

HOURS_OF_WEEK = 168
NOT_COUNTED = frozenset({"withdrawn", "spam"})
_MONDAY = 3
"""1970-01-01 was a Thursday: so many days after a Monday."""

Key = tuple[str, str, int, str]
"""Customer, request, turn and level."""


class PassedDeadline(NamedTuple):
    """A deadline that a turn went past."""

    key: Key
    rep_id: str
    due_us: int
    counts: bool
    """Whether it is a breach."""
    hour: int
    """Hour of the week by the rep's wall clock, 0 = Monday from midnight to 1 o'clock."""


class DeadlineCount(msgspec.Struct):
    """Deadlines that were passed."""

    alerts: int = 0
    breaches: int = 0


class LevelCount(msgspec.Struct):
    """What a level would have done."""

    turns: int
    """Turns that the level is about; withdrawn ones and spam are not."""
    alerts: int
    breaches: int
    missed: float | None
    """breaches / turns; None: no turns."""


class RepCount(msgspec.Struct):
    """What a rep would have got."""

    team: str
    alerts: int
    breaches: int
    levels: dict[str, int]
    """Level to alerts."""


class PolicyOutcome(msgspec.Struct):
    """History under one policy."""

    policy: str
    total: DeadlineCount
    levels: dict[str, LevelCount]
    reps: dict[str, RepCount]
    hours: dict[str, list[int]]
    """Level to alerts by hour of the week, Monday 0 o'clock first, by each rep's wall clock."""


class PolicyDifference(msgspec.Struct):
    """From one policy to another. Shares are of the breaches before; None: there were none."""

    alerts_added: int
    alerts_removed: int
    alerts_moved: int
    """In both, at another instant."""
    breaches_before: int
    breaches_after: int
    breaches_added: int
    breaches_removed: int
    added_share: float | None
    removed_share: float | None


class PolicyComparison(msgspec.Struct):
    """What changes from the old policy to the new one."""

    total: PolicyDifference
    levels: dict[str, PolicyDifference]
    reps: dict[str, PolicyDifference]
    hours: list[int]
    """Alerts more (or fewer) by hour of the week."""
    causes: dict[str, PolicyDifference] | None
    """First other `calendars` (with teams and zones), then other `levels`; None: a policy has versions, and
    the causes cannot be separated."""


class BacktestReport(msgspec.Struct):
    """The result of a backtest."""

    as_of: str
    events: dict[str, int]
    new: PolicyOutcome
    old: PolicyOutcome | None
    comparison: PolicyComparison | None


class Backtest:
    """Folds the same messages under every policy that is needed."""

    def __init__(self, new: Policy, old: Policy | None = None, as_of_us: int | None = None) -> None:
        """Without `as_of_us` time ends with the newest event."""
        self._new = Replay(new, as_of_us)
        self._old = Replay(old, as_of_us) if old is not None else None
        between = _old_levels_new_calendars(new, old) if old is not None else None
        self._between = Replay(between, as_of_us) if between is not None else None
        self._runs = [run for run in (self._new, self._old, self._between) if run is not None]

    def add(self, message: Message) -> None:
        """Apply one message under every policy."""
        for run in self._runs:
            run.add(message)

    def count_bad(self, error: BadRecord) -> None:
        """Count something that is not even a message."""
        self._new.counts["read"] += 1
        self._new.count_bad(error)

    def report(self, new_name: str, old_name: str = "") -> BacktestReport:
        """The report at the end; the names are those of the policies."""
        end_us = max(run.finish() for run in self._runs)
        new = list(_passed(self._new, end_us))
        old = list(_passed(self._old, end_us)) if self._old is not None else None
        return BacktestReport(
            as_of=rfc3339(end_us),
            events=self._new.counts,
            new=_side(new_name, self._new, new),
            old=_side(old_name, self._old, old) if self._old is not None and old is not None else None,
            comparison=_compare(old, new, self._between_passed(end_us)) if old is not None else None,
        )

    def _between_passed(self, end_us: int) -> list[PassedDeadline] | None:
        return list(_passed(self._between, end_us)) if self._between is not None else None


def _old_levels_new_calendars(new: Policy, old: Policy) -> Policy | None:
    """The step between two policies, which tells the causes of differences apart."""
    if new.versions or old.versions:
        return None
    return msgspec.structs.replace(
        old, calendars=new.calendars, teams=new.teams, calendar=new.calendar, time_zone=new.time_zone
    )


def _passed(run: Replay, end_us: int) -> Iterator[PassedDeadline]:
    for ledger in run.ledgers:
        for transition in ledger.view().passed_deadlines(end_us):
            key = (transition.customer_id, transition.request_id, transition.turn, transition.level)
            hour = _hour_of_week(run.directory, transition)
            yield PassedDeadline(key, transition.rep_id, transition.due_us, transition.reason not in NOT_COUNTED, hour)


def _hour_of_week(directory: Directory, transition: Transition) -> int:
    zone = zone_days(directory.zone(transition.rep_id))
    local_us = transition.due_us + zone.span(transition.due_us)[2]
    return (local_us // DAY_US + _MONDAY) % 7 * 24 + local_us % DAY_US // HOUR_US


def _side(policy: str, run: Replay, passed: list[PassedDeadline]) -> PolicyOutcome:
    turns = Counter(level for ledger in run.ledgers for level in _levels_of_turns(ledger))
    levels = {level: LevelCount(count, 0, 0, None) for level, count in sorted(turns.items())}
    side = PolicyOutcome(policy, DeadlineCount(), levels, {}, {})
    for one in passed:
        _add(side, one, run.directory)
    for count in levels.values():
        count.missed = count.breaches / count.turns if count.turns else None
    side.reps = dict(sorted(side.reps.items()))
    return side


def _levels_of_turns(ledger: Ledger) -> Iterator[str]:
    """The levels of every turn that counts, ended or open."""
    view = ledger.view()
    for turn in view.turns():
        if turn.ending not in NOT_COUNTED:
            yield from (level for level, _, _ in view.due(turn))
    for request in view.open_requests():
        yield from request.due_us


def _add(side: PolicyOutcome, passed: PassedDeadline, directory: Directory) -> None:
    name = passed.key[3]
    level = side.levels.setdefault(name, LevelCount(0, 0, 0, None))
    rep = side.reps.get(passed.rep_id)
    if rep is None:
        rep = side.reps[passed.rep_id] = RepCount(directory.team(passed.rep_id), 0, 0, {})
    for count in (side.total, level, rep):
        count.alerts += 1
        count.breaches += passed.counts
    rep.levels[name] = rep.levels.get(name, 0) + 1
    side.hours.setdefault(name, [0] * HOURS_OF_WEEK)[passed.hour] += 1


def _compare(
    old: list[PassedDeadline], new: list[PassedDeadline], between: list[PassedDeadline] | None
) -> PolicyComparison:
    hours = [0] * HOURS_OF_WEEK
    for sign, side in ((-1, old), (1, new)):
        for one in side:
            hours[one.hour] += sign
    causes = None
    if between is not None:
        causes = {"calendars": _difference(old, between), "levels": _difference(between, new)}
    return PolicyComparison(
        total=_difference(old, new),
        levels=_differences(old, new, lambda one: one.key[3]),
        reps=_differences(old, new, lambda one: one.rep_id),
        hours=hours,
        causes=causes,
    )


def _differences(
    old: list[PassedDeadline], new: list[PassedDeadline], name_of: Callable[[PassedDeadline], str]
) -> dict[str, PolicyDifference]:
    sides: dict[str, tuple[list[PassedDeadline], list[PassedDeadline]]] = {}
    for index, side in enumerate((old, new)):
        for one in side:
            sides.setdefault(name_of(one), ([], []))[index].append(one)
    return {name: _difference(*both) for name, both in sorted(sides.items())}


def _difference(old: Iterable[PassedDeadline], new: Iterable[PassedDeadline]) -> PolicyDifference:
    before, after = ({one.key: one for one in side} for side in (old, new))
    added = [one for key, one in after.items() if key not in before]
    removed = [one for key, one in before.items() if key not in after]
    moved = sum(before[key].due_us != one.due_us for key, one in after.items() if key in before)
    breaches_before, breaches_after, breaches_added, breaches_removed = (
        sum(one.counts for one in side) for side in (before.values(), after.values(), added, removed)
    )
    return PolicyDifference(
        alerts_added=len(added),
        alerts_removed=len(removed),
        alerts_moved=moved,
        breaches_before=breaches_before,
        breaches_after=breaches_after,
        breaches_added=breaches_added,
        breaches_removed=breaches_removed,
        added_share=breaches_added / breaches_before if breaches_before else None,
        removed_share=breaches_removed / breaches_before if breaches_before else None,
    )
