"""`/api/v1/requests`: open requests, and acknowledging or snoozing them."""

from bisect import bisect_right
from collections.abc import Awaitable, Iterator
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import web
from msgspec.structs import replace

from processors.board.api.models import (
    MAX_SNOOZE_SECONDS,
    MAX_TURN,
    MAX_WAIT_SECONDS,
    Acknowledgement,
    Page,
    Snooze,
    WaitingRequest,
)
from processors.board.api.query import MAX_TEXT_LENGTH, Query, encode_cursor
from processors.board.api.request_body import read_json
from processors.board.api.responses import NumbersSource, PageBounds, json_response, page_fields
from processors.board.state.turn_acknowledgements import Acknowledgements
from processors.board.web.access import caller_of
from processors.board.web.problems import Problem
from processors.core.time.instants import SECOND_US, instant_us, rfc3339
from processors.read_model.acknowledgements import TurnHold
from schemas.errors import Unavailable, UsageError
from schemas.views import OpenRequest

ANONYMOUS = "anonymous"
ONE = "/api/v1/requests/{request_id:[^/]+}"
TARGET = ("customer_id", "turn")
"""The parameters that identify a turn beyond the request's id."""


class RequestCursor(NamedTuple):
    """The position of a request in the list, longest wait first."""

    opened_us: int
    customer_id: str
    request_id: str


