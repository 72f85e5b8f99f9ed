// A live feed. It reconnects after growing pauses, from the last position that it has seen, and closes while the tab
// is hidden: a browser allows six connections to a host, for all tabs together.
import { askWhy, isOver, whenOver } from "./page_ended.js";

const PAUSES = [1, 2, 5, 10, 20];

// Milliseconds to wait after so many failures before this one.
export function pauseAfter(failures) {
  return PAUSES[Math.min(failures, PAUSES.length - 1)] * 1000;
}

export class Feed {
  // on: {event name: handler(data)}; opened and reset are called without data; says with "live",
  // "connecting", "reconnecting" or "ended".
  constructor(url, { on, opened, reset, says }) {
    this.url = new URL(url, location.href);
    this.on = on;
    this.whenOpened = opened ?? (() => {});
    this.whenReset = reset ?? (() => {});
    this.says = says ?? (() => {});
    this.failures = 0;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.rest() : this.open()));
    whenOver(() => this.end());
    this.says("connecting");
    if (isOver()) this.end();
    else if (!document.hidden) this.open();
  }

  open() {
    if (this.source || this.over) return;
    clearTimeout(this.timer);
    this.source = new EventSource(this.url);
    this.source.onopen = () => this.opened();
    this.source.onerror = () => this.failed();
    for (const name of Object.keys(this.on)) this.source.addEventListener(name, (event) => this.received(event));
    this.source.addEventListener("stream-open", (event) => this.seen(event));
    this.source.addEventListener("stream-reset", (event) => { this.seen(event); this.whenReset(); });
  }

  opened() {
    this.failures = 0;
    this.says("live");
    this.whenOpened();
  }

  // Keeps the position in the URL: a new EventSource does not know what the one before has seen.
  seen(event) {
    if (event.lastEventId) this.url.searchParams.set("lastEventId", event.lastEventId);
  }

  received(event) {
    this.seen(event);
    this.on[event.type](JSON.parse(event.data));
  }

  failed() {
    this.rest();
    this.says("reconnecting");
    this.timer = setTimeout(() => this.open(), pauseAfter(this.failures++));
    askWhy();
  }

  rest() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  end() {
    this.over = true;
    this.rest();
    this.says("ended");
  }
}

const WORDS = { connecting: ["Connecting", "grey"], live: ["Live", "green"], reconnecting: ["Reconnecting", "amber"], ended: ["Ended", "grey"] };

export function show(element, state) {
  if (!element) return;
  const [text, tone] = WORDS[state];
  if (element.textContent === text) return;
  element.textContent = text;
  element.dataset.tone = tone;
}
