"""The live pages: rendered with Jinja2, and kept up to date by server-sent events that carry only changes."""

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
from processors.board.pages.event_stream import EventStream
from processors.board.pages.fragment_cache import FragmentCache
from processors.board.pages.fragments import Fragment
from processors.board.pages.static_files import HERE, YEAR_SECONDS, StaticFiles
from processors.board.pages.translations import COOKIE, TRANSLATIONS, Language, language_of
from processors.board.pages.url_filters import Context, UnknownRep, UrlFilters, canonical_filters, ignored_filters
from processors.board.state.age_classes import NEVER_US
from processors.board.state.store import Store
from processors.board.web.access import caller_of
from processors.board.web.problems import Problem
from processors.board.web.quotas import Quota
from processors.core.reports.foreign_text import is_path_step, visible
from processors.core.time.instants import SECOND_US, rfc3339
from processors.read_model.follower import FollowerStatus

STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "private, no-store",
    "X-Accel-Buffering": "no",
}
UPDATE_SECONDS = 1.0
"""Interval between two updates of a page."""
REPS = "/reps"
"""The path of reps: the id follows as a path segment, or as the parameter `rep` if a path cannot hold it."""
QUIET_SECONDS = 1800
"""After this long without any event, pages warn that workers may have stopped."""


class PageView(NamedTuple):
    """One page: its path, the key of its title, and the function that fills its template."""

    path: str
    title: str
    filters: frozenset[str]
    """The query parameters that it uses; others are ignored."""
    fill: Callable[[UrlFilters], Awaitable[Context]]