class RequestsApi:
    """The handlers."""

    def __init__(self, source: NumbersSource, acknowledgements: Acknowledgements) -> None:
        self._source = source
        self._store = source.store
        self._levels = source.store.age_classes.levels
        self._acknowledgements = acknowledgements

    def routes(self) -> list[web.RouteDef]:
        """The routes of the handlers."""
        when_loaded = self._source.when_loaded
        return [
            web.get("/api/v1/requests", when_loaded(self.requests)),
            web.get(ONE, when_loaded(self.request)),
            web.put(f"{ONE}/acknowledgement", when_loaded(self.acknowledge)),
            web.delete(f"{ONE}/acknowledgement", when_loaded(self.unacknowledge)),
            web.put(f"{ONE}/snooze", when_loaded(self.snooze)),
            web.delete(f"{ONE}/snooze", when_loaded(self.unsnooze)),
        ]

    async def requests(self, request: web.Request) -> web.Response:
        """List open requests, the longest wait first; filters: min_age (seconds), rep, team, level (overdue)."""
        query = Query(request.query, ("state", "min_age", "rep", "team", "level", "limit", "after"))
        query.choice("state", ("open",))
        limit, after, now_us = query.limit(), query.cursor(RequestCursor), self._store.now_us()
        found = list(self._matching(query, now_us))
        first = 0 if after is None else bisect_right(found, after, key=_cursor_of)
        shown = found[first : first + limit]
        bounds = PageBounds(len(found), encode_cursor(_cursor_of(shown[-1])) if first + limit < len(found) else None)
        items = [self._waiting(one, now_us) for one in shown]
        page = Page[WaitingRequest](**self._source.about(), **page_fields(request, items, bounds))
        return json_response(request, page, replace(page, as_of="", items=[_without_age(item) for item in items]))

    async def request(self, request: web.Request) -> web.Response:
        """Get one open request."""
        body = self._waiting(self._one(request, Query(request.query, TARGET)), self._store.now_us())
        return json_response(request, body, _without_age(body))

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Acknowledge a request until its turn ends."""
        one, body = self._one(request, Query(request.query, TARGET)), await read_json(request, Acknowledgement)
        await _finish(self._acknowledgements.acknowledge(one, _who(request, body.by)))
        return self._written(request, one)

    async def unacknowledge(self, request: web.Request) -> web.Response:
        """Release a request, if it is acknowledged."""
        return await self._release(request, snoozed=False)

    async def snooze(self, request: web.Request) -> web.Response:
        """Silence a request until an instant."""
        one, body = self._one(request, Query(request.query, TARGET)), await read_json(request, Snooze)
        await _finish(self._acknowledgements.snooze(one, _who(request, body.by), self._until_us(body)))
        return self._written(request, one)

    async def unsnooze(self, request: web.Request) -> web.Response:
        """End a snooze, if there is one."""
        return await self._release(request, snoozed=True)

    async def _release(self, request: web.Request, *, snoozed: bool) -> web.Response:
        query = Query(request.query, (*TARGET, "by"))
        one, by = self._one(request, query), _who(request, query.text("by"))
        hold = self._acknowledgements.hold_of(one)
        if hold is not None and (hold.until_us is not None) == snoozed:
            await _finish(self._acknowledgements.release(one, by))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _written(self, request: web.Request, one: OpenRequest) -> web.Response:
        body = self._waiting(one, self._store.now_us())
        return json_response(request, body, _without_age(body))

    def _one(self, request: web.Request, query: Query) -> OpenRequest:
        """The open request with the id in the path. Raises Problem: 404 without one, 409 if it is ambiguous."""
        request_id, customer_id = request.match_info["request_id"], query.text("customer_id")
        turn = query.number("turn", 1, MAX_TURN, 0)
        found = [one for one in self._store.open_requests.with_id(request_id) if customer_id in (None, one.customer_id)]
        name = repr(request_id[:MAX_TEXT_LENGTH])
        if not found:
            raise Problem(HTTPStatus.NOT_FOUND, f"no request {name} waits for an answer")
        if len(found) > 1:
            detail = f"{len(found)} customers have a request {name}: say which with customer_id"
            raise Problem(HTTPStatus.CONFLICT, detail)
        if turn not in (0, found[0].turn):
            detail = f"request {name} waits in turn {found[0].turn} by now, not in turn {turn}"
            raise Problem(HTTPStatus.CONFLICT, detail)
        return found[0]

    def _until_us(self, body: Snooze) -> int:
        now_us = self._store.now_us()
        if (body.seconds is None) == (body.until is None):
            raise Problem(HTTPStatus.BAD_REQUEST, "allowed is one of seconds and until")
        until_us = now_us + (body.seconds or 0) * SECOND_US if body.until is None else instant_us(body.until)
        if not now_us < until_us <= now_us + MAX_SNOOZE_SECONDS * SECOND_US:
            detail = f"until {rfc3339(until_us)}: allowed is an instant within {MAX_SNOOZE_SECONDS // 86_400} days"
            raise Problem(HTTPStatus.BAD_REQUEST, f"{detail} from now, which is {rfc3339(now_us)}")
        return until_us

    def _matching(self, query: Query, now_us: int) -> Iterator[OpenRequest]:
        youngest_us = now_us - query.number("min_age", 0, MAX_WAIT_SECONDS, 0) * SECOND_US
        rep_id, team, level = query.text("rep"), query.text("team"), query.choice("level", self._levels)
        for one in self._store.open_requests.longest_first():
            if one.opened_us > youngest_us:
                return
            if rep_id is not None and one.rep_id != rep_id:
                continue
            if team is not None and self._store.reps.team(one.rep_id) != team:
                continue
            if level is None or level in self._store.age_classes.passed_levels(one, now_us):
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
            levels=self._store.age_classes.passed_levels(one, now_us),
            waiting_seconds=(now_us - one.opened_us) / SECOND_US,
            **_hold_fields(self._acknowledgements.hold_of(one)),
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


def _without_age(item: WaitingRequest) -> WaitingRequest:
    """The part that does not change with time alone, for the ETag."""
    return replace(item, waiting_seconds=0.0)


def _cursor_of(one: OpenRequest) -> RequestCursor:
    return RequestCursor(one.opened_us, one.customer_id, one.request_id)


def _who(request: web.Request, given: str | None) -> str:
    """Who acts: the signed-in user, else the name that the caller gives."""
    name = caller_of(request).name
    if name is None:
        return ANONYMOUS if given is None else given
    if given not in (None, name):
        raise Problem(HTTPStatus.BAD_REQUEST, f"by = {given!r}: allowed is {name!r}, who has signed in")
    return name


async def _finish(write: Awaitable[None]) -> None:
    """Wait for a write. Raises Problem if it fails."""
    try:
        await write
    except Unavailable as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
    except UsageError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error
