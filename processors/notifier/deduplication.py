"""Which transitions repeat what was already seen of an alert.

Workers send a transition again after a crash, perhaps under a newer revision. Revisions alone do not distinguish a
repetition from news, so the content is compared with that of the last transition.
"""

from typing import NamedTuple

from schemas.alerts import State, Transition

ENDED_OVERDUE = "ended_overdue"
"""The reason of a breach that was found only with the end of its turn: the resolution follows."""


class LastSeen(NamedTuple):
    """The newest transition of an alert, and whether its breach is known."""

    revision: int
    state: State | None = None
    due_us: int = 0
    rep_id: str = ""
    breached: bool = False
    """The deadline was seen to pass. False after a warning alone, even if the turn has ended since."""

    def after(self, transition: Transition) -> "LastSeen":
        """What to keep when this transition follows."""
        return LastSeen(
            transition.revision, transition.state, transition.due_us, transition.rep_id, self._is_breach(transition)
        )

    def covers(self, transition: Transition) -> bool:
        """Whether a transition says nothing new: it is the same, or one that comes before what was seen."""
        if transition.revision <= self.revision:
            return True
        if not self._is_about_same_deadline(transition):
            return False
        match transition.state:
            case "at_risk":
                return self.state in ("at_risk", "fired")
            case "fired":
                # A worker that finds the breach with the end of the turn sends both again: the breach is known.
                return self.state == "fired" or (
                    self.state == "resolved" and self.breached and transition.reason == ENDED_OVERDUE
                )
            case _:
                return self.state == transition.state

    def _is_about_same_deadline(self, transition: Transition) -> bool:
        return (transition.due_us, transition.rep_id) == (self.due_us, self.rep_id)

    def _is_breach(self, transition: Transition) -> bool:
        if transition.state != "resolved":
            return transition.state == "fired"
        if self.state is None or not self._is_about_same_deadline(transition):
            # The breach itself is compacted away: a turn that ended after its deadline has breached it (S09).
            return transition.at_us > transition.due_us
        return self.breached


NEVER_SEEN = LastSeen(-1)
