"""`salespulse topics`: create and check the topics; go on after one was made anew; move to more partitions."""

from pathlib import Path

import click

from processors.commands.command_line import output
from processors.commands.growth import grow as grow_topics
from processors.commands.new_log import accept_new_log as accept_logs
from processors.commands.options import CONFIG, settings_of
from processors.kafka.topics import run_topics


@click.command("topics")
@click.option("--check", "only_check", is_flag=True, help="create nothing; exit 1 if a topic is missing or wrong")
@click.option("--accept-new-log", is_flag=True, help="workers stopped: go on with a topic made anew or truncated")
@click.option("--grow", type=click.IntRange(1), metavar="N", help="all stopped: copy events to topics of N partitions")
@CONFIG
def command(only_check: bool, accept_new_log: bool, grow: int | None, config_file: Path | None) -> None:
    """Create missing topics, and check all of them.

    Existing topics stay as they are: for wrong partitions or a wrong cleanup policy, the fix is printed.
    """
    if only_check + accept_new_log + (grow is not None) > 1:
        raise click.UsageError("--check, --accept-new-log and --grow exclude one another")
    settings = settings_of(config_file)
    if accept_new_log:
        raise SystemExit(accept_logs(settings, output()))
    if grow is not None:
        raise SystemExit(grow_topics(settings, grow, output()))
    raise SystemExit(run_topics(settings, output(), create=not only_check))
