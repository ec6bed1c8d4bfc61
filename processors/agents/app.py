"""The app factory: settings and dependencies become a Faust app. There are no globals."""

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
from processors.core.ledger.ledger import Ledger
from processors.core.ledger.retention import Retention
from processors.core.state.directory import Directory, directory_of
from processors.core.time.instants import SECOND_US
from processors.kafka.client_hooks import install_safe_readers
from processors.kafka.connection import async_options
from schemas.policy import Policy

STREAM_BUFFER_SIZE = 4
"""How many fetches of a partition wait for the agent, and how many changelog segments for recovery."""
MAX_FETCH_RECORDS = 32_000
"""Like `max_fetch_bytes`, but it also limits records that were compressed."""


class WorkerClock(Protocol):
    """The present time."""

    def now_us(self) -> int:
        """Microseconds since 1970."""


@dataclass(frozen=True)
class WorkerDependencies:
    """What a worker gets from outside."""

    policy: Policy
    clock: WorkerClock
    read_model: PublicationTarget
    metrics: WorkerMetrics


class WorkerApp(faust.App):
    """A Faust app whose transport works in batches. It serves its transport and its intake as callbacks."""

    logger = logging.getLogger("faust.worker")
    partitions: OwnedPartitions
    checkpoints: Checkpoints
    journal: JournalTable
    reps: DirectoryTable
    watch: TopicWatch
    directory_log: DirectoryLog
    metrics: WorkerMetrics
    clock: WorkerClock
    lease: Lease
    leased_producer: LeasedProducer

    @property
    def transport_callbacks(self) -> "WorkerApp":
        """The transport's view of the worker."""
        return self

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    @property
    def waits(self) -> bool:
        """Whether it owns nothing now: before its first assignment, in rebalances and in recoveries."""
        return self.rebalancing or not self.partitions.assigned

    async def crash(self, reason: BaseException) -> None:
        """Stop the worker. Its runner logs the reason."""
        if not self.crashed:
            self._crash(reason)

    def now_us(self) -> int:
        """Microseconds since 1970."""
        return self.clock.now_us()

    async def failed(self) -> None:
        """Wait until the worker has failed."""
        await self._crashed.wait()

    def sources(self) -> Iterable[TP]:
        """The source partitions whose state is complete."""
        return [
            TP(topic, partition.number) for partition in self.partitions.recovered() for topic in self.partitions.topics
        ]

    def durable_offset(self, tp: TP) -> int | None:
        """The offset that may be committed."""
        partition = self.partitions.get(tp.partition)
        return None if partition is None or not partition.recovered else partition.durable_offsets.get(tp.topic)

    def check_committed(self, committed: Mapping[TP, int]) -> None:
        """Raise LostRecords if the changelog does not reach the committed offsets."""
        for tp in self.sources():
            partition = self.partitions.get(tp.partition)
            reached = partition.next_offsets.get(tp.topic, 0) if partition is not None else 0
            if committed.get(tp, 0) > reached:
                raise LostRecords(
                    f"{tp.topic}/{tp.partition}: offset {committed[tp]} is committed, but the changelog ends at "
                    f"{reached}: restore the changelog topic, or set the group's offset back to its end"
                )

    async def make_durable(self) -> None:
        """Make everything durable, unless the worker has failed."""
        if not self.crashed:
            await self.checkpoints.flush_all(self.clock.now_us())

    def committed(self, seconds: float) -> None:
        """Record the duration of a commit."""
        self.metrics.commit_seconds.observe(seconds)

    async def on_stop(self) -> None:
        """Close the connections."""
        await super().on_stop()
        await self.leased_producer.stop()

    async def source_end(self, number: int) -> int:
        """The end of a source partition over all events topics, counted as its position is; raises KafkaError."""
        ends = await self.consumer.highwaters(*(TP(topic, number) for topic in self.partitions.topics))
        partition = self.partitions.get(number)
        bases = 0 if partition is None else sum(map(partition.base, self.partitions.topics))
        return sum(ends.values()) + bases

    async def earliest(self, tp: TP) -> int:
        """The first offset that a partition still holds."""
        offsets = await self.consumer.earliest_offsets(tp)
        return int(offsets[tp])

    async def listed_end(self, tp: TP) -> int:
        """The end of a partition as its leader reports it."""
        consumer: Any = self.consumer
        end: int = await consumer.listed_end(tp)
        return end

    async def check_topics(self) -> None:
        """Raise TopicChanged if a topic is no longer the one that the state was made from."""
        await self.watch.refresh()
        await self.watch.check_ends(self.known_ends())

    def known_ends(self) -> Mapping[TP, PartitionEnd]:
        """The ends of the assigned partitions, as the broker last reported them."""
        consumer: Any = self.consumer
        ends: Mapping[TP, PartitionEnd] = consumer.known_ends()
        return ends


