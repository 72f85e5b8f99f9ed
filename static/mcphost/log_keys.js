// What keys do while the log has the focus.
import { copy } from "./copy.js";

export function keys(log) {
  const does = {
    "/": () => log.form.elements.search.focus(),
    f: () => log.follow.click(),
    j: () => step(log, 1),
    k: () => step(log, -1),
    c: () => copyLink(log),
    s: () => toStep(log),
  };
  log.box.addEventListener("keydown", (event) => {
    const act = does[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  log.box.addEventListener("keyup", (event) => {
    if (["ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End", " "].includes(event.key)) log.read();
  });
  log.form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") log.box.focus();
  });
}

function step(log, by) {
  const lines = log.view.lines;
  const at = lines.findIndex((line) => line.id === log.selected);
  const next = at < 0 ? lines.at(-1) : lines[at + by];
  if (!next) return;
  log.select(next.id);
  log.said(next.text);
}

function toStep(log) {
  const link = log.view.element(log.selected)?.querySelector(".mh-log-step");
  link?.click();
  if (link) log.said(`This line belongs to ${link.textContent}`);
}

async function copyLink(log) {
  if (!log.selected) return;
  const link = new URL(`${log.box.dataset.page}?line=${log.selected}`, location.href);
  log.told((await copy(link.href)) ? "The link to this line is copied." : `This browser does not allow copying: ${link.href}`);
}
