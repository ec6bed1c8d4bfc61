"""Everything that a campaign runs: brokers, Redis, three workers, a board, a notifier and its receiver."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import redis
from msgspec.structs import replace

from config.settings import AlertsSettings, PolicySettings, RedisSettings, Settings
from processors.dev.process import LOOPBACK, free_port
from processors.dev.redis_server import EmbeddedRedis
from tests.chaos.brokers import Brokers
from tests.chaos.proxy import Proxy
from tests.chaos.receiver import Receiver, running_receiver
from tests.chaos.services import Command, Service
from tests.topics import kafka_under, notifier_under

LEVELS: Mapping[str, int] = {"6s": 6, "30s": 30}
"""Level to seconds: requests fall due all the time."""
WORKERS = 3
MAX_ALERT_AGE_SECONDS = 1800
"""No outage of a campaign makes an alert history."""
RECEIVER_TIMEOUT_SECONDS = 3.0
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 180.0

POLICY = """
currency = "USD"
{levels}
[pipelines]
default = ["prospecting", "qualified", "demo", "trial", "proposal", "negotiation"]
"""
LEVEL = """
[[levels]]
name = "{name}"
seconds = {seconds}
"""


class NotInTime(Exception):
    """What was waited for did not happen."""


class Timeline:
    """What happened when, on the terminal and for the report."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._began = time.time()
        self._show = show
        self.lines: list[str] = []

    def add(self, text: str) -> None:
        """Note something that happens now."""
        line = f"{time.time() - self._began:7.1f} s  {text}"
        self.lines.append(line)
        self._show(line)


class Around(NamedTuple):
    """What our processes talk to, and what can be cut."""

    redis: EmbeddedRedis
    receiver: Receiver
    kafka_proxy: Proxy
    redis_proxy: Proxy


class Services(NamedTuple):
    """Our processes. The last worker reaches Kafka and Redis through proxies; the second notifier is a spare one."""

    workers: list[Service]
    board: Service
    notifiers: list[Service]


class Scene:
    """What faults act upon. Only the main thread touches its processes: the kernel ties them to it."""

    def __init__(
        self, brokers: Brokers, settings: Settings, around: Around, services: Services, timeline: Timeline
    ) -> None:
        """`settings` are those of direct clients: none of the proxies' cuts concerns them."""
        self.brokers = brokers
        self.settings = settings
        self.redis, self.receiver, self.kafka_proxy, self.redis_proxy = around
        self.workers, self.board, self.notifiers = services
        self.timeline = timeline
        self.problems: list[str] = []

    def problem(self, text: str) -> None:
        """Something that must not happen has happened."""
        self.problems.append(text)
        self.timeline.add(f"PROBLEM: {text}")

    def stop(self, service: Service) -> None:
        """End a service in order; a bad end is a problem."""
        bad = service.stop()
        if bad is not None:
            self.problem(bad)

    def wait(self, seconds: float) -> None:
        """Let time pass, and supervise meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._supervise()
            time.sleep(POLL_SECONDS)

    def wait_until(self, done: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Supervise until something is so; raises NotInTime."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise NotInTime(f"not within {seconds:.0f} s: {what}")
            self._supervise()
            time.sleep(POLL_SECONDS)

    def redis_client(self) -> redis.Redis:
        """A direct client of Redis; the caller closes it."""
        return redis.Redis.from_url(self.redis.url, socket_timeout=5.0)

    def _supervise(self) -> None:
        for service in (*self.workers, self.board, *self.notifiers):
            noted = service.supervise()
            if noted is not None:
                self.problem(noted)

    def end(self) -> None:
        """End everything at once: what it holds is thrown away."""
        for service in (*self.workers, self.board, *self.notifiers):
            service.kill()
        self.redis.process.kill()

    def has_partition(self, worker: Service) -> bool:
        """Whether a worker owns a partition whose state is complete."""
        return worker.page().total("salespulse_partitions_owned") > 0

    def owned(self) -> float:
        """How many partitions have a worker with complete state."""
        return sum(worker.page().total("salespulse_partitions_owned") for worker in self.workers if worker.runs)

    def is_whole(self) -> bool:
        """Whether all brokers and workers are there, and each partition is owned once."""
        nodes = all(node.runs for node in self.brokers.nodes)
        return nodes and self.owned() == self.settings.kafka.partitions


@contextmanager
def scene(brokers: Brokers, prefix: str, directory: Path, timeline: Timeline) -> Iterator[Scene]:
    """Everything for the length of a block; workers, board and notifiers are not started yet."""
    with ExitStack() as stack:
        redis_server = EmbeddedRedis.start(directory / "redis")
        stack.callback(redis_server.process.kill)
        redis_port = free_port()
        around = Around(
            redis_server,
            stack.enter_context(running_receiver()),
            stack.enter_context(Proxy(brokers.routes)),
            stack.enter_context(Proxy({redis_port: redis_server.port})),
        )
        settings = _settings(brokers, prefix, around, directory)
        services = _services(settings, beyond_proxies(settings, brokers, redis_port), directory)
        stage = Scene(brokers, settings, around, services, timeline)
        stack.callback(stage.end)
        yield stage


def beyond_proxies(settings: Settings, brokers: Brokers, redis_port: int) -> Settings:
    """The same for a worker whose connections can be cut."""
    kafka = replace(settings.kafka, bootstrap=brokers.proxied)
    return replace(settings, kafka=kafka, redis=replace(settings.redis, url=f"redis://{LOOPBACK}:{redis_port}/0"))


def _services(settings: Settings, beyond: Settings, directory: Path) -> Services:
    direct = [_service(f"worker {number}", "worker", settings, directory) for number in range(1, WORKERS)]
    return Services(
        workers=[*direct, _service(f"worker {WORKERS}", "worker", beyond, directory)],
        board=_service("board", "board", settings, directory),
        notifiers=[_service(f"notifier {number}", "notifier", settings, directory) for number in (1, 2)],
    )


def _service(name: str, command: Command, settings: Settings, directory: Path) -> Service:
    port, log_path = free_port(), directory / f"{name.replace(' ', '-')}.log"
    worker = replace(settings.worker, metrics_port=port, data_dir=directory / name.replace(" ", "-"))
    own = replace(
        settings,
        worker=worker,
        board=replace(settings.board, port=port if command == "board" else settings.board.port),
        notifier=replace(settings.notifier, metrics_port=port),
    )
    return Service(name, command, own, port, log_path)


def _settings(brokers: Brokers, prefix: str, around: Around, directory: Path) -> Settings:
    policy = directory / "policy.toml"
    policy.write_text(policy_text(), encoding="utf-8")
    named = kafka_under(prefix, brokers.direct)
    secured = {name: getattr(brokers.client, name) for name in SECURITY}
    return Settings(
        kafka=replace(named, replication_factor=len(brokers.nodes), **secured),
        redis=RedisSettings(url=around.redis.url, prefix=prefix),
        notifier=replace(
            notifier_under(prefix),
            webhook_url=around.receiver.url,
            timeout_seconds=RECEIVER_TIMEOUT_SECONDS,
            longest_pause_seconds=3.0,
        ),
        policy=PolicySettings(path=policy),
        alerts=AlertsSettings(max_age_seconds=MAX_ALERT_AGE_SECONDS),
    )


SECURITY: Sequence[str] = ("security_protocol", "sasl_mechanism", "sasl_username", "sasl_password", "ssl_cafile")


def policy_text() -> str:
    """The shipped policy's stages with short levels."""
    levels = "".join(LEVEL.format(name=name, seconds=seconds) for name, seconds in LEVELS.items())
    return POLICY.format(levels=levels)
