"""What was seen last of an alert, and which transitions say nothing beyond it."""

from typing import NamedTuple

from schemas.alerts import State, Transition

ENDED = "ended_overdue"
"""The reason of a breach that was found with the end of its turn: the resolution follows."""


class Seen(NamedTuple):
    """The newest step of an alert."""

    revision: int
    state: State | None = None
    due_us: int = 0
    rep_id: str = ""

    @classmethod
    def of(cls, transition: Transition) -> "Seen":
        """What to remember of a transition."""
        return cls(transition.revision, transition.state, transition.due_us, transition.rep_id)

    def covers(self, transition: Transition) -> bool:
        """Whether a transition says nothing beyond this step: it is the same, or one that came before it."""
        if transition.revision <= self.revision:
            return True
        if (transition.due_us, transition.rep_id) != (self.due_us, self.rep_id):
            return False
        match transition.state:
            case "at_risk":
                return self.state in ("at_risk", "fired")
            case "fired":
                return self.state == "fired" or (self.state == "resolved" and transition.reason == ENDED)
            case _:
                return self.state == transition.state


UNSEEN = Seen(-1)
