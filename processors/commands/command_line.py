"""The group that all commands belong to: it loads the one that was asked for, and prints every error as one line."""

import errno
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import click
from rich.console import Console

from schemas.errors import SalespulseError, UsageError

INTERRUPTED = 130
"""A shell's exit code for a program that Ctrl-C ended."""

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Listed(NamedTuple):
    """A command that is not loaded yet."""

    module: str
    """The module of this package that defines it, as `command`."""
    summary: str
    """The first line of its help, for the list of commands."""


class _UsageMistake(click.ClickException):
    """A wrong command line, printed in one line like every other error."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Write it to standard error."""
        click.echo(f"salespulse: {self.message}", err=True, file=file)


@contextmanager
def _usage_errors_in_one_line() -> Iterator[None]:
    """Click prints a usage error in four lines; ours is one, and names the command whose --help explains it."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "salespulse"
        raise _UsageMistake(f"{error.format_message().rstrip('.')}; see `{where} --help`") from error


class Output(Console):
    """Standard output for people. A reader that leaves (`| head`) is no failure of ours."""

    def on_broken_pipe(self) -> None:
        """Leave it to `LazyCommands`, where Rich would exit with 1."""
        raise BrokenPipeError


def output() -> Output:
    """Tables fit the terminal; on a pipe they are wide enough for their numbers."""
    return Output() if sys.stdout.isatty() else Output(width=140)


def _mute() -> None:
    """Nothing can be written any more: Python's flush at exit goes nowhere, instead of failing once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class LazyCommands(click.Group):
    """Loads a command's module when it is called: Faust alone takes seconds.

    Errors are one line on standard error: exit 2 for bad usage or input, 1 for a failure, 130 after Ctrl-C.
    """

    def __init__(self, *args: Any, listed: Mapping[str, Listed], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.listed = listed

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """The names of all commands."""
        return sorted(self.listed)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's signature
        """Load a command; None for an unknown name."""
        if cmd_name not in self.listed:
            return None
        command: click.Command = importlib.import_module(f"{__package__}.{self.listed[cmd_name].module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.listed[name].summary) for name in self.list_commands(ctx)])

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the arguments before the command's name."""
        try:
            with _usage_errors_in_one_line():
                return super().make_context(*args, **kwargs)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None
        except BrokenPipeError:  # of --help
            _mute()
            raise SystemExit(0) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        # A library may log the error that it also raises; nobody needs it twice. Services configure their own log.
        logging.getLogger().addHandler(logging.NullHandler())
        try:
            with _usage_errors_in_one_line():
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
            click.echo(f"salespulse: the output cannot be written: {error.strerror}", err=True)
            ctx.exit(1)
