"""Operations: does the stream flow, are all partitions watched, and what do the programs cost."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import promql as q
from grafana.kit import Board
from grafana.panels import ANY_ORANGE, Look, Query
from grafana.words import Words

FULL = ((1, "green"),)
LAG = ((10, "orange"), (60, "red"))
STALE = ((60, "orange"), (300, "red"))
JOBS = 'job=~"board|workers|notifier"'


def build(words: Words) -> Dashboard:
    """The board in one language."""
    board = Board("operations", words, ())
    _answer(board)
    board.row("stream")
    _stream(board)
    board.row("faults")
    _faults(board)
    board.row("state")
    _state(board)
    board.row("programs")
    _programs(board)
    return board.build()


def _answer(board: Board) -> None:
    board.stat("workers", 'sum(up{job="workers"})', Look(width=3, height=5, steps=FULL))
    owned = q.ratio("sum(salespulse_partitions_owned)", "max(salespulse_input_partitions)")
    board.stat("partitions", owned, Look("percentunit", 3, 5, FULL))
    board.stat("lag", "max(salespulse_consumer_lag_seconds)", Look("s", 4, 5, LAG))
    newest = "time() - max(salespulse_read_model_timestamp_seconds > 0)"
    board.stat("read_model_age", newest, Look("s", 4, 5, STALE))
    board.stat("kafka", "min(salespulse_kafka_up)", Look(width=3, height=5, steps=FULL))
    board.stat("redis", "min(salespulse_redis_up)", Look(width=3, height=5, steps=FULL))
    lost = "sum(increase(salespulse_dead_letters_total[$__range]))"
    board.stat("dead_letters_total", lost, Look(width=4, height=5, steps=ANY_ORANGE))


def _stream(board: Board) -> None:
    types = q.rate("salespulse_events_total", "type")
    board.lines("events", Look("eps", 12, 10, stacked=True), Query(types, "{{type}}"))
    results = q.rate("salespulse_events_total", "result")
    board.lines("results", Look("eps", 12, 10, stacked=True), Query(results, "{{result}}"))
    behind = "max by (topic, partition) (salespulse_consumer_lag_records)"
    board.lines("lag_records", Look(), Query(behind, "{{topic}}/{{partition}}"))
    board.lines(
        "times",
        Look("s"),
        Query(q.quantile(0.99, "salespulse_batch_seconds"), "@batch"),
        Query(q.quantile(0.99, "salespulse_changelog_seconds"), "@changelog"),
        Query(q.quantile(0.99, "salespulse_commit_seconds"), "@commit"),
    )
    size = q.ratio(q.rate("salespulse_events_total", "instance"), q.rate("salespulse_batches_total", "instance"))
    board.lines("batch_size", Look(), Query(size, "{{instance}}"))


def _faults(board: Board) -> None:
    letters = q.rate("salespulse_dead_letters_total", "reason")
    board.lines("dead_letters", Look("eps", 12, 9, stacked=True), Query(letters, "{{reason}}"))
    quality = q.each("crm_data_quality", "reason", 'window="7d"')
    board.bars("data_quality", Look(width=12, height=9), Query(f"sort_desc({quality} > 0)", "{{reason}}"))
    folded = q.each("salespulse_folded", "label")
    board.lines("folded", Look(width=24), Query(folded, "{{label}}"))


def _state(board: Board) -> None:
    board.lines("roots", Look(), Query("sum by (kind) (salespulse_roots)", "{{kind}}"))
    moves = "sum by (instance) (increase(salespulse_rebalances_total[$__rate_interval]))"
    board.lines("rebalances", Look(), Query(moves, "{{instance}}"))
    recovery = q.mean_seconds("salespulse_recovery_seconds", "instance")
    board.lines("recovery", Look("s"), Query(recovery, "{{instance}}"))


def _programs(board: Board) -> None:
    cpu = f"sum by (job, instance) (rate(process_cpu_seconds_total{{{JOBS}}}[$__rate_interval]))"
    board.lines("cpu", Look("percentunit"), Query(cpu, "{{job}} {{instance}}"))
    memory = f"max by (job, instance) (process_resident_memory_bytes{{{JOBS}}})"
    board.lines("memory", Look("bytes"), Query(memory, "{{job}} {{instance}}"))
    scrapes = f"max by (job, instance) (scrape_duration_seconds{{{JOBS}}})"
    board.lines("scrapes", Look("s"), Query(scrapes, "{{job}} {{instance}}"))