class Pages:
    """The handlers of the live pages."""

    def __init__(
        self, store: Store, clock: Clock, status: FollowerStatus, views: Mapping[str, PageView], streams: Quota
    ) -> None:
        self._store = store
        self._clock = clock
        self._status = status
        self._files = StaticFiles()
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"visible": lambda text: visible(str(text)), "rep_path": _rep_url}
        self._views = views
        self._fragments = FragmentCache(self._version, clock.now_us)
        self._closing = asyncio.Event()
        self._streams = streams

    def routes(self) -> list[web.RouteDef]:
        """The routes of the handlers."""
        pages = [web.get(view.path, self._page(name)) for name, view in self._views.items()]
        pages.append(web.get(REPS, self._page("rep")))
        return [*pages, web.get("/live/{view}", self.live), *self._files.routes()]

    async def close(self, _app: web.Application) -> None:
        """End every stream, as an `on_shutdown` signal."""
        self._closing.set()

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Stream a view's live part: the event `version`, then `view` with the whole part, then `change` with updates.

        A page of another version reloads itself. Until the numbers are loaded only the reason is sent, so that a page
        keeps what it shows while the board restarts. A page that reconnects names what it shows (Last-Event-ID), and
        is not sent that again.
        """
        name = request.match_info["view"]
        if name not in self._views:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no view {name!r}")
        response = web.StreamResponse(headers=STREAM_HEADERS)
        with self._streams.use(request), suppress(ConnectionResetError):  # the page was closed
            await response.prepare(request)
            stream = EventStream(response, request.headers.get("Last-Event-ID", ""))
            await self._stream(stream, name, self._filters(request, name), language_of(request))
        return response

    def _filters(self, request: web.Request, name: str) -> UrlFilters:
        """The view's filters in the address: pages with equal filters share a fragment."""
        return canonical_filters({**request.query, **request.match_info}, self._views[name].filters)

    async def _stream(self, stream: EventStream, name: str, filters: UrlFilters, language: Language) -> None:
        view = (name, language, *filters.items()), partial(self._fragment, name, filters, language)
        notice = ("", language), partial(self._notice, language)
        while not self._closing.is_set():
            if self._status.loaded:
                await stream.version(self._files.pages_version)
                await stream.show(await self._fragments.get(*view))
            elif self._status.down_since_us is not None:
                await stream.notice(await self._fragments.get(*notice))
            await stream.keep_alive()
            await self._pause()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), UPDATE_SECONDS)
        except TimeoutError:
            return

    def _version(self) -> int:
        """Changes whenever any view may change."""
        status = self._status
        return hash((self._store.version, status.stale_since_us, status.why_stale, status.emptied, status.loaded))

    def _page(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def page(request: web.Request) -> web.Response:
            filters, language = self._filters(request, name), language_of(request)
            html, status = await self._whole(request, name, filters, language)
            response = web.Response(text=html, status=status, content_type="text/html", charset="utf-8")
            response.enable_compression()
            response.headers["Cache-Control"] = "private, no-store"
            if "lang" in request.query:
                response.set_cookie(COOKIE, language, max_age=YEAR_SECONDS, httponly=True, samesite="Lax")
            return response

        return page

    async def _whole(
        self, request: web.Request, name: str, filters: UrlFilters, language: Language
    ) -> tuple[str, HTTPStatus]:
        if not self._status.loaded:
            common = self._common(language)
            context = common | self._frame(request, name, filters, common) | {"fragment": "unknown_live.html"}
            return self._render("bare.html", context), HTTPStatus.SERVICE_UNAVAILABLE
        try:
            context = await self._context(name, filters, language)
        except UnknownRep:
            return self._missing(request, language), HTTPStatus.NOT_FOUND
        frame = self._frame(request, name, filters, context)
        return self._render(f"{name}.html", context | frame | {"fragment": f"{name}_live.html"}), HTTPStatus.OK

    async def _fragment(self, name: str, filters: UrlFilters, language: Language) -> Fragment:
        now_us = self._clock.now_us()
        try:
            context = await self._context(name, filters, language)
        except UnknownRep:
            return Fragment(self._render("missing_live.html", self._common(language)), now_us, NEVER_US)
        html = self._render(f"{name}_live.html", context)
        await asyncio.sleep(0)
        return Fragment(html, now_us, context.get("stale_us", NEVER_US))

    async def _notice(self, language: Language) -> Fragment:
        """The reason why there are no numbers, for pages opened before and after the board started."""
        return Fragment(self._render("notice.html", self._common(language)), self._clock.now_us(), NEVER_US)

    async def _context(self, name: str, filters: UrlFilters, language: Language) -> Context:
        """The variables of the live part."""
        common = self._common(language) | {"address": _url_builder(self._path(name, filters), filters)}
        filled = await self._views[name].fill(filters)
        await asyncio.sleep(0)  # rendering blocks the event loop as well
        return common | filled | {"passed_over": ignored_filters(filters, filled)}

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
        return {"text": TRANSLATIONS[language], "state": state, "passed_over": ()}

    def _frame(self, request: web.Request, name: str, filters: UrlFilters, context: Context) -> Context:
        """The variables of the rest of a page."""
        text = context["text"]
        return {
            "title": context.get("name") or text[self._views[name].title],
            "path": self._path(name, filters),
            "live_path": f"/live/{name}",
            "live_url": str(URL.build(path=f"/live/{name}", query=filters)),
            **self._page_context(request, text.language),
        }

    def _page_context(self, request: web.Request, language: Language) -> Context:
        other, caller = "en" if language == "zh" else "zh", caller_of(request)
        return {
            "caller": caller.name,
            "may_write": "write" in caller.may,
            "static": self._files.url,
            "version": self._files.pages_version if self._status.loaded else "",
            "now_us": self._clock.now_us(),
            "speed": self._clock.speed,
            "language_url": str(request.rel_url.update_query(lang=other)),
        }

    def _missing(self, request: web.Request, language: Language) -> str:
        context = self._common(language) | self._page_context(request, language)
        title = context["text"]["not_found"]
        return self._render(
            "bare.html", context | {"title": title, "path": "", "live_url": "", "fragment": "missing_live.html"}
        )

    def _render(self, template: str, context: Context) -> str:
        return self._templates.get_template(template).render(context)

    def _path(self, name: str, filters: UrlFilters) -> str:
        return _rep_url(filters.get("rep", "")).partition("?")[0] if name == "rep" else self._views[name].path


def _rep_url(rep_id: str) -> str:
    """The URL of a rep card."""
    return f"{REPS}?rep={rep_id}" if is_path_step(rep_id) else f"{REPS}/{quote(rep_id, safe='')}"


def _url_builder(path: str, filters: UrlFilters) -> Callable[..., str]:
    """A function that builds this page's URL with some parameters changed; None removes one."""

    def address(**changes: object) -> str:
        chosen = {**filters, **changes}
        if path.startswith("/reps/"):
            chosen.pop("rep", None)
        return str(
            URL(path, encoded=True).with_query({key: str(chosen[key]) for key in chosen if _is_set(key, chosen[key])})
        )

    return address


def _is_set(key: str, value: object) -> bool:
    return key != "lang" and value not in (None, "")
