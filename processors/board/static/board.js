// The live page: takes in what the server sends, lets clocks run between, and writes times in the viewer's zone.
// Nothing is kept but the present state: a page left open for days does not grow.

const body = document.body;
const live = document.getElementById("live");
const connection = document.getElementById("connection");
const units = body.dataset.units.split(",");
const lengths = [86400, 3600, 60, 1];
const zoned = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });

let nowUs = Number(body.dataset.nowUs);
let readAt = performance.now();
const speed = Number(body.dataset.speed);

const present = () => nowUs + (performance.now() - readAt) * 1000 * speed;

function span(seconds) {
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  lengths.forEach((length, place) => {
    if (parts.length === 2 || (parts.length && !left)) return;
    if (left >= length || (length === 1 && !parts.length)) {
      parts.push(`${Math.floor(left / length)} ${units[place]}`);
      left %= length;
    }
  });
  return parts.join(" ");
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tick() {
  const now = present();
  for (const element of live.querySelectorAll("[data-since-us]")) {
    write(element, span((now - Number(element.dataset.sinceUs)) / 1e6));
  }
  for (const element of live.querySelectorAll("[data-until-us]")) {
    const left = (Number(element.dataset.untilUs) - now) / 1e6;
    write(element, left < 0 ? `${element.dataset.pastWord} ${span(-left)}` : span(left));
  }
}

function localise(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    element.title = element.dateTime;
    write(element, zoned.format(new Date(element.dateTime)));
  }
}

// What a row says, but for the clocks in it.
const sources = new WeakMap();
const source = (row) => row.innerHTML.replace(/(data-(?:since|until)-us="-?\d+"[^>]*>)[^<]*/g, "$1");

// Rows that are still there stay the same elements, so that focus, selection and screen readers stay where they are.
function patchRows(before, after) {
  const known = new Map([...before.children].map((row) => [row.dataset.key, row]));
  let place = before.firstElementChild;
  for (const row of [...after.children]) {
    const old = known.get(row.dataset.key);
    known.delete(row.dataset.key);
    const said = source(row);
    if (old && sources.get(old) === said) {
      if (old === place) place = place.nextElementSibling;
      else before.insertBefore(old, place);
      old.className = row.className;
      continue;
    }
    sources.set(row, said);
    before.insertBefore(row, place);
    if (old) {
      if (old === place) place = place.nextElementSibling;
      old.remove();
    }
  }
  known.forEach((row) => row.remove());
}

function show(html) {
  const focused = document.activeElement;
  const template = document.createElement("template");
  template.innerHTML = html;
  const before = live.querySelectorAll("[data-rows]");
  const after = template.content.querySelectorAll("[data-rows]");
  if (before.length === 1 && after.length === 1) {
    patchRows(before[0], after[0]);
    after[0].replaceWith(before[0]);
  }
  live.replaceChildren(template.content);
  if (focused && focused !== document.activeElement && live.contains(focused)) focused.focus({ preventScroll: true });
  localise(live);
  tick();
}

function connected(is) {
  connection.classList.toggle("off", !is);
  write(connection, is ? `● ${body.dataset.liveWord}` : `○ ${body.dataset.offlineWord}`);
}

function listen() {
  const events = new EventSource(body.dataset.live);
  events.addEventListener("open", () => connected(true));
  events.addEventListener("error", () => {
    connected(false);
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  });
  events.addEventListener("view", (event) => {
    const view = JSON.parse(event.data);
    nowUs = view.now_us;
    readAt = performance.now();
    show(view.html);
  });
}

document.addEventListener("change", (event) => {
  const form = event.target.closest("form.choices");
  if (form) form.requestSubmit();
});

localise(document);
tick();
setInterval(tick, 1000);
if (body.dataset.live) listen();
