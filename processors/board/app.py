"""Builds the board's web application: one follower fills one store, and metrics, API and pages read it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry

from config.board_settings import BoardSettings
from config.clock import Clock, wall_us
from config.settings import Settings
from processors.board.api.dead_letters_api import DeadLettersApi
from processors.board.api.health import Health
from processors.board.api.numbers_api import NumbersApi
from processors.board.api.openapi import openapi_routes
from processors.board.api.requests_api import RequestsApi
from processors.board.api.responses import NumbersSource
from processors.board.metrics.exposition import Exposition
from processors.board.metrics.families import windows_of
from processors.board.metrics.metrics_endpoint import BoardMetrics, MetricsEndpoint
from processors.board.metrics.shard import parse_shard
from processors.board.pages.page_views import build_views
from processors.board.pages.pages import Pages
from processors.board.state.dead_letter_tail import DeadLetterTail
from processors.board.state.store import Store
from processors.board.state.turn_acknowledgements import Acknowledgements
from processors.board.web.access import Access
from processors.board.web.problems import MAX_REQUEST_BYTES, Handler, problems
from processors.board.web.quotas import Quota
from processors.board.web.security import on_prepare, same_site_writes
from processors.kafka.recorded_topic import LazyRecordedTopic
from processors.kafka.skipped_batches import SKIPPED
from processors.kafka.skipped_metric import SkippedRecords
from processors.read_model.acknowledgements import HoldStore
from processors.read_model.follower import Follower
from processors.read_model.redis_connection import connect
from schemas.policy import Policy

BACKGROUND: "web.AppKey[Background]" = web.AppKey("background")
ACKNOWLEDGEMENTS = web.AppKey("acknowledgements", Acknowledgements)
EXPOSITION = web.AppKey("exposition", Exposition)
FOLLOWER = web.AppKey("follower", Follower)
STORE = web.AppKey("store", Store)


def build_board(settings: Settings, clock: Clock, policy: Policy) -> web.Application:
    """Build the application, which follows the read model while it runs.

    Raises Unavailable for an unusable TLS file, ConfigError if it would be open to a network by accident.
    """
    store = Store(policy, clock.now_us)
    connection = connect(settings.redis)
    follower = Follower(connection, settings.redis.prefix, store, wall_us)
    recorder = LazyRecordedTopic(settings.kafka, settings.notifier.acks_topic)
    acknowledgements = Acknowledgements(HoldStore(connection, settings.redis.prefix, recorder, clock.now_us), store)
    exposition = _exposition(store, clock, follower, settings.board)
    metrics = BoardMetrics(CollectorRegistry())
    SkippedRecords(metrics.registry, (settings.kafka.dead_letters_topic,), SKIPPED)
    app = _guarded(settings, metrics)
    app[EXPOSITION], app[FOLLOWER], app[STORE], app[ACKNOWLEDGEMENTS] = exposition, follower, store, acknowledgements
    health = Health(store, follower.status, lambda: exposition.is_complete)
    letters = DeadLetterTail(settings.kafka, settings.board.dead_letters_kept)
    streams = Quota("pages", settings.board.streams, settings.board.streams_per_client)
    pages = Pages(
        store, clock, follower.status, build_views(store, acknowledgements.hold_of, settings.board, letters), streams
    )
    app.router.add_get("/metrics", MetricsEndpoint(exposition, metrics, follower.status).metrics)
    app.add_routes(
        [
            *health.routes(),
            *_api_routes(NumbersSource(store, follower.status), acknowledgements, letters),
            *pages.routes(),
        ]
    )
    app.on_shutdown.append(pages.close)
    app[BACKGROUND] = Background(
        (follower.run, exposition.run, acknowledgements.run, letters.run), (recorder.close, connection.close)
    )
    app.cleanup_ctx.append(app[BACKGROUND].context)
    return app


def _exposition(store: Store, clock: Clock, follower: Follower, board: BoardSettings) -> Exposition:
    windows = windows_of(board.metrics_windows, board.metrics_pipeline_windows)
    return Exposition(store, clock, lambda: follower.status.loaded, parse_shard(board.shard), windows)


def _guarded(settings: Settings, metrics: BoardMetrics) -> web.Application:
    """An application without routes: it counts responses, reports problems and controls access."""
    own, access = same_site_writes(settings.notifier.board_url), Access(settings)
    middlewares = [counting(metrics), problems, own, access.middleware]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_REQUEST_BYTES)
    app.on_response_prepare.append(on_prepare)
    return app


def _api_routes(
    source: NumbersSource, acknowledgements: Acknowledgements, letters: DeadLetterTail
) -> list[web.RouteDef]:
    requests, numbers = RequestsApi(source, acknowledgements), NumbersApi(source)
    return [*numbers.routes(), *requests.routes(), *DeadLettersApi(source, letters).routes(), *openapi_routes()]


def counting(metrics: BoardMetrics) -> Middleware:
    """A middleware that counts responses by route and status."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        resource = request.match_info.route.resource
        route = "none" if resource is None else resource.canonical
        metrics.responses.labels(route, str(response.status)).inc()
        return response

    return count


class Background:
    """Tasks that run as long as the application."""

    def __init__(
        self, jobs: Sequence[Callable[[], Coroutine[Any, Any, None]]], closes: Sequence[Callable[[], Awaitable[None]]]
    ) -> None:
        self._jobs = jobs
        self._closes = closes
        self._tasks: list[asyncio.Task[None]] = []

    async def context(self, _app: web.Application) -> AsyncIterator[None]:
        """Start the tasks, and stop them at the end."""
        self._tasks = [asyncio.create_task(job()) for job in self._jobs]
        yield
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for close in self._closes:
            await close()

    async def failed(self) -> BaseException:
        """Wait until a task ends, which none should, and return the reason."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().exception() or RuntimeError("background work ended")
