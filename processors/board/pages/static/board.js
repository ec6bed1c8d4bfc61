// The live page: applies what the server sends, advances clocks in between, and applies filters without a reload.
// Only the current state is kept: a page left open for days does not grow.

import { acts } from "./acts.js";
import { draw } from "./chart.js";
import { localise, setNow, tick } from "./clocks.js";
import { change, view } from "./patch.js";

const RECONNECT_MS = 5000;
const HIDDEN_MS = 30000; // A page in the background polls at this interval, and frees its connection meanwhile.
const ALARM_MS = 30000; // Minimum interval between two announcements of overdue waits to screen readers.
const TYPING_MS = 350;

const body = document.body;
const live = document.getElementById("live");
const connection = document.getElementById("connection");
const pause = document.getElementById("pause");
const language = document.getElementById("language");
const announcement = document.getElementById("announcement");
const title = document.title;

let events = null;
let again = 0;
let paused = false;
let alarms = null;
let alarmAt = -ALARM_MS;
let chosen = location.search;

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function connected(text, off) {
  connection.classList.toggle("off", off);
  write(connection, `${off ? "○" : "●"} ${text}`);
}

// The number of overdue waits is shown in the tab's title, and announced when it rises.
function alarm() {
  const element = document.getElementById("alarm");
  if (!element) return;
  const count = Number(element.dataset.count);
  document.title = count ? `(${count}) ${title}` : title;
  if (alarms !== null && count > alarms && performance.now() - alarmAt > ALARM_MS) {
    alarmAt = performance.now();
    write(announcement, element.dataset.message.replace("{}", count));
  }
  alarms = count;
}

function shown(apply) {
  return (event) => {
    const data = JSON.parse(event.data);
    setNow(data.now_us);
    apply(live, data);
    localise(live);
    tick(live);
    draw(live);
    alarm();
    if (document.hidden) close();
  };
}

function close() {
  clearTimeout(again);
  if (events) events.close();
  events = null;
}

// The board was updated, or has numbers now. This page stays until its successor is there: behind the same address another
// board may answer, which is of another version, or has no numbers yet. Nor is anybody interrupted who is about to snooze.
async function renew(version) {
  const answer = await fetch(location.href).catch(() => null);
  const html = answer ? await answer.text() : "";
  if (html.includes(` data-version="${version}"`) && !document.querySelector("dialog[open]")) location.reload();
  else again = setTimeout(listen, RECONNECT_MS);
}

function listen() {
  close();
  if (!body.dataset.live || paused) return;
  events = new EventSource(body.dataset.live);
  events.addEventListener("open", () => connected(body.dataset.liveText, false));
  events.addEventListener("error", () => {
    connected(body.dataset.offlineText, true);
    if (events && events.readyState === EventSource.CLOSED) again = setTimeout(listen, RECONNECT_MS);
  });
  events.addEventListener("version", (event) => {
    if (event.data !== body.dataset.version) renew(event.data);
  });
  events.addEventListener("view", shown(view));
  events.addEventListener("change", shown(change));
}

// Another choice: the address says it, and the stream goes on with it.
function go(url, replace) {
  history[replace ? "replaceState" : "pushState"](null, "", url);
  chosen = url.search;
  const path = new URL(body.dataset.live, location).pathname;
  body.dataset.live = path + url.search;
  const other = new URL(language.href);
  const tongue = other.searchParams.get("lang");
  other.search = url.search;
  other.searchParams.set("lang", tongue);
  language.href = other;
  alarms = null;
  listen();
}

function choose(form) {
  const url = new URL(location);
  url.searchParams.delete("page");
  for (const [name, value] of new FormData(form)) {
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  if (url.search !== location.search) go(url, true);
}

let typing = 0;
for (const form of document.querySelectorAll("form.choices")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    choose(form);
  });
  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(choose, TYPING_MS, form);
  });
}

live.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-go]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(new URL(link.href), false);
});

// Back to an earlier choice. A jump within the page, such as the skip link's, comes here too and changes no choice.
window.addEventListener("popstate", () => {
  if (location.search !== chosen) location.reload();
});

pause.hidden = !body.dataset.live;
pause.addEventListener("click", () => {
  paused = !paused;
  write(pause, paused ? body.dataset.resumeText : body.dataset.pauseText);
  if (paused) {
    close();
    connected(body.dataset.pausedText, true);
  } else {
    listen();
  }
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) listen();
});
setInterval(() => {
  if (document.hidden) listen();
}, HIDDEN_MS);
setInterval(() => {
  if (!document.hidden && !paused) tick(live);
}, 1000);

acts(live, announcement);
localise(document);
tick(live);
draw(live);
alarm();
listen();
