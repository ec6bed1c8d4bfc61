"""Requests folded to numbers: who answered how fast, who let whom wait, who waits now (S01 to S18)."""

from bisect import insort
from collections.abc import Iterator
from typing import Final

from processors.core.folds.alerts import Alerts
from processors.core.folds.fold import Folder
from processors.core.folds.scoreboards import bump
from processors.core.folds.timer_wheel import Alarms
from processors.core.folds.turn_contributions import Verdicts
from processors.core.state.customers import Customer
from processors.core.state.order import Entry, discard
from processors.core.state.requests import Request, Turn, Unlinked, answers, open_request
from processors.core.time.instants import DAY_US
from schemas.events import RequestAnswered, RequestAssigned, RequestFact, RequestOpened
from schemas.views import UNASSIGNED, OpenRequest

MANY: Final = 64
"""Open requests of a customer, beyond which looking at them for each answer that names none may cost too much."""
LOOKS: Final = 100_000
"""So many looks between two calls of `settle` are cheaper than to fold such a customer again."""


class Waiting(Folder):
    """All requests of one source partition, and the alarms at their next instants."""

    def __init__(self, alerts: Alerts, verdicts: Verdicts) -> None:
        self._alerts = alerts
        self._verdicts = verdicts
        self._unsettled: list[tuple[Customer, Request]] = []
        self._late: list[Customer] = []
        self._unposted: set[str] = set()
        """Customers of whom everything is withdrawn."""
        self._looks = 0
        self._alarms = Alarms()
        self._changed: list[tuple[str, str]] = []
        self._gone: set[tuple[str, str]] = set()
        """(customer_id, request_id) of requests that were shown and are no more: others of the same name may come."""
        self._publication = 0
        """How often what changed was taken: what says so already is in the list."""
        self.unlinked_days: dict[int, int] = {}
        """Day (UTC) to how many more of its answers name no request than at the last `settle` (S29)."""

    def take(self, customer: Customer, at_us: int, fact: RequestFact) -> None:
        """Add a fact."""
        entry = Entry(at_us, fact)
        request_id = fact.request_id
        if request_id is None:
            self._take_unlinked(customer, entry)
            bump(self.unlinked_days, at_us // DAY_US, 1)
            return
        request = self._request(customer, request_id)
        fact.request_id = request.request_id
        facts, unlinked = request.facts, customer.unlinked
        newest = (not facts or entry.is_after(facts[-1])) and (unlinked is None or unlinked.end_before(entry))
        if newest and request.settled and not (_changes_owner(request, fact) and self._is_decided(request, at_us)):
            facts.append(entry)
            self._follow(customer, request, entry)
        else:
            self._withdraw(customer, request)
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
        self._withdraw(customer, request)
        discard(request.facts, entry)

    def settle(self) -> None:
        """Fold again what was withdrawn, and go past what has passed meanwhile."""
        late, self._late = self._late, []
        for customer in late:
            self._settle_late(customer)
        self._looks = 0
        self._unposted.clear()
        unsettled, self._unsettled = self._unsettled, []
        for customer, request in unsettled:
            ended = list(request.walk(customer.unlinked))
            request.settled = True
            for turn in ended:
                self._end(customer, request, turn)
            self._alerts.corrected(customer, request, ended)
            self._begin(customer, request)
            self._pass(customer, request)
            if not request.facts and customer.requests is not None:
                del customer.requests[request.request_id]
                if request.shown:
                    self._gone.add((customer.customer_id, request.request_id))
        self._ring()

    def walk_again(self, customer: Customer, request: Request) -> None:
        """Let the next `settle` look at all of a request: what was said of it has changed."""
        self._withdraw(customer, request)

    def unpost(self, customer: Customer, at_us: int, fact: RequestFact) -> None:
        """Withdraw the request of a fact, or all of them, if the fact names none."""
        del at_us
        if fact.request_id is not None:
            self._withdraw(customer, self._request(customer, fact.request_id))
        elif customer.customer_id not in self._unposted:
            self._unposted.add(customer.customer_id)
            for request in (customer.requests or {}).values():
                self._withdraw(customer, request)

    def advance(self, now_us: int) -> None:
        """Let time pass: turns still open after one of their instants become at risk or overdue."""
        self._alerts.now_us = max(self._alerts.now_us, now_us)
        self._ring()

    def _ring(self) -> None:
        for _, customer, request in self._alarms.ring(self._alerts.now_us):
            self._pass(customer, request)

    def take_changed(self) -> list[tuple[str, str]]:
        """(customer_id, request_id) of what changed since the last call; the same one may come twice."""
        changed, self._changed = self._changed, []
        self._publication += 1
        return changed

    def note(self, customer: Customer, request: Request) -> None:
        """What the read model says of a request has changed."""
        if request.noted != self._publication:
            request.noted = self._publication
            self._changed.append((customer.customer_id, request.request_id))

    def news(self, customer_id: str, customer: Customer | None, request_id: str) -> OpenRequest | bool:
        """What to tell the read model of a request: its open turn; else, whether it may still know of one."""
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
        """What the read model says of a request: its open turn."""
        if request.turn is None:
            return None
        return open_request(customer.customer_id, request, request.turn, self._alerts.due(request.turn))

    def copies(self, customer: Customer) -> Iterator[Request]:
        """A customer's requests before their first step, to be walked without touching the numbers."""
        for request in (customer.requests or {}).values():
            yield Request(request.request_id, request.facts)

    def _is_decided(self, request: Request, at_us: int) -> bool:
        """Whether more hangs on the owner at an instant than what follows: what was said or counted, or all (S15)."""
        turn = request.turn
        if turn is None:
            return False
        passed = self._alerts.steps(turn)[: request.passed] if request.passed else []
        return turn.start_us == at_us or any(step.due_us >= at_us for step in passed)

    def _request(self, customer: Customer, request_id: str) -> Request:
        if customer.requests is None:
            customer.requests = {}
        request = customer.requests.get(request_id)
        if request is None:
            request = customer.requests[request_id] = Request(request_id, [])
        return request

    def _take_unlinked(self, customer: Customer, entry: Entry) -> None:
        if customer.unlinked is None:
            customer.unlinked = Unlinked()
        newest = customer.unlinked.end_before(entry) and entry.at_us > customer.newest_request_us
        if not newest or not self._may_look(customer):
            self._change_later(customer, entry, is_new=True)
            return
        customer.unlinked.add(entry)
        for request in list((customer.open or {}).values()):
            if request.settled and request.turn is not None and answers(entry.fact, request.turn):
                self._follow(customer, request, entry)

    def _may_look(self, customer: Customer) -> bool:
        """Whether to look at each of a customer's open requests now, instead of folding all of them later."""
        self._looks += len(customer.open or ())
        return self._looks <= LOOKS or len(customer.open or ()) <= MANY

    def _change_later(self, customer: Customer, entry: Entry, *, is_new: bool) -> None:
        """Keep an unlinked answer that came out of order, or was taken back, until `settle`."""
        if customer.late_answers is None:
            customer.late_answers = []
            self._late.append(customer)
        customer.late_answers.append((entry, is_new))

    def _settle_late(self, customer: Customer) -> None:
        """Withdraw the requests that late answers can concern, all at once, and let the answers in."""
        late, customer.late_answers = customer.late_answers or [], None
        changed = Unlinked()
        for entry, _ in late:
            changed.add(entry)
        for request in (customer.requests or {}).values():
            if request.settled and changed.touches(request):
                self._withdraw(customer, request)
        if customer.unlinked is None:
            customer.unlinked = Unlinked()
        for entry, is_new in late:
            if is_new:
                customer.unlinked.add(entry)
            else:
                customer.unlinked.discard(entry)

    def _follow(self, customer: Customer, request: Request, entry: Entry) -> None:
        """The common case: one step from the present state."""
        before = request.turn
        ended = request.step(entry.at_us, entry.fact)
        self.note(customer, request)
        if ended is not None:
            request.ended = entry
            if request.passed:
                self._verdicts.passed(ended, request.passed, -1)
            self._end(customer, request, ended)
        elif request.turn is not None and request.turn is not before:
            self._begin(customer, request)
            # If that has passed already, it is said at the next `settle`: the answer may be in the same batch.
            self._wait(customer, request, self._alerts.first_us(request.turn))

    def _begin(self, customer: Customer, request: Request) -> None:
        """A turn may be open now."""
        self.note(customer, request)
        if request.turn is None:
            request.next_us = 0
            if customer.open is not None:
                customer.open.pop(request.request_id, None)
            return
        if customer.open is None:
            customer.open = {}
        customer.open[request.request_id] = request

    def _end(self, customer: Customer, request: Request, turn: Turn) -> None:
        due = self._alerts.due(turn)
        self._verdicts.ended(customer, turn, due, 1)
        if request.alerts is not None or (due and turn.end_us > due[0][1] and self._alerts.is_news(due)):
            self._alerts.ended(customer, request, turn, due)
        if request.turn is None and customer.open is not None:
            request.next_us = 0
            customer.open.pop(request.request_id, None)

    def _withdraw(self, customer: Customer, request: Request) -> None:
        """Take back what a request says, until `settle` folds it again."""
        if not request.settled:
            return
        request.settled = False
        self._unsettled.append((customer, request))
        if request.turn is not None:
            self._verdicts.passed(request.turn, request.passed, -1)
        for turn in request.walk(customer.unlinked):
            self._verdicts.ended(customer, turn, self._alerts.due(turn), -1)

    def _pass(self, customer: Customer, request: Request) -> None:
        """Go past the open turn's instants up to now, and wait for the next."""
        turn = request.turn
        if turn is None:
            return
        next_us = self._alerts.first_us(turn) if not request.passed else 0
        if next_us <= self._alerts.now_us:
            next_us = self._pass_steps(customer, request, turn)
        self._wait(customer, request, next_us)

    def _wait(self, customer: Customer, request: Request, next_us: int) -> None:
        """Wait for an instant, if there is one."""
        if next_us and next_us != request.next_us:
            self._alarms.set(next_us, customer, request)
        request.next_us = next_us

    def _pass_steps(self, customer: Customer, request: Request, turn: Turn) -> int:
        steps = self._alerts.steps(turn)
        while request.passed < len(steps) and steps[request.passed].at_us < self._alerts.now_us:
            step = steps[request.passed]
            if step.is_due:
                self._verdicts.breach(turn, step.level, step.due_us, 1)
            self._alerts.passed(customer, request, turn, step)
            request.passed += 1
        return steps[request.passed].at_us if request.passed < len(steps) else 0


def _changes_owner(request: Request, fact: RequestFact) -> bool:
    """Whether the newest fact gives a request to somebody else."""
    if type(fact) is RequestAssigned:
        return request.owner != (fact.rep_id or UNASSIGNED)
    if type(fact) is RequestOpened:
        return not fact.automated and fact.rep_id is not None and fact.rep_id != request.owner
    return False
