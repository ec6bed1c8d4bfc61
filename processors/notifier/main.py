"""`salespulse notifier`: one process that tells all receivers, each by a task of its own."""

import asyncio
import logging
import ssl
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress

from aiokafka.errors import KafkaError

from config.clock import Clock, wall_us
from config.notifier_settings import NotifierSettings, is_address
from config.settings import Settings
from config.values import Secret
from processors.kafka.admin import partition_counts
from processors.kafka.connection import first_line
from processors.kafka.producer import running_producer
from processors.kafka.skipped_batches import SKIPPED
from processors.kafka.skipped_metric import SkippedRecords
from processors.notifier.acks import Acks
from processors.notifier.alertmanager import Alertmanager
from processors.notifier.delivery import Delivery, Given
from processors.notifier.faults import fault_of
from processors.notifier.holds import Holds
from processors.notifier.http import Poster
from processors.notifier.kafka import AckTopic
from processors.notifier.mail import Mail
from processors.notifier.metrics import NotifierMetrics
from processors.notifier.notices import Habits
from processors.notifier.reach import watch_kafka
from processors.notifier.receiver import Receiver
from processors.notifier.slack import Slack
from processors.notifier.webhook import Webhook
from processors.service import MetricsAddress, Service
from processors.sinks.redis_client import connect
from schemas.errors import ConfigError, Unavailable

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
RESTART_SECONDS = 5.0
REMINDED_TRIES = 15
DIGEST_TOGETHER = 500


def run_notifier(settings: Settings) -> int:
    """Tell receivers until SIGTERM or SIGINT; gives the exit code, 0 when it was told to stop.

    Raises ConfigError when no receiver is configured, Unavailable when a topic is missing or the port for metrics is
    taken. A broker, a Redis or a receiver that does not answer is waited for. SIGHUP changes nothing, and says so.
    """
    service = Service(settings)
    clock = Clock(settings.clock)
    receivers = receivers_of(settings.notifier, clock)
    metrics = NotifierMetrics(service.registry, [receiver.name for receiver in receivers])
    notifier = settings.notifier
    SkippedRecords(service.registry, (settings.kafka.alerts_topic, notifier.log_topic), SKIPPED)
    address = MetricsAddress(notifier.metrics_host, notifier.metrics_port, "notifier.metrics_port")
    return service.run(lambda: _run(settings, clock, receivers, metrics, service.stop), _ignore_policy, address)


def _ignore_policy() -> None:
    logger.info("SIGHUP: nothing changes; the notifier knows no policy, and takes other settings at a restart")


def receivers_of(settings: NotifierSettings, clock: Clock) -> list[Receiver]:
    """Every receiver that is configured; raises ConfigError if there is none."""
    receivers: list[Receiver] = []
    for number, url in enumerate(settings.alertmanager_urls, 1):
        name = "alertmanager" if number == 1 else f"alertmanager-{number}"
        poster = _poster(settings, f"{url.rstrip('/')}/api/v2/alerts", _authorization(settings))
        receivers.append(Alertmanager(name, poster, settings.board_url, clock, wall_us))
    if settings.webhook_url is not None:
        poster = _poster(settings, settings.webhook_url)
        receivers.append(Webhook(poster, settings.webhook_secret, settings.board_url, wall_us))
    if settings.slack_url is not None:
        poster = _poster(settings, _address(settings.slack_url))
        receivers.append(Slack(poster, _people(settings), settings.board_url))
    if settings.email_host is not None:
        receivers.append(Mail(settings, _people(settings)))
    if not receivers:
        keys = "alertmanager_urls, webhook_url, slack_url_file, email_host"
        raise ConfigError(f"notifier: nobody to tell; allowed is at least one of notifier.{{{keys}}}")
    return receivers


def _poster(settings: NotifierSettings, url: str, headers: Mapping[str, str] | None = None) -> Poster:
    return Poster(url, settings.timeout_seconds, headers, _tls(settings))


def _tls(settings: NotifierSettings) -> ssl.SSLContext | None:
    """The authorities of the system and those of `cafile`; None: the system's alone."""
    if settings.cafile is None:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(settings.cafile)
    except OSError as error:
        raise ConfigError(f"notifier.cafile = {settings.cafile}: {error}; allowed is a PEM file") from error
    return context


