"""The queries that docs/boards.md shows, and the answers that it shows to them."""

import re
from pathlib import Path

from tests.grafana.queries import Json

PAGE = Path(__file__).resolve().parents[2] / "docs" / "boards.md"
_BLOCK = re.compile(r"```promql\n(?P<query>.*?)```\n(?:\n```text\n(?P<answer>.*?)```\n)?", re.DOTALL)


def documented() -> list[tuple[str, str]]:
    """Queries with their answers, as the page has them; an answer that is missing is empty."""
    found = _BLOCK.finditer(PAGE.read_text(encoding="utf-8"))
    return [(match["query"].strip(), match["answer"] or "") for match in found]


def shown(answer: list[Json]) -> str:
    """An answer as the page shows it: a line for each series, the highest first, values to four digits."""
    rows = [(float(one["value"][1]), _labels(one["metric"])) for one in answer]
    return "".join(f"{labels}  {value:.4g}\n" for value, labels in sorted(rows, key=lambda row: (-row[0], row[1])))


def _labels(labels: dict[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"
