"""*Waiting now*: every open request, the longest wait first, with the time left until each deadline."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

from processors.board.pages.url_filters import (
    MAX_SUGGESTED_REPS,
    PAGE_ROWS,
    Context,
    UrlFilters,
    find_reps,
    one_of,
    page_at,
    teams_of,
)
from processors.board.state.age_classes import NEVER_US, AgeClasses
from processors.board.state.store import Store
from processors.core.reports.foreign_text import is_path_step
from processors.core.time.instants import SECOND_US, rfc3339
from processors.read_model.acknowledgements import TurnHold
from schemas.views import UNASSIGNED, OpenRequest, open_field

REQUESTS_BATCH_SIZE = 1000
"""Requests examined between two turns of the event loop."""
HELD = ("no", "yes")
"""The options of the filter `held`: whether a request is acknowledged or snoozed."""

Wanted = Callable[[OpenRequest], bool]
HoldOf = Callable[[OpenRequest], TurnHold | None]
"""The hold in force on a request, if any."""


class WaitingView:
    """Fills the view, and renders request rows for other views."""

    def __init__(self, store: Store, hold_of: HoldOf, crm_url: str | None) -> None:
        """`crm_url`: where the CRM shows a request; {request_id}, {customer_id} and {rep_id} are filled in."""
        self._store = store
        self._hold_of = hold_of
        self._crm_url = crm_url

    async def fill(self, filters: UrlFilters) -> Context:
        """The variables of the template."""
        now_us, classes, store = self._store.now_us(), self._store.age_classes, self._store
        teams = teams_of(store, filters)
        rep = find_reps(store, filters.get("rep", ""))
        level, held = one_of(filters, "level", classes.levels), one_of(filters, "held", HELD)
        is_owned, counts = self._owned_by(teams["team"], rep.rep_ids, filters), AgeCounts(classes)
        found: list[OpenRequest] = []
        for batch in _batches(store.open_requests.longest_first()):
            among = list(filter(is_owned, batch))
            found += [one for one in among if self._is_shown(one, level, held, now_us)]
            counts.add(among, now_us)
            await asyncio.sleep(0)
        page = page_at(filters, len(found))
        return {
            "rows": [self.row(one, now_us) for one in found[page["first"] : page["first"] + PAGE_ROWS]],
            "counts": counts.by_age(),
            "stale_us": counts.next_us,
            "levels": classes.levels,
            "level": level,
            "held": held,
            "held_options": HELD,
            "rep": rep.query,
            "no_such_rep": rep.rep_ids == set(),
            "request_id": filters.get("request", ""),
            "suggested": self._owners(),
            **teams,
            **page,
        }

    def row(self, one: OpenRequest, now_us: int) -> Context:
        """The variables of a request's row."""
        store = self._store
        hold = self._hold_of(one)
        return {
            "key": open_field(one.customer_id, one.request_id),
            "request": one,
            "rep_name": None if one.rep_id == UNASSIGNED else store.reps.name(one.rep_id),
            "team": store.reps.team(one.rep_id),
            "crm_url": self._link(one),
            "opened": rfc3339(one.opened_us) if one.opened_us > 0 else None,
            "waiting_seconds": (now_us - one.opened_us) / SECOND_US,
            "age_index": store.age_classes.index_of(one, now_us),
            "due": [_due(one.due_us.get(level), now_us) for level in store.age_classes.levels],
            "hold": hold,
            "until": None if hold is None or hold.until_us is None else rfc3339(hold.until_us),
        }

    def _owned_by(self, team: str | None, rep_ids: set[str] | None, filters: UrlFilters) -> Wanted:
        """A predicate for the requests of the chosen team, reps and request id."""
        request_id = filters.get("request")
        owners = set(self._store.open_requests.owners()) if rep_ids is None else rep_ids
        if team is not None:
            owners = {owner for owner in owners if self._store.reps.team(owner) == team}
        return lambda one: one.rep_id in owners and request_id in (None, "", one.request_id)

    def _is_shown(self, one: OpenRequest, level: str | None, held: str | None, now_us: int) -> bool:
        if level is not None and one.due_us.get(level, NEVER_US) >= now_us:
            return False
        return held is None or (self._hold_of(one) is not None) == (held == "yes")

    def _owners(self) -> list[str]:
        reps = self._store.reps
        owners = [owner for owner in self._store.open_requests.owners() if owner != UNASSIGNED]
        return sorted({reps.name(owner) for owner in owners})[:MAX_SUGGESTED_REPS]

    def _link(self, one: OpenRequest) -> str | None:
        if self._crm_url is None:
            return None
        ids = {"request_id": one.request_id, "customer_id": one.customer_id, "rep_id": one.rep_id}
        url = self._crm_url
        path = url.partition("?")[0].partition("#")[0]
        if any(is_path_step(value) and f"{{{name}}}" in path for name, value in ids.items()):
            return None
        for name, value in ids.items():
            url = url.replace(f"{{{name}}}", quote(value, safe=""))
        return url


class AgeCounts:
    """The number of requests in each age class, and when the first of them moves to the next class."""

    def __init__(self, classes: AgeClasses) -> None:
        self._ages = classes
        self._counts = [0] * len(classes.classes)
        self.next_us = NEVER_US

    def add(self, requests: Iterable[OpenRequest], now_us: int) -> None:
        """Count some requests."""
        classes, counts = self._ages, self._counts
        for one in requests:
            counts[classes.index_of(one, now_us)] += 1
            self.next_us = min(self.next_us, classes.next_due_us(one, now_us))

    def by_age(self) -> list[tuple[str, int]]:
        """Each age class with its count."""
        return list(zip(self._ages.classes, self._counts, strict=True))


def _batches(requests: list[OpenRequest]) -> Iterator[list[OpenRequest]]:
    """Batches of requests."""
    for first in range(0, len(requests), REQUESTS_BATCH_SIZE):
        yield requests[first : first + REQUESTS_BATCH_SIZE]


def _due(due_us: int | None, now_us: int) -> tuple[int, float] | None:
    """A deadline, and the seconds left until it; None if the level does not apply to the request."""
    return None if due_us is None else (due_us, (due_us - now_us) / SECOND_US)
