// Applies updates from the server to the page. Unchanged elements are kept, and so is the focus.

import { forget } from "./chart.js";

const FOCUSABLE = "a[href], button, input, select, summary, [tabindex]";

function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

function rowOf(html) {
  return fragment(`<table><tbody>${html}</tbody></table>`).querySelector("tr");
}

// Where the focus is: by row or part, and which of its focusable elements.
function remember(live) {
  const element = document.activeElement;
  if (!element || !live.contains(element)) return null;
  const home = element.closest("tr[data-key]") || element.closest("[data-part]");
  if (!home) return null;
  const next = home.nextElementSibling;
  return {
    element,
    key: home.dataset.key,
    part: element.closest("[data-part]")?.dataset.part,
    next: next ? next.dataset.key : undefined,
    place: [...home.querySelectorAll(FOCUSABLE)].indexOf(element),
  };
}

function rowBy(live, key) {
  return key === undefined ? null : [...live.querySelectorAll("tr[data-key]")].find((row) => row.dataset.key === key);
}

// What lost the focus passes it to its successor; a row that is gone, to the next row.
function restore(live, was) {
  if (!was) return;
  if (live.contains(was.element)) {
    if (document.activeElement !== was.element) was.element.focus({ preventScroll: true });
    return;
  }
  const part = live.querySelector(`[data-part="${was.part}"]`);
  const home = rowBy(live, was.key) || rowBy(live, was.next) || part;
  const found = home ? home.querySelectorAll(FOCUSABLE) : [];
  const heir = found[Math.min(was.place, found.length - 1)] || document.getElementById("content");
  heir.focus({ preventScroll: true });
}

function replacePart(live, name, html) {
  const old = live.querySelector(`[data-part="${name}"]`);
  forget(old);
  const content = fragment(html);
  for (const details of old.querySelectorAll("details[open][id]")) {
    content.getElementById(details.id)?.setAttribute("open", "");
  }
  const scroll = old.querySelector(".scroll");
  old.replaceWith(content);
  const now = live.querySelector(`[data-part="${name}"] .scroll`);
  if (scroll && now) now.scrollLeft = scroll.scrollLeft;
}

function replaceCells(row, cells) {
  for (const [place, html] of Object.entries(cells)) {
    const cell = rowOf(`<tr>${html}</tr>`).firstElementChild;
    row.children[place].replaceWith(cell);
  }
}

function replaceRows(bodyOfRows, { gone, put }) {
  const rows = new Map([...bodyOfRows.children].map((row) => [row.dataset.key, row]));
  for (const key of gone) {
    rows.get(key).remove();
    rows.delete(key);
  }
  for (const [key, after, html, cells] of put) {
    const old = rows.get(key);
    const row = html ? rowOf(html) : old;
    if (cells) replaceCells(row, cells);
    if (old && old !== row) old.replaceWith(row);
    rows.set(key, row);
    const before = after === null ? null : rows.get(after);
    if (before ? before.nextElementSibling !== row : bodyOfRows.firstElementChild !== row) {
      if (before) before.after(row);
      else bodyOfRows.prepend(row);
    }
  }
}

// Everything anew: at the beginning, after a lost connection, for another choice.
export function view(live, { html }) {
  const was = remember(live);
  forget(live);
  const content = fragment(html);
  for (const details of live.querySelectorAll("details[open][id]")) {
    content.getElementById(details.id)?.setAttribute("open", "");
  }
  live.replaceChildren(content);
  restore(live, was);
}

// Only what is new.
export function change(live, { parts = {}, rows = {} }) {
  const was = remember(live);
  for (const [name, html] of Object.entries(parts)) replacePart(live, name, html);
  for (const [name, news] of Object.entries(rows)) {
    replaceRows(live.querySelector(`[data-part="${name}"] [data-rows]`), news);
  }
  restore(live, was);
}
