"""Requests and their turns: who waited, from when, how long, on whom (S01 to S10).

A request is a sorted list of facts and the state after the newest of them. In the common case a fact is newer than
all others and the state takes one step; otherwise the whole request is walked again. Both use `Request.step`, so both
give the same turns.
"""

from bisect import bisect_right, insort
from collections.abc import Iterator
from typing import Literal

from mypy_extensions import mypyc_attr

from processors.core.state.deadlines import Due
from processors.core.state.order import Entry, discard
from schemas.alerts import Transition
from schemas.events import (
    RequestAnswered,
    RequestAssigned,
    RequestClosed,
    RequestFact,
    RequestOpened,
)
from schemas.views import UNASSIGNED, OpenRequest

Ending = Literal["answered", "resolved", "no_reply_needed", "withdrawn", "spam"]


@mypyc_attr(acyclic=True)
class OwnerHold:
    """A stretch of a turn's wait that one owner held (S07)."""

    __slots__ = ("from_us", "owner", "to_us")

    def __init__(self, owner: str, from_us: int, to_us: int) -> None:
        self.owner = owner
        self.from_us = from_us
        self.to_us = to_us


@mypyc_attr(acyclic=True)
class Turn:
    """One wait of a customer: since when, and on whom. An ended turn also has when, how and by whom it ended."""

    __slots__ = ("changes", "end_us", "ending", "number", "opener", "owner", "responder", "start_us")

    def __init__(self, number: int, opener: RequestOpened, start_us: int, owner: str) -> None:
        self.number = number
        self.opener = opener
        self.start_us = start_us
        self.owner = owner
        """The owner at the start, after all that happened at that instant (S08): its team's calendar holds (S15)."""
        self.changes: list[tuple[int, str]] | None = None
        """Later owners: (since, owner), ascending."""
        self.end_us = 0
        self.ending: Ending | None = None
        self.responder = ""

    @property
    def wait_us(self) -> int:
        """The customer's wait, from the oldest unanswered message to the end (S02)."""
        return self.end_us - self.start_us

    def changed_hands(self, since_us: int, owner: str) -> None:
        """Another owner takes over the wait."""
        if since_us == self.start_us:
            self.owner = owner
            return
        if self.changes is None:
            self.changes = []
        self.changes.append((since_us, owner))

    def owner_at(self, at_us: int) -> str:
        """The owner at an instant, after all that happened up to and including it (S08)."""
        owner = self.owner
        for since_us, later in self.changes or ():
            if since_us > at_us:
                break
            owner = later
        return owner

    def holds(self, until_us: int) -> list[OwnerHold]:
        """The stretches of each owner up to an instant: they add up to the wait (S07)."""
        owner, from_us, holds = self.owner, self.start_us, list[OwnerHold]()
        for since_us, later in self.changes or ():
            holds.append(OwnerHold(owner, from_us, since_us))
            owner, from_us = later, since_us
        holds.append(OwnerHold(owner, from_us, until_us))
        return holds