def _authorization(settings: NotifierSettings) -> dict[str, str]:
    """Who we are to Alertmanager."""
    if settings.alertmanager_token is not None:
        return {"Authorization": f"Bearer {settings.alertmanager_token.reveal()}"}
    if settings.alertmanager_username is None or settings.alertmanager_password is None:
        return {}
    pair = f"{settings.alertmanager_username}:{settings.alertmanager_password.reveal()}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _people(settings: NotifierSettings) -> Habits:
    """People are told what is still true, one message at a time."""
    digest_seconds = settings.digest_minutes * 60.0
    together = DIGEST_TOGETHER if digest_seconds else 1
    return Habits(tell=frozenset(settings.tell), digest_seconds=digest_seconds, together=together)


def _address(secret: Secret) -> str:
    if not is_address(secret.reveal()):
        raise ConfigError(
            "notifier.slack_url_file: the file holds no address; allowed is one like https://hooks.example.com/..."
        )
    return secret.reveal()


async def _run(
    settings: Settings, clock: Clock, receivers: list[Receiver], metrics: NotifierMetrics, stop: asyncio.Event
) -> int:
    if not await _topics_are_there(settings, stop):
        return 0
    logger.info("telling %s", ", ".join(receiver.name for receiver in receivers))
    await notify(settings, clock, receivers, metrics, stop)
    logger.info("stopped")
    return 0


async def notify(
    settings: Settings, clock: Clock, receivers: list[Receiver], metrics: NotifierMetrics, stop: asyncio.Event
) -> None:
    """Tell receivers until `stop` is set; raises Unavailable when Kafka does not let us start."""
    redis = connect(settings.redis)
    try:
        async with running_producer(settings.kafka) as producer:
            recorder = AckTopic(producer, settings.notifier.acks_topic)
            acks = Acks(redis, settings.redis.prefix, recorder, clock.now_us)
            holds = Holds(acks, clock.now_us, settings.retention.roots_days, metrics.redis_up.set)
            await holds.refresh()
            given = Given(settings, clock, holds, metrics, producer)
            async with asyncio.TaskGroup() as tasks:
                kafka = watch_kafka(producer.client, metrics.kafka_up.set)
                watching = [tasks.create_task(work) for work in (holds.run(), kafka)]
                telling = [tasks.create_task(_keep_delivering(receiver, given, stop)) for receiver in receivers]
                await asyncio.wait(telling)
                for task in watching:
                    task.cancel()
    except* KafkaError as group:
        raise Unavailable(f"Kafka at {settings.kafka.bootstrap}: {first_line(group.exceptions[0])}") from group
    finally:
        await redis.close()


async def _keep_delivering(receiver: Receiver, given: Given, stop: asyncio.Event) -> None:
    """Deliver to one receiver until `stop` is set. A failure that nobody foresaw stops neither it nor the others."""
    while not stop.is_set():
        try:
            await Delivery(receiver, given).run(stop)
        except KafkaError as error:
            logger.warning("%s: Kafka at %s: %s", receiver.name, given.settings.kafka.bootstrap, first_line(error))
        except Exception as error:  # noqa: BLE001 -- it is counted, and an alert rule watches the count
            logger.error("%s: %s; begun again in %g s", receiver.name, fault_of(error), RESTART_SECONDS)  # noqa: TRY400
        else:
            return
        given.metrics.restarts.labels(receiver.name).inc()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), RESTART_SECONDS)


async def _topics_are_there(settings: Settings, stop: asyncio.Event) -> bool:
    """Wait for the broker; false: we are to stop before it answers. Raises Unavailable for missing topics."""
    kafka, notifier = settings.kafka, settings.notifier
    needed = {kafka.alerts_topic, notifier.log_topic, notifier.dead_letters_topic, notifier.acks_topic}
    tries = 0
    while not stop.is_set():
        try:
            missing = sorted(needed - (await partition_counts(kafka)).keys())
        except (KafkaError, OSError) as error:
            if tries % REMINDED_TRIES == 0:
                logger.warning("%s does not answer (%s): trying again every second", kafka.bootstrap, first_line(error))
            tries += 1
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if missing:
            raise Unavailable(f"{kafka.bootstrap} has no topic {', '.join(missing)}: `salespulse topics` creates them")
        return True
    return False
