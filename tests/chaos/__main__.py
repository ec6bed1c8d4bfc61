"""Campaigns of faults against everything at once: `python -m tests.chaos --campaigns 20 --seed 1`."""

import argparse
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from schemas.errors import Unavailable
from tests.chaos.brokers import running_brokers
from tests.chaos.campaign import Outcome, run_campaign

DEFAULT_CAMPAIGNS = 20


def main() -> int:
    """Run the campaigns; 0 when all were green, 1 when one was not, 2 when nothing could run."""
    asked, console = _arguments(), Console(highlight=False)
    base = Path(asked.directory) if asked.directory else Path(tempfile.mkdtemp(prefix="salespulse-chaos-"))
    base.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=base / "harness.log", format="%(asctime)s %(name)s %(message)s")
    console.print(f"logs: {base}", soft_wrap=True)
    try:
        failed = _run(asked, base, console)
    except Unavailable as error:
        console.print(str(error), style="red", soft_wrap=True)
        return 2
    if failed:
        console.print(f"failed: seeds {', '.join(map(str, failed))}", style="red")
        return 1
    console.print(f"{asked.campaigns} campaigns green in a row", style="green")
    shutil.rmtree(base)
    return 0


def _run(asked: argparse.Namespace, base: Path, console: Console) -> list[int]:
    """Run them; gives the seeds of those that failed. Raises Unavailable."""
    failed = []
    with running_brokers(base / "kafka", secure=asked.secure) as brokers:
        for seed in range(asked.seed, asked.seed + asked.campaigns):
            console.print(f"campaign with seed {seed}", style="bold")
            directory = base / f"campaign-{seed}"
            outcome = run_campaign(brokers, seed, directory, _printer(console), short=asked.short)
            _conclude(console, outcome, directory)
            failed += [seed] if outcome.problems else []
            if outcome.problems and asked.stop:
                break
    return failed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--campaigns", type=int, default=DEFAULT_CAMPAIGNS, help="how many, with seeds one after the other"
    )
    parser.add_argument("--seed", type=int, default=1, help="the seed of the first campaign")
    parser.add_argument("--short", action="store_true", help="five faults one by one, for CI")
    parser.add_argument("--secure", action="store_true", help="Kafka with TLS and SASL")
    parser.add_argument("--stop", action="store_true", help="end after the first campaign that fails")
    parser.add_argument("--directory", help="where logs go (a new one below the temporary directory)")
    return parser.parse_args()


def _printer(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(line, soft_wrap=True, markup=False)


def _conclude(console: Console, outcome: Outcome, directory: Path) -> None:
    style = "red" if outcome.problems else "green"
    verdict = f"{len(outcome.problems)} problems" if outcome.problems else "green"
    line = f"seed {outcome.seed}: {verdict} in {outcome.seconds:.0f} s: {outcome.summary}"
    console.print(line, style=style, soft_wrap=True, markup=False)
    for problem in outcome.problems:
        console.print(f"  {problem}", style="red", soft_wrap=True, markup=False)
    if not outcome.problems:
        shutil.rmtree(directory)
        return
    (directory / "timeline.log").write_text("\n".join(outcome.timeline), encoding="utf-8")
    console.print(f"  logs: {directory}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
