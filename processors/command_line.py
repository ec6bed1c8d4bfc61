"""What all commands share: how arguments are read, and how errors are told. `processors/cli.py` has the commands."""

import errno
import logging
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from schemas.errors import SalespulseError, UsageError

INTERRUPTED = 130
"""What a shell says of a program that Ctrl-C ended."""

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

PORT = click.IntRange(0, 65535)
FILE = click.Path(path_type=Path, dir_okay=False)


class Finite(click.FloatRange):
    """A number within a range. Python's own `nan` passes any range, and `inf` is no speed or share."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; fails for what is none."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number to work with.", param, ctx)
        return number


SHARE = Finite(0, 1)
POSITIVE = Finite(min=0, min_open=True)


class Instant(click.ParamType):
    """An RFC 3339 instant as microseconds since 1970."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The microseconds; fails for what is no instant, and for one without its offset."""
        from processors.core.time.instants import instant_us  # noqa: PLC0415 -- commands load what they need

        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not an RFC 3339 instant such as 2026-05-01T12:00:00Z.", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no offset: append Z or +02:00.", param, ctx)
        return instant_us(moment)


INSTANT = Instant()


class Shard(click.ParamType):
    """A shard of the reps, such as 0/4, as `board.shard` has it."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text; fails with what is allowed."""
        from msgspec import ValidationError  # noqa: PLC0415 -- commands load what they need

        from config.board_settings import BoardSettings, board_problems  # noqa: PLC0415
        from config.values import ShardOfReps, allowed, from_environment  # noqa: PLC0415

        try:
            from_environment(value, ShardOfReps)
        except ValidationError:
            self.fail(f"{value!r} does not fit; allowed is {allowed(ShardOfReps)}.", param, ctx)
        for _, _, wanted in board_problems(BoardSettings(shard=value)):
            self.fail(f"{value!r} does not fit; allowed are {wanted}.", param, ctx)
        return value


SHARD = Shard()


class _Mistake(click.ClickException):
    """A wrong command line, told in one line like every other error."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Write it to standard error."""
        click.echo(f"salespulse: {self.message}", err=True, file=file)


@contextmanager
def _one_line() -> Iterator[None]:
    """Click shows a wrong command line with its usage, in four lines: here it is one, which says where to look."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "salespulse"
        raise _Mistake(f"{error.format_message().rstrip('.')}; see `{where} --help`") from error


class Output(Console):
    """Standard output for people: a reader that leaves is nobody's failure, as for all else that is written."""

    def on_broken_pipe(self) -> None:
        """Leave it to `Commands`."""
        raise BrokenPipeError


def output() -> Output:
    """Tables fit the terminal; on a pipe they are wide enough for their numbers."""
    return Output() if sys.stdout.isatty() else Output(width=140)


def _mute() -> None:
    """The reader of our output has left (`| head`): nothing more to say, and nothing to flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Commands(click.Group):
    """Errors are one line on standard error: exit 2 for bad usage or input, 1 for a failure, 130 after Ctrl-C."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the arguments before the command's name."""
        try:
            with _one_line():
                return super().make_context(*args, **kwargs)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None
        except BrokenPipeError:  # of --help
            _mute()
            raise SystemExit(0) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        # What a library logs beside the error that it raises is no second line of ours; services set up their own log.
        logging.getLogger().addHandler(logging.NullHandler())
        try:
            with _one_line():
                return super().invoke(ctx)
        except SalespulseError as error:
            click.echo(f"salespulse: {error}", err=True)
            ctx.exit(2 if isinstance(error, UsageError) else 1)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            _mute()
            ctx.exit(0)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            _mute()
            click.echo(f"salespulse: what is to be written has no place: {error.strerror}", err=True)
            ctx.exit(1)
