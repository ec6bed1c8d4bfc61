"""What the demo is asked for, and the settings that follow from it."""

from pathlib import Path

import msgspec

from config.clock import wall_us
from config.settings import ClockSettings, Settings
from processors.core.time.instants import DAY_US, HOUR_US, moment
from processors.dev.process import LOOPBACK, free_port, port_is_free
from schemas.errors import Unavailable, UsageError

LIVE_HOUR = 14
LIVE_WEEKDAYS = (1, 2, 3)
"""Live time begins at 14:00 UTC of a Tuesday, Wednesday or Thursday: Berlin, London and New York are at work."""


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller may choose. A port 0 is any free one; `seconds` of live time, None: until it is interrupted."""

    port: int = 8080
    worker_port: int = 0
    broker_port: int = 0
    redis_port: int = 0
    prometheus_port: int = 0
    alertmanager_port: int = 0
    speed: float = 60.0
    seconds: float | None = None
    reps: int = 24
    days: int = 30
    seed: int = 1


def check_options(options: DemoOptions) -> None:
    """Raises UsageError for options that make no sense, Unavailable for a taken port."""
    for name in ("speed", "seconds", "days"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise UsageError(f"--{name} {value:g}: more than 0 is allowed")
    chosen: dict[int, str] = {}
    for name in ("port", "worker_port", "broker_port", "redis_port", "prometheus_port", "alertmanager_port"):
        port = getattr(options, name)
        option = f"--{name.replace('_', '-')} {port}"
        if port in chosen:
            raise UsageError(f"{chosen[port]} and {option}: each part needs its own, or 0 for any that is free")
        if port:
            chosen[port] = option
    for port, option in chosen.items():
        if not port_is_free(LOOPBACK, port):
            raise Unavailable(f"{option}: the port is taken; choose another one, or 0 for any that is free")


def live_origin_us(now_us: int) -> int:
    """The last instant, microseconds since 1970, at which live time may begin."""
    day = (now_us - LIVE_HOUR * HOUR_US) // DAY_US
    while moment(day * DAY_US).weekday() not in LIVE_WEEKDAYS:
        day -= 1
    return day * DAY_US + LIVE_HOUR * HOUR_US


def demo_settings(given: Settings, options: DemoOptions, directory: Path, addresses: tuple[str, str]) -> Settings:
    """Broker and Redis at these addresses, and free ports where none were asked for; the clock is still the wall's."""
    replace = msgspec.structs.replace
    bootstrap, redis_url = addresses
    worker = replace(
        given.worker,
        metrics_host=LOOPBACK,
        metrics_port=options.worker_port or free_port(),
        data_dir=directory / "worker",
    )
    board = replace(given.board, host=LOOPBACK, port=options.port or free_port(), anonymous="write")
    address = f"http://{LOOPBACK}:{board.port}"
    return Settings(
        kafka=replace(Settings().kafka, bootstrap=bootstrap),
        redis=replace(Settings().redis, url=redis_url),
        worker=worker,
        board=board,
        notifier=replace(Settings().notifier, metrics_port=free_port(), board_url=address),
        policy=given.policy,
        retention=given.retention,
        alerts=given.alerts,
    )


def with_clock(settings: Settings, origin_us: int, speed: float) -> Settings:
    """The same with a clock that shows this instant now."""
    clock = ClockSettings(mode="scaled", at=moment(origin_us), wall_origin=moment(wall_us()), speed=speed)
    return msgspec.structs.replace(settings, clock=clock)