@mypyc_attr(acyclic=True)
class Request:
    """One request: its facts in order, and the state after the newest."""

    __slots__ = (
        "alerts",
        "ended",
        "facts",
        "folded",
        "next_us",
        "noted",
        "owner",
        "passed",
        "request_id",
        "shown",
        "turn",
        "turns",
    )

    def __init__(self, request_id: str, facts: list[Entry]) -> None:
        self.request_id = request_id
        self.facts = facts
        self.owner = UNASSIGNED
        self.turns = 0
        self.turn: Turn | None = None
        """The open turn."""
        self.passed = 0
        """How many of the open turn's instants (at risk, due) have passed."""
        self.next_us = 0
        """The open turn's next instant, for which an timer is set; 0: there is none."""
        self.ended: Entry | None = None
        """The fact that ended the latest turn to end."""
        self.noted = -1
        """The publication whose list of changes has it already."""
        self.shown = False
        """The read model shows an open turn of it."""
        self.folded = True
        """False: its contributions were withdrawn, and facts are being added before the next walk."""
        self.alerts: dict[tuple[int, str], Transition] | None = None
        """(turn, level) to the last transition of its alert. Only `Alerts` changes it."""

    def step(self, at_us: int, fact: RequestFact) -> Turn | None:
        """Move on by a fact that is newer than all before it; returns the turn that it ends, if it ends one."""
        # By exact type: `isinstance` asks the metaclass about every type that the fact is not.
        if type(fact) is RequestAnswered:
            return self._end(at_us, "answered", fact.rep_id) if qualifies(fact) else None
        if type(fact) is RequestOpened:
            self._opened(at_us, fact)
        elif type(fact) is RequestAssigned:
            self._own(at_us, fact.rep_id or UNASSIGNED)
        elif type(fact) is RequestClosed:
            return self._end(at_us, fact.reason, "")
        return None

    def _opened(self, at_us: int, fact: RequestOpened) -> None:
        if fact.automated:
            return
        if fact.rep_id is not None:
            self._own(at_us, fact.rep_id)
        if self.turn is None:
            self.turns += 1
            self.turn = Turn(self.turns, fact, at_us, self.owner)
            self.passed = 0

    def _own(self, at_us: int, owner: str) -> None:
        if owner != self.owner:
            self.owner = owner
            if self.turn is not None:
                self.turn.changed_hands(at_us, owner)

    def _end(self, at_us: int, ending: Ending, responder: str) -> Turn | None:
        turn = self.turn
        if turn is not None:
            turn.end_us, turn.ending, turn.responder = at_us, ending, responder
            self.turn = None
        return turn

    def walk(self, unlinked: "UnlinkedAnswers | None") -> Iterator[Turn]:
        """Fold all facts from the beginning, with the customer's unlinked answers; the turns that ended, in order."""
        self._rewind()
        for index, entry in enumerate(self.facts):
            if unlinked is not None and self.turn is not None:
                yield from self._end_unlinked(unlinked, self.turn, self.facts[index - 1], entry)
            ended = self.step(entry.at_us, entry.fact)
            if ended is not None:
                self.ended = entry
                yield ended
        if unlinked is not None and self.turn is not None:
            yield from self._end_unlinked(unlinked, self.turn, self.facts[-1], None)

    def _rewind(self) -> None:
        """Go back to the state before the first fact."""
        self.owner, self.turns, self.turn, self.passed, self.ended = UNASSIGNED, 0, None, 0, None

    def _end_unlinked(
        self, unlinked: "UnlinkedAnswers", turn: Turn, after: Entry, before: Entry | None
    ) -> Iterator[Turn]:
        """The open turn, ended by the first unlinked answer to it between two facts, if there is one (S05)."""
        answer = unlinked.first_after(after, turn.opener.channel)
        if answer is not None and (before is None or answer < before):
            ended = self.step(answer.at_us, answer.fact)
            if ended is not None:
                self.ended = answer
                yield ended


class UnlinkedAnswers:
    """A customer's answers that name no request (S05), in order; those that qualify also by channel."""

    __slots__ = ("_by_channel", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._by_channel: dict[str | None, list[Entry]] = {}

    def add(self, entry: Entry) -> None:
        """Add an answer."""
        for entries in self._lists(entry.fact):
            insort(entries, entry)

    def discard(self, entry: Entry) -> None:
        """Remove an answer."""
        for entries in self._lists(entry.fact):
            discard(entries, entry)

    def end_before(self, entry: Entry) -> bool:
        """Whether the last one comes before an entry, or there is none."""
        return not self.entries or entry.is_after(self.entries[-1])

    def first_after(self, after: Entry, channel: str) -> Entry | None:
        """The first response after an entry that is meant for a channel, or for any."""
        lists = (self._by_channel.get(channel), self._by_channel.get(None))
        firsts = [entries[bisect_right(entries, after)] for entries in lists if entries and after < entries[-1]]
        return min(firsts, default=None)

    def touches(self, request: Request) -> bool:
        """Whether any of the responses came while a request had an open turn, so that it may have ended that turn."""
        turn, ended = request.turn, request.ended
        if turn is not None and ended is None:
            return self.first_after(request.facts[0], turn.opener.channel) is not None
        if turn is not None:
            return not self.end_before(request.facts[0])
        if ended is None:
            return False
        index = bisect_right(self.entries, request.facts[0])
        return index < len(self.entries) and not self.entries[index].is_after(ended)

    def _lists(self, fact: RequestFact) -> Iterator[list[Entry]]:
        yield self.entries
        if isinstance(fact, RequestAnswered) and qualifies(fact):
            yield self._by_channel.setdefault(fact.channel, [])


def qualifies(fact: RequestAnswered) -> bool:
    """Only a person's message that the customer sees is a response (S03)."""
    return not (fact.automated or fact.internal)


def answers(fact: RequestFact, turn: Turn) -> bool:
    """Whether an unlinked answer is meant for a turn: on its channel, or on any when it names none (S05)."""
    return isinstance(fact, RequestAnswered) and fact.channel in (None, turn.opener.channel)


def open_request(customer_id: str, request: Request, turn: Turn, due: Due) -> OpenRequest:
    """An open turn as the read model has it."""
    opener = turn.opener
    return OpenRequest(
        request_id=request.request_id,
        turn=turn.number,
        customer_id=customer_id,
        rep_id=request.owner,
        channel=opener.channel,
        priority=opener.priority,
        opened_us=turn.start_us,
        due_us={level: due_us for level, due_us, _ in due},
        topic=opener.topic,
    )
