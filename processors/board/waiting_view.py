"""*Waiting now*: every open request, the longest wait first, with what is left until each level."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

from processors.board.ages import NEVER_US, Ages
from processors.board.choices import (
    ROWS,
    SUGGESTED_REPS,
    Choices,
    Context,
    one_of,
    page_of,
    reps_named,
    teams_of,
)
from processors.board.store import Store
from processors.core.reports.foreign_text import is_path_step
from processors.core.time.instants import SECOND_US, rfc3339
from schemas.views import UNASSIGNED, OpenRequest, open_field

AT_ONCE = 1000
"""So many requests are looked at before the event loop gets its turn."""
HELD = ("no", "yes")
"""Whether somebody has acknowledged or snoozed a request."""

Wanted = Callable[[OpenRequest], bool]


class WaitingView:
    """Fills the view, and the rows of requests of other views."""

    def __init__(self, store: Store, crm_url: str | None) -> None:
        """`crm_url`: where the CRM shows a request; {request_id}, {customer_id} and {rep_id} are filled in."""
        self._store = store
        self._crm_url = crm_url

    async def fill(self, choices: Choices) -> Context:
        """What the template reads."""
        now_us, ages, store = self._store.now_us(), self._store.ages, self._store
        teams = teams_of(store, choices)
        rep = reps_named(store, choices.get("rep", ""))
        level, held = one_of(choices, "level", ages.levels), one_of(choices, "held", HELD)
        is_owned, counts = self._owned_by(teams["team"], rep.rep_ids, choices), Counts(ages)
        found: list[OpenRequest] = []
        for some in _slices(store.waiting.ordered()):
            among = list(filter(is_owned, some))
            found += [one for one in among if self._is_shown(one, level, held, now_us)]
            counts.add(among, now_us)
            await asyncio.sleep(0)
        page = page_of(choices, len(found))
        return {
            "rows": [self.row(one, now_us) for one in found[page["first"] : page["first"] + ROWS]],
            "counts": counts.by_age(),
            "stale_us": counts.next_us,
            "levels": ages.levels,
            "level": level,
            "held": held,
            "held_options": HELD,
            "rep": rep.words,
            "no_such_rep": rep.rep_ids == set(),
            "request_id": choices.get("request", ""),
            "suggested": self._owners(),
            **teams,
            **page,
        }

    def row(self, one: OpenRequest, now_us: int) -> Context:
        """What a row of a request says."""
        store = self._store
        hold = store.held.of(one)
        return {
            "key": open_field(one.customer_id, one.request_id),
            "request": one,
            "rep_name": None if one.rep_id == UNASSIGNED else store.reps.name(one.rep_id),
            "team": store.reps.team(one.rep_id),
            "crm_url": self._link(one),
            "opened": rfc3339(one.opened_us) if one.opened_us > 0 else None,
            "waiting_seconds": (now_us - one.opened_us) / SECOND_US,
            "place": store.ages.place(one, now_us),
            "due": [_due(one.due_us.get(level), now_us) for level in store.ages.levels],
            "hold": hold,
            "until": None if hold is None or hold.until_us is None else rfc3339(hold.until_us),
        }

    def _owned_by(self, team: str | None, rep_ids: set[str] | None, choices: Choices) -> Wanted:
        """Whether a request is among those that the address speaks of."""
        request_id = choices.get("request")
        owners = set(self._store.waiting.owners()) if rep_ids is None else rep_ids
        if team is not None:
            owners = {owner for owner in owners if self._store.reps.team(owner) == team}
        return lambda one: one.rep_id in owners and request_id in (None, "", one.request_id)

    def _is_shown(self, one: OpenRequest, level: str | None, held: str | None, now_us: int) -> bool:
        if level is not None and one.due_us.get(level, NEVER_US) >= now_us:
            return False
        return held is None or (self._store.held.of(one) is not None) == (held == "yes")

    def _owners(self) -> list[str]:
        reps = self._store.reps
        owners = [owner for owner in self._store.waiting.owners() if owner != UNASSIGNED]
        return sorted({reps.name(owner) for owner in owners})[:SUGGESTED_REPS]

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


class Counts:
    """How many requests are in each age class, and when the first of them grows into the next."""

    def __init__(self, ages: Ages) -> None:
        self._ages = ages
        self._counts = [0] * len(ages.classes)
        self.next_us = NEVER_US

    def add(self, some: Iterable[OpenRequest], now_us: int) -> None:
        """Count some more."""
        ages, counts = self._ages, self._counts
        for one in some:
            counts[ages.place(one, now_us)] += 1
            self.next_us = min(self.next_us, ages.next_us(one, now_us))

    def by_age(self) -> list[tuple[str, int]]:
        """The age classes with their counts."""
        return list(zip(self._ages.classes, self._counts, strict=True))


def _slices(requests: list[OpenRequest]) -> Iterator[list[OpenRequest]]:
    """So many at once that the event loop gets its turn."""
    for first in range(0, len(requests), AT_ONCE):
        yield requests[first : first + AT_ONCE]


def _due(due_us: int | None, now_us: int) -> tuple[int, float] | None:
    """A due instant, and how many seconds are left; None: the level does not hold for this request."""
    return None if due_us is None else (due_us, (due_us - now_us) / SECOND_US)
