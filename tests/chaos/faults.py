"""The faults: each does harm when its block begins, and mends it when the block ends."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import NamedTuple

from processors.dev.process import LOOPBACK, free_port
from processors.dev.redis_server import EmbeddedRedis
from tests.chaos.proxy import Cut, Proxy
from tests.chaos.receiver import Mood
from tests.chaos.scene import Scene
from tests.chaos.watcher import api

TAKEOVER_SECONDS = 60.0
STALE_SECONDS = 20.0
"""A board calls stale what nobody has published for 15 s."""


class Fault(NamedTuple):
    """A kind of fault. `apply` is given a number from 0 to less than 1, which decides whom it hits."""

    name: str
    group: str
    """What it hits: two faults at the same time are of different groups."""
    hold_seconds: tuple[float, float]
    """How long it lasts: between these."""
    apply: Callable[[Scene, float], AbstractContextManager[None]]


@contextmanager
def worker_killed(scene: Scene, choice: float) -> Iterator[None]:
    """`kill -9`, and a new start."""
    worker = scene.workers[int(choice * len(scene.workers))]
    scene.timeline.add(f"  {worker.name} is killed")
    worker.kill()
    yield
    worker.start()


@contextmanager
def worker_frozen(scene: Scene, choice: float) -> Iterator[None]:
    """SIGSTOP beyond its session, and SIGCONT."""
    worker = scene.workers[int(choice * len(scene.workers))]
    scene.timeline.add(f"  {worker.name} is frozen")
    worker.pause()
    yield
    worker.resume()


@contextmanager
def cut_off(which: Callable[[Scene], Proxy], how: Cut, scene: Scene, choice: float) -> Iterator[None]:
    """The last worker does not reach what is beyond a proxy."""
    which(scene).cut(how)
    yield
    which(scene).heal()


@contextmanager
def broker_down(how: str, scene: Scene, choice: float) -> Iterator[None]:
    """A broker is killed or stopped, and starts again."""
    node = scene.brokers.nodes[int(choice * len(scene.brokers.nodes))]
    scene.timeline.add(f"  {node.name} is {how}")
    if how == "killed":
        node.process.kill()
    else:
        node.stop()
    yield
    node.start()
    scene.wait_until(node.is_ready, f"{node.name} is back")


@contextmanager
def redis_emptied(scene: Scene, choice: float) -> Iterator[None]:
    """FLUSHALL."""
    with scene.redis_client() as client:
        client.flushall()
    yield


@contextmanager
def redis_full(scene: Scene, choice: float) -> Iterator[None]:
    """No room is left, and nothing may be evicted."""
    with scene.redis_client() as client:
        client.config_set("maxmemory", "1mb")
        with _seen_as_stale(scene):
            yield
        client.config_set("maxmemory", "0")


@contextmanager
def redis_readonly(scene: Scene, choice: float) -> Iterator[None]:
    """It became a replica of a server that is not there."""
    with scene.redis_client() as client:
        client.replicaof(LOOPBACK, str(free_port()))
        with _seen_as_stale(scene):
            yield
        client.replicaof("NO", "ONE")


@contextmanager
def _seen_as_stale(scene: Scene) -> Iterator[None]:
    """What lasts is on the board: it does not call old numbers live."""
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    if seconds > STALE_SECONDS and api(scene.board.port, "quality")["stale_since"] is None:
        scene.problem(f"Redis takes nothing for {seconds:.0f} s, and the board calls what it shows live")


@contextmanager
def redis_stopped(scene: Scene, choice: float) -> Iterator[None]:
    """It ends, and comes back with nothing."""
    old = scene.redis
    old.stop()
    yield
    scene.redis = EmbeddedRedis.start(old.process.log_path.parent, old.port)


@contextmanager
def scaled_down(scene: Scene, choice: float) -> Iterator[None]:
    """One worker is left, and then there are three again."""
    left = int(choice * len(scene.workers))
    others = [worker for number, worker in enumerate(scene.workers) if number != left]
    for worker in others:
        scene.stop(worker)
    yield
    for worker in others:
        worker.start()


@contextmanager
def rolling_restart(scene: Scene, choice: float) -> Iterator[None]:
    """Worker by worker ends and starts again, as in an upgrade."""
    for worker in scene.workers:
        scene.stop(worker)
        worker.start()
        scene.wait_until(partial(scene.has_partition, worker), f"{worker.name} has a partition", TAKEOVER_SECONDS)
    yield


@contextmanager
def notifier_killed(scene: Scene, choice: float) -> Iterator[None]:
    """`kill -9`, and a new start."""
    notifier = scene.notifiers[0]
    notifier.kill()
    yield
    notifier.start()


@contextmanager
def notifier_undead(scene: Scene, choice: float) -> Iterator[None]:
    """It freezes, a second one takes over, and it wakes up beside it."""
    first, second = scene.notifiers
    first.pause()
    second.start()
    yield
    first.resume()
    scene.wait(2 + 6 * choice)
    scene.stop(second)


@contextmanager
def receiver_bad(mood: Mood, scene: Scene, choice: float) -> Iterator[None]:
    """The webhook does not take messages as it should."""
    scene.receiver.mood = mood
    yield
    scene.receiver.mood = "takes"


def _kafka(scene: Scene) -> Proxy:
    return scene.kafka_proxy


def _redis(scene: Scene) -> Proxy:
    return scene.redis_proxy


FAULTS = (
    Fault("kill -9 of a worker", "worker", (0.5, 12.0), worker_killed),
    Fault("SIGSTOP of a worker", "worker", (8.0, 18.0), worker_frozen),
    Fault("3 workers, 1, and 3 again", "worker", (3.0, 10.0), scaled_down),
    Fault("rolling restart", "worker", (0.0, 2.0), rolling_restart),
    Fault("Kafka silent for worker 3", "network", (5.0, 18.0), partial(cut_off, _kafka, "silent")),
    Fault("Kafka refused to worker 3", "network", (5.0, 18.0), partial(cut_off, _kafka, "refused")),
    Fault("Redis silent for worker 3", "network", (4.0, 12.0), partial(cut_off, _redis, "silent")),
    Fault("Redis refused to worker 3", "network", (4.0, 12.0), partial(cut_off, _redis, "refused")),
    Fault("kill -9 of a broker", "broker", (3.0, 12.0), partial(broker_down, "killed")),
    Fault("stop of a broker", "broker", (3.0, 12.0), partial(broker_down, "stopped")),
    Fault("Redis emptied", "redis", (1.0, 5.0), redis_emptied),
    Fault("Redis full", "redis", (4.0, 26.0), redis_full),
    Fault("Redis read only", "redis", (4.0, 26.0), redis_readonly),
    Fault("Redis stopped", "redis", (2.0, 8.0), redis_stopped),
    Fault("kill -9 of the notifier", "notifier", (0.2, 8.0), notifier_killed),
    Fault("a notifier that wakes up beside another", "notifier", (8.0, 14.0), notifier_undead),
    Fault("receiver answers 503", "receiver", (3.0, 10.0), partial(receiver_bad, "fails")),
    Fault("receiver is slow", "receiver", (3.0, 10.0), partial(receiver_bad, "slow")),
    Fault("receiver does not answer", "receiver", (4.0, 10.0), partial(receiver_bad, "hangs")),
    Fault("receiver hangs up", "receiver", (3.0, 10.0), partial(receiver_bad, "hangs up")),
)
BY_GROUP: Mapping[str, list[Fault]] = {
    group: [fault for fault in FAULTS if fault.group == group] for group in dict.fromkeys(f.group for f in FAULTS)
}
