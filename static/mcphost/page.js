// Keeps the pieces of a page that are marked data-live current: a feed says that something happened, the page
// is fetched again, and its pieces take the place of the old ones. The server alone decides how things look.
import { Feed, pauseAfter, show } from "./feed.js";
import { morph } from "./morph.js";
import { askPage, isOver } from "./page_ended.js";
import { progressAgain, progressed } from "./progress.js";

const AT_MOST_EVERY = 1000;
const PRESS = 2000; // milliseconds for which a press holds the page at most
let last = 0;
let timer = null;
let refreshing = false;
let missed = false; // something that the page which is being fetched may not show yet
let failures = 0;
let again = null;

function refreshSoon() {
  if (isOver()) return;
  missed = true;
  if (!refreshing) timer ??= setTimeout(refresh, Math.max(100, last + AT_MOST_EVERY - Date.now()));
}

async function fetchPage() {
  const answer = await askPage();
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// The page does not change while the pointer is pressed: a click must hit what it was aimed at. The event at the end of
// a press may never come (after a menu, a drag or a change of window), so the page waits PRESS at most.
let press = null; // aborted when it is over
addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !event.isPrimary) return;
  const mine = (press = new AbortController());
  setTimeout(() => mine.abort(), PRESS);
}, true);
for (const end of ["pointerup", "pointercancel", "contextmenu", "dragend"]) addEventListener(end, () => press?.abort(), true);
addEventListener("blur", () => press?.abort()); // the window's own: a press takes the focus from a field

function released() {
  const signal = press?.signal;
  if (!signal || signal.aborted) return null;
  // The click itself comes after the pointer's event.
  return new Promise((resolve) => { signal.addEventListener("abort", () => setTimeout(resolve)); });
}

async function refresh() {
  [timer, refreshing, missed] = [null, true, false];
  try {
    const fresh = await fetchPage();
    await released();
    take(fresh);
    failures = 0;
  } catch {
    // While the tab is hidden the feed is closed; it refreshes the page when it opens again.
    if (!document.hidden) setTimeout(refreshSoon, pauseAfter(failures++));
  }
  [last, refreshing] = [Date.now(), false];
  if (missed) refreshSoon();
  lookAgain();
}

function take(fresh) {
  for (const piece of document.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${CSS.escape(piece.dataset.live)}"]`);
    if (next) morph(piece, next);
  }
  tellOfRows(fresh);
  progressAgain();
  document.dispatchEvent(new CustomEvent("page-taken", { detail: fresh }));
}

// A list keeps its rows while somebody reads and selects them; a link tells that it has changed.
function tellOfRows(fresh) {
  const told = document.querySelector("[data-other-rows]");
  if (told) told.hidden = rows(document) === rows(fresh);
}

function rows(page) {
  return [...page.querySelectorAll("#result_list tbody th a")].map((link) => link.getAttribute("href")).join(" ");
}

// A piece that changes without an event says after how many seconds to ask again.
function lookAgain() {
  const waits = [...document.querySelectorAll("[data-look-again]")].map((piece) => piece.dataset.lookAgain * 1000);
  clearTimeout(again);
  if (waits.length) again = setTimeout(refreshSoon, Math.min(...waits));
}

export function livePage() {
  const page = document.querySelector("[data-feed-status]:not([data-feed-status=''])");
  const state = document.querySelector("[data-feed-state]");
  lookAgain();
  if (!page) return;
  const mine = page.dataset.server;
  let first = true;
  const status = (data) => { if (!mine || String(data.server) === mine) refreshSoon(); };
  // What happened while the feed was away shows in the page itself.
  const opened = () => { if (!first) refreshSoon(); first = false; };
  new Feed(page.dataset.feedStatus, {
    on: { status, ...("feedCalls" in page.dataset ? { calls: refreshSoon } : {}) }, opened, reset: refreshSoon, says: (word) => show(state, word),
  });
  if (page.dataset.feedMetrics) {
    new Feed(page.dataset.feedMetrics, { on: { metric: refreshSoon, progress: progressed }, reset: refreshSoon });
  }
}
