"""One campaign: everything starts, the plan is carried out while events come in, and then nothing may be wrong."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kafka import TopicPartition
from kafka.errors import KafkaError

from config.clock import wall_us
from config.settings import Settings, as_environment
from processors.dev.metrics_page import get
from processors.kafka.admin import admin_client
from processors.kafka.topic_reader import consumer
from processors.kafka.topics import all_topics, ensure_topics
from schemas.errors import SalespulseError
from tests.chaos.brokers import Brokers
from tests.chaos.count import REPEATS_A_KILL, Expected, Span, Told, count, told, wrong_numbers
from tests.chaos.events import Stream
from tests.chaos.plan import Step, plan
from tests.chaos.scene import NotInTime, Scene, Timeline, scene
from tests.chaos.watcher import BoardError, Watcher, api
from tests.integration.stack import records

CALM_SECONDS = 5.0
"""Before the first fault and after the last one, events come in undisturbed."""
VERIFY_SECONDS = 240.0
SETTLE_SECONDS = 240.0


class Outcome(NamedTuple):
    """How a campaign ended."""

    seed: int
    problems: list[str]
    timeline: list[str]
    summary: str
    seconds: float


def run_campaign(brokers: Brokers, seed: int, directory: Path, show: Callable[[str], None], *, short: bool) -> Outcome:
    """Run one campaign in a directory of its own, which keeps its logs."""
    began, timeline = time.monotonic(), Timeline(show)
    prefix = f"chaos-{seed}-{wall_us() % 1_000_000}"
    _heal(brokers)
    summary = "it did not come to a count"
    with scene(brokers, prefix, directory, timeline) as stage:
        try:
            summary = _Campaign(stage, seed, directory).run(plan(seed, short=short))
        except (NotInTime, SalespulseError, BoardError, KafkaError) as error:
            stage.problem(f"{type(error).__name__}: {error}")
        if stage.problems:
            keep_evidence(stage, directory)
    _clear(stage.settings)
    return Outcome(seed, stage.problems, timeline.lines, summary, time.monotonic() - began)


def _heal(brokers: Brokers) -> None:
    for node in brokers.nodes:
        if not node.runs:
            node.start()
    for node in brokers.nodes:
        node.process.wait_ready(node.is_ready, SETTLE_SECONDS)


def keep_evidence(stage: Scene, directory: Path) -> None:
    """Write what was told, and what the alerts topic holds, beside the logs."""
    topic = stage.settings.kafka.alerts_topic
    told_lines = [json.dumps({"at": letter.at, **letter.body}) for letter in stage.receiver.letters]
    (directory / "letters.jsonl").write_text("\n".join(told_lines), encoding="utf-8")
    with (directory / "alerts.jsonl").open("w", encoding="utf-8") as lines:
        for record in records(stage.settings, topic):
            place = {"offset": record.offset, "timestamp_ms": record.timestamp, "value": (record.value or b"").decode()}
            lines.write(json.dumps(place) + "\n")


def _clear(settings: Settings) -> None:
    """Delete the topics: the next campaign has its own."""
    with admin_client(settings.kafka) as admin:
        admin.delete_topics([spec.name for spec in all_topics(settings)])


class _Campaign:
    """The parts of a campaign that work on one scene."""

    def __init__(self, stage: Scene, seed: int, directory: Path) -> None:
        self._scene = stage
        self._directory = directory
        self._lines = directory / "events.jsonl"
        self._stream = Stream(stage.settings.kafka, seed, self._lines)
        self._watcher = Watcher(stage.board.port, stage.problem)
        self._from_us = 0

    def run(self, steps: list[Step]) -> str:
        """Run it; gives a summary. What is wrong is with the scene; raises NotInTime."""
        self._begin()
        for number, step in enumerate(steps, 1):
            self._scene.timeline.add(f"{number}/{len(steps)} {step}")
            self._carry_out(step)
        self._scene.timeline.add("all faults are mended")
        self._scene.wait(CALM_SECONDS)
        self._stream.stop()
        end_us = wall_us()
        self._settle()
        expected = count(self._lines, end_us)
        letters = self._judge_alerts(expected, Span(self._from_us, end_us))
        self._judge_numbers(expected)
        self._watcher.stop()
        self._end()
        return self._summary(letters)

    def _begin(self) -> None:
        stage = self._scene
        ensure_topics(stage.settings)
        stage.board.start()
        stage.wait_until(lambda: get(stage.board.port, "/healthz") is not None, "the board answers")
        for worker in stage.workers:
            worker.start()
        stage.notifiers[0].start()
        self._stream.send_history()
        stage.wait_until(stage.is_whole, "every partition has a worker")
        stage.wait_until(self._is_counted, "the history is counted")
        stage.wait_until(lambda: stage.notifiers[0].page().total("salespulse_kafka_up") == 1, "the notifier is ready")
        self._from_us = wall_us()
        self._stream.start()
        self._watcher.start()
        stage.timeline.add(f"live after {self._stream.sent} events of history")
        stage.wait(CALM_SECONDS)

    def _carry_out(self, step: Step) -> None:
        with ExitStack() as stack:
            for harm in step.harms:
                stack.enter_context(harm.fault.apply(self._scene, harm.choice))
            self._scene.wait(step.hold_seconds)
        self._scene.timeline.add("  mended")
        if step.rest_seconds is None:
            self._scene.wait_until(self._scene.is_whole, "every partition has a worker again")
        else:
            self._scene.wait(step.rest_seconds)

    def _settle(self) -> None:
        """Wait until everything that was sent is counted and told."""
        stage = self._scene
        stage.wait_until(stage.is_whole, "every partition has a worker", SETTLE_SECONDS)
        stage.wait_until(self._is_counted, "everything that was sent is on the board", SETTLE_SECONDS)
        stage.wait_until(self._is_told, "the notifier has nothing left to tell", SETTLE_SECONDS)

    def _is_counted(self) -> bool:
        kafka = self._scene.settings.kafka
        with consumer(kafka) as client:
            topic = kafka.events_topics[0]
            ends = client.end_offsets([TopicPartition(topic, number) for number in range(kafka.partitions)])
        try:
            partitions = api(self._scene.board.port, "quality")["partitions"]
        except BoardError:
            return False
        left: int = sum(ends.values()) - sum(each["offset"] for each in partitions)
        return left <= 0

    def _is_told(self) -> bool:
        page = self._scene.notifiers[0].page()
        waiting = page.total("salespulse_notifier_queue") + page.total("salespulse_notifier_lag_records")
        return page.total("salespulse_kafka_up") == 1 and waiting == 0

    def _judge_alerts(self, expected: Expected, span: Span) -> Told:
        """Wait for what should have been told, and hold everything that was told against it."""
        stage = self._scene
        found = partial(told, stage.receiver.letters, expected, span)
        try:
            stage.wait_until(lambda: not found().wrong, "every due alert was told, and no false one stays", 60.0)
        except NotInTime:
            for line in found().wrong[:20]:
                stage.problem(line)
        letters = found()
        allowed = REPEATS_A_KILL * sum(notifier.kills for notifier in stage.notifiers)
        if letters.repeats > allowed:
            stage.problem(f"{letters.repeats} messages were told again; {allowed} at most were under way in kills")
        return letters

    def _judge_numbers(self, expected: Expected) -> None:
        for line in [*wrong_numbers(self._scene.board.port, expected)][:20]:
            self._scene.problem(line)
        environment = {"PATH": "/usr/bin:/bin", **as_environment(self._scene.settings)}
        command = [sys.executable, "-m", "processors.commands.cli", "verify"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=VERIFY_SECONDS, check=False
        )
        (self._directory / "verify.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        if done.returncode:
            self._scene.problem(f"salespulse verify: exit code {done.returncode}, see verify.log")

    def _end(self) -> None:
        """Everything ends in order."""
        stage = self._scene
        for service in (*stage.workers, *stage.notifiers, stage.board):
            stage.stop(service)

    def _summary(self, letters: Told) -> str:
        return (
            f"{self._stream.sent} events, {letters.alerts} alerts, {letters.letters} messages "
            f"({letters.repeats} again, {letters.taken_back} taken back), {self._watcher.looks} looks at the board"
        )
