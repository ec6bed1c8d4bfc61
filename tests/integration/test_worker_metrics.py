"""What a worker tells of itself, against a real broker: what it knows, and that it does not know."""

import math
import signal
import time
from pathlib import Path

import msgspec

from config.settings import Settings
from processors.agents.broker_liveness import MAX_SILENCE_SECONDS
from processors.dev.broker import embedded_broker
from processors.dev.metrics_page import MetricsPage, metrics
from tests.integration.stack import Worker, board, send, send_raw, wait_until, worker
from tests.integration.test_worker import PARTITIONS, logged


def lags(running: Worker) -> dict[str, float]:
    """Records that wait, by partition, as far as the worker knows."""
    return running.page().totals_by("salespulse_consumer_lag_records", "partition")


def test_a_worker_tells_that_its_broker_is_away_and_goes_on_when_it_is_back(settings: Settings, tmp_path: Path) -> None:
    with embedded_broker(tmp_path) as broker:
        kafka = msgspec.structs.replace(settings.kafka, bootstrap=broker.bootstrap)
        alone = msgspec.structs.replace(settings, kafka=kafka)
        send(alone, [logged(1)])
        with worker(alone, tmp_path) as running:
            wait_until(lambda: running.counted() == 1, "it works", running)
            wait_until(lambda: len(lags(running)) == PARTITIONS, "all lags are known", running)
            assert running.page().total("salespulse_kafka_up") == 1

            broker.process.send(signal.SIGSTOP)
            wait_until(lambda: running.page().total("salespulse_kafka_up") == 0, "it tells of the broker", running)
            assert lags(running) == {}
            assert math.isnan(running.page().total("salespulse_consumer_lag_seconds"))

            broker.process.send(signal.SIGCONT)
            send(alone, [logged(2)])
            wait_until(lambda: running.counted() == 2, "it goes on", running)
            wait_until(lambda: running.page().total("salespulse_kafka_up") == 1, "the broker is heard", running)
            wait_until(lambda: running.page().total("salespulse_consumer_lag_seconds") == 0, "nothing waits", running)


def test_a_worker_without_partitions_hears_the_broker_all_the_same(settings: Settings, tmp_path: Path) -> None:
    one = msgspec.structs.replace(settings, kafka=msgspec.structs.replace(settings.kafka, partitions=1))
    send(one, [logged(1)])
    with worker(one, tmp_path) as first, worker(one, tmp_path) as second:
        both = (first, second)

        def owned() -> list[float]:
            return sorted(running.page().total("salespulse_partitions_owned") for running in both)

        wait_until(
            lambda: all(running.page().total("salespulse_rebalances_total") for running in both), "joined", *both
        )
        wait_until(lambda: owned() == [0, 1], "one of them owns the partition", *both)
        since = time.monotonic()
        wait_until(lambda: time.monotonic() - since > 1.5 * MAX_SILENCE_SECONDS, "a silence would show", *both)
        assert [running.page().total("salespulse_kafka_up") for running in both] == [1, 1]


def test_a_board_comes_as_far_as_the_worker_whatever_comes_in(settings: Settings, tmp_path: Path) -> None:
    with worker(settings, tmp_path) as running, board(settings, tmp_path) as port:

        def positions() -> tuple[dict[str, float], ...]:
            page = metrics(port) or MetricsPage("")
            names = ("salespulse_position_records", "salespulse_read_model_position_records")
            return tuple(
                one.totals_by(name, "partition") for one, name in zip((running.page(), page), names, strict=True)
            )

        def alike(records: int) -> bool:
            applied, shown = positions()
            return applied == shown and len(applied) == PARTITIONS and sum(applied.values()) == records

        send(settings, [logged(1)])
        wait_until(lambda: alike(1), "an event is everywhere", running)
        send_raw(settings, [(0, b"bad", b"{}")] * 5)
        send(settings, [logged(1)])
        wait_until(lambda: alike(7), "junk and a copy moved both", running)
