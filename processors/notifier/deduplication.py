"""What was seen last of an alert, and which transitions say nothing beyond it."""

from typing import NamedTuple

from schemas.alerts import State, Transition

ENDED = "ended_overdue"
"""The reason of a breach that was found with the end of its turn: the resolution follows."""


class Seen(NamedTuple):
    """The newest step of an alert, and whether its breach is known."""

    revision: int
    state: State | None = None
    due_us: int = 0
    rep_id: str = ""
    breached: bool = False
    """The deadline that this step is about was seen to pass; False after a warning alone, though the turn has ended."""

    def after(self, transition: Transition) -> "Seen":
        """What to remember when a transition follows this step."""
        return Seen(
            transition.revision, transition.state, transition.due_us, transition.rep_id, self._is_breach(transition)
        )

    def covers(self, transition: Transition) -> bool:
        """Whether a transition says nothing beyond this step: it is the same, or one that came before it."""
        if transition.revision <= self.revision:
            return True
        if not self._is_about(transition):
            return False
        match transition.state:
            case "at_risk":
                return self.state in ("at_risk", "fired")
            case "fired":
                return self.state == "fired" or (
                    self.state == "resolved" and self.breached and transition.reason == ENDED
                )
            case _:
                return self.state == transition.state

    def _is_about(self, transition: Transition) -> bool:
        return (transition.due_us, transition.rep_id) == (self.due_us, self.rep_id)

    def _is_breach(self, transition: Transition) -> bool:
        if transition.state != "resolved":
            return transition.state == "fired"
        if self.state is None or not self._is_about(transition):
            # What led to it is compacted away: a turn that ended after its deadline had breached it (S09).
            return transition.at_us > transition.due_us
        return self.breached


UNSEEN = Seen(-1)
