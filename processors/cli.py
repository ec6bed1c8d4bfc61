"""`salespulse`: every command, its options and its errors. The work is done by what each command imports."""

import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from config.load_policy import load_policy
from rich.console import Console

from config.settings import Settings, load_settings
from schemas.errors import SalespulseError, UsageError

CONFIG = click.option(
    "--config", "config_file", type=click.Path(path_type=Path, dir_okay=False), help="settings in TOML"
)


def settings_of(config_file: Path | None) -> Settings:
    """The settings of a command: defaults, then the file, then the environment."""
    return load_settings(config_file, os.environ)


class Commands(click.Group):
    """Errors are one line on stderr: exit 2 for bad usage or input, 1 for a failure."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except SalespulseError as error:
            click.echo(f"salespulse: {error}", err=True)
            ctx.exit(2 if isinstance(error, UsageError) else 1)
        except BrokenPipeError:
            # The reader of our output has left (`| head`): nothing more to say, and nothing to flush at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="salespulse")
def main() -> None:
    """Live, customer-centred numbers for sales teams."""


def _instant(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    from processors.core.instants import instant_us  # noqa: PLC0415 -- commands load what they need

    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not an RFC 3339 instant such as 2026-05-01T12:00:00Z") from error
    if moment.tzinfo is None:
        raise click.BadParameter(f"{value!r} has no offset: append Z or +02:00")
    return instant_us(moment)


@main.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--as-of", callback=_instant, help="the instant to report at; default: the newest event")
@click.option("--format", "form", type=click.Choice(["json", "table"]), default="json", show_default=True)
@click.option("--window", type=click.Choice(["today", "7d", "30d", "90d", "365d", "all"]), default="all")
@CONFIG
def replay(files: tuple[str, ...], as_of: int | None, form: str, window: str, config_file: Path | None) -> None:
    """The report over JSONL events (FILES, or - for standard input), without Kafka."""
    from processors.tools.replay import as_json, print_tables, replay_files  # noqa: PLC0415

    report = replay_files(files, load_policy(settings_of(config_file).policy.path), as_of)
    if form == "json":
        click.echo(as_json(report))
    else:
        print_tables(report, window, Console())


@main.command()
@click.option("--check", is_flag=True, help="only say whether the files are current; exit 1 if not")
@click.option("--directory", type=click.Path(path_type=Path, file_okay=False), default=Path("schemas/json"))
def schemas(check: bool, directory: Path) -> None:
    """Generate the contract's JSON Schemas."""
    from processors.tools import json_schemas  # noqa: PLC0415

    changed = json_schemas.stale(directory) if check else json_schemas.write(directory)
    for name in changed:
        click.echo(f"{name} {'is not current: run `salespulse schemas`' if check else 'written'}")
    if check and changed:
        raise SystemExit(1)


def _runner(name: str, summary: str, load: Callable[[], Callable[[Settings], int | None]]) -> None:
    """A command that runs until it is stopped."""

    @main.command(name, help=summary)
    @CONFIG
    def command(config_file: Path | None) -> None:
        raise SystemExit(load()(settings_of(config_file)) or 0)


def _worker() -> Callable[[Settings], int | None]:
    from processors.worker import run_worker  # noqa: PLC0415

    return run_worker


def _board() -> Callable[[Settings], int | None]:
    from processors.board.main import run_board  # noqa: PLC0415

    return run_board


_runner("worker", "One Faust worker against the configured Kafka and Redis.", _worker)
_runner("board", "The board: metrics, API and live page.", _board)


if __name__ == "__main__":
    main()
