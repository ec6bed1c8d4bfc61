"""What the worker hooks below the public API of faust-streaming and aiokafka is still what it was written for.

When one of these fails after an update, read `processors/agents/transport.py`, `fetching.py` and `changelog.py` again.
"""

import inspect
from importlib.metadata import version
from typing import Any

import aiokafka.consumer.fetcher as fetching
import faust.transport.consumer as consuming
import kafka.consumer.fetcher as kafka_fetching
import pytest
from aiokafka.consumer import consumer
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance, GroupCoordinator
from faust.app.base import App
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables import recovery
from faust.tables.base import Collection
from faust.transport.drivers import aiokafka as driver
from mode.services import Service
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from processors.agents.directory_table import DirectoryTable
from processors.agents.journal_table import JournalTable
from processors.agents.recovery import AssignedRecovery, ChangelogQueue
from processors.agents.transport import BatchConsumer, BatchConsumerThread, BatchTransport
from processors.kafka.client_hooks import AsyncPartitionRecords, PartitionRecords


def parameters(function: Any) -> list[str]:
    """Names of parameters."""
    return list(inspect.signature(function).parameters)


def source(thing: Any) -> str:
    """The source text."""
    return inspect.getsource(getattr(thing, "fun", thing))


@pytest.mark.parametrize(
    ("package", "wanted"), [("faust-streaming", "0.15.3"), ("aiokafka", "0.14.0"), ("mode-streaming", "0.7.1")]
)
def test_the_versions_are_those_that_are_hooked(package: str, wanted: str) -> None:
    assert version(package) == wanted


OVERRIDDEN = [
    (BatchConsumerThread, driver.AIOKafkaConsumerThread, "_create_worker_consumer"),
    (BatchConsumerThread, driver.AIOKafkaConsumerThread, "on_start"),
    (BatchConsumerThread, driver.AIOKafkaConsumerThread, "_fetch_records"),
    (BatchConsumer, driver.Consumer, "_new_consumer_thread"),
    (BatchConsumer, consuming.Consumer, "getmany"),
    (BatchConsumer, consuming.ThreadDelegateConsumer, "_getmany"),
    (BatchConsumer, consuming.Consumer, "ack"),
    (BatchConsumer, consuming.Consumer, "on_buffer_full"),
    (BatchConsumer, consuming.Consumer, "_add_gap"),
    (BatchConsumer, consuming.Consumer, "_filter_tps_with_pending_acks"),
    (BatchConsumer, consuming.Consumer, "_new_offset"),
    (BatchConsumer, consuming.ThreadDelegateConsumer, "_commit"),
    (BatchConsumer, consuming.Consumer, "wait_empty"),
    (BatchConsumer, consuming.Consumer, "commit_and_end_transactions"),
    (BatchConsumer, consuming.Consumer, "perform_seek"),
    (BatchConsumer, consuming.ThreadDelegateConsumer, "highwaters"),
    (BatchConsumer, driver.Consumer, "verify_event_path"),
    (JournalTable, Collection, "on_rebalance"),
    (JournalTable, Collection, "persisted_offset"),
    (JournalTable, Collection, "apply_changelog_batch"),
    (JournalTable, Collection, "on_recovery_completed"),
    (JournalTable, Collection, "_changelog_topic_name"),
    (AssignedRecovery, recovery.Recovery, "on_recovery_completed"),
    (AssignedRecovery, recovery.Recovery, "_build_highwaters"),
    (AssignedRecovery, recovery.Recovery, "_wait"),
    (ChangelogQueue, ThrowableQueue, "get"),
    (ChangelogQueue, ThrowableQueue, "clear"),
    (DirectoryTable, Collection, "apply_changelog_batch"),
    (DirectoryTable, Collection, "_changelog_topic_name"),
]


@pytest.mark.parametrize(("ours", "theirs", "name"), OVERRIDDEN, ids=[f"{o.__name__}.{n}" for o, _, n in OVERRIDDEN])
def test_every_override_overrides_a_method_with_the_same_parameters(ours: type, theirs: type, name: str) -> None:
    assert parameters(getattr(ours, name)) == parameters(getattr(theirs, name))
    assert inspect.iscoroutinefunction(getattr(ours, name)) == inspect.iscoroutinefunction(getattr(theirs, name))


