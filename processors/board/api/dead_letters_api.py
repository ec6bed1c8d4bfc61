"""`/api/v1/dead-letters`: what could not count of late, and why."""

from collections import Counter
from http import HTTPStatus

from aiohttp import web

from processors.board.api.models import DeadLetters
from processors.board.api.query import Query, place
from processors.board.api.responses import Slice, Source, answer, page_of
from processors.board.state.dead_letter_tail import LatestDeadLetters
from processors.board.web.problems import Problem
from schemas.errors import Reason

REASONS = tuple(reason.value for reason in Reason)
OFF = "dead letters are not read here: board.dead_letters_kept is 0"


class LettersApi:
    """The handler."""

    def __init__(self, source: Source, letters: LatestDeadLetters) -> None:
        self._source = source
        self._letters = letters

    def routes(self) -> list[web.RouteDef]:
        """Where the handler is."""
        return [web.get("/api/v1/dead-letters", self.letters)]

    async def letters(self, request: web.Request) -> web.Response:
        """The newest dead letters; filter: reason. Pages go on where they ended though new letters came."""
        query = Query(request.query, ("reason", "limit", "after"))
        reason, limit, after = query.choice("reason", REASONS), query.limit(), query.after(str)
        if not self._letters.kept:
            raise Problem(HTTPStatus.NOT_FOUND, OFF)
        held = await self._letters.fresh()
        if not held.read and held.failure is not None:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, held.failure)
        found = [one for one in held.items if reason in (None, one.reason)]
        first = next((number for number, one in enumerate(found, 1) if one.letter == after), 0)
        if after is not None and not first:
            raise Problem(HTTPStatus.GONE, "the letter at which this page begins is held no more: begin anew")
        shown = found[first : first + limit]
        where = Slice(len(found), place(shown[-1].letter) if first + limit < len(found) else None)
        counts = dict(Counter(one.reason for one in held.items).most_common())
        body = DeadLetters(
            **self._source.about(),
            **page_of(request, shown, where),
            kept=self._letters.kept,
            counts=counts,
            failure=held.failure,
        )
        return answer(request, body)
