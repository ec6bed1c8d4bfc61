"""`/api/v1/requests`: who waits, and who has taken care of it."""

from bisect import bisect_right
from collections.abc import Awaitable, Iterator
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import web
from msgspec.structs import replace

from processors.board.access import caller_of
from processors.board.answers import Slice, Source, answer, page_of
from processors.board.bodies import read_json
from processors.board.holds import Desk
from processors.board.problems import Problem
from processors.board.queries import LONGEST_WORD, Query, place
from processors.board.shapes import LONGEST_SNOOZE_SECONDS, Acknowledgement, Page, Snooze, WaitingRequest
from processors.core.instants import SECOND_US, instant_us, rfc3339
from processors.read_model.acknowledgements import TurnHold
from schemas.errors import Unavailable, UsageError
from schemas.views import OpenRequest

LONGEST_WAIT_SECONDS = 10**9
LAST_TURN = 10**9
ANONYMOUS = "anonymous"
ONE = "/api/v1/requests/{request_id:[^/]+}"
TARGET = ("customer_id", "turn")
"""The parameters that tell which turn of which request is meant."""


class Wait(NamedTuple):
    """The place of a request in the order."""

    opened_us: int
    customer_id: str
    request_id: str


class RequestsApi:
    """The handlers."""

    def __init__(self, source: Source, desk: Desk) -> None:
        self._source = source
        self._store = source.store
        self._levels = source.store.ages.levels
        self._desk = desk

    def routes(self) -> list[web.RouteDef]:
        """Where the handlers are."""
        known = self._source.known
        return [
            web.get("/api/v1/requests", known(self.requests)),
            web.get(ONE, known(self.request)),
            web.put(f"{ONE}/acknowledgement", known(self.acknowledge)),
            web.delete(f"{ONE}/acknowledgement", known(self.unacknowledge)),
            web.put(f"{ONE}/snooze", known(self.snooze)),
            web.delete(f"{ONE}/snooze", known(self.unsnooze)),
        ]

    async def requests(self, request: web.Request) -> web.Response:
        """Who waits, the longest wait first; filters: min_age (seconds), rep, team, level (passed)."""
        query = Query(request.query, ("state", "min_age", "rep", "team", "level", "limit", "after"))
        query.choice("state", ("open",))
        limit, after, now_us = query.limit(), query.after(Wait), self._store.now_us()
        found = list(self._matching(query, now_us))
        first = 0 if after is None else bisect_right(found, after, key=_place)
        shown = found[first : first + limit]
        where = Slice(len(found), place(_place(shown[-1])) if first + limit < len(found) else None)
        items = [self._waiting(one, now_us) for one in shown]
        page = Page[WaitingRequest](**self._source.about(), **page_of(request, items, where))
        return answer(request, page, replace(page, as_of="", items=[_ageless(item) for item in items]))

    async def request(self, request: web.Request) -> web.Response:
        """One customer who waits."""
        body = self._waiting(self._one(request, Query(request.query, TARGET)), self._store.now_us())
        return answer(request, body, _ageless(body))

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Take care of a request until its turn ends."""
        one, wish = self._one(request, Query(request.query, TARGET)), await read_json(request, Acknowledgement)
        await _done(self._desk.acknowledge(one, _who(request, wish.by)))
        return self._written(request, one)

    async def unacknowledge(self, request: web.Request) -> web.Response:
        """Let go of a request, if it is acknowledged."""
        return await self._release(request, snoozed=False)

    async def snooze(self, request: web.Request) -> web.Response:
        """Tell nobody of a request until an instant."""
        one, wish = self._one(request, Query(request.query, TARGET)), await read_json(request, Snooze)
        await _done(self._desk.snooze(one, _who(request, wish.by), self._until_us(wish)))
        return self._written(request, one)

    async def unsnooze(self, request: web.Request) -> web.Response:
        """End a snooze, if there is one."""
        return await self._release(request, snoozed=True)

    async def _release(self, request: web.Request, *, snoozed: bool) -> web.Response:
        query = Query(request.query, (*TARGET, "by"))
        one, by = self._one(request, query), _who(request, query.word("by"))
        hold = self._store.held.of(one)
        if hold is not None and (hold.until_us is not None) == snoozed:
            await _done(self._desk.release(one, by))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _written(self, request: web.Request, one: OpenRequest) -> web.Response:
        body = self._waiting(one, self._store.now_us())
        return answer(request, body, _ageless(body))

    def _one(self, request: web.Request, query: Query) -> OpenRequest:
        """The request that waits under an id."""
        request_id, customer_id = request.match_info["request_id"], query.word("customer_id")
        turn = query.number("turn", 1, LAST_TURN, 0)
        found = [one for one in self._store.waiting.called(request_id) if customer_id in (None, one.customer_id)]
        name = repr(request_id[:LONGEST_WORD])
        if not found:
            raise Problem(HTTPStatus.NOT_FOUND, f"no request {name} waits for an answer")
        if len(found) > 1:
            detail = f"{len(found)} customers have a request {name}: say which with customer_id"
            raise Problem(HTTPStatus.CONFLICT, detail)
        if turn not in (0, found[0].turn):
            detail = f"request {name} waits in turn {found[0].turn} by now, not in turn {turn}"
            raise Problem(HTTPStatus.CONFLICT, detail)
        return found[0]

    def _until_us(self, wish: Snooze) -> int:
        now_us = self._store.now_us()
        if (wish.seconds is None) == (wish.until is None):
            raise Problem(HTTPStatus.BAD_REQUEST, "allowed is one of seconds and until")
        until_us = now_us + (wish.seconds or 0) * SECOND_US if wish.until is None else instant_us(wish.until)
        if not now_us < until_us <= now_us + LONGEST_SNOOZE_SECONDS * SECOND_US:
            detail = f"until {rfc3339(until_us)}: allowed is an instant within {LONGEST_SNOOZE_SECONDS // 86_400} days"
            raise Problem(HTTPStatus.BAD_REQUEST, f"{detail} from now, which is {rfc3339(now_us)}")
        return until_us

    def _matching(self, query: Query, now_us: int) -> Iterator[OpenRequest]:
        youngest_us = now_us - query.number("min_age", 0, LONGEST_WAIT_SECONDS, 0) * SECOND_US
        rep_id, team, level = query.word("rep"), query.word("team"), query.choice("level", self._levels)
        for one in self._store.waiting.ordered():
            if one.opened_us > youngest_us:
                return
            if rep_id is not None and one.rep_id != rep_id:
                continue
            if team is not None and self._store.reps.team(one.rep_id) != team:
                continue
            if level is None or level in self._store.ages.passed(one, now_us):
                yield one

    def _waiting(self, one: OpenRequest, now_us: int) -> WaitingRequest:
        return WaitingRequest(
            request_id=one.request_id,
            turn=one.turn,
            customer_id=one.customer_id,
            rep_id=one.rep_id,
            rep_name=self._store.reps.name(one.rep_id),
            team=self._store.reps.team(one.rep_id),
            channel=one.channel,
            priority=one.priority,
            topic=one.topic,
            opened_at=rfc3339(one.opened_us),
            due_at={level: rfc3339(due_us) for level, due_us in one.due_us.items()},
            levels=self._store.ages.passed(one, now_us),
            waiting_seconds=(now_us - one.opened_us) / SECOND_US,
            **_hold_fields(self._store.held.of(one)),
        )


def _hold_fields(hold: TurnHold | None) -> dict[str, str | None]:
    acknowledged, snoozed = (hold, None) if hold is None or hold.until_us is None else (None, hold)
    return {
        "acknowledged_by": None if acknowledged is None else acknowledged.by,
        "acknowledged_at": None if acknowledged is None else rfc3339(acknowledged.at_us),
        "snoozed_by": None if snoozed is None else snoozed.by,
        "snoozed_at": None if snoozed is None else rfc3339(snoozed.at_us),
        "snoozed_until": None if snoozed is None or snoozed.until_us is None else rfc3339(snoozed.until_us),
    }


def _ageless(item: WaitingRequest) -> WaitingRequest:
    """What of it is no mere passing of time."""
    return replace(item, waiting_seconds=0.0)


def _place(one: OpenRequest) -> Wait:
    return Wait(one.opened_us, one.customer_id, one.request_id)


def _who(request: web.Request, given: str | None) -> str:
    """Who does it: whoever has signed in, else whoever they say they are."""
    name = caller_of(request).name
    if name is None:
        return ANONYMOUS if given is None else given
    if given not in (None, name):
        raise Problem(HTTPStatus.BAD_REQUEST, f"by = {given!r}: allowed is {name!r}, who has signed in")
    return name


async def _done(write: Awaitable[None]) -> None:
    """Wait for something to be written."""
    try:
        await write
    except Unavailable as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
    except UsageError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error
