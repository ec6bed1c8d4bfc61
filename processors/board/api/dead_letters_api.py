"""`/api/v1/dead-letters`: the newest rejected records, with reasons."""

from collections import Counter
from http import HTTPStatus

from aiohttp import web

from processors.board.api.models import REASONS, DeadLetters
from processors.board.api.query import Query, encode_cursor
from processors.board.api.responses import NumbersSource, PageBounds, json_response, page_fields
from processors.board.state.dead_letter_tail import DeadLetterTail
from processors.board.web.problems import Problem

NOT_KEPT = "dead letters are not read here: board.dead_letters_kept is 0"


class DeadLettersApi:
    """The handler."""

    def __init__(self, source: NumbersSource, letters: DeadLetterTail) -> None:
        self._source = source
        self._letters = letters

    def routes(self) -> list[web.RouteDef]:
        """The route of the handler."""
        return [web.get("/api/v1/dead-letters", self.letters)]

    async def letters(self, request: web.Request) -> web.Response:
        """List dead letters, newest first; filter: reason. New letters do not shift the pages."""
        query = Query(request.query, ("reason", "limit", "after"))
        reason, limit, after = query.choice("reason", REASONS), query.limit(), query.cursor(str)
        if not self._letters.kept:
            raise Problem(HTTPStatus.NOT_FOUND, NOT_KEPT)
        kept = await self._letters.fresh()
        if not kept.read and kept.failure is not None:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, kept.failure)
        found = [letter for letter in kept.items if reason in (None, letter.reason)]
        first = next((number for number, letter in enumerate(found, 1) if letter.letter == after), 0)
        if after is not None and not first:
            raise Problem(HTTPStatus.GONE, "the letter at which this page begins is held no more: begin anew")
        shown = found[first : first + limit]
        bounds = PageBounds(len(found), encode_cursor(shown[-1].letter) if first + limit < len(found) else None)
        counts = dict(Counter(letter.reason for letter in kept.items).most_common())
        body = DeadLetters(
            **self._source.about(),
            **page_fields(request, shown, bounds),
            kept=self._letters.kept,
            counts=counts,
            failure=kept.failure,
        )
        return json_response(request, body)
