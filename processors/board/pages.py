"""The live page: rendered here with Jinja2, kept up to date by server-sent events that carry what changes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote

import jinja2
from aiohttp import web
from yarl import URL

from config.clock import Clock
from processors.board.access import caller_of
from processors.board.ages import NEVER_US
from processors.board.choices import Choices, Context, NoSuchRep, canonical, passed_over
from processors.board.files import HERE, YEAR_SECONDS, Files
from processors.board.fragments import Fragment
from processors.board.problems import Problem
from processors.board.quotas import Quota
from processors.board.reader import Reader
from processors.board.shared import Shared
from processors.board.store import Store
from processors.board.words import ALL_WORDS, COOKIE, Language, language_of
from processors.core.foreign_text import is_path_step, visible
from processors.core.instants import SECOND_US, rfc3339
from processors.read_model.follower import FollowerStatus

STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "private, no-store",
    "X-Accel-Buffering": "no",
}
STEP_SECONDS = 1.0
"""A reader is sent news at most so often."""
REPS = "/reps"
"""Before a rep's id, or with `rep` as a parameter for ids that cannot stand in a path."""
QUIET_SECONDS = 1800
"""Without any event for so long the page says so: workers may have stopped."""


class View(NamedTuple):
    """One page: its address, the key of its title, and what fills it."""

    path: str
    title: str
    choices: frozenset[str]
    """The parameters of its address that mean something; others are passed over."""
    fill: Callable[[Choices], Awaitable[Context]]


