"""`python -m grafana.build` writes grafana/dashboards/; `--check` fails when a file is not current."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from docs.compact_json import compact
from grafana.boards import customers, funnel, operations, rep, sla, team
from grafana.words import LANGUAGES, Words

FOLDER = Path(__file__).with_name("dashboards")
BOARDS: Mapping[str, Callable[[Words], Dashboard]] = {
    "team": team.build,
    "rep": rep.build,
    "funnel": funnel.build,
    "customers": customers.build,
    "sla": sla.build,
    "operations": operations.build,
}
ANNOTATION = {"titleFormat": "{{alertname}}", "textFormat": "{{team}} {{rep}}", "tagKeys": "severity,level"}
"""How annotations from Prometheus read in Grafana; the SDK has no fields for it."""


def render(board: Dashboard) -> str:
    """The file of a dashboard: sorted JSON, one line per panel, so that it changes only where the dashboard does."""
    content: dict[str, Any] = json.loads(json.dumps(board, cls=JSONEncoder))
    for annotation in content["annotations"]["list"]:
        annotation.update(ANNOTATION)
    ordered: dict[str, Any] = json.loads(json.dumps(content, sort_keys=True))
    return compact(ordered, opened={"panels", "templating"})


def files() -> dict[Path, str]:
    """Every dashboard in every language, by path."""
    return {
        FOLDER / language / f"{name}.json": render(build(Words(language)))
        for language in LANGUAGES
        for name, build in BOARDS.items()
    }


def stale(wanted: Mapping[Path, str]) -> list[Path]:
    """Files that are missing, outdated, or belong to no dashboard."""
    there = set(FOLDER.rglob("*.json"))
    differ = [path for path, text in wanted.items() if path not in there or path.read_text(encoding="utf-8") != text]
    return sorted([*differ, *(there - wanted.keys())])


def main(arguments: Sequence[str]) -> int:
    """Write the dashboards, or check them; returns the exit status."""
    wanted = files()
    late = stale(wanted)
    if list(arguments) == ["--check"]:
        for path in late:
            sys.stderr.write(
                f"{path.relative_to(FOLDER)} is not what grafana/boards makes: run python -m grafana.build\n"
            )
        return 1 if late else 0
    if arguments:
        sys.stderr.write(f"unknown: {' '.join(arguments)}; allowed is --check\n")
        return 2
    for path in late:
        path.unlink(missing_ok=True)
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
