"""The deadlines of a turn: when each level is at risk and due, by the calendar of the owner's team (S14, S15)."""

from mypy_extensions import mypyc_attr

from processors.core.folds.scoreboards import Scoreboards
from processors.core.state.deadlines import Deadlines, Due
from processors.core.state.requests import Turn


@mypyc_attr(acyclic=True)
class DeadlineStep:
    """An instant at which something becomes true of a turn that is still open after it."""

    __slots__ = ("at_us", "due_us", "level")

    def __init__(self, at_us: int, level: str, due_us: int) -> None:
        self.at_us = at_us
        self.level = level
        self.due_us = due_us

    @property
    def is_due(self) -> bool:
        """Whether this is the deadline itself, not the warning before it."""
        return self.at_us == self.due_us

    def __lt__(self, other: "DeadlineStep") -> bool:
        return (self.at_us, self.level, self.due_us) < (other.at_us, other.level, other.due_us)


class TurnDeadlines:
    """Asks the policy for a turn's deadlines. Computed anew each time: nothing of them is kept."""

    def __init__(self, deadlines: Deadlines, scoreboards: Scoreboards) -> None:
        self._deadlines = deadlines
        self._scoreboards = scoreboards

    def due(self, turn: Turn) -> Due:
        """Level, due instant and at-risk instant of a turn: the calendar is the team's at its start (S15)."""
        # Most policies have no filters and no calendars: then neither team nor priority need be looked up.
        plain = self._deadlines.plain(turn.start_us)
        if plain is not None:
            return plain.due(turn.start_us)
        opener = turn.opener
        return self._deadlines.due(turn.start_us, self.team(turn.owner), opener.priority, opener.channel)

    def business_us(self, turn: Turn, until_us: int) -> int:
        """The working time of a turn's wait up to an instant (S12)."""
        return self._deadlines.business_us(turn.start_us, until_us, self.team(turn.owner))

    def first_us(self, turn: Turn) -> int:
        """The first instant of a turn, 0 if it has none."""
        plain = self._deadlines.plain(turn.start_us)
        if plain is not None:
            return 0 if plain.soonest_us is None else turn.start_us + plain.soonest_us
        return min(
            (due_us if at_risk_us is None else at_risk_us for _, due_us, at_risk_us in self.due(turn)), default=0
        )

    def steps(self, turn: Turn) -> list[DeadlineStep]:
        """The instants of a turn, ascending."""
        steps = []
        for level, due_us, at_risk_us in self.due(turn):
            # A warning that comes with the deadline would only be noise.
            if at_risk_us is not None and at_risk_us < due_us:
                steps.append(DeadlineStep(at_risk_us, level, due_us))
            steps.append(DeadlineStep(due_us, level, due_us))
        steps.sort()
        return steps

    def severity(self, turn: Turn, level: str) -> str:
        """The severity of one of the turn's levels, by the policy in force at its start."""
        return self._deadlines.severity(turn.start_us, level)

    def team(self, rep_id: str) -> str:
        """The rep's team."""
        return self._scoreboards.rep(rep_id).team
