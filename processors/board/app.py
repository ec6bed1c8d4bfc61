"""The board's web application, put together: one follower, one store, and what reads from it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry

from config.board_settings import BoardSettings
from config.clock import Clock, wall_us
from config.settings import Settings
from processors.board.access import Access
from processors.board.answers import Source
from processors.board.api import Api
from processors.board.exposition import Exposition
from processors.board.families import windows_of
from processors.board.health import Health
from processors.board.holds import Desk
from processors.board.latest import LatestDeadLetters
from processors.board.letters_api import LettersApi
from processors.board.openapi import openapi_routes
from processors.board.pages import Pages
from processors.board.problems import LARGEST_REQUEST_BYTES, Handler, problems
from processors.board.quotas import Quota
from processors.board.requests_api import RequestsApi
from processors.board.scrape import BoardMetrics, Scrape
from processors.board.security import ours_only, secure
from processors.board.shard import parse_shard
from processors.board.store import Store
from processors.board.views import build_views
from processors.kafka.recorded_topic import LazyRecordedTopic
from processors.kafka.skipped_batches import SKIPPED
from processors.kafka.skipped_metric import SkippedRecords
from processors.read_model.acknowledgements import HoldStore
from processors.read_model.follower import Follower
from processors.read_model.redis_connection import connect
from schemas.policy import Policy

BACKGROUND: "web.AppKey[Background]" = web.AppKey("background")
DESK = web.AppKey("desk", Desk)
EXPOSITION = web.AppKey("exposition", Exposition)
FOLLOWER = web.AppKey("follower", Follower)
STORE = web.AppKey("store", Store)


def build_board(settings: Settings, clock: Clock, policy: Policy) -> web.Application:
    """The application; it follows the read model while it runs.

    Raises Unavailable for an unusable TLS file, ConfigError when it would be open to a network without a word of that.
    """
    store = Store(policy, clock.now_us)
    connection = connect(settings.redis)
    follower = Follower(connection, settings.redis.prefix, store, wall_us)
    recorder = LazyRecordedTopic(settings.kafka, settings.notifier.acks_topic)
    desk = Desk(HoldStore(connection, settings.redis.prefix, recorder, clock.now_us), store)
    exposition = _exposition(store, clock, follower, settings.board)
    metrics = BoardMetrics(CollectorRegistry())
    SkippedRecords(metrics.registry, (settings.kafka.dead_letters_topic,), SKIPPED)
    app = _guarded(settings, metrics)
    app[EXPOSITION], app[FOLLOWER], app[STORE], app[DESK] = exposition, follower, store, desk
    health = Health(store, follower.status, lambda: exposition.is_complete)
    letters = LatestDeadLetters(settings.kafka, settings.board.dead_letters_kept)
    streams = Quota("pages", settings.board.streams, settings.board.streams_per_client)
    pages = Pages(store, clock, follower.status, build_views(store, settings.board, letters), streams)
    app.router.add_get("/metrics", Scrape(exposition, metrics, follower.status).metrics)
    app.add_routes([*health.routes(), *_api_routes(Source(store, follower.status), desk, letters), *pages.routes()])
    app.on_shutdown.append(pages.close)
    app[BACKGROUND] = Background(
        (follower.run, exposition.run, desk.run, letters.run), (recorder.close, connection.close)
    )
    app.cleanup_ctx.append(app[BACKGROUND].context)
    return app


def _exposition(store: Store, clock: Clock, follower: Follower, board: BoardSettings) -> Exposition:
    windows = windows_of(board.metrics_windows, board.metrics_pipeline_windows)
    return Exposition(store, clock, lambda: follower.status.loaded, parse_shard(board.shard), windows)


def _guarded(settings: Settings, metrics: BoardMetrics) -> web.Application:
    """An application without routes that counts its answers, tells its problems, and guards itself."""
    own, access = ours_only(settings.notifier.board_url), Access(settings)
    middlewares = [counting(metrics), problems, own, access.middleware]
    app = web.Application(middlewares=middlewares, client_max_size=LARGEST_REQUEST_BYTES)
    app.on_response_prepare.append(secure)
    return app


def _api_routes(source: Source, desk: Desk, letters: LatestDeadLetters) -> list[web.RouteDef]:
    requests, numbers = RequestsApi(source, desk), Api(source)
    return [*numbers.routes(), *requests.routes(), *LettersApi(source, letters).routes(), *openapi_routes()]


def counting(metrics: BoardMetrics) -> Middleware:
    """A middleware that counts answers by route and status."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        resource = request.match_info.route.resource
        route = "none" if resource is None else resource.canonical
        metrics.answers.labels(route, str(response.status)).inc()
        return response

    return count


class Background:
    """Work for the life of the application."""

    def __init__(
        self, works: Sequence[Callable[[], Coroutine[Any, Any, None]]], closes: Sequence[Callable[[], Awaitable[None]]]
    ) -> None:
        self._works = works
        self._closes = closes
        self._tasks: list[asyncio.Task[None]] = []

    async def context(self, _app: web.Application) -> AsyncIterator[None]:
        """Start everything, and stop it at the end."""
        self._tasks = [asyncio.create_task(work()) for work in self._works]
        yield
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for close in self._closes:
            await close()

    async def failed(self) -> BaseException:
        """Wait for work that ends by itself, which none should; the reason."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().exception() or RuntimeError("background work ended")
