// Clocks that advance between two updates, by the server's time, and timestamps in the viewer's time zone.

const units = document.body.dataset.units.split(",");
const lengths = [86400, 3600, 60, 1];
// The page's language in the viewer's regional format: 24 hours in London, 12 in New York.
const pageLanguage = document.documentElement.lang;
const locale = navigator.languages.find((one) => one.slice(0, 2) === pageLanguage.slice(0, 2)) || pageLanguage;
const short = new Intl.DateTimeFormat(locale, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const whole = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "long" });
const speed = Number(document.body.dataset.speed);

let nowUs = Number(document.body.dataset.nowUs);
let readAt = performance.now();

export function setNow(us) {
  nowUs = us;
  readAt = performance.now();
}

export function present() {
  return nowUs + (performance.now() - readAt) * 1000 * speed;
}

// A duration by its two largest units, as the server writes it.
export function span(seconds) {
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (let place = 0; place < lengths.length && parts.length < 2; place += 1) {
    if (parts.length && !left) break;
    if (left >= lengths[place] || (place === lengths.length - 1 && !parts.length)) {
      parts.push(`${Math.floor(left / lengths[place])} ${units[place]}`);
      left %= lengths[place];
    }
  }
  return parts.join(" ");
}

function write(element, text) {
  const node = element.firstChild;
  if (node && node === element.lastChild && node.nodeType === Node.TEXT_NODE) {
    if (node.data !== text) node.data = text;
  } else {
    element.textContent = text;
  }
}

export function tick(root) {
  const now = present();
  for (const element of root.querySelectorAll("[data-since-us]")) {
    write(element, span((now - Number(element.dataset.sinceUs)) / 1e6));
  }
  for (const element of root.querySelectorAll("[data-until-us]")) {
    const left = (Number(element.dataset.untilUs) - now) / 1e6;
    write(element, left < 0 ? `+${span(-left)}` : span(left));
    element.classList.toggle("past", left < 0);
  }
}

export function localise(root) {
  for (const element of root.querySelectorAll("time[datetime]:not([title])")) {
    const instant = new Date(element.dateTime);
    element.title = whole.format(instant);
    write(element, short.format(instant));
  }
}
