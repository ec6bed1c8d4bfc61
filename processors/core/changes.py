"""What changed in a ledger, as fields of the read model. Reading it once marks it as read."""

import msgspec

from processors.core.customers import Customer
from processors.core.desks import EMPTY, Desks
from processors.core.waiting import Waiting
from processors.core.worth import Worth
from schemas.views import Changes, Section, open_field, partial_field

_encode = msgspec.msgpack.Encoder().encode


class Outbox:
    """Collects the changed fields of a ledger's parts."""

    def __init__(self, desks: Desks, waiting: Waiting, worth: Worth, quality: dict[int, dict[str, int]]) -> None:
        self._desks = desks
        self._waiting = waiting
        self._worth = worth
        self.quality = quality
        self.quality_changed: set[int] = set()

    def take(self, customers: dict[str, Customer]) -> Changes:
        """The fields that changed since the last call; everything must be settled."""
        changes = Changes({}, {})
        self._take_desks(changes)
        self._take_open(changes, customers)
        for name in self._worth.changed:
            segment = self._worth.segments[name]
            _put(changes, "segments", name, segment if segment.customers else None)
        self._worth.changed.clear()
        for day in self.quality_changed:
            _put(changes, "quality", str(day), self.quality.get(day))
        self.quality_changed.clear()
        return changes

    def mark_all(self, customers: dict[str, Customer]) -> None:
        """Let the next `take` give every field."""
        for desk in self._desks:
            desk.changed.update(desk.days)
            desk.standing_changed = True
        self._worth.changed.update(self._worth.segments)
        self.quality_changed.update(self.quality)
        for customer in customers.values():
            for request_id in customer.open or ():
                self._waiting.changed[customer.customer_id, request_id] = None

    def _take_desks(self, changes: Changes) -> None:
        for desk in self._desks:
            for day in desk.changed:
                partial = desk.days.get(day)
                if partial is not None and partial == EMPTY:
                    del desk.days[day]
                    partial = None
                _put(changes, "partials", partial_field(desk.scope, desk.subject, day), partial)
            desk.changed.clear()
            if desk.standing_changed:
                desk.standing_changed = False
                _put(changes, "standing", desk.subject, desk.standing if desk.standing.opportunities else None)

    def _take_open(self, changes: Changes, customers: dict[str, Customer]) -> None:
        for customer_id, request_id in self._waiting.changed:
            customer = customers.get(customer_id)
            view = self._waiting.view(customer, request_id) if customer is not None else None
            _put(changes, "open", open_field(customer_id, request_id), view)
        self._waiting.changed.clear()


def _put(changes: Changes, section: Section, field: str, value: msgspec.Struct | dict[str, int] | None) -> None:
    if value is None:
        changes.deletes.setdefault(section, []).append(field)
    else:
        changes.puts.setdefault(section, {})[field] = _encode(value)
