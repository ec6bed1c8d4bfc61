// The trend chart, drawn by uPlot. A chart that leaves the page is destroyed, so that memory does not grow.

const charts = new Map();
const sizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const known = charts.get(target);
    if (known && contentRect.width) known.setSize({ width: contentRect.width, height: known.height });
  }
});

const HEIGHT = 240;
const HALF_DAY = 43200; // Bars are drawn in the middle of their day.
const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(value * 100)} %`);

function options(figure, labels) {
  const style = getComputedStyle(document.body);
  const ink = style.getPropertyValue("--soft").trim();
  const line = style.getPropertyValue("--line").trim();
  const mark = style.getPropertyValue("--mark").trim();
  const bar = style.getPropertyValue("--bar").trim();
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const days = new Intl.DateTimeFormat(document.documentElement.lang, { month: "short", day: "numeric", timeZone: "UTC" });
  return {
    width: figure.clientWidth,
    height: HEIGHT,
    scales: {
      x: { time: true, range: (_, first, last) => [first - HALF_DAY, last + HALF_DAY] },
      share: { range: [0, 1] },
      count: { range: (_, low, high) => [0, Math.max(1, high * 2)] },
    },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    legend: { live: true },
    axes: [
      { ...axis, values: (_, splits) => splits.map((one) => days.format(new Date(one * 1000))) },
      { ...axis, scale: "share", values: (_, splits) => splits.map(percent), size: 56 },
      { ...axis, scale: "count", side: 1, grid: { show: false }, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
    ],
    series: [
      { label: labels[3], value: (_, at) => (at ? days.format(new Date(at * 1000)) : "–") },
      { label: labels[0], scale: "count", fill: bar, stroke: bar, width: 0, paths: uPlot.paths.bars({ size: [0.7, 40] }), points: { show: false }, value: (_, value) => value ?? "–" },
      { label: labels[2], scale: "share", stroke: ink, width: 1.5, dash: [5, 4], spanGaps: true, points: { show: false }, value: (_, value) => percent(value) },
      { label: labels[1], scale: "share", stroke: mark, width: 2.5, spanGaps: true, points: { size: 6, fill: mark }, value: (_, value) => percent(value) },
    ],
  };
}

export function draw(root) {
  if (!window.uPlot) return;
  for (const figure of root.querySelectorAll("figure.chart")) {
    if (charts.has(figure)) continue;
    const read = (name) => JSON.parse(figure.dataset[name]);
    const days = read("days").map((day) => Date.parse(`${day}T00:00:00Z`) / 1000);
    const data = [days, read("responses"), read("others"), read("within")];
    charts.set(figure, new uPlot(options(figure, read("labels")), data, figure));
    sizes.observe(figure);
  }
}

export function forget(root) {
  for (const [figure, chart] of charts) {
    if (!root.contains(figure)) continue;
    sizes.unobserve(figure);
    chart.destroy();
    charts.delete(figure);
  }
}

// Another colour scheme: the same charts in other colours.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  const live = document.getElementById("live");
  forget(live);
  draw(live);
});
