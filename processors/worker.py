"""One worker process: it checks what it needs, runs the Faust app until it is to stop, and leaves nothing half done."""

import asyncio
import gc
import logging
import threading
from contextlib import suppress

from aiokafka.errors import KafkaError

from config.clock import Clock, in_force
from config.data_dir import require_data_dir
from config.load_policy import load_policy
from config.policy_reload import PolicyReload
from config.settings import Settings
from processors.agents.app import WorkerApp, WorkerDependencies, build_app
from processors.agents.broker_liveness import BrokerLiveness
from processors.agents.idle_reminder import BEAT_SECONDS, IdleReminder
from processors.agents.metrics import WorkerMetrics
from processors.agents.startup import wait_for_topics
from processors.agents.topic_watch import TopicChanged
from processors.agents.topic_watch_loop import watch_topics
from processors.read_model.redis_connection import connect
from processors.read_model.redis_probe import warn_of_cluster
from processors.read_model.writer import ReadModelWriter
from processors.service import MetricsAddress, Service, cancel_other_tasks, exit_now, stop_within
from schemas.errors import SalespulseError, Unavailable

logger = logging.getLogger(__name__)

CANCEL_TIMEOUT_SECONDS = 5.0
STOP_TIMEOUT_SECONDS = 20.0
"""A stop that takes longer is cut short. Acknowledged events stay, the rest is read again."""
TOPIC_FAULT_SECONDS = 40.0
"""A worker that stops for a topic idles this long first: Prometheus sees why, and restarts come slowly."""
GC_THRESHOLDS = (100_000, 20, 100)
"""The state is millions of objects without cycles: garbage collection looks at each once, while it is young."""


def run_worker(settings: Settings) -> int:
    """Run a worker until SIGTERM or SIGINT; returns the exit code, 0 after these signals.

    Raises ConfigError for wrong settings, TopicsError for topics that are missing or do not fit, Unavailable if the
    port for metrics is taken. It waits for a broker or a read model that does not answer. SIGHUP: see PolicyReload.
    """
    service = Service(settings)
    threading.excepthook = _log_thread_failure
    policy = load_policy(settings.policy.path)
    require_data_dir(settings.worker.data_dir)
    read_model = ReadModelWriter(connect(settings.redis), settings.redis.prefix, in_force(settings.clock))
    clock = Clock(settings.clock)
    metrics = WorkerMetrics(service.registry, clock.speed)
    metrics.expect(policy)
    dependencies = WorkerDependencies(policy, clock, read_model, metrics)
    gc.set_threshold(*GC_THRESHOLDS)
    reload = PolicyReload(settings.policy.path, policy, clock.now_us, service.restart)
    address = MetricsAddress(settings.worker.metrics_host, settings.worker.metrics_port, "worker.metrics_port")
    return service.run(lambda: _run_and_close(settings, dependencies, read_model, service), reload, address)


async def _run_and_close(
    settings: Settings, dependencies: WorkerDependencies, read_model: ReadModelWriter, service: Service
) -> int:
    try:
        code = await _run(settings, dependencies, service)
    finally:
        with suppress(Unavailable):
            await read_model.close()
    hanging = await cancel_other_tasks(CANCEL_TIMEOUT_SECONDS)
    if hanging:
        logger.error("left behind what does not end: %s", ", ".join(sorted(hanging)))
        exit_now(code)
    return code


async def _run(settings: Settings, dependencies: WorkerDependencies, service: Service) -> int:
    stopping = asyncio.create_task(service.stop.wait())
    checking = asyncio.create_task(wait_for_topics(settings.kafka))
    await asyncio.wait([stopping, checking], return_when=asyncio.FIRST_COMPLETED)
    if service.stop.is_set():
        checking.cancel()
        return 0
    dependencies.metrics.input_partitions.set(checking.result())
    warning = asyncio.create_task(warn_of_cluster(settings.redis))
    app = build_app(settings, dependencies)
    watching = asyncio.create_task(watch_topics(app, service.restart))
    await _live(app, stopping)
    warning.cancel()
    watching.cancel()
    return await _stop(app, stopping)


async def _stop(app: WorkerApp, stopping: "asyncio.Task[bool]") -> int:
    """Stop the app; returns the exit code. Ends the process at once if the app does not stop in good order."""
    failure = await stop_within(app.stop(), STOP_TIMEOUT_SECONDS)
    if app.crash_reason is not None:
        _log_failure(app.crash_reason)
    if failure is not None:
        logger.error("%s: ending at once; what was not acknowledged is read again", failure)
        exit_now(1)
    if isinstance(app.crash_reason, TopicChanged):
        app.metrics.topic_faults.labels(app.crash_reason.topic, app.crash_reason.fault).set(1)
        await asyncio.wait([stopping], timeout=TOPIC_FAULT_SECONDS)
    if app.crash_reason is None:
        logger.info("stopped")
    return 0 if app.crash_reason is None else 1


async def _live(app: WorkerApp, stopping: "asyncio.Task[bool]") -> None:
    """Start the app; return when it is to stop or has failed."""
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
    """Update what must be known even before the first recovery and in rebalances, when Faust's own tasks pause."""
    reminder = IdleReminder(app.conf.id, lambda: app.journal.replayed)
    liveness = BrokerLiveness(app.partitions)
    while True:
        reminder.beat(waits=app.waits)
        app.metrics.kafka_up.set(liveness.is_answered(app.known_ends()))
        await asyncio.sleep(BEAT_SECONDS)


def _log_thread_failure(end: threading.ExceptHookArgs) -> None:
    """Log how a thread ended. Without a broker, stopping cuts off the consumer's thread: that is no error."""
    if not isinstance(end.exc_value, asyncio.CancelledError):
        logger.error("a thread ended by %r", end.exc_value, exc_info=end.exc_value)


def _log_failure(reason: BaseException) -> None:
    """Log why the app stopped. Known errors explain themselves; others get a traceback."""
    known = isinstance(reason, SalespulseError | KafkaError)
    logger.error("stopped by a failure: %s", reason if known else repr(reason), exc_info=None if known else reason)
