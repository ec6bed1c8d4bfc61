"""The live page: rendered here with Jinja2, kept up to date by server-sent events that carry the part that changes."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import blake2b
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import jinja2
import msgspec
from aiohttp import web
from yarl import URL

from config.clock import Clock
from processors.board.problems import Problem
from processors.board.store import Store
from processors.board.views import Choices, Context, NoSuchRep, Views
from processors.board.words import ALL_WORDS, COOKIE, Language, language_of
from processors.core.instants import rfc3339
from processors.sinks.follower import Status

HERE = Path(__file__).parent
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
STEP_SECONDS = 1.0
"""A reader is sent news at most so often."""
LONGEST_STEP_SECONDS = 5.0
"""Without news the view is rendered so often all the same: time alone moves a request past a level."""
HEARTBEAT_SECONDS = 15.0
MOST_READERS = 500
MOST_FRAGMENTS = 256
YEAR_SECONDS = 365 * 86_400

_CLOCKS = re.compile(r'(data-(?:since|until)-us="-?\d+"[^>]*>)[^<]*')


class View(NamedTuple):
    """One page: its address, the key of its title, and what fills it."""

    path: str
    title: str
    fill: Callable[[Choices], Awaitable[Context]]


class Fragment(NamedTuple):
    """The part of a page that changes, and when it was made (monotonic seconds)."""

    html: str
    tag: str
    """Equal when nothing but the clocks in it differs."""
    version: int
    made: float
    now_us: int


class Pages:
    """The handlers of the live page."""

    def __init__(self, store: Store, clock: Clock, status: Status) -> None:
        self._store = store
        self._clock = clock
        self._status = status
        self._static = {path.name: path.read_bytes() for path in sorted((HERE / "static").iterdir())}
        self._versions = {name: blake2b(raw, digest_size=6).hexdigest() for name, raw in self._static.items()}
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        views = Views(store)
        self._views = {
            "waiting": View("/", "waiting_now", views.waiting),
            "leaderboards": View("/leaderboards", "leaderboards", views.leaderboards),
            "rep": View(r"/reps/{rep:[\s\S]+}", "rep", views.rep),
            "funnel": View("/funnel", "funnel", views.funnel),
            "quality": View("/quality", "data_quality", views.quality),
        }
        self._fragments: dict[tuple[object, ...], Fragment] = {}
        self._closing = asyncio.Event()
        self._readers = 0

    def routes(self) -> list[web.RouteDef]:
        """Where the handlers are."""
        pages = [web.get(view.path, self._page(name)) for name, view in self._views.items()]
        return [*pages, web.get("/live/{view}", self.live), web.get("/static/{name}", self.static)]

    async def close(self, _app: web.Application) -> None:
        """End every stream: an `on_shutdown` signal."""
        self._closing.set()

    async def static(self, request: web.Request) -> web.Response:
        """Styles, script and icon; for good when the address names the version."""
        name = request.match_info["name"]
        if name not in self._static:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no file {name!r}")
        response = web.Response(body=self._static[name], content_type=TYPES[Path(name).suffix], charset="utf-8")
        if request.query.get("v") == self._versions[name]:
            response.headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable"
        return response

    async def live(self, request: web.Request) -> web.StreamResponse:
        """The changing part of a view, now and whenever it changes, as server-sent events called `view`."""
        name = request.match_info["view"]
        if name not in self._views:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no view {name!r}")
        if self._readers >= MOST_READERS:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_READERS} pages are open already")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        self._readers += 1
        try:
            with suppress(ConnectionResetError):  # the reader has closed the page: how every stream ends
                await self._stream(response, name, dict(request.query), language_of(request))
        finally:
            self._readers -= 1
        return response

    async def _stream(self, response: web.StreamResponse, name: str, choices: Choices, language: Language) -> None:
        tag, spoken = "", time.monotonic()
        while not self._closing.is_set():
            fragment = await self._fragment(name, choices, language)
            if fragment.tag != tag:
                data = msgspec.json.encode({"html": fragment.html, "now_us": fragment.now_us})
                await response.write(b"event: view\ndata: " + data + b"\n\n")
                tag, spoken = fragment.tag, time.monotonic()
            elif time.monotonic() - spoken > HEARTBEAT_SECONDS:
                await response.write(b": still here\n\n")
                spoken = time.monotonic()
            await self._pause()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), STEP_SECONDS)
        except TimeoutError:
            return

    def _page(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def page(request: web.Request) -> web.Response:
            choices, language = {**request.query, **request.match_info}, language_of(request)
            try:
                context = await self._context(name, choices, language)
                html = self._templates.get_template(f"{name}.html").render(
                    context, fragment=f"{name}_live.html", **self._frame(request, name, choices, context)
                )
                status = HTTPStatus.OK
            except NoSuchRep:
                html, status = self._missing(request, language), HTTPStatus.NOT_FOUND
            response = web.Response(text=html, status=status, content_type="text/html", charset="utf-8")
            if "lang" in request.query:
                response.set_cookie(COOKIE, language, max_age=YEAR_SECONDS, httponly=True, samesite="Lax")
            return response

        return page

    async def _fragment(self, name: str, choices: Choices, language: Language) -> Fragment:
        """The fragment, shared by all who look at the same."""
        key = (name, language, *sorted(choices.items()))
        known, now = self._fragments.get(key), time.monotonic()
        state = (self._status.down_since_us, self._status.emptied, self._status.loaded)
        version = hash((self._store.version, state))
        if known is not None and now - known.made < (
            LONGEST_STEP_SECONDS if known.version == version else STEP_SECONDS
        ):
            return known
        made = await self._made(name, choices, language, version)
        if len(self._fragments) >= MOST_FRAGMENTS:
            self._fragments.clear()
        self._fragments[key] = made
        return made

    async def _made(self, name: str, choices: Choices, language: Language, version: int) -> Fragment:
        now_us = self._clock.now_us()
        try:
            context = await self._context(name, choices, language)
            html = self._templates.get_template(f"{name}_live.html").render(context)
        except NoSuchRep:
            html = self._templates.get_template("missing_live.html").render(words=ALL_WORDS[language])
        tag = blake2b(_CLOCKS.sub(r"\1", html).encode(), digest_size=12).hexdigest()
        return Fragment(html, tag, version, time.monotonic(), now_us)

    async def _context(self, name: str, choices: Choices, language: Language) -> Context:
        """What the changing part reads."""
        path = self._path(name, choices)
        status = self._status
        state = {
            "loaded": status.loaded,
            "down_since": None if status.down_since_us is None else rfc3339(status.down_since_us),
            "emptied": status.emptied,
        }
        common: Context = {"words": ALL_WORDS[language], "state": state, "address": _addresses(path, choices)}
        return common | await self._views[name].fill(choices)

    def _frame(self, request: web.Request, name: str, choices: Choices, context: Context) -> Context:
        """What the rest of a page reads."""
        words = context["words"]
        query = {key: value for key, value in choices.items() if key != "lang"}
        return {
            "title": context.get("name") or words[self._views[name].title],
            "path": self._path(name, choices),
            "live_url": str(URL.build(path=f"/live/{name}", query=query)),
            **self._common(request, words.language),
        }

    def _common(self, request: web.Request, language: Language) -> Context:
        other = "en" if language == "zh" else "zh"
        return {
            "static": lambda file: f"/static/{file}?v={self._versions[file]}",
            "now_us": self._clock.now_us(),
            "speed": self._clock.speed,
            "language_url": str(request.rel_url.update_query(lang=other)),
        }

    def _missing(self, request: web.Request, language: Language) -> str:
        words = ALL_WORDS[language]
        return self._templates.get_template("missing.html").render(
            words=words,
            title=words["not_found"],
            path="",
            live_url="",
            fragment="missing_live.html",
            **self._common(request, language),
        )

    def _path(self, name: str, choices: Choices) -> str:
        return f"/reps/{quote(choices.get('rep', ''), safe='')}" if name == "rep" else self._views[name].path


def _addresses(path: str, choices: Choices) -> Callable[..., str]:
    """Makes this page's address with some parameters changed; None: left out."""

    def address(**changes: object) -> str:
        chosen = {**choices, **changes}
        return str(
            URL(path, encoded=True).with_query({key: str(chosen[key]) for key in chosen if _is_said(key, chosen[key])})
        )

    return address


def _is_said(key: str, value: object) -> bool:
    return key != "lang" and value not in (None, "")
