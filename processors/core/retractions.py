"""Retractions: a fact's own customer can say that it never was, before it comes or after (S17)."""

from typing import Any

from processors.core.customers import Customer
from processors.core.folder import Folder
from processors.core.instants import instant_us
from processors.core.routes import Route
from schemas.events import Event, EventRetracted


class Retractions(Folder):
    """What was retracted in one source partition."""

    def __init__(self, facts: dict[str, Event], routes: dict[type, Route]) -> None:
        self._facts = facts
        self._routes = routes
        self.names: dict[str, set[str]] = {}
        """event_id to the customers in whose name it was retracted."""

    def concern(self, event: Event) -> bool:
        """Whether a fact was retracted. A retraction itself cannot be."""
        names = self.names.get(event.event_id)
        return names is not None and type(event) is not EventRetracted and event.customer_id in names

    def take(self, customer: Customer, at_us: int, fact: Any) -> None:
        """Take back what it retracts, if that is there."""
        del at_us
        names = self.names.setdefault(fact.retracts, set())
        if customer.customer_id in names:
            return
        names.add(customer.customer_id)
        target = self._facts.get(fact.retracts)
        if target is None or isinstance(target, EventRetracted) or target.customer_id != customer.customer_id:
            return
        self._routes[type(target)].folder.remove(customer, instant_us(target.occurred_at), target)

    def remove(self, customer: Customer, at_us: int, fact: Any) -> None:
        """A retraction is dropped after its target: nothing is left to give back."""
        del at_us
        names = self.names.get(fact.retracts, set())
        names.discard(customer.customer_id)
        if not names:
            self.names.pop(fact.retracts, None)
