"""Retractions: a fact's own customer can say that it never was, before it comes or after (S17)."""

from typing import Any

from processors.core.folds.fold import Folder
from processors.core.folds.routes import Route
from processors.core.folds.scoreboards import bump
from processors.core.state.customers import Customer
from processors.core.time.instants import instant_us
from schemas.events import Event, EventRetracted, RequestFact


class Retractions(Folder):
    """The retractions of one source partition."""

    def __init__(self, facts: dict[str, Event], routes: dict[type[Event], Route]) -> None:
        self._facts = facts
        self._routes = routes

    def take(self, customer: Customer, at_us: int, fact: Any) -> None:
        """Take back what it retracts, if that is there."""
        if customer.retracted is None:
            customer.retracted = {}
        bump(customer.retracted, fact.retracts, 1)
        if customer.retracted[fact.retracts] > 1:
            return
        target = self._facts.get(fact.retracts)
        if target is None or isinstance(target, EventRetracted) or target.customer_id != customer.customer_id:
            return
        if isinstance(target, RequestFact):
            _note_correction(customer, at_us, target.request_id or "")
        self._routes[type(target)].folder.remove(customer, instant_us(target.occurred_at), target)

    def remove(self, customer: Customer, at_us: int, fact: Any) -> None:
        """A retraction is dropped after its target: nothing is left to give back. Another one may be kept."""
        del at_us
        if customer.retracted is not None:
            bump(customer.retracted, fact.retracts, -1)


def _note_correction(customer: Customer, at_us: int, request_id: str) -> None:
    if customer.corrections is None:
        customer.corrections = {}
    customer.corrections[request_id] = max(customer.corrections.get(request_id, at_us), at_us)


def is_retracted(customer: Customer, event: Event) -> bool:
    """Whether a fact's customer said that it never was. A retraction itself cannot be retracted."""
    names = customer.retracted
    return names is not None and event.event_id in names and type(event) is not EventRetracted
