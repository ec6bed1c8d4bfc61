"""Retractions: a fact is withdrawn in the name of its own customer, before it comes or after (S17)."""

from typing import Any

from processors.core.folds.fold import Fold
from processors.core.folds.routes import Route
from processors.core.folds.scoreboards import bump
from processors.core.state.customers import Customer
from processors.core.time.instants import instant_us
from schemas.events import Event, EventRetracted, RequestFact


class Retractions(Fold):
    """The retractions of one source partition."""

    def __init__(self, facts: dict[str, Event], routes: dict[type[Event], Route]) -> None:
        self._facts = facts
        self._routes = routes

    def add(self, customer: Customer, at_us: int, fact: Any) -> None:
        """Remove the fact that it names from its fold, if that fact is there and of the same customer."""
        if customer.retracted is None:
            customer.retracted = {}
        bump(customer.retracted, fact.retracts, 1)
        if customer.retracted[fact.retracts] > 1:
            # Another retraction removed the target already: a second removal would count it twice.
            return
        # The target may still come: then `is_retracted` keeps it out of its fold.
        target = self._facts.get(fact.retracts)
        if target is None or isinstance(target, EventRetracted) or target.customer_id != customer.customer_id:
            return
        if isinstance(target, RequestFact):
            # Alerts of old deadlines are history (S18), unless a correction of today changed them.
            _note_correction(customer, at_us, target.request_id or "")
        self._routes[type(target)].fold.remove(customer, instant_us(target.occurred_at), target)

    def remove(self, customer: Customer, at_us: int, fact: Any) -> None:
        """Forget a retraction. Retention drops it after its target, so no fact has to be counted again."""
        del at_us
        if customer.retracted is not None:
            bump(customer.retracted, fact.retracts, -1)


def _note_correction(customer: Customer, at_us: int, request_id: str) -> None:
    if customer.corrections is None:
        customer.corrections = {}
    customer.corrections[request_id] = max(customer.corrections.get(request_id, at_us), at_us)


def is_retracted(customer: Customer, event: Event) -> bool:
    """Whether a fact of this customer was retracted. A retraction itself cannot be retracted."""
    names = customer.retracted
    return names is not None and event.event_id in names and type(event) is not EventRetracted
