"""The app factory: settings and what the worker is given become a Faust app. There are no globals."""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faust.types import TP
from yarl import URL

from config.settings import KafkaSettings, Settings
from config.tls import kafka_ssl_context
from processors.agents.alert_reconciliation import INTERVAL_SECONDS, AlertReconciliation
from processors.agents.broker_liveness import PartitionEnd
from processors.agents.checkpoints import Checkpoints, OutputTopics
from processors.agents.dead_letter_messages import DeadLetterFactory
from processors.agents.directory_dead_letters import DirectoryDeadLetters
from processors.agents.directory_log import DirectoryLog
from processors.agents.directory_table import DirectoryTable
from processors.agents.intake import Intake, LostRecords
from processors.agents.journal_table import JournalTable
from processors.agents.kafka_writer import KafkaWriter
from processors.agents.lease import Lease
from processors.agents.leased_producer import MAX_BATCH_BYTES, LeasedProducer
from processors.agents.metrics import WorkerMetrics
from processors.agents.ownership import BrokerLogs, Ownership
from processors.agents.partitions import OwnedPartitions
from processors.agents.publication_target import PublicationTarget
from processors.agents.publishing import Publisher
from processors.agents.recovery import AssignedTables
from processors.agents.timers import SIZES_INTERVAL_SECONDS, Timers
from processors.agents.topic_watch import TopicWatch
from processors.agents.transport import BatchTransport
from processors.core.directory import Directory, directory_of
from processors.core.instants import SECOND_US
from processors.core.ledger import Ledger
from processors.core.retention import Retention
from processors.kafka.client_hooks import install_safe_readers
from processors.kafka.connection import async_options
from schemas.policy import Policy

STREAM_BUFFER_SIZE = 4
"""Fetches of a partition that wait for the agent, and changelog segments that wait for recovery."""
MAX_FETCH_RECORDS = 32_000
"""The same limit as `max_fetch_bytes` for records that were compressed."""


class WorkerClock(Protocol):
    """What time it is."""

    def now_us(self) -> int:
        """Microseconds since 1970."""


@dataclass(frozen=True)
class WorkerDependencies:
    """What a worker is given from outside."""

    policy: Policy
    clock: WorkerClock
    read_model: PublicationTarget
    metrics: WorkerMetrics


class WorkerApp(faust.App):
    """A Faust app whose transport works in batches; it is its own delivery."""

    logger = logging.getLogger("faust.worker")
    parts: OwnedPartitions
    checkpoints: Checkpoints
    journal: JournalTable
    reps: DirectoryTable
    watch: TopicWatch
    directory_log: DirectoryLog
    metrics: WorkerMetrics
    clock: WorkerClock
    lease: Lease
    messenger: LeasedProducer

    @property
    def delivery(self) -> "WorkerApp":
        """What the transport asks."""
        return self

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    @property
    def waits(self) -> bool:
        """Whether it has no say in any partition: until its first assignment, in rebalances and recoveries."""
        return self.rebalancing or not self.parts.assigned

    async def crash(self, reason: BaseException) -> None:
        """Stop the worker; whoever runs it says why."""
        if not self.crashed:
            self._crash(reason)

    def now_us(self) -> int:
        """What the clock says."""
        return self.clock.now_us()

    async def failed(self) -> None:
        """Wait until the worker has failed."""
        await self._crashed.wait()

    def sources(self) -> Iterable[TP]:
        """The source partitions whose state is complete."""
        return [TP(topic, part.number) for part in self.parts.recovered() for topic in self.parts.topics]

    def durable_offset(self, tp: TP) -> int | None:
        """The offset that may be committed."""
        part = self.parts.get(tp.partition)
        return None if part is None or not part.recovered else part.durable.get(tp.topic)

    def check_committed(self, committed: Mapping[TP, int]) -> None:
        """Raise LostRecords when the changelog has not what was committed."""
        for tp in self.sources():
            part = self.parts.get(tp.partition)
            reached = part.next_offsets.get(tp.topic, 0) if part is not None else 0
            if committed.get(tp, 0) > reached:
                raise LostRecords(
                    f"{tp.topic}/{tp.partition}: offset {committed[tp]} is committed, but the changelog ends at "
                    f"{reached}: restore the changelog topic, or set the group's offset back to its end"
                )

    async def settle(self) -> None:
        """Make everything durable, unless the worker has failed."""
        if not self.crashed:
            await self.checkpoints.flush_all(self.clock.now_us())

    def committed(self, seconds: float) -> None:
        """A commit took so long."""
        self.metrics.commit_seconds.observe(seconds)

    async def on_stop(self) -> None:
        """Give the connections back."""
        await super().on_stop()
        await self.messenger.stop()

    async def source_end(self, number: int) -> int:
        """Where a source partition ends, over all events topics, as its position counts; raises KafkaError."""
        ends = await self.consumer.highwaters(*(TP(topic, number) for topic in self.parts.topics))
        part = self.parts.get(number)
        bases = 0 if part is None else sum(map(part.base, self.parts.topics))
        return sum(ends.values()) + bases

    async def earliest(self, tp: TP) -> int:
        """The first offset that a partition still holds."""
        offsets = await self.consumer.earliest_offsets(tp)
        return int(offsets[tp])

    async def listed_end(self, tp: TP) -> int:
        """The end of a partition as its leader names it."""
        consumer: Any = self.consumer
        end: int = await consumer.listed_end(tp)
        return end

    async def check_topics(self) -> None:
        """Raise TopicChanged when a topic is not the one that the state was made from."""
        await self.watch.refresh()
        await self.watch.check_ends(self.last_words())

    def last_words(self) -> Mapping[TP, PartitionEnd]:
        """What the broker last said of the partitions that are assigned now."""
        consumer: Any = self.consumer
        words: Mapping[TP, PartitionEnd] = consumer.last_words()
        return words


