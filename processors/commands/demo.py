"""`salespulse demo`."""

from pathlib import Path
from typing import Any

import click

from processors.commands.command_line import output
from processors.commands.options import CONFIG, PORT, FiniteNumber, settings_of
from processors.dev.demo_settings import DemoOptions
from processors.dev.local_stack import run_demo


@click.command("demo")
@click.option("--seconds", type=FiniteNumber(min=1), help="end after this much live time, with a summary")
@click.option("--speed", type=FiniteNumber(min=1), default=60.0, show_default=True, help="times real time")
@click.option("--days", type=click.IntRange(1, 365), default=30, show_default=True, help="of history")
@click.option("--reps", type=click.IntRange(1, 1000), default=24, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--port", type=PORT, default=8080, show_default=True, help="of the board; 0: any free one")
@click.option("--worker-port", type=PORT, default=0, show_default=True, help="of the worker's metrics; 0: any free one")
@click.option("--broker-port", type=PORT, default=0, show_default=True, help="of the broker; 0: any free one")
@click.option("--redis-port", type=PORT, default=0, show_default=True, help="of Redis")
@click.option("--prometheus-port", type=PORT, default=0, show_default=True, help="of Prometheus")
@click.option("--alertmanager-port", type=PORT, default=0, show_default=True, help="of Alertmanager")
@CONFIG
def command(config_file: Path | None, **options: Any) -> None:
    """Everything on this machine, with a simulated team.

    An embedded broker and Redis, worker and board; Prometheus and Alertmanager too, if they are on PATH.
    """
    raise SystemExit(run_demo(settings_of(config_file), DemoOptions(**options), output()))