def test_heartbeats_and_assignments_go_through_the_hooked_sending() -> None:
    assert parameters(GroupCoordinator._send_req) == ["self", "request"]
    assert "HeartbeatRequest(" in source(GroupCoordinator._do_heartbeat)
    assert "self._send_req(" in source(GroupCoordinator._do_heartbeat)
    # The notifier asks by it whether it is still a member.
    assert parameters(GroupCoordinator._do_heartbeat) == ["self"]
    assert inspect.iscoroutinefunction(GroupCoordinator._do_heartbeat)
    assert "SyncGroupRequest(" in source(CoordinatorGroupRebalance._on_join_leader)
    assert "self._coordinator._send_req(" in source(CoordinatorGroupRebalance._send_sync_group_request)
    assert "self._coordinator = GroupCoordinator(" in source(consumer.AIOKafkaConsumer.start)


def test_commits_go_through_the_hooked_methods() -> None:
    assert "_filter_tps_with_pending_acks" in source(consuming.Consumer.force_commit)
    assert "_new_offset" in source(consuming.Consumer._filter_committable_offsets)
    assert "_commit(" in source(consuming.Consumer._commit_offsets)


def test_nothing_is_committed_below_what_is_committed_already() -> None:
    assert "offset > committed" in source(consuming.Consumer._should_commit)


def test_a_rebalance_and_the_end_wait_for_the_hooked_methods() -> None:
    assert "_consumer_wait_empty" in source(App._on_partitions_revoked)
    assert "wait_empty" in source(App._consumer_wait_empty)
    assert "wait_empty" in source(consuming.Consumer.on_stop)


def test_the_transport_is_made_where_it_is_replaced() -> None:
    assert parameters(App._new_transport) == ["self"]
    assert "self.Consumer(" in source(driver.Transport.create_consumer)
    assert BatchTransport.Consumer is BatchConsumer


def test_fetched_batches_reach_getmany_through_the_thread() -> None:
    assert "_fetch_records" in source(driver.AIOKafkaConsumerThread.getmany)
    assert parameters(consuming.Consumer._wait_next_records) == ["self", "timeout"]
    for name in ("flow_active", "_buffered_partitions", "_unacked_messages", "_is_changelog_tp", "_committed_offset"):
        assert name in source(consuming.Consumer)


def test_a_message_that_was_read_before_is_dropped_by_the_last_offset_of_its_batch() -> None:
    assert "offset >= r_offset" in source(consuming.Consumer._drain_messages)


def test_the_fetcher_keeps_what_it_fetched_where_it_is_taken() -> None:
    text = source(fetching.Fetcher)
    for name in ("_records", "_subscriptions", "_create_fetch_waiter", "_notify", "_wait_consume_future", "_closed"):
        assert f"self.{name}" in text or f"def {name}" in text
    drained = source(fetching.Fetcher.fetched_records)
    for step in ("reassignment_in_progress", "is_assigned", "getall", "has_more", "check_raise"):
        assert step in drained


def test_a_fetch_result_is_read_the_way_aiokafka_reads_it() -> None:
    taken = source(fetching.FetchResult)
    for name in ("_partition_records", "_update_position", "check_assignment", "_topic_partition"):
        assert name in taken
    theirs = AsyncPartitionRecords.__bases__[0]
    unpacked = source(theirs._unpack_records)
    for name in ("has_next", "next_batch", "validate_crc", "is_control_batch", "next_offset", "next_fetch_offset"):
        assert name in unpacked
    for name in ("_consume_aborted_up_to", "_contains_abort_marker", "_aborted_producers", "is_transactional"):
        assert name in unpacked
    assert "isolation_level=self._isolation_level" in source(consumer.AIOKafkaConsumer.start)
    assert "self._records_iterator = self._unpack_records()" in source(theirs.__init__)


def test_both_clients_walk_what_was_fetched_the_way_ours_can_be_walked() -> None:
    """Names that the clients look up when they have fetched, and what they ask of a batch and of its records."""
    answered = source(fetching.Fetcher._proc_fetch_request)
    for step in ("MemoryRecords(part_data[-1])", "records.has_next()", "records.size_in_bytes()", "PartitionRecords("):
        assert step in answered
    parsed = source(kafka_fetching.Fetcher._parse_fetched_data)
    for step in ("MemoryRecords(", "self.PartitionRecords(fetch_offset, tp, records,", "records.size_in_bytes()"):
        assert step in parsed
    assert parameters(AsyncPartitionRecords.__bases__[0].__init__)[:5] == [
        "self",
        "tp",
        "records",
        "aborted_transactions",
        "fetch_offset",
    ]


