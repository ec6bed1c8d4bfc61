"""Requests folded to numbers: who answered how fast, who let whom wait, who waits now (S01 to S18).

A request is folded in one of two ways, which give the same numbers. *Follow*: the fact is newer than all others, so the
state takes one step. *Refold*: the fact came out of order, or was taken back, so all that the request contributed is
withdrawn, and at the next `refold` it is walked again from its first fact, once for any number of such facts.
"""

from bisect import insort
from collections.abc import Iterator
from typing import Final

from processors.core.folds.alerts import Alerts
from processors.core.folds.fold import Fold
from processors.core.folds.scoreboards import bump
from processors.core.folds.timer_wheel import TimerWheel
from processors.core.folds.turn_contributions import TurnContributions
from processors.core.folds.turn_deadlines import TurnDeadlines
from processors.core.state.customers import Customer
from processors.core.state.order import Entry, discard
from processors.core.state.partition_clock import PartitionClock
from processors.core.state.requests import Request, Turn, UnlinkedAnswers, answers, open_request
from processors.core.time.instants import DAY_US
from schemas.events import RequestAnswered, RequestAssigned, RequestFact, RequestOpened
from schemas.views import UNASSIGNED, OpenRequest

MAX_OPEN_TO_SCAN: Final = 64
"""Open requests of a customer that each answer to no request may always look at."""
MAX_SCANNED_REQUESTS: Final = 100_000
"""Looks between two calls of `refold`, beyond which a customer with more open requests is refolded instead."""


