"""Types of command-line arguments that several commands share. What does not fit fails before any work is done."""

import math
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from msgspec import ValidationError

from config.board_settings import BoardSettings, board_problems
from config.settings import Settings, load_settings
from config.values import ShardOfReps, allowed, from_environment
from processors.core.time.instants import instant_us

PORT = click.IntRange(0, 65535)
FILE = click.Path(path_type=Path, dir_okay=False)
CONFIG = click.option("--config", "config_file", type=FILE, help="settings in TOML; default: config/default.toml's")
TO = click.option("--to", type=click.Choice(["stdout", "kafka"]), default="stdout", show_default=True)


def settings_of(config_file: Path | None) -> Settings:
    """The settings of a command: defaults, then the file, then the environment. Raises ConfigError."""
    return load_settings(config_file, os.environ)


class FiniteNumber(click.FloatRange):
    """A finite number within a range: Python's own `nan` passes any range, and `inf` is no speed or share."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Fails for `nan` and `inf`."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number to work with.", param, ctx)
        return number


SHARE = FiniteNumber(0, 1)
POSITIVE = FiniteNumber(min=0, min_open=True)


class InstantOption(click.ParamType):
    """An RFC 3339 instant with its offset, as microseconds since 1970."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Fails for other texts, and for an instant without its offset."""
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not an RFC 3339 instant such as 2026-05-01T12:00:00Z.", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no offset: append Z or +02:00.", param, ctx)
        return instant_us(moment)


INSTANT = InstantOption()


class ShardOption(click.ParamType):
    """A shard of the reps such as 0/4, with the rules of `board.shard`."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Fails with what is allowed."""
        try:
            from_environment(value, ShardOfReps)
        except ValidationError:
            self.fail(f"{value!r} does not fit; allowed: {allowed(ShardOfReps)}.", param, ctx)
        for _, _, wanted in board_problems(BoardSettings(shard=value)):
            self.fail(f"{value!r} does not fit; allowed: {wanted}.", param, ctx)
        return value


SHARD = ShardOption()