def build_app(settings: Settings, dependencies: WorkerDependencies) -> WorkerApp:
    """The worker's Faust app, ready to start."""
    kafka = settings.kafka
    install_safe_readers(kafka.max_batch_bytes)
    app = _new_app(settings)
    directory = directory_of(dependencies.policy)
    new_ledger = _new_ledgers(settings, dependencies.policy, directory)
    partitions = OwnedPartitions(kafka.events_topics, new_ledger, lambda: secrets.randbits(64))
    dead_letters = DeadLetterFactory(kafka.dead_letters_topic, kafka.group)
    topics = OutputTopics(kafka.journal_topic, dead_letters, kafka.alerts_topic)
    app.lease, app.leased_producer = Lease(kafka.session_timeout_seconds), LeasedProducer(kafka)
    writer = KafkaWriter(lambda: _started_producer(app), app.leased_producer.started)
    ownership = Ownership(app.lease, BrokerLogs(kafka, app.source_end))
    metrics = dependencies.metrics
    app.partitions, app.clock, app.metrics = partitions, dependencies.clock, metrics
    app.checkpoints = Checkpoints(partitions, writer, topics, metrics, app.crash, ownership)
    app.watch = TopicWatch(kafka, partitions, metrics, app.listed_end)
    journal = JournalTable(app, topics, partitions, app.watch, metrics)
    refused = DirectoryDeadLetters(partitions, kafka.reps_topic, dead_letters, metrics)
    reps = DirectoryTable(app, topic=kafka.reps_topic, directory=directory, dead_letters=refused, metrics=metrics)
    app.journal, app.reps = journal, reps
    app.directory_log = DirectoryLog(partitions, app.watch, reps, dependencies.read_model)
    app.tables.add(journal)
    app.tables.add(reps)
    publisher = Publisher(partitions, directory, dependencies.read_model, metrics, ownership)
    timers = Timers(partitions, app.checkpoints, publisher, reps, metrics, app.lease)
    _add_intake(app, Intake(partitions, dead_letters, metrics, app, settings.worker.max_batch_records))
    _add_timers(app, timers, settings)
    reconciliation = AlertReconciliation(
        partitions, topics.alerts, app.lease, lambda: _new_reader(kafka), kafka.session_timeout_seconds
    )
    app.task(_every(app, INTERVAL_SECONDS, reconciliation.reconcile_due))
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
    topic = app.topic(*app.partitions.topics, key_serializer="raw", value_serializer="raw", allow_empty=True)

    async def apply_batches(stream: Any) -> None:
        await intake.run(stream.events())

    app.agent(topic, name="intake", concurrency=1)(apply_batches)


def _add_timers(app: WorkerApp, timers: Timers, settings: Settings) -> None:
    worker = settings.worker

    async def pass_time() -> None:
        timers.pass_time(app.clock.now_us(), app.known_ends())

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
    """Do some work at intervals, except during rebalances. An error stops the app."""

    async def run() -> None:
        while not app.should_stop:
            started = time.monotonic()
            if not app.rebalancing:
                await work()
            await app.sleep(max(seconds - (time.monotonic() - started), 0.0))

    return run