def build_app(settings: Settings, given: WorkerDependencies) -> WorkerApp:
    """The worker's Faust app, ready to start."""
    kafka = settings.kafka
    install_safe_readers(kafka.max_batch_bytes)
    app = _new_app(settings)
    directory = directory_of(given.policy)
    new_ledger = _new_ledgers(settings, given.policy, directory)
    parts = OwnedPartitions(kafka.events_topics, new_ledger, lambda: secrets.randbits(64))
    dead_letters = DeadLetterFactory(kafka.dead_letters_topic, kafka.group)
    topics = OutputTopics(kafka.journal_topic, dead_letters, kafka.alerts_topic)
    app.lease, app.messenger = Lease(kafka.session_timeout_seconds), LeasedProducer(kafka)
    outgoing = KafkaWriter(lambda: _started_producer(app), app.messenger.started)
    ownership = Ownership(app.lease, BrokerLogs(kafka, app.source_end))
    app.parts, app.clock, app.metrics = parts, given.clock, given.metrics
    app.checkpoints = Checkpoints(parts, outgoing, topics, given.metrics, app.crash, ownership)
    app.watch = TopicWatch(kafka, parts, given.metrics, app.listed_end)
    journal = JournalTable(app, topics, parts, app.watch, given.metrics)
    refusals = DirectoryDeadLetters(parts, kafka.reps_topic, dead_letters, given.metrics)
    reps = DirectoryTable(app, topic=kafka.reps_topic, directory=directory, refusals=refusals, metrics=given.metrics)
    app.journal, app.reps = journal, reps
    app.directory_log = DirectoryLog(parts, app.watch, reps, given.read_model)
    app.tables.add(journal)
    app.tables.add(reps)
    publisher = Publisher(parts, directory, given.read_model, given.metrics, ownership)
    timers = Timers(parts, app.checkpoints, publisher, reps, given.metrics, app.lease)
    _add_intake(app, Intake(parts, dead_letters, given.metrics, app, settings.worker.max_batch_records))
    _add_timers(app, timers, settings)
    takeover = AlertReconciliation(
        parts, topics.alerts, app.lease, lambda: _new_reader(kafka), kafka.session_timeout_seconds
    )
    app.task(_every(app, INTERVAL_SECONDS, takeover.look))
    return app


def _new_ledgers(settings: Settings, policy: Policy, directory: Directory) -> Callable[[], Ledger]:
    def new_ledger() -> Ledger:
        retention = settings.retention
        kept = Retention.of_days(retention.windows_kept_days, retention.roots_days)
        return Ledger(policy, directory, kept, settings.alerts.max_age_seconds * SECOND_US)

    return new_ledger


def _new_app(settings: Settings) -> WorkerApp:
    kafka, worker = settings.kafka, settings.worker
    return WorkerApp(
        kafka.group,
        broker=[URL(f"kafka://{address.strip()}") for address in kafka.bootstrap.split(",")],
        broker_credentials=_credentials(kafka),
        datadir=worker.data_dir,
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=worker.max_fetch_bytes,
        broker_max_poll_records=MAX_FETCH_RECORDS,
        broker_commit_interval=worker.checkpoint_interval_seconds,
        broker_session_timeout=kafka.session_timeout_seconds,
        broker_rebalance_timeout=kafka.session_timeout_seconds,
        broker_heartbeat_interval=kafka.session_timeout_seconds / 6,
        broker_request_timeout=30.0,
        producer_request_timeout=120.0,
        producer_max_batch_size=MAX_BATCH_BYTES,
        stream_buffer_maxsize=STREAM_BUFFER_SIZE,
        stream_wait_empty=True,
        worker_redirect_stdouts=False,
        TableManager=AssignedTables,
    )


def _credentials(kafka: KafkaSettings) -> Any:
    context = kafka_ssl_context(kafka)
    if kafka.sasl_mechanism is not None and kafka.sasl_password is not None:
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password.reveal(),
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)


def _started_producer(app: WorkerApp) -> AIOKafkaProducer:
    producer: Any = app.producer
    return producer._ensure_producer()  # noqa: SLF001 -- Faust's own interface cannot send batches


def _new_reader(kafka: KafkaSettings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(**async_options(kafka), auto_offset_reset="earliest")


def _add_intake(app: WorkerApp, intake: Intake) -> None:
    topic = app.topic(*app.parts.topics, key_serializer="raw", value_serializer="raw", allow_empty=True)

    async def take_batches(stream: Any) -> None:
        await intake.run(stream.events())

    app.agent(topic, name="intake", concurrency=1)(take_batches)


def _add_timers(app: WorkerApp, timers: Timers, settings: Settings) -> None:
    worker = settings.worker

    async def pass_time() -> None:
        timers.pass_time(app.clock.now_us(), app.last_words())

    async def publish() -> None:
        await timers.checkpoints.claim_all()
        await timers.publisher.publish()

    async def checkpoint() -> None:
        await timers.checkpoints.flush_all(app.clock.now_us())

    async def measure() -> None:
        timers.measure_sizes()

    app.task(_every(app, worker.publish_interval_seconds, pass_time))
    app.task(_every(app, worker.publish_interval_seconds, publish))
    app.task(_every(app, worker.checkpoint_interval_seconds, checkpoint))
    app.task(_every(app, SIZES_INTERVAL_SECONDS, measure))


def _every(app: WorkerApp, seconds: float, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Do something at intervals while the app owns its partitions undisputed. An error stops the app."""

    async def run() -> None:
        while not app.should_stop:
            started = time.monotonic()
            if not app.rebalancing:
                await work()
            await app.sleep(max(seconds - (time.monotonic() - started), 0.0))

    return run
