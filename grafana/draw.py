"""A preview of the boards: their panels, drawn by Grafana's own React components from the files and a live Prometheus.

`python -m grafana.draw --prometheus http://127.0.0.1:9090` writes a picture of each board; `make dashboards-preview`
installs and bundles the components before. It shows data and look. It is not Grafana, and no proof that Grafana loads
the files; the heatmap is a stand-in, because Grafana's own is in no package.
"""

import json
import shutil
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import click
from playwright.sync_api import Browser, sync_playwright

from grafana.build import BOARDS, FOLDER
from grafana.words import LANGUAGES

Json = dict[str, Any]
BUNDLE = Path(__file__).with_name("preview") / "dist"
POINTS = 400
"""Instants of a line."""
SCRAPE_SECONDS = 15
"""Grafana's `$__rate_interval` is four of them, or the step and one, whichever is longer."""
TIMEOUT_SECONDS = 30
DRAWN_MS = 60_000
WORDS = {"en": "a preview, not Grafana", "zh-CN": "预览，并非 Grafana"}
PAGE = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="preview.css">
<body><div id="board"></div><script>window.PREVIEW = {payload};</script><script src="preview.js"></script></body>
"""


class Prometheus:
    """Answers of a Prometheus: at one instant for all single numbers, and over one range for all lines."""

    def __init__(self, url: str, minutes: float) -> None:
        """The range ends now and is so many minutes long."""
        self._url = url.rstrip("/")
        self.to = time.time()
        self.start = self.to - minutes * 60
        self.step = max((self.to - self.start) / POINTS, 1)

    def instant(self, expression: str) -> list[Json]:
        """The series at the end of the range."""
        return self._get("query", {"query": expression, "time": self.to})

    def range(self, expression: str) -> list[Json]:
        """The series over the range."""
        asked = {"query": expression, "start": self.start, "end": self.to, "step": self.step}
        return self._get("query_range", asked)

    def durations(self) -> dict[str, str]:
        """What Grafana puts in the place of its own variables."""
        rate = max(self.step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)
        return {"$__rate_interval": f"{rate:.0f}s", "$__range": f"{self.to - self.start:.0f}s"}

    def _get(self, path: str, asked: Mapping[str, object]) -> list[Json]:
        address = f"{self._url}/api/v1/{path}"
        data = urllib.parse.urlencode(asked).encode()
        try:
            with urllib.request.urlopen(address, data, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - http, as given
                body: Json = json.load(answer)
        except HTTPError as error:
            raise click.ClickException(f"{address} refuses {asked['query']}: {error.read().decode()}") from error
        except URLError as error:
            raise click.ClickException(
                f"no Prometheus at {self._url} ({error.reason}): start one, or name it"
            ) from error
        found: list[Json] = body["data"]["result"]
        return found


def chosen(board: Json, prometheus: Prometheus, rep: str | None) -> dict[str, str]:
    """What somebody would choose on top of a board: all teams, and a rep that is told or has answered most."""
    values = {"$team": ".*", "$live_url": ""}
    for variable in board["templating"]["list"]:
        if variable["name"] in ("window", "opportunity_window"):
            values[f"${variable['name']}"] = variable["current"]["value"]
        elif variable["name"] == "pipeline":
            first = prometheus.instant("topk(1, count by (pipeline) (crm_stage_entered))")
            values["$pipeline"] = first[0]["metric"]["pipeline"] if first else "default"
        elif variable["name"] == "rep":
            most = prometheus.instant('topk(1, max by (rep) (crm_responses{window="30d"}))')
            values["$rep"] = rep or (most[0]["metric"]["rep"] if most else "")
    return values


def filled(expression: str, values: Mapping[str, str]) -> str:
    """A query with values in the place of variables."""
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression


def answers(board: Json, prometheus: Prometheus, values: Mapping[str, str]) -> dict[int, dict[str, list[Json]]]:
    """The answers to all queries, by id of the panel and letter."""
    return {
        panel["id"]: {
            target["refId"]: (prometheus.range if target.get("range") else prometheus.instant)(
                filled(target["expr"], values)
            )
            for target in panel["targets"]
        }
        for panel in board["panels"]
        if panel["type"] != "row"
    }


def payload(board: Json, prometheus: Prometheus, language: str, colours: str, rep: str | None) -> Json:
    """All that the page needs to know."""
    values = chosen(board, prometheus, rep)
    shown = " · ".join(values[key] for key in ("$rep", "$window") if key in values)
    found = answers(board, prometheus, values | prometheus.durations())
    period = {"from": prometheus.start, "to": prometheus.to, "step": prometheus.step}
    return period | {"board": board, "answers": found, "words": WORDS[language], "colours": colours, "chosen": shown}


def draw(browser: Browser, folder: Path, content: Json, target: Path) -> None:
    """Write the picture of a board. Raises ClickException when the page fails."""
    text = json.dumps(content, ensure_ascii=False).replace("</", "<\\/")
    (folder / "index.html").write_text(PAGE.replace("{payload}", text), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1632, "height": 1000})
    page.goto((folder / "index.html").as_uri())
    page.wait_for_selector("body[data-drawn], body[data-failed]", state="attached", timeout=DRAWN_MS)
    failure = page.get_attribute("body", "data-failed")
    if failure is not None:
        raise click.ClickException(f"the preview of {target.stem} failed: {failure}")
    target.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=target, full_page=True)
    page.close()


def draw_all(boards: Iterable[str], language: str, prometheus: Prometheus, options: Json) -> None:
    """Write the pictures of some boards in one language."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise click.ClickException("chromium is not on PATH: install it (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        shutil.copytree(BUNDLE, folder, dirs_exist_ok=True)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for key in boards:
            board = json.loads((FOLDER / language / f"{key}.json").read_text(encoding="utf-8"))
            target = options["out"] / f"{key}-{language}.png"
            draw(browser, folder, payload(board, prometheus, language, options["colours"], options["rep"]), target)
            click.echo(f"{target} (a preview, not Grafana)")
        browser.close()


@click.command()
@click.option("--prometheus", default="http://127.0.0.1:9090", show_default=True, help="where the numbers come from")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/preview"), show_default=True)
@click.option("--minutes", default=60.0, show_default=True, help="the range that lines cover, up to now")
@click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True)
@click.option("--colours", type=click.Choice(["dark", "light"]), default="light", show_default=True)
@click.option("--rep", default=None, help="whose board the rep board is [default: who answered most]")
@click.argument("boards", nargs=-1)
def main(prometheus: str, minutes: float, language: str, boards: tuple[str, ...], **options: Any) -> None:
    """Draw BOARDS (all of them, unless told) with Grafana's own components: a preview, not Grafana."""
    unknown = set(boards) - set(BOARDS)
    if unknown:
        raise click.UsageError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BOARDS)}")
    if not (BUNDLE / "preview.js").exists():
        raise click.ClickException(f"{BUNDLE} has no preview.js: run make dashboards-preview, which bundles it")
    draw_all(boards or BOARDS, language, Prometheus(prometheus, minutes), options)


if __name__ == "__main__":
    sys.exit(main())
