"""A page that is open for a day takes as much memory as one that was just opened."""

from typing import Any

from playwright.sync_api import CDPSession, Page, expect

from tests.browser.conftest import Open

UPDATES = 2000
"""More than half an hour of a busy team."""
CHARTS = 150
MEGABYTE = 2**20

ROWS = """
async ([url, updates]) => {
  const { change } = await import(url);
  const live = document.getElementById("live");
  const html = live.querySelector("tr[data-key]").outerHTML;
  const tiles = live.querySelector('[data-part="tiles"]').outerHTML;
  const keyed = (number) => html.replace(/data-key="[^"]*"/, `data-key="new-${number}"`);
  const began = performance.now();
  for (let number = 0; number < updates; number += 1) {
    const gone = number ? [`new-${number - 1}`] : [];
    const put = [[`new-${number}`, null, keyed(number), {}]];
    change(live, { parts: { tiles }, rows: { rows: { gone, put } } });
    if (number % 100 === 0) await new Promise((resolve) => setTimeout(resolve));
  }
  const took = performance.now() - began;
  change(live, { rows: { rows: { gone: [`new-${updates - 1}`], put: [] } } });
  return took;
}
"""
CHART = """
async ([url, updates]) => {
  const { change } = await import(url);
  const { draw } = await import(url.replace("patch.js", "chart.js"));
  const live = document.getElementById("live");
  const part = live.querySelector('[data-part="trend"]').cloneNode(true);
  part.querySelector("figure").replaceChildren();
  for (let number = 0; number < updates; number += 1) {
    change(live, { parts: { trend: part.outerHTML } });
    draw(live);
    if (number % 10 === 0) await new Promise((resolve) => requestAnimationFrame(resolve));
  }
}
"""


def script(page: Page) -> str:
    """The address of the module that applies updates."""
    return str(page.locator("script[type=module]").evaluate("(one) => one.src")).replace("board.js", "patch.js")


def memory(session: CDPSession) -> dict[str, float]:
    """What the page holds once garbage is gone."""
    session.send("HeapProfiler.collectGarbage")
    found: dict[str, Any] = session.send("Performance.getMetrics")
    return {one["name"]: one["value"] for one in found["metrics"]}


def grown(page: Page, what: str, warm: int, updates: int) -> dict[str, float]:
    """By how much everything is more after the updates than after a few of them."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.evaluate(what, [script(page), warm])
    before = memory(session)
    page.evaluate(what, [script(page), updates])
    after = memory(session)
    return {name: after[name] - before[name] for name in ("Nodes", "JSEventListeners", "JSHeapUsedSize")}


def test_rows_that_come_and_go_leave_nothing_behind(open_page: Open) -> None:
    page = open_page("/")
    expect(page.locator("tr[data-key]").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    growth = grown(page, ROWS, 100, UPDATES)
    assert growth["Nodes"] < 100
    assert growth["JSEventListeners"] < 10
    assert growth["JSHeapUsedSize"] < MEGABYTE


def test_charts_that_are_drawn_anew_leave_nothing_behind(open_page: Open) -> None:
    page = open_page("/reps/ann")
    expect(page.locator("figure.chart canvas")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    growth = grown(page, CHART, 20, CHARTS)
    assert growth["Nodes"] < 100
    assert growth["JSEventListeners"] < 10
    assert growth["JSHeapUsedSize"] < MEGABYTE
    expect(page.locator("figure.chart canvas")).to_have_count(1)