def test_kafka_python_passes_over_a_batch_that_looks_like_a_marker() -> None:
    unpacked = source(PartitionRecords.__bases__[0]._unpack_records)
    for step in (
        "batch.magic == 2",
        "batch.leader_epoch",
        "batch.has_producer_id()",
        "batch.last_offset",
        "if batch.is_control_batch:",
        "self.next_fetch_offset = batch.next_offset",
        "record.size_in_bytes",
        "record.validate_crc()",
    ):
        assert step in unpacked


def test_the_last_word_of_the_broker_on_a_partition_is_kept_with_its_time() -> None:
    answered = source(fetching.Fetcher._proc_fetch_request)
    for step in ("now_ms = int(1000 * time.time())", "tp_state.highwater = highwater", "tp_state.timestamp = now_ms"):
        assert step in answered
    assert "assignment.state_value(partition).timestamp" in source(consumer.AIOKafkaConsumer.last_poll_timestamp)
    assert "self._subscription.subscription.assignment" in source(consumer.AIOKafkaConsumer.last_poll_timestamp)


def test_a_recovery_is_overtaken_by_a_signal_and_completes_where_it_is_hooked() -> None:
    begun = source(recovery.Recovery._restart_recovery)
    assert "self.on_recovery_completed)(generation_id)" in begun
    assert "self.signal_recovery_start.clear()" in begun
    assert "except RebalanceAgain" in begun
    assert "self.signal_recovery_start.set()" in source(recovery.Recovery.on_rebalance)
    assert "return WaitResults([], [], True)" in source(Service.wait_first)
    assert "self.tables.changelog_queue" in source(recovery.Recovery._slurp_changelogs)


def test_recovery_asks_the_table_how_far_it_is_and_where_the_topic_ends() -> None:
    assert "persisted_offset" in source(recovery.Recovery._add)
    assert "consumer.highwaters" in source(recovery.Recovery._build_highwaters)
    assert "value - 1" in source(recovery.Recovery._build_highwaters)


def test_recovery_hands_over_before_it_seeks_and_says_ready_last() -> None:
    text = source(recovery.Recovery.on_recovery_completed)
    steps = ["table.on_recovery_completed", "perform_seek", "resume_flow", "on_rebalance_end"]
    assert [text.index(step) for step in steps] == sorted(text.index(step) for step in steps)


def test_recovery_swallows_errors_of_tables_so_ours_stop_the_worker_themselves() -> None:
    assert "except Exception as ex:" in source(recovery.Recovery._slurp_changelogs)
    assert "crash_app" in source(JournalTable.apply_changelog_batch)
    assert "crash_app" in source(JournalTable.on_recovery_completed)


def test_a_table_with_a_recovery_buffer_of_one_is_read_on_after_recovery() -> None:
    assert "recovery_buffer_size == 1" in source(recovery.Recovery._restart_recovery)


def test_a_global_table_is_assigned_by_the_name_of_its_changelog() -> None:
    assert "table._changelog_topic_name()" in source(PartitionAssignor._global_table_standby_assignments)


def test_tables_are_told_of_a_rebalance_with_its_generation() -> None:
    assert parameters(Collection.on_rebalance) == ["self", "assigned", "revoked", "newly_assigned", "generation_id"]


def test_a_crash_is_kept_where_the_worker_looks() -> None:
    assert "self.crash_reason = reason" in source(Service._crash)
    assert "self._crashed.set()" in source(Service._crash)


def test_a_consumer_keeps_how_long_it_lets_a_broker_wait_until_it_starts() -> None:
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in source(consumer.AIOKafkaConsumer.start)
    assert "self._fetch_max_wait_ms = fetch_max_wait_ms" in source(consumer.AIOKafkaConsumer.__init__)


def test_the_end_of_a_rebalance_is_told_after_the_queues_are_emptied() -> None:
    steps = ("resume_partitions(", "perform_seek()", "flow_control.resume()", "on_rebalance_end()")
    resumed = source(recovery.Recovery._resume_streams)
    places = [resumed.index(step) for step in steps]
    assert places == sorted(places)
    assert "self.clear()" in source(FlowControlEvent.resume)
    assert "await self._getmany(" in source(consuming.Consumer._wait_next_records)
