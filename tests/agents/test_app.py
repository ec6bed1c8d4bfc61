"""The app factory: what the transport asks, and how Faust is configured."""

import ssl

import faust
import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from config.settings import KafkaSettings, Settings, WorkerSettings
from config.values import Secret
from processors.agents.app import WorkerApp, WorkerDependencies, build_app
from processors.agents.intake import LostRecords
from processors.agents.metrics import WorkerMetrics
from processors.agents.transport import BatchTransport
from schemas.policy import DEFAULT_POLICY
from tests.agents.workbench import CLOCK_US, MemoryReadModel

SOURCE = TP("crm.events", 0)


class Midnight:
    """A clock that stands still."""

    def now_us(self) -> int:
        return 0


def new_app(kafka: KafkaSettings | None = None) -> WorkerApp:
    settings = Settings(kafka=kafka or KafkaSettings(), worker=WorkerSettings(checkpoint_interval_seconds=2.0))
    return build_app(
        settings, WorkerDependencies(DEFAULT_POLICY, Midnight(), MemoryReadModel(), WorkerMetrics(CollectorRegistry()))
    )


def with_a_part(position: int) -> WorkerApp:
    app = new_app()
    app.partitions.assign([0], generation=1)
    (partition,) = app.partitions
    partition.begin(CLOCK_US)
    partition.next_offsets = partition.durable_offsets = {"crm.events": position}
    return app


def test_only_what_is_durable_may_be_committed() -> None:
    app = with_a_part(7)

    assert list(app.sources()) == [SOURCE]
    assert app.durable_offset(SOURCE) == 7
    assert app.durable_offset(TP("crm.events", 1)) is None


def test_a_partition_that_is_not_complete_commits_nothing() -> None:
    app = new_app()
    app.partitions.assign([0], generation=1)

    assert list(app.sources()) == []
    assert app.durable_offset(SOURCE) is None


@pytest.mark.parametrize("committed", [0, 6, 7])
def test_a_changelog_that_has_all_that_was_committed_is_trusted(committed: int) -> None:
    with_a_part(7).check_committed({SOURCE: committed})


def test_a_changelog_that_lacks_what_was_committed_stops_the_worker() -> None:
    with pytest.raises(LostRecords, match=r"crm\.events/0: offset 8 is committed, but the changelog ends at 7"):
        with_a_part(7).check_committed({SOURCE: 8})


def test_the_transport_works_in_batches() -> None:
    assert isinstance(new_app().transport, BatchTransport)


def test_faust_is_configured_for_batches_and_quick_rebalances() -> None:
    conf = new_app(KafkaSettings(bootstrap="a:9092,b:9093", group="sales")).conf

    assert (conf.id, [str(url) for url in conf.broker]) == ("sales", ["kafka://a:9092", "kafka://b:9093"])
    assert conf.broker_commit_interval == 2.0
    assert conf.consumer_max_fetch_size == WorkerSettings().max_fetch_bytes
    assert conf.table_standby_replicas == 0
    assert not conf.web_enabled
    assert not conf.topic_allow_declare


def test_a_dead_worker_is_missed_after_the_session_timeout_of_the_settings() -> None:
    conf = new_app(KafkaSettings(session_timeout_seconds=12.0)).conf

    assert (conf.broker_session_timeout, conf.broker_rebalance_timeout, conf.broker_heartbeat_interval) == (12, 12, 2)


def test_a_worker_waits_until_it_has_an_assignment_and_in_every_rebalance() -> None:
    app = new_app()
    assert app.waits
    app.partitions.assign([], generation=1)
    assert not app.waits
    app.rebalancing = True
    assert app.waits


def test_the_journal_and_the_directory_are_tables_of_the_topics_that_settings_name() -> None:
    app = new_app(KafkaSettings(group="sales", reps_topic="people"))

    assert app.tables.changelog_topics == {"sales-journal-changelog", "people"}


def test_secrets_and_certificates_reach_faust() -> None:
    sasl = KafkaSettings(
        security_protocol="SASL_SSL", sasl_mechanism="PLAIN", sasl_username="worker", sasl_password=Secret("sesame")
    )
    credentials = new_app(sasl).conf.broker_credentials
    assert isinstance(credentials, faust.SASLCredentials)
    assert (credentials.username, credentials.password, credentials.protocol.value) == ("worker", "sesame", "SASL_SSL")

    credentials = new_app(KafkaSettings(security_protocol="SSL")).conf.broker_credentials
    assert isinstance(credentials, faust.SSLCredentials)
    assert isinstance(credentials.context, ssl.SSLContext)
    assert new_app().conf.broker_credentials is None
