// The live log. Lines stand in the order in which they were stored, each once. Older ones are fetched when one scrolls
// up to them, and a search asks the server for all stored lines.
import { Feed, show } from "./feed.js";
import { draw, matcher, read, toStep } from "./log_lines.js";
import { keys } from "./log_keys.js";
import { LogView } from "./log_view.js";

const KEPT = 100_000;
const PAGE = 1000;
const NEAR = 600; // pixels from the upper edge at which older lines are asked for
const TYPING = 300;
const PATIENCE = 30_000;

// Whether a field has another value than in the page that the server sent.
function isOther(field) {
  if (!field.options) return field.value !== field.defaultValue;
  return field.value !== ([...field.options].find((option) => option.defaultSelected) ?? field.options[0]).value;
}

class Log {
  constructor(tool) {
    this.tool = tool;
    this.box = tool.querySelector("[data-log]");
    this.form = tool.querySelector("[data-log-form]");
    this.follow = tool.querySelector("[data-log-follow]");
    this.none = tool.querySelector(".mh-log-none");
    this.wanted = this.given();
    this.view = new LogView(this.box, (line, previous) => this.draw(line, previous));
    this.waiting = []; // what came while older lines than the newest are shown
    this.before = null; // what was shown before a search that is not answered yet
    this.more = () => this.scrolled();
    this.round = 0; // counts the searches: what was asked for an earlier one is not taken
    this.speech = { lines: 0, at: 0 };
    if ("fit" in this.box.dataset) this.box.style.height = `${this.box.offsetHeight}px`; // lines move nothing below
    this.take();
    this.listen();
    if ([...this.form.elements].some(isOther)) this.search(); // typed, or brought back, before this script came
  }

  draw(line, previous) {
    const node = draw(line, previous, this.box.dataset.page, this.wanted.search);
    if (line.id === this.selected) node.setAttribute("aria-current", "true");
    return node;
  }

  // The lines that the page came with.
  take() {
    const nodes = [...this.box.querySelectorAll(".mh-log-line")];
    const lines = nodes.map(read);
    nodes.forEach((node) => node.remove());
    this.start(lines, lines.length < 300 && !this.box.dataset.line, !this.box.dataset.line);
    this.select(Number(this.box.dataset.line) || null, "center");
  }

  // complete: nothing older is kept; newest: the last of them is the newest that is kept.
  start(lines, complete, newest) {
    this.seen = new Set(lines.map((line) => line.id));
    this.complete = complete;
    this.newest = newest;
    this.view.show(lines);
    this.say();
    if (this.follow.checked) this.view.toEnd();
  }