class RequestFold(Fold):
    """All requests of one source partition, and the timers at the next steps of their open turns."""

    def __init__(
        self, alerts: Alerts, deadlines: TurnDeadlines, clock: PartitionClock, contributions: TurnContributions
    ) -> None:
        self._alerts = alerts
        self._deadlines = deadlines
        self._clock = clock
        self._contributions = contributions
        self._to_refold: list[tuple[Customer, Request]] = []
        self._late: list[Customer] = []
        self._withdrawn: set[str] = set()
        """Customers all of whose requests are withdrawn."""
        self._scanned = 0
        self._timers = TimerWheel()
        self._changed: list[tuple[str, str]] = []
        self._gone: set[tuple[str, str]] = set()
        """(customer_id, request_id) of requests that were shown and are no more: others of the same name may come."""
        self._publication = 0
        """How often changes were drained: a request that was noted since is in the list already."""
        self.unlinked_days: dict[int, int] = {}
        """Day (UTC) to how many more of its answers name no request than at the last `refold` (S29)."""

    def add(self, customer: Customer, at_us: int, fact: RequestFact) -> None:
        """Add a fact."""
        entry = Entry(at_us, fact)
        request_id = fact.request_id
        if request_id is None:
            self._add_unlinked(customer, entry)
            bump(self.unlinked_days, at_us // DAY_US, 1)
            return
        request = self._request(customer, request_id)
        # All facts of a request share one text of its id, which saves memory.
        fact.request_id = request.request_id
        facts, unlinked = request.facts, customer.unlinked
        # An unlinked answer behind this fact may end the turn that the fact begins: then one step is not enough.
        newest = (not facts or entry.is_after(facts[-1])) and (unlinked is None or unlinked.end_before(entry))
        # Nor is it when a new owner takes over deadlines that have been judged for the old one.
        if newest and request.folded and not (_changes_owner(request, fact) and self._is_decided(request, at_us)):
            facts.append(entry)
            self._follow(customer, request, entry)
        else:
            # Before the fact is in: the walk that withdraws must find the very turns that were contributed.
            self._withdraw_request(customer, request)
            insort(facts, entry)
        if at_us > customer.newest_request_us:
            customer.newest_request_us = at_us

    def remove(self, customer: Customer, at_us: int, fact: RequestFact) -> None:
        """Take a fact back (it was retracted, or is too old to keep)."""
        entry = Entry(at_us, fact)
        if isinstance(fact, RequestAnswered) and fact.request_id is None:
            self._change_later(customer, entry, is_new=False)
            bump(self.unlinked_days, at_us // DAY_US, -1)
            return
        request = self._request(customer, fact.request_id or "")
        self._withdraw_request(customer, request)
        discard(request.facts, entry)

    def refold(self) -> None:
        """Walk again the requests that were withdrawn, and pass the steps whose instants have come meanwhile."""
        # Late answers first: they withdraw more requests, by the turns that those have now.
        late, self._late = self._late, []
        for customer in late:
            self._apply_late(customer)
        self._scanned = 0
        self._withdrawn.clear()
        to_refold, self._to_refold = self._to_refold, []
        for customer, request in to_refold:
            ended = list(request.walk(customer.unlinked))
            request.folded = True
            for turn in ended:
                self._end(customer, request, turn)
            # Only now is it known which turns there are: alerts of any others are retracted.
            self._alerts.retract_untrue(customer, request, ended)
            self._begin(customer, request)
            self._pass(customer, request)
            if not request.facts and customer.requests is not None:
                del customer.requests[request.request_id]
                if request.shown:
                    self._gone.add((customer.customer_id, request.request_id))
        self.pass_due()

    def refold_later(self, customer: Customer, request: Request) -> None:
        """Let the next `refold` look at all of a request: what is known of its alerts has changed."""
        self._withdraw_request(customer, request)

    def withdraw(self, customer: Customer, at_us: int, fact: RequestFact) -> None:
        """Withdraw the request of a fact, or all of the customer's, if the fact names none."""
        del at_us
        if fact.request_id is not None:
            self._withdraw_request(customer, self._request(customer, fact.request_id))
        elif customer.customer_id not in self._withdrawn:
            self._withdrawn.add(customer.customer_id)
            for request in (customer.requests or {}).values():
                self._withdraw_request(customer, request)

    def pass_due(self) -> None:
        """Pass the steps before the partition's present: open turns become at risk or overdue."""
        for _, customer, request in self._timers.drain_due(self._clock.now_us):
            self._pass(customer, request)

    def drain_changed(self) -> list[tuple[str, str]]:
        """(customer_id, request_id) of what changed since the last call; the same one may come twice."""
        changed, self._changed = self._changed, []
        self._publication += 1
        return changed

    def note_changed(self, customer: Customer, request: Request) -> None:
        """The read model's field of a request has changed."""
        if request.noted != self._publication:
            request.noted = self._publication
            self._changed.append((customer.customer_id, request.request_id))

    def published_view(self, customer_id: str, customer: Customer | None, request_id: str) -> OpenRequest | bool:
        """What to publish of a request: its open turn; else, whether the read model may still show one."""
        name = (customer_id, request_id)
        known = name in self._gone
        self._gone.discard(name)
        request = (customer.requests or {}).get(request_id) if customer is not None else None
        if customer is None or request is None:
            return True
        view = self.view(customer, request)
        known, request.shown = known or request.shown, view is not None
        return view or known

    def view(self, customer: Customer, request: Request) -> OpenRequest | None:
        """A request's open turn as the read model has it."""
        if request.turn is None:
            return None
        return open_request(customer.customer_id, request, request.turn, self._deadlines.due(request.turn))

    def copies(self, customer: Customer) -> Iterator[Request]:
        """A customer's requests before their first step, to be walked without touching the numbers."""
        for request in (customer.requests or {}).values():
            yield Request(request.request_id, request.facts)

    def _is_decided(self, request: Request, at_us: int) -> bool:
        """Whether the owner at an instant has been used: a step was passed for it, or the turn began with it (S15)."""
        turn = request.turn
        if turn is None:
            return False
        passed = self._deadlines.steps(turn)[: request.passed] if request.passed else []
        return turn.start_us == at_us or any(step.due_us >= at_us for step in passed)

    def _request(self, customer: Customer, request_id: str) -> Request:
        if customer.requests is None:
            customer.requests = {}
        request = customer.requests.get(request_id)
        if request is None:
            request = customer.requests[request_id] = Request(request_id, [])
        return request

    def _add_unlinked(self, customer: Customer, entry: Entry) -> None:
        if customer.unlinked is None:
            customer.unlinked = UnlinkedAnswers()
        # At the same instant as a request's fact the order of both decides, which only a walk takes into account.
        newest = customer.unlinked.end_before(entry) and entry.at_us > customer.newest_request_us
        if not newest or not self._may_scan(customer):
            self._change_later(customer, entry, is_new=True)
            return
        customer.unlinked.add(entry)
        for request in list((customer.open or {}).values()):
            # Those that are withdrawn find the answer when they are walked.
            if request.folded and request.turn is not None and answers(entry.fact, request.turn):
                self._follow(customer, request, entry)

    def _may_scan(self, customer: Customer) -> bool:
        """Whether to look at each of a customer's open requests now, instead of refolding all of them later."""
        self._scanned += len(customer.open or ())
        return self._scanned <= MAX_SCANNED_REQUESTS or len(customer.open or ()) <= MAX_OPEN_TO_SCAN

    def _change_later(self, customer: Customer, entry: Entry, *, is_new: bool) -> None:
        """Keep an unlinked answer that came out of order, or was taken back, until `refold`.

        It may concern any of the customer's requests. To look at all of them for each answer would be quadratic.
        """
        if customer.late_answers is None:
            customer.late_answers = []
            self._late.append(customer)
        customer.late_answers.append((entry, is_new))

    def _apply_late(self, customer: Customer) -> None:
        """Withdraw the requests that late answers can concern, all at once, and let the answers in."""
        late, customer.late_answers = customer.late_answers or [], None
        changed = UnlinkedAnswers()
        for entry, _ in late:
            changed.add(entry)
        # Withdraw before the answers change: what is withdrawn must be what was contributed.
        for request in (customer.requests or {}).values():
            if request.folded and changed.touches(request):
                self._withdraw_request(customer, request)
        if customer.unlinked is None:
            customer.unlinked = UnlinkedAnswers()
        for entry, is_new in late:
            if is_new:
                customer.unlinked.add(entry)
            else:
                customer.unlinked.discard(entry)

    def _follow(self, customer: Customer, request: Request, entry: Entry) -> None:
        """The common case: one step from the present state."""
        before = request.turn
        ended = request.step(entry.at_us, entry.fact)
        self.note_changed(customer, request)
        if ended is not None:
            request.ended = entry
            if request.passed:
                # The breaches of the open turn are counted again below, by how it ended.
                self._contributions.steps_passed(ended, request.passed, -1)
            self._end(customer, request, ended)
        elif request.turn is not None and request.turn is not before:
            self._begin(customer, request)
            # If that has passed already, the next `refold` says so: the answer may be in the same batch.
            self._wait(customer, request, self._deadlines.first_us(request.turn))

    def _begin(self, customer: Customer, request: Request) -> None:
        """Keep the customer's open requests up to date: a request is among them while it has an open turn."""
        self.note_changed(customer, request)
        if request.turn is None:
            request.next_us = 0
            if customer.open is not None:
                customer.open.pop(request.request_id, None)
            return
        if customer.open is None:
            customer.open = {}
        customer.open[request.request_id] = request

    def _end(self, customer: Customer, request: Request, turn: Turn) -> None:
        due = self._deadlines.due(turn)
        self._contributions.ended(customer, turn, due, 1)
        # Nearly all turns end in time and without an alert: those need no look at their levels.
        if request.alerts is not None or (due and turn.end_us > due[0][1] and self._alerts.is_news(due)):
            self._alerts.turn_ended(customer, request, turn, due)
        if request.turn is None and customer.open is not None:
            request.next_us = 0
            customer.open.pop(request.request_id, None)

    def _withdraw_request(self, customer: Customer, request: Request) -> None:
        """Take back what a request contributed, until `refold` folds it again."""
        if not request.folded:
            return
        request.folded = False
        self._to_refold.append((customer, request))
        if request.turn is not None:
            self._contributions.steps_passed(request.turn, request.passed, -1)
        for turn in request.walk(customer.unlinked):
            self._contributions.ended(customer, turn, self._deadlines.due(turn), -1)

    def _pass(self, customer: Customer, request: Request) -> None:
        """Pass the open turn's steps up to now, and wait for the next."""
        turn = request.turn
        if turn is None:
            return
        next_us = self._deadlines.first_us(turn) if not request.passed else 0
        if next_us <= self._clock.now_us:
            next_us = self._pass_steps(customer, request, turn)
        self._wait(customer, request, next_us)

    def _wait(self, customer: Customer, request: Request, next_us: int) -> None:
        """Wait for an instant, if there is one."""
        if next_us and next_us != request.next_us:
            self._timers.add(next_us, customer, request)
        # A timer of another instant is void from now on.
        request.next_us = next_us

    def _pass_steps(self, customer: Customer, request: Request, turn: Turn) -> int:
        steps = self._deadlines.steps(turn)
        while request.passed < len(steps) and steps[request.passed].at_us < self._clock.now_us:
            step = steps[request.passed]
            if step.is_due:
                self._contributions.breach(turn, step.level, step.due_us, 1)
            self._alerts.step_passed(customer, request, turn, step)
            request.passed += 1
        return steps[request.passed].at_us if request.passed < len(steps) else 0


def _changes_owner(request: Request, fact: RequestFact) -> bool:
    """Whether the newest fact gives a request to somebody else."""
    if type(fact) is RequestAssigned:
        return request.owner != (fact.rep_id or UNASSIGNED)
    if type(fact) is RequestOpened:
        return not fact.automated and fact.rep_id is not None and fact.rep_id != request.owner
    return False
