"""`salespulse worker`."""

from pathlib import Path

import click

from processors.commands.options import CONFIG, settings_of
from processors.worker import run_worker


@click.command("worker")
@CONFIG
def command(config_file: Path | None) -> None:
    """Run one Faust worker with the configured Kafka and Redis."""
    raise SystemExit(run_worker(settings_of(config_file)))
