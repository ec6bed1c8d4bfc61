"""`salespulse board`."""

import os
from pathlib import Path

import click

from config.environment import variable
from config.settings import load_settings
from processors.board.main import run_board
from processors.commands.options import CONFIG, SHARD


@click.command("board")
@click.option(
    "--shard", type=SHARD, metavar="I/N", help="only the reps of shard I of N, from 0/N on; default: board.shard"
)
@CONFIG
def command(shard: str | None, config_file: Path | None) -> None:
    """Serve the board: metrics, API and live page."""
    overridden = {} if shard is None else {variable("board", "shard"): shard}
    raise SystemExit(run_board(load_settings(config_file, os.environ | overridden)))