  listen() {
    this.form.addEventListener("input", () => this.typed());
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.search(); });
    this.tool.querySelector("[data-log-again]").addEventListener("click", () => this.again());
    this.follow.addEventListener("change", () => this.followed());
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    // Whoever scrolls up wants to read; whoever scrolls to the end wants to follow.
    this.box.addEventListener("wheel", () => requestAnimationFrame(() => this.read()), { passive: true });
    this.box.addEventListener("touchmove", () => requestAnimationFrame(() => this.read()), { passive: true });
    this.box.addEventListener("click", (event) => this.clicked(event));
    document.addEventListener("page-taken", () => this.view.drawn(toStep));
    for (const name of ["times", "wrap"]) this.preference(name);
    keys(this);
    const state = this.tool.querySelector("[data-log-state]");
    if (!this.box.dataset.feed) return show(state, "ended");
    this.feed = new Feed(this.box.dataset.feed, {
      on: { log: (lines) => this.add(lines) }, reset: () => this.missed(), says: (word) => show(state, word),
    });
  }

  // What the page came with, whatever may have been typed since.
  given() {
    const form = this.form.cloneNode(true);
    form.reset();
    return this.asked(form);
  }

  asked(form = this.form) {
    const given = Object.fromEntries(new FormData(form));
    const moment = (text) => (text ? new Date(`${text}Z`) : null);
    return {
      search: given.search, level: given.level, since: moment(given.since), until: moment(given.until),
      deployment: given.deployment ?? "", step: given.step ?? "",
    };
  }

  query(more) {
    const { since, until, ...plain } = this.wanted;
    const given = { ...plain, since: since?.toISOString(), until: until?.toISOString(), ...more };
    return new URLSearchParams(Object.entries(given).filter(([, value]) => value));
  }

  async fetch(more) {
    const about = { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE) };
    const answer = await fetch(`${this.box.dataset.lines}?${this.query(more)}`, about);
    if (!answer.ok) throw new Error(`The log answered ${answer.status}`);
    return answer.json();
  }

  // Filters the lines that are here at once, and asks the server when typing pauses.
  typed() {
    this.remember();
    this.wanted = this.asked();
    const fits = matcher(this.wanted);
    this.view.show(this.view.lines.filter(fits));
    this.say();
    this.links();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.search(), TYPING);
  }

  async search() {
    clearTimeout(this.timer);
    this.remember();
    this.wanted = this.asked();
    this.links();
    const round = ++this.round;
    this.waiting = [];
    this.newest = false; // lines that come meanwhile wait
    try {
      const { results } = await this.fetch({ tail: PAGE });
      if (round !== this.round) return;
      const early = this.waiting.splice(0);
      this.before = null;
      this.trouble("");
      this.start(results, results.length < PAGE, true);
      this.add(early);
    } catch {
      if (round === this.round && this.before) this.restore();
    }
  }

  // Keeps the present state until the server has answered a search, so that it can be restored if that fails.
  remember() {
    const { wanted, complete, newest, waiting, follow, box } = this;
    this.before ??= { lines: this.view.lines, wanted, complete, newest, waiting: [...waiting], came: [], followed: follow.checked, top: box.scrollTop };
  }

  restore() {
    const { lines, wanted, complete, newest, waiting, came, followed, top } = this.before;
    Object.assign(this, { before: null, wanted, waiting });
    this.follow.checked = followed && newest;
    this.start(lines, complete, newest);
    if (!this.follow.checked) this.box.scrollTop = top;
    this.add(came);
    this.trouble("The search failed. These lines are from before it.", () => this.search());
  }

  // The feed has lost events: lines may be missing between the newest one here and its next event.
  missed() {
    this.newest = false;
    if (this.before) this.before.newest = false;
    this.search();
  }

  // Shows an error above the log, with a button that calls `again`.
  trouble(text, again) {
    const place = this.tool.querySelector("[data-log-trouble]");
    place.hidden = !text;
    place.querySelector("span").textContent = text;
    this.again = again;
  }

  // The filters in the address and in the links, so that both can be passed on.
  links() {
    const { since, until, deployment, step, ...plain } = Object.fromEntries(new FormData(this.form));
    const given = new URLSearchParams(Object.entries({ ...plain, since, until }).filter(([, value]) => value));
    if (!this.box.dataset.deployment) {
      if (deployment) given.set("deployment", deployment);
      history.replaceState(null, "", given.size ? `?${given}` : location.pathname);
    }
    for (const link of this.tool.querySelectorAll("[data-log-download]")) {
      link.search = this.query({ format: link.dataset.logDownload });
    }
  }

  add(lines) {
    this.before?.came.push(...lines);
    if (!this.newest) return this.waiting.push(...lines);
    const fits = matcher(this.wanted);
    const fresh = lines.filter((line) => !this.seen.has(line.id) && fits(line));
    if (!fresh.length) return;
    fresh.forEach((line) => this.seen.add(line.id));
    this.view.append(fresh);
    if (this.follow.checked) {
      this.view.trim(KEPT);
      this.view.toEnd();
    }
    this.say();
    this.speak(fresh);
  }

  async scrolled() {
    if (this.fetching || this.before) return;
    const up = this.box.scrollTop < NEAR && !this.complete && this.view.first;
    const down = !this.newest && this.view.atEnd() && this.view.last;
    if (!up && !down) return;
    this.fetching = true;
    try {
      await (up ? this.older() : this.newer());
      requestAnimationFrame(() => this.scrolled()); // one may have scrolled on meanwhile
    } catch {
      if (!this.before) this.trouble("More lines could not be fetched.", this.more);
    }
    this.fetching = false;
  }

  async older() {
    const { round, wanted } = this;
    const { results } = await this.fetch({ before: this.view.first.id, tail: PAGE });
    if (round !== this.round || wanted !== this.wanted) return;
    const fresh = results.filter((line) => !this.seen.has(line.id));
    fresh.forEach((line) => this.seen.add(line.id));
    this.complete = results.length < PAGE;
    this.view.prepend(fresh);
    if (this.again === this.more) this.trouble("");
    this.say();
  }

  async newer() {
    const { round, wanted } = this;
    const { results, next } = await this.fetch({ after: this.view.last.id, limit: PAGE });
    if (round !== this.round || wanted !== this.wanted) return;
    const fresh = results.filter((line) => !this.seen.has(line.id));
    fresh.forEach((line) => this.seen.add(line.id));
    this.view.append(fresh);
    if (this.again === this.more) this.trouble("");
    this.newest = !next;
    if (this.newest) this.add(this.waiting.splice(0));
    this.say();
  }

  followed() {
    if (!this.follow.checked) return;
    if (this.newest) this.view.toEnd();
    else this.search();
  }

  read() {
    this.follow.checked = this.newest && this.view.atEnd();
  }

  clicked(event) {
    const link = event.target.closest(".mh-log-line a:not(.mh-log-step)");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.select(Number(link.parentElement.dataset.id));
  }

  // Marks a line and puts it into the address.
  select(id, block = "nearest") {
    this.box.querySelector("[aria-current]")?.removeAttribute("aria-current");
    this.told("");
    this.selected = id;
    const node = id && this.view.element(id);
    if (!node) return;
    this.follow.checked = false;
    node.setAttribute("aria-current", "true");
    node.scrollIntoView({ block });
    if (!this.box.dataset.deployment) history.replaceState(null, "", `${this.box.dataset.page}?line=${id}`);
  }

  preference(name) {
    const box = this.tool.querySelector(`[data-log-${name}]`);
    const key = `mh-log-${name}`;
    const apply = () => this.view.inPlace(() => this.box.classList.toggle(`mh-no-${name}`, !box.checked));
    box.checked = localStorage.getItem(key) !== "no";
    box.addEventListener("change", () => { localStorage.setItem(key, box.checked ? "yes" : "no"); apply(); });
    apply();
  }

  say() {
    const count = this.view.count;
    this.none.hidden = count > 0;
    const filtered = this.wanted.search || this.wanted.level || this.wanted.since || this.wanted.until;
    const more = this.before ? " so far, searching" : this.complete ? "" : ", older ones above";
    const text = count ? `${count.toLocaleString("en")} ${filtered ? "found" : count === 1 ? "line" : "lines"}${more}` : "";
    this.tool.querySelector("[data-log-count]").textContent = text;
    this.box.dataset.count = count;
  }

  // For screen readers: a line as it comes while few come, else how many there were.
  speak(lines) {
    const now = Date.now();
    this.speech.lines += lines.length;
    if (!this.follow.checked || now - this.speech.at < 5000) return;
    this.said(this.speech.lines <= 3 ? lines.at(-1).text : `${this.speech.lines} new lines`);
    this.speech = { lines: 0, at: now };
  }

  said(text) {
    this.tool.querySelector("[data-log-said]").textContent = text;
  }

  // Shows the result of a key. It stays until another line is selected.
  told(text) {
    this.tool.querySelector("[data-log-told]").textContent = text;
  }
}

export function liveLog(tool) {
  return new Log(tool);
}
