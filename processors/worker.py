"""One worker process: it checks, runs the Faust app until it is told to stop, and leaves nothing half done."""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, NoReturn

from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry, ProcessCollector

from config.clock import Clock, in_force
from config.data_dir import require_data_dir
from config.load_policy import load_policy
from config.logs import configure_logs
from config.policy_reload import PolicyReload, begin_anew, ignore_hangup
from config.settings import Settings, exposed_files
from processors.agents.app import WorkerApp, WorkerDependencies, build_app
from processors.agents.broker_liveness import BrokerLiveness
from processors.agents.idle_reminder import BEAT_SECONDS, IdleReminder
from processors.agents.metrics import WorkerMetrics
from processors.agents.startup import wait_for_topics
from processors.agents.topic_watch import TopicChanged
from processors.agents.topic_watch_loop import watch_topics
from processors.sinks.read_model import ReadModel
from processors.sinks.redis_client import connect
from processors.sinks.redis_probe import warn_of_cluster
from processors.web.metrics_port import serve_metrics
from schemas.errors import SalespulseError, Unavailable

logger = logging.getLogger(__name__)

CANCEL_SECONDS = 5.0
STOP_SECONDS = 20.0
"""A stop that takes longer is cut short: what is acknowledged stays, and the rest is read again."""
SCRAPED_SECONDS = 40.0
"""A worker that stops for a topic stays so long, doing nothing: Prometheus is to see why, and restarts come slowly."""
GC_THRESHOLDS = (100_000, 20, 100)
"""The state is millions of objects without cycles: garbage collection looks at each once, while it is young."""


def run_worker(settings: Settings) -> int:
    """Run a worker until SIGTERM or SIGINT; gives the exit code, 0 when it was told to stop.

    Raises ConfigError for wrong settings, TopicsError for topics that are missing or do not fit, Unavailable when the
    port for metrics is taken. A broker or a read model that does not answer is waited for. SIGHUP: see PolicyReload.
    """
    ignore_hangup()
    configure_logs(sys.stderr)
    for line in exposed_files(settings):
        logger.warning("%s", line)
    threading.excepthook = _tell_of_thread
    policy = load_policy(settings.policy.path)
    require_data_dir(settings.worker.data_dir)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    read_model = ReadModel(connect(settings.redis), settings.redis.prefix, in_force(settings.clock))
    clock = Clock(settings.clock)
    metrics = WorkerMetrics(registry, clock.speed)
    metrics.expect(policy)
    given = WorkerDependencies(policy, clock, read_model, metrics)
    gc.set_threshold(*GC_THRESHOLDS)
    stop = asyncio.Event()
    reload = PolicyReload(settings.policy.path, policy, given.clock.now_us, stop)
    worker = settings.worker
    with serve_metrics(registry, worker.metrics_host, worker.metrics_port, "worker.metrics_port"):
        code = asyncio.run(_run_and_close(settings, given, read_model, (stop, reload)))
        ignore_hangup()
    if reload.anew and code == 0:
        begin_anew()
    return code


Signals = tuple[asyncio.Event, PolicyReload]
"""Set to end the worker, and what SIGHUP does."""


async def _run_and_close(settings: Settings, given: WorkerDependencies, read_model: ReadModel, signals: Signals) -> int:
    try:
        code = await _run(settings, given, signals)
    finally:
        with suppress(Unavailable):
            await read_model.close()
    hanging = await let_go_of_tasks(CANCEL_SECONDS)
    if hanging:
        logger.error("left behind what does not end: %s", ", ".join(sorted(hanging)))
        _end_at_once(code)
    return code


async def _run(settings: Settings, given: WorkerDependencies, signals: Signals) -> int:
    stop, reload = signals
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    stopping = asyncio.create_task(stop.wait())
    checking = asyncio.create_task(wait_for_topics(settings.kafka))
    await asyncio.wait([stopping, checking], return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        checking.cancel()
        return 0
    given.metrics.input_partitions.set(checking.result())
    warning = asyncio.create_task(warn_of_cluster(settings.redis))
    app = build_app(settings, given)
    watching = asyncio.create_task(watch_topics(app, reload.restart))
    await _live(app, stopping)
    warning.cancel()
    watching.cancel()
    failure = await stop_within(app.stop(), STOP_SECONDS)
    if app.crash_reason is not None:
        _tell(app.crash_reason)
    if failure is not None:
        logger.error("%s: ending at once; what was not acknowledged is read again", failure)
        _end_at_once(1)
    if isinstance(app.crash_reason, TopicChanged):
        app.metrics.topic_faults.labels(app.crash_reason.topic, app.crash_reason.fault).set(1)
        await asyncio.wait([stopping], timeout=SCRAPED_SECONDS)
    if app.crash_reason is None:
        logger.info("stopped")
    return 0 if app.crash_reason is None else 1


async def _live(app: WorkerApp, stopping: "asyncio.Task[bool]") -> None:
    """Start the app; return when it is told to stop, or has failed."""
    app.in_worker = True
    starting = asyncio.create_task(app.start())
    failing = asyncio.create_task(app.failed())
    watching = asyncio.create_task(_watch(app))
    await asyncio.wait([starting, stopping, failing], return_when=asyncio.FIRST_COMPLETED)
    if starting.done() and starting.exception() is not None:
        await app.crash(starting.exception() or RuntimeError("unreachable"))
    await asyncio.wait([stopping, failing], return_when=asyncio.FIRST_COMPLETED)
    starting.cancel()
    watching.cancel()


async def _watch(app: WorkerApp) -> None:
    """Faust's own tasks begin after the first recovery, and pause in rebalances: this one does not."""
    waiting = IdleReminder(app.conf.id, lambda: app.journal.replayed)
    hearing = BrokerLiveness(app.parts)
    while True:
        waiting.beat(waits=app.waits)
        app.metrics.kafka_up.set(hearing.is_answered(app.last_words()))
        await asyncio.sleep(BEAT_SECONDS)


async def stop_within(stop: Coroutine[Any, Any, object], seconds: float) -> str | None:
    """Run what stops an app; what went wrong with it, if anything did. Whatever it raises ends here.

    A producer without a broker hangs; a commit that is cut off comes out as a cancellation of the caller.
    """
    stopping = asyncio.create_task(stop)
    await asyncio.wait([stopping], timeout=seconds)
    if not stopping.done():
        return f"did not stop within {seconds:.0f} s"
    error = asyncio.CancelledError() if stopping.cancelled() else stopping.exception()
    return None if error is None else f"did not stop in good order ({error!r})"


async def let_go_of_tasks(seconds: float) -> list[str]:
    """Cancel all other tasks; the names of those that go on nevertheless, for which Python would wait for ever."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if not others:
        return []
    _, hanging = await asyncio.wait(others, timeout=seconds)
    return [str(task.get_coro()) for task in hanging]


def _end_at_once(code: int) -> NoReturn:
    logging.shutdown()
    os._exit(code)


def _tell_of_thread(end: threading.ExceptHookArgs) -> None:
    """The consumer's thread is cut off when a worker stops without a broker: that is no news."""
    if not isinstance(end.exc_value, asyncio.CancelledError):
        logger.error("a thread ended by %r", end.exc_value, exc_info=end.exc_value)


def _tell(reason: BaseException) -> None:
    """Our own errors speak for themselves; of others, the place matters."""
    known = isinstance(reason, SalespulseError | KafkaError)
    logger.error("stopped by a failure: %s", reason if known else repr(reason), exc_info=None if known else reason)
