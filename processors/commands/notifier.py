"""`salespulse notifier`."""

from pathlib import Path

import click

from processors.commands.options import CONFIG, settings_of
from processors.notifier.main import run_notifier


@click.command("notifier")
@CONFIG
def command(config_file: Path | None) -> None:
    """Send alerts to Alertmanager, webhooks, Slack and e-mail."""
    raise SystemExit(run_notifier(settings_of(config_file)))
