// Acknowledge, snooze, release. The row changes with the next update from the server.

const by = document.getElementById("by");
const dialog = document.getElementById("snooze");
const trouble = document.getElementById("trouble");
const KEEP = "salespulse.by";

function address(cell, what) {
  const { customer, request, turn } = cell.dataset;
  const query = new URLSearchParams({ customer_id: customer, turn });
  if (what.by) query.set("by", what.by);
  return `/api/v1/requests/${encodeURIComponent(request)}/${what.kind}?${query}`;
}

// Who is signed in needs no name: the server knows it.
function name() {
  if (document.body.dataset.caller) return "";
  return (by ? by.value : localStorage.getItem(KEEP) || "").trim();
}

async function send(method, url, content) {
  const answer = await fetch(url, {
    method,
    headers: content ? { "Content-Type": "application/json" } : {},
    body: content ? JSON.stringify(content) : undefined,
  });
  if (answer.ok) return;
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail || problem.title || `${answer.status}`);
}

function snoozeSeconds(request) {
  document.getElementById("snooze-what").textContent = request;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(Number(dialog.returnValue)), { once: true });
  });
}

async function perform(act, cell) {
  const who = name() ? { by: name() } : {};
  if (act === "acknowledge") {
    await send("PUT", address(cell, { kind: "acknowledgement" }), who);
  } else if (act === "snooze") {
    const seconds = await snoozeSeconds(cell.dataset.request);
    if (!seconds) return false;
    await send("PUT", address(cell, { kind: "snooze" }), { seconds, ...who });
  } else {
    await send("DELETE", address(cell, { kind: cell.dataset.hold, ...who }));
  }
  return true;
}

export function acts(live, announcement) {
  if (!dialog) return;
  if (by) {
    by.value = localStorage.getItem(KEEP) || "";
    by.addEventListener("change", () => localStorage.setItem(KEEP, by.value));
    by.addEventListener("input", (event) => event.stopPropagation());
  }
  live.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-act]");
    if (!button || button.getAttribute("aria-disabled") === "true") return;
    const { act } = button.dataset;
    const cell = button.closest(".acts");
    trouble.hidden = true;
    button.setAttribute("aria-disabled", "true");
    try {
      if (await perform(act, cell)) announcement.textContent = `${trouble.dataset[act]}: ${cell.dataset.request}`;
    } catch (error) {
      trouble.textContent = `${trouble.dataset.failed} ${error.message}`;
      trouble.hidden = false;
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
}
