"""`salespulse notifier`: one process that sends alerts to all receivers, each by a task of its own."""

import asyncio
import logging
from contextlib import suppress

from aiokafka.errors import KafkaError

from config.clock import Clock
from config.settings import Settings
from processors.kafka.admin import partition_counts
from processors.kafka.connection import first_line
from processors.kafka.producer import running_producer
from processors.kafka.recorded_topic import RecordedTopic
from processors.kafka.skipped_batches import SKIPPED
from processors.kafka.skipped_metric import SkippedRecords
from processors.notifier.active_holds import ActiveHolds
from processors.notifier.delivery_loop import DeliveryLoop, NotifierDependencies
from processors.notifier.kafka_probe import watch_kafka
from processors.notifier.metrics import NotifierMetrics
from processors.notifier.receivers.base import Receiver
from processors.notifier.receivers.configured import configured_receivers
from processors.notifier.redacted_errors import type_and_line
from processors.read_model.acknowledgements import HoldStore
from processors.read_model.hold_polling import HoldPoller
from processors.read_model.redis_connection import connect
from processors.service import MetricsAddress, Service
from schemas.errors import Unavailable

logger = logging.getLogger(__name__)

RETRY_INTERVAL_SECONDS = 1.0
RESTART_PAUSE_SECONDS = 5.0
LOG_EVERY_TRIES = 15


def run_notifier(settings: Settings) -> int:
    """Send alerts to receivers until SIGTERM or SIGINT; returns the exit code, 0 after one of these signals.

    Raises ConfigError when no receiver is configured, Unavailable when a topic is missing or the port for metrics is
    taken. A broker, a Redis or a receiver that does not answer is waited for. SIGHUP changes nothing, and says so.
    """
    service = Service(settings)
    clock = Clock(settings.clock)
    receivers = configured_receivers(settings.notifier, clock)
    metrics = NotifierMetrics(service.registry, [receiver.name for receiver in receivers])
    notifier = settings.notifier
    SkippedRecords(service.registry, (settings.kafka.alerts_topic, notifier.log_topic), SKIPPED)
    address = MetricsAddress(notifier.metrics_host, notifier.metrics_port, "notifier.metrics_port")
    return service.run(lambda: _run(settings, clock, receivers, metrics, service.stop), _ignore_policy, address)


def _ignore_policy() -> None:
    logger.info("SIGHUP: nothing changes; the notifier uses no policy, and reads other settings at a restart")


async def _run(
    settings: Settings, clock: Clock, receivers: list[Receiver], metrics: NotifierMetrics, stop: asyncio.Event
) -> int:
    if not await _wait_for_topics(settings, stop):
        return 0
    logger.info("sending alerts to %s", ", ".join(receiver.name for receiver in receivers))
    await notify(settings, clock, receivers, metrics, stop)
    logger.info("stopped")
    return 0


async def notify(
    settings: Settings, clock: Clock, receivers: list[Receiver], metrics: NotifierMetrics, stop: asyncio.Event
) -> None:
    """Send alerts to receivers until `stop` is set; raises Unavailable when Kafka does not let us start."""
    redis = connect(settings.redis)
    try:
        async with running_producer(settings.kafka) as producer:
            recorder = RecordedTopic(producer, settings.notifier.acks_topic)
            store = HoldStore(redis, settings.redis.prefix, recorder, clock.now_us)
            holds = ActiveHolds(store, clock.now_us, settings.retention.roots_days)
            poller = HoldPoller(holds.refresh, metrics.redis_up.set)
            await poller.poll()
            shared = NotifierDependencies(settings, clock, holds, metrics, producer)
            async with asyncio.TaskGroup() as tasks:
                probe = watch_kafka(producer.client, metrics.kafka_up.set)
                background = [tasks.create_task(work) for work in (poller.run(), probe)]
                loops = [tasks.create_task(_keep_delivering(receiver, shared, stop)) for receiver in receivers]
                await asyncio.wait(loops)
                for task in background:
                    task.cancel()
    except* KafkaError as group:
        raise Unavailable(f"Kafka at {settings.kafka.bootstrap}: {first_line(group.exceptions[0])}") from group
    finally:
        await redis.close()


async def _keep_delivering(receiver: Receiver, shared: NotifierDependencies, stop: asyncio.Event) -> None:
    """Deliver to one receiver until `stop` is set. An unforeseen failure stops neither it nor the others."""
    while not stop.is_set():
        try:
            await DeliveryLoop(receiver, shared).run(stop)
        except KafkaError as error:
            logger.warning("%s: Kafka at %s: %s", receiver.name, shared.settings.kafka.bootstrap, first_line(error))
        except Exception as error:  # noqa: BLE001 -- it is counted, and an alert rule watches the count
            fault = type_and_line(error)
            logger.error("%s: %s; restarting in %g s", receiver.name, fault, RESTART_PAUSE_SECONDS)  # noqa: TRY400
        else:
            return
        shared.metrics.restarts.labels(receiver.name).inc()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), RESTART_PAUSE_SECONDS)


async def _wait_for_topics(settings: Settings, stop: asyncio.Event) -> bool:
    """Wait for the broker; False: stopped before it answered. Raises Unavailable for missing topics."""
    kafka, notifier = settings.kafka, settings.notifier
    needed = {kafka.alerts_topic, notifier.log_topic, notifier.dead_letters_topic, notifier.acks_topic}
    tries = 0
    while not stop.is_set():
        try:
            missing = sorted(needed - (await partition_counts(kafka)).keys())
        except (KafkaError, OSError) as error:
            if tries % LOG_EVERY_TRIES == 0:
                logger.warning("%s does not answer (%s): trying again every second", kafka.bootstrap, first_line(error))
            tries += 1
            await asyncio.sleep(RETRY_INTERVAL_SECONDS)
            continue
        if missing:
            raise Unavailable(f"{kafka.bootstrap} has no topic {', '.join(missing)}: `salespulse topics` creates them")
        return True
    return False
