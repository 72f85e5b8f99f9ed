// A log that grows: lines in their order, each once, with the view at the end while "Follow" is ticked.
import { Feed, show } from "./feed.js";
import { fetchPage } from "./page.js";

const KEPT = 5000;

function element(name, text, attributes = {}) {
  return Object.assign(document.createElement(name), { textContent: text }, attributes);
}

function row(line) {
  const at = new Date(line.at);
  const shown = at.toISOString();
  const node = element("div", "", { className: "mh-log-line" });
  node.dataset.id = line.id;
  node.dataset.stream = line.stream;
  const title = `${shown.slice(0, 19).replace("T", " ")} UTC, ${line.stream}`;
  node.append(element("time", shown.slice(11, 19), { dateTime: line.at, title }), element("span", line.text));
  return node;
}

export function liveLog(log) {
  const panel = log.closest("section");
  const follow = panel.querySelector("[data-log-follow]");
  const state = panel.querySelector("[data-log-state]");
  const none = log.querySelector(".mh-log-none");
  const seen = new Set([...log.querySelectorAll("[data-id]")].map((node) => node.dataset.id));
  const toEnd = () => { if (follow.checked) log.scrollTop = log.scrollHeight; };
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 24;

  const wanted = (line) =>
    !seen.has(String(line.id)) &&
    (!log.dataset.deployment || String(line.deployment) === log.dataset.deployment) &&
    (!log.dataset.step || String(line.step) === log.dataset.step);

  const add = (lines) => {
    const fresh = lines.filter(wanted);
    if (!fresh.length) return;
    fresh.forEach((line) => seen.add(String(line.id)));
    none.before(...fresh.map(row));
    none.hidden = true;
    trim();
    toEnd();
  };

  // Lines above the view are dropped only while the view is at the end: nothing jumps under a reader.
  const trim = () => {
    if (!follow.checked) return;
    const lines = log.querySelectorAll(".mh-log-line");
    for (let n = 0; n < lines.length - KEPT; n++) lines[n].remove();
  };

  // More was missed than the feed still knows: the page has the newest lines.
  const refill = async () => {
    const lines = (await fetchPage()).querySelectorAll("[data-log] .mh-log-line");
    log.querySelectorAll(".mh-log-line").forEach((line) => line.remove());
    lines.forEach((line) => seen.add(line.dataset.id));
    none.before(...lines);
    toEnd();
  };

  follow.addEventListener("change", toEnd);
  // Whoever scrolls up wants to read; whoever scrolls to the end wants to follow.
  log.addEventListener("wheel", () => requestAnimationFrame(() => { follow.checked = atEnd(); }), { passive: true });
  log.addEventListener("keyup", () => { follow.checked = atEnd(); });
  toEnd();
  if (!log.dataset.feed) return show(state, "ended");
  new Feed(log.dataset.feed, { on: { log: add }, reset: refill, says: (word) => show(state, word) });
}