class Pages:
    """The handlers of the live page."""

    def __init__(
        self, store: Store, clock: Clock, status: FollowerStatus, views: Mapping[str, View], streams: Quota
    ) -> None:
        self._store = store
        self._clock = clock
        self._status = status
        self._files = Files()
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"visible": lambda text: visible(str(text)), "rep_path": _rep_address}
        self._views = views
        self._fragments = Shared(self._version, clock.now_us)
        self._closing = asyncio.Event()
        self._streams = streams

    def routes(self) -> list[web.RouteDef]:
        """Where the handlers are."""
        pages = [web.get(view.path, self._page(name)) for name, view in self._views.items()]
        pages.append(web.get(REPS, self._page("rep")))
        return [*pages, web.get("/live/{view}", self.live), *self._files.routes()]

    async def close(self, _app: web.Application) -> None:
        """End every stream: an `on_shutdown` signal."""
        self._closing.set()

    async def live(self, request: web.Request) -> web.StreamResponse:
        """A view's changing part as server-sent events: `view` with all of it, then `change` with what is new.

        Before them `version`: a page of another version loads itself again. Until numbers were read nothing of that is
        sent, only why they cannot be: a page that has some keeps them while a board restarts.

        Who comes again after a lost connection says what it shows (Last-Event-ID), and is sent nothing it has.
        """
        name = request.match_info["view"]
        if name not in self._views:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no view {name!r}")
        response = web.StreamResponse(headers=STREAM_HEADERS)
        with self._streams.use(request), suppress(ConnectionResetError):  # of a page that was closed: how a stream ends
            await response.prepare(request)
            reader = Reader(response, request.headers.get("Last-Event-ID", ""))
            await self._stream(reader, name, self._choices(request, name), language_of(request))
        return response

    def _choices(self, request: web.Request, name: str) -> Choices:
        """What the address chooses of what the view knows: readers who choose the same share a fragment."""
        return canonical({**request.query, **request.match_info}, self._views[name].choices)

    async def _stream(self, reader: Reader, name: str, choices: Choices, language: Language) -> None:
        view = (name, language, *choices.items()), partial(self._fragment, name, choices, language)
        notice = ("", language), partial(self._notice, language)
        while not self._closing.is_set():
            if self._status.loaded:
                await reader.version(self._files.pages)
                await reader.show(await self._fragments.get(*view))
            elif self._status.down_since_us is not None:
                await reader.notice(await self._fragments.get(*notice))
            await reader.keep()
            await self._pause()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), STEP_SECONDS)
        except TimeoutError:
            return

    def _version(self) -> int:
        """Differs whenever a view may."""
        status = self._status
        return hash((self._store.version, status.stale_since_us, status.why_stale, status.emptied, status.loaded))

    def _page(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def page(request: web.Request) -> web.Response:
            choices, language = self._choices(request, name), language_of(request)
            html, status = await self._whole(request, name, choices, language)
            response = web.Response(text=html, status=status, content_type="text/html", charset="utf-8")
            response.enable_compression()
            response.headers["Cache-Control"] = "private, no-store"
            if "lang" in request.query:
                response.set_cookie(COOKIE, language, max_age=YEAR_SECONDS, httponly=True, samesite="Lax")
            return response

        return page

    async def _whole(
        self, request: web.Request, name: str, choices: Choices, language: Language
    ) -> tuple[str, HTTPStatus]:
        if not self._status.loaded:
            common = self._common(language)
            context = common | self._frame(request, name, choices, common) | {"fragment": "unknown_live.html"}
            return self._render("bare.html", context), HTTPStatus.SERVICE_UNAVAILABLE
        try:
            context = await self._context(name, choices, language)
        except NoSuchRep:
            return self._missing(request, language), HTTPStatus.NOT_FOUND
        frame = self._frame(request, name, choices, context)
        return self._render(f"{name}.html", context | frame | {"fragment": f"{name}_live.html"}), HTTPStatus.OK

    async def _fragment(self, name: str, choices: Choices, language: Language) -> Fragment:
        now_us = self._clock.now_us()
        try:
            context = await self._context(name, choices, language)
        except NoSuchRep:
            return Fragment(self._render("missing_live.html", self._common(language)), now_us, NEVER_US)
        html = self._render(f"{name}_live.html", context)
        await asyncio.sleep(0)
        return Fragment(html, now_us, context.get("stale_us", NEVER_US))

    async def _notice(self, language: Language) -> Fragment:
        """Why there are no numbers, for a page that has those of an earlier board as well as for one that has none."""
        return Fragment(self._render("notice.html", self._common(language)), self._clock.now_us(), NEVER_US)

    async def _context(self, name: str, choices: Choices, language: Language) -> Context:
        """What the changing part reads."""
        common = self._common(language) | {"address": _addresses(self._path(name, choices), choices)}
        filled = await self._views[name].fill(choices)
        await asyncio.sleep(0)  # what is made of it takes the event loop's time as well
        return common | filled | {"passed_over": passed_over(choices, filled)}

    def _common(self, language: Language) -> Context:
        status = self._status
        newest_us = max((one.stream_us for one in self._store.partitions.values()), default=0)
        quiet = newest_us > 0 and self._clock.now_us() - newest_us > QUIET_SECONDS * SECOND_US
        state = {
            "loaded": status.loaded,
            "stale_since": None if status.stale_since_us is None else rfc3339(status.stale_since_us),
            "why_stale": status.why_stale,
            "down": status.down_since_us is not None,
            "emptied": status.emptied,
            "newest_us": newest_us,
            "newest_seconds": (self._clock.now_us() - newest_us) / SECOND_US,
            "quiet": quiet,
        }
        return {"words": ALL_WORDS[language], "state": state, "passed_over": ()}

    def _frame(self, request: web.Request, name: str, choices: Choices, context: Context) -> Context:
        """What the rest of a page reads."""
        words = context["words"]
        return {
            "title": context.get("name") or words[self._views[name].title],
            "path": self._path(name, choices),
            "live_path": f"/live/{name}",
            "live_url": str(URL.build(path=f"/live/{name}", query=choices)),
            **self._outside(request, words.language),
        }

    def _outside(self, request: web.Request, language: Language) -> Context:
        other, caller = "en" if language == "zh" else "zh", caller_of(request)
        return {
            "caller": caller.name,
            "may_write": "write" in caller.may,
            "static": self._files.address,
            "version": self._files.pages if self._status.loaded else "",
            "now_us": self._clock.now_us(),
            "speed": self._clock.speed,
            "language_url": str(request.rel_url.update_query(lang=other)),
        }

    def _missing(self, request: web.Request, language: Language) -> str:
        context = self._common(language) | self._outside(request, language)
        title = context["words"]["not_found"]
        return self._render(
            "bare.html", context | {"title": title, "path": "", "live_url": "", "fragment": "missing_live.html"}
        )

    def _render(self, template: str, context: Context) -> str:
        return self._templates.get_template(template).render(context)

    def _path(self, name: str, choices: Choices) -> str:
        return _rep_address(choices.get("rep", "")).partition("?")[0] if name == "rep" else self._views[name].path


def _rep_address(rep_id: str) -> str:
    """The address of a rep's card."""
    return f"{REPS}?rep={rep_id}" if is_path_step(rep_id) else f"{REPS}/{quote(rep_id, safe='')}"


def _addresses(path: str, choices: Choices) -> Callable[..., str]:
    """Makes this page's address with some parameters changed; None: left out."""

    def address(**changes: object) -> str:
        chosen = {**choices, **changes}
        if path.startswith("/reps/"):
            chosen.pop("rep", None)
        return str(
            URL(path, encoded=True).with_query({key: str(chosen[key]) for key in chosen if _is_said(key, chosen[key])})
        )

    return address


def _is_said(key: str, value: object) -> bool:
    return key != "lang" and value not in (None, "")
