"""What changed in a ledger, as fields of the read model. Reading it once marks it as read."""

import sys
from collections.abc import Iterator
from itertools import islice

import msgspec

from processors.core.folds.lifetime_value_fold import Worth
from processors.core.folds.request_fold import Waiting
from processors.core.folds.scoreboards import EMPTY, Desk, Desks
from processors.core.ledger.data_quality import DataQuality
from processors.core.state.customers import Customer
from schemas.views import Changes, Section, open_field, partial_field

Field = tuple[Section, str, msgspec.Struct | dict[str, int] | str | None]
"""Section, name and value; None: it is gone."""

_encode = msgspec.msgpack.Encoder().encode


class Outbox:
    """Collects the changed fields of a ledger's parts."""

    def __init__(self, desks: Desks, waiting: Waiting, worth: Worth, quality: DataQuality) -> None:
        self._desks = desks
        self._waiting = waiting
        self._worth = worth
        self._quality = quality

    def take(self, customers: dict[str, Customer]) -> Changes:
        """The fields that changed since the last call; everything must be settled."""
        return next(self.portions(customers, sys.maxsize), Changes({}, {}))

    def portions(self, customers: dict[str, Customer], most: int) -> Iterator[Changes]:
        """The same, at most so many fields at a time, with the values that they have when they are given.

        All that has changed by the first one is in it, and whoever does not take all of them has to mark everything.
        """
        fields = self._fields(customers)
        while some := list(islice(fields, most)):
            changes = Changes({}, {})
            for section, field, value in some:
                changes.add(section, field, None if value is None else _encode(value))
            yield changes

    def mark_all(self, customers: dict[str, Customer]) -> None:
        """Let the next `take` give every field."""
        for desk in self._desks:
            desk.changed.update(desk.days)
            desk.standing_changed = True
        self._worth.changed.update(self._worth.segments)
        self._quality.mark_everything()
        for customer in customers.values():
            for request in (customer.open or {}).values():
                self._waiting.note(customer, request)

    def _fields(self, customers: dict[str, Customer]) -> Iterator[Field]:
        """What is noted as changed is taken out before it is given: what changes meanwhile is noted anew."""
        waiting = self._waiting.take_changed()
        segments, self._worth.changed = self._worth.changed, set()
        days, self._quality.changed = self._quality.changed, set()
        reasons, self._quality.changed_examples = self._quality.changed_examples, set()
        for desk in list(self._desks):
            yield from _desk_fields(desk)
        for customer_id, request_id in waiting:
            news = self._waiting.news(customer_id, customers.get(customer_id), request_id)
            if news:
                yield "open", open_field(customer_id, request_id), None if news is True else news
        for name in segments:
            yield "segments", name, self._worth.segments.get(name)
        for day in days:
            yield "quality", str(day), self._quality.days.get(day)
        for reason in reasons:
            yield "examples", reason, self._quality.examples.get(reason)


def _desk_fields(desk: Desk) -> Iterator[Field]:
    while desk.changed:
        day = desk.take_changed()
        partial = desk.days.get(day)
        if partial is not None and partial == EMPTY:
            del desk.days[day]
            partial = None
        yield "partials", partial_field(desk.scope, desk.subject, day), partial
    if desk.standing_changed:
        desk.standing_changed = False
        yield "standing", desk.subject, desk.standing if desk.standing.opportunities else None
