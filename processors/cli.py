"""`salespulse`: every command, its options and its errors. The work is done by what each command imports."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from config.load_policy import load_policy
from config.reading import variable
from config.settings import Settings, load_settings
from processors.command_line import FILE, INSTANT, PORT, POSITIVE, SHARD, SHARE, Commands, Finite, output
from schemas.errors import Reason

CONFIG = click.option("--config", "config_file", type=FILE, help="settings in TOML; default: config/default.toml's")

WINDOWS = ("today", "7d", "30d", "90d", "365d", "all")


def settings_of(config_file: Path | None) -> Settings:
    """The settings of a command: defaults, then the file, then the environment."""
    return load_settings(config_file, os.environ)


@click.group(
    "salespulse", cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(package_name="salespulse")
def main() -> None:
    """Live, customer-centred numbers for sales teams."""


@main.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--as-of", type=INSTANT, help="the instant to report at; default: the newest event")
@click.option("--format", "form", type=click.Choice(["json", "table"]), default="json", show_default=True)
@click.option("--window", type=click.Choice(WINDOWS), default="all", show_default=True, help="of the tables")
@CONFIG
def replay(files: tuple[str, ...], as_of: int | None, form: str, window: str, config_file: Path | None) -> None:
    """The report over JSONL events, without Kafka.

    FILES are read in turn; - is standard input.
    """
    from processors.tools.replay import as_json, print_tables, replay_files  # noqa: PLC0415

    report = replay_files(files, load_policy(settings_of(config_file).policy.path), as_of)
    if form == "json":
        click.echo(as_json(report))
    else:
        print_tables(report, window, output())


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


def _notifier() -> Callable[[Settings], int | None]:
    from processors.notifier.main import run_notifier  # noqa: PLC0415

    return run_notifier


_runner("worker", "One Faust worker against the configured Kafka and Redis.", _worker)
_runner("notifier", "Alerts to Alertmanager, webhooks, Slack and e-mail.", _notifier)


@main.command()
@click.option(
    "--shard", type=SHARD, metavar="I/N", help="only the reps of shard I of N, from 0/N on; default: board.shard"
)
@CONFIG
def board(shard: str | None, config_file: Path | None) -> None:
    """The board: metrics, API and live page."""
    from processors.board.main import run_board  # noqa: PLC0415

    told = {} if shard is None else {variable("board", "shard"): shard}
    raise SystemExit(run_board(load_settings(config_file, {**os.environ, **told})))


@main.command()
@click.argument("wanted", metavar="ID")
@click.option("--opportunity", is_flag=True, help="ID is an opportunity's; default: a request's")
@click.option("--from", "files", multiple=True, help="JSONL file (- for standard input); default: the live topics")
@click.option("--format", "form", type=click.Choice(["json", "text"]), default="text", show_default=True)
@CONFIG
def explain(wanted: str, opportunity: bool, files: tuple[str, ...], form: str, config_file: Path | None) -> None:
    """Every event, interval and rule behind one wait or sale."""
    from processors.tools import explain as tool  # noqa: PLC0415
    from processors.tools.lines import read_messages  # noqa: PLC0415

    settings = settings_of(config_file)
    if files:
        policy = load_policy(settings.policy.path)
        explanation = tool.explain(read_messages(files), policy, wanted, opportunity=opportunity)
    else:
        explanation = tool.explain_live(settings, wanted, opportunity=opportunity)
    if form == "json":
        click.echo(tool.as_json(explanation))
    else:
        tool.print_explanation(explanation, output())


@main.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--policy", required=True, type=FILE, help="the policy to try")
@click.option("--against", type=FILE, help="the policy to compare it with")
@click.option("--as-of", type=INSTANT, help="the instant to look at; default: the newest event")
@click.option("--format", "form", type=click.Choice(["table", "json", "html"]), default="table", show_default=True)
def backtest(files: tuple[str, ...], policy: Path, against: Path | None, as_of: int | None, form: str) -> None:
    """Which alerts history would have had under a policy.

    FILES are JSONL events; - is standard input. With --against, two policies side by side.
    """
    from processors.tools import backtest as tool  # noqa: PLC0415

    report = tool.backtest_files(files, policy, against, as_of)
    if form == "table":
        tool.print_backtest(report, output())
    else:
        click.echo(tool.as_json(report) if form == "json" else tool.as_html(report))


@main.command()
@CONFIG
def verify(config_file: Path | None) -> None:
    """Fold the topics again and compare the live numbers.

    Exit 1 if they differ, or if a customer's events are in several partitions.
    """
    from processors.tools import verify as tool  # noqa: PLC0415

    result = tool.verify(settings_of(config_file))
    tool.print_verification(result, output())
    raise SystemExit(0 if result.is_right else 1)


@main.command("dead-letters")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="the newest so many")
@click.option(
    "--reason", type=click.Choice([why.value for why in Reason]), metavar="REASON", help="only of this reason"
)
@click.option("--replay", "mended", metavar="FILE", help="put mended records (JSONL, - for standard input) back")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "values"]),
    default="table",
    show_default=True,
    help="values: what was sent, one a line, to be mended and put back",
)
@CONFIG
def dead_letters(limit: int, reason: str | None, mended: str | None, form: str, config_file: Path | None) -> None:
    """What could not count and why; puts mended ones back."""
    from processors.tools import dead_letters as tool  # noqa: PLC0415

    settings = settings_of(config_file)
    if mended is not None:
        click.echo(f"{tool.replay_mended(settings, mended)} mended records sent back")
        return
    letters, counts = tool.latest(settings, limit, reason)
    if form == "table":
        tool.print_dead_letters(letters, counts, output())
    else:
        click.echo(tool.as_json(letters) if form == "json" else tool.values(letters), nl=False)


@main.command()
@click.option("--check", "only_check", is_flag=True, help="create nothing; exit 1 if a topic is missing or wrong")
@click.option("--accept-new-log", is_flag=True, help="workers stopped: go on with a topic made anew or truncated")
@click.option("--grow", type=click.IntRange(1), metavar="N", help="all stopped: copy events to topics of N partitions")
@CONFIG
def topics(only_check: bool, accept_new_log: bool, grow: int | None, config_file: Path | None) -> None:
    """Create what topics are missing, and check them all.

    What exists stays as it is: a topic with wrong partitions or cleanup policy is told with its mend.
    """
    if only_check + accept_new_log + (grow is not None) > 1:
        raise click.UsageError("--check, --accept-new-log and --grow exclude one another")
    settings = settings_of(config_file)
    if accept_new_log:
        from processors.tools import new_log  # noqa: PLC0415

        raise SystemExit(new_log.accept_new_log(settings, output()))
    if grow is not None:
        from processors.tools import growth  # noqa: PLC0415

        raise SystemExit(growth.grow(settings, grow, output()))
    from processors.kafka.topics import run_topics  # noqa: PLC0415

    raise SystemExit(run_topics(settings, output(), create=not only_check))


@main.command()
@CONFIG
def check(config_file: Path | None) -> None:
    """What is wrong here, if anything, and how to mend it.

    Exit 2 if a setting is wrong, 1 if only Kafka, a topic or Redis is.
    """
    from processors.ingest.check import all_checks, run_checks  # noqa: PLC0415

    raise SystemExit(run_checks(all_checks(settings_of(config_file)), output()))


@main.group("import")
def import_() -> None:
    """Bring history in."""


TO = click.option("--to", type=click.Choice(["stdout", "kafka"]), default="stdout", show_default=True)


@import_.command("csv")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--mapping", required=True, type=FILE, help="mapping in TOML")
@click.option("--strict", is_flag=True, help="stop at the first row that does not fit")
@click.option("--allow-skipped", is_flag=True, help="send the others even if most rows do not fit")
@TO
@CONFIG
def import_csv(
    files: tuple[Path, ...], mapping: Path, strict: bool, allow_skipped: bool, to: str, config_file: Path | None
) -> None:
    """CSV files plus a mapping file to events, as JSONL or straight into Kafka.

    Exit 1, with nothing sent, if more rows were skipped than gave events.
    """
    from processors.ingest.commands import Target, run_import_csv  # noqa: PLC0415
    from processors.ingest.csv_import import report_lines  # noqa: PLC0415

    target = Target(settings_of(config_file), sys.stdout.buffer if to == "stdout" else None)
    report = run_import_csv(files, mapping, target, strict=strict, allow_skipped=allow_skipped)
    for line in [*report_lines(report), *target.warnings, *target.quality]:
        click.echo(line, err=True)
    if report.is_mostly_skipped and not allow_skipped:
        click.echo(
            "nothing was sent, as most rows were skipped: mend the mapping or the file, or say --allow-skipped",
            err=True,
        )
        raise SystemExit(1)


@main.command()
@click.option("--seed", type=int, default=1, show_default=True, help="the same one: the same bytes")
@click.option("--reps", type=click.IntRange(min=1), default=24, show_default=True)
@click.option("--customers", type=click.IntRange(min=1), help="default: 40 for each rep")
@click.option("--intensity", type=POSITIVE, default=1.0, show_default=True, help="how much a day brings")
@click.option("--start", type=INSTANT, help="the first instant; default: 30 days before now")
@click.option(
    "--until", type=INSTANT, help="the last instant; default: now, but none with --count onto stdout or --live"
)
@click.option("--count", type=click.IntRange(min=1), help="events at most")
@click.option("--rate", type=POSITIVE, help="events a second, evenly; default: as fast as possible")
@click.option("--live", is_flag=True, help="each event when the clock shows its instant")
@click.option("--disorder", type=SHARE, default=0.0, help="share that comes late")
@click.option("--duplicates", type=SHARE, default=0.0, help="share that comes twice")
@click.option("--malformed", type=SHARE, default=0.0, help="share followed by a damaged copy")
@TO
@CONFIG
def simulate(to: str, config_file: Path | None, **options: Any) -> None:
    """A seeded, believable team of reps and customers as events."""
    from processors.ingest.commands import Target, run_simulate, simulation  # noqa: PLC0415

    target = Target(settings_of(config_file), sys.stdout.buffer if to == "stdout" else None)
    delivery = run_simulate(simulation(target, options), target)
    for line in [f"{delivery.acknowledged:,} events", *target.warnings]:
        click.echo(line, err=True)


@main.command()
@click.option("--seconds", type=Finite(min=1), help="end after this much live time, with a summary")
@click.option("--speed", type=Finite(min=1), default=60.0, show_default=True, help="times real time")
@click.option("--days", type=click.IntRange(1, 365), default=30, show_default=True, help="of history")
@click.option("--reps", type=click.IntRange(1, 1000), default=24, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--port", type=PORT, default=8080, show_default=True, help="of the board; 0: any free one")
@click.option("--worker-port", type=PORT, default=0, show_default=True, help="of the worker's metrics; 0: any free one")
@click.option("--broker-port", type=PORT, default=0, show_default=True, help="the same of the broker")
@click.option("--redis-port", type=PORT, default=0, show_default=True, help="of Redis")
@click.option("--prometheus-port", type=PORT, default=0, show_default=True, help="of Prometheus")
@click.option("--alertmanager-port", type=PORT, default=0, show_default=True, help="of Alertmanager")
@CONFIG
def demo(config_file: Path | None, **options: Any) -> None:
    """Everything on this machine, with a simulated team.

    An embedded broker and Redis, worker and board; Prometheus and Alertmanager too, if they are on PATH.
    """
    from processors.dev.demo import run_demo  # noqa: PLC0415
    from processors.dev.demo_settings import DemoOptions  # noqa: PLC0415

    raise SystemExit(run_demo(settings_of(config_file), DemoOptions(**options), output()))


if __name__ == "__main__":
    main()
