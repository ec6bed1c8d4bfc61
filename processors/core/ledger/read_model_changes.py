"""What changed in a ledger, as fields of the read model. Draining a change marks it as published."""

import sys
from collections.abc import Iterator
from itertools import islice

import msgspec

from processors.core.folds.lifetime_value_fold import LifetimeValueFold
from processors.core.folds.request_fold import RequestFold
from processors.core.folds.scoreboards import EMPTY, Scoreboard, Scoreboards
from processors.core.ledger.data_quality import DataQuality
from processors.core.state.customers import Customer
from schemas.views import Changes, Section, open_field, partial_field

Field = tuple[Section, str, msgspec.Struct | dict[str, int] | str | None]
"""Section, name and value; None: it is gone."""

_encode = msgspec.msgpack.Encoder().encode


class ReadModelChanges:
    """Collects the changed fields of a ledger's folds."""

    def __init__(
        self,
        scoreboards: Scoreboards,
        requests: RequestFold,
        lifetime_values: LifetimeValueFold,
        quality: DataQuality,
    ) -> None:
        self._scoreboards = scoreboards
        self._requests = requests
        self._lifetime_values = lifetime_values
        self._quality = quality

    def drain(self, customers: dict[str, Customer]) -> Changes:
        """The fields that changed since the last call; everything must be refolded."""
        return next(self.drain_portions(customers, sys.maxsize), Changes({}, {}))

    def drain_portions(self, customers: dict[str, Customer], max_fields: int) -> Iterator[Changes]:
        """The same, at most `max_fields` at a time, with the values that they have when they are yielded.

        All that has changed by the first portion is in them. A caller that does not take all of them has to call
        `mark_all`.
        """
        fields = self._fields(customers)
        while some := list(islice(fields, max_fields)):
            changes = Changes({}, {})
            for section, field, value in some:
                changes.add(section, field, None if value is None else _encode(value))
            yield changes

    def mark_all(self, customers: dict[str, Customer]) -> None:
        """Let the next drain give every field."""
        for scoreboard in self._scoreboards:
            scoreboard.changed.update(scoreboard.days)
            scoreboard.open_opportunities_changed = True
        self._lifetime_values.mark_all()
        self._quality.mark_everything()
        for customer in customers.values():
            for request in (customer.open or {}).values():
                self._requests.note_changed(customer, request)

    def _fields(self, customers: dict[str, Customer]) -> Iterator[Field]:
        # Drained before the first field is yielded: what changes between two portions is noted anew, and comes again.
        requests = self._requests.drain_changed()
        segments = self._lifetime_values.drain_changed()
        days, reasons = self._quality.drain_changed()
        for scoreboard in list(self._scoreboards):
            yield from _scoreboard_fields(scoreboard)
        for customer_id, request_id in requests:
            view = self._requests.published_view(customer_id, customers.get(customer_id), request_id)
            if view:
                yield "open", open_field(customer_id, request_id), None if view is True else view
        for name in segments:
            yield "segments", name, self._lifetime_values.segments.get(name)
        for day in days:
            yield "quality", str(day), self._quality.days.get(day)
        for reason in reasons:
            yield "examples", reason, self._quality.examples.get(reason)


def _scoreboard_fields(scoreboard: Scoreboard) -> Iterator[Field]:
    while scoreboard.changed:
        day = scoreboard.drain_changed_day()
        partial = scoreboard.days.get(day)
        if partial is not None and partial == EMPTY:
            # Nothing is left of that day: the read model deletes the field, and equal states have equal bytes.
            del scoreboard.days[day]
            partial = None
        yield "partials", partial_field(scoreboard.scope, scoreboard.subject, day), partial
    if scoreboard.open_opportunities_changed:
        scoreboard.open_opportunities_changed = False
        open_now = scoreboard.open_opportunities
        yield "standing", scoreboard.subject, open_now if open_now.opportunities else None
