// The page of a server's tools: search among them, and call one through the gateway. Both follow the page when a
// deployment has changed what the server offers.
import { pretty, shownResult, text } from "./call_result.js";
import { Mcp, mirroredBy, RpcError } from "./mcp.js";
import { make, RawForm, SchemaForm } from "./schema_form.js";

const LONGEST_LIST = 1000;
const PROTOCOL = JSON.parse(document.getElementById("mcp-protocol").textContent);

class Panel {
  constructor(panel) {
    this.panel = panel;
    for (const name of ["form", "tool", "fields", "call", "cancel", "raw", "outcome", "result", "list"]) {
      this[name] = panel.querySelector(`[data-try-${name}]`);
    }
    this.listed = discovered();
    this.offer(this.listed);
    this.speak(panel);
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.run(); });
    this.tool.addEventListener("change", () => this.choose(this.tool.value));
    this.raw.addEventListener("change", () => this.draw());
    this.cancel.addEventListener("click", () => this.abort?.abort());
    this.list.addEventListener("click", () => this.ask());
    addEventListener("hashchange", () => this.choose(inAddress()));
    addEventListener("pagehide", () => this.mcp.end());
    document.addEventListener("page-taken", ({ detail }) => this.taken(detail));
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-try-this]");
      if (button) this.choose(button.dataset.tryThis, true);
    });
    this.choose(inAddress() || this.tool.value);
  }

  // Kept in memory only; it ends by itself after minutes.
  async ticket(fresh) {
    if (this.held && !fresh) return this.held;
    const token = this.form.querySelector("[name=csrfmiddlewaretoken]").value;
    const answer = await fetch(this.panel.dataset.ticket, { method: "POST", headers: { "X-CSRFToken": token } });
    if (!answer.ok) throw new Error(answer.status === 403 ? "You may not call this server from here." : "Reload the page and log in again.");
    return (this.held = (await answer.json()).ticket);
  }

  // In the era that the server speaks.
  speak({ dataset }) {
    this.spoken = JSON.stringify([dataset.era, dataset.versions]);
    const versions = dataset.versions.split(" ").filter(Boolean);
    this.mcp = new Mcp(dataset.url, PROTOCOL, dataset.era === "legacy" ? [] : versions, (fresh) => this.ticket(fresh));
  }

  // Keeps what was typed: the form is drawn again only if its tool has changed.
  taken(fresh) {
    const next = fresh.querySelector("[data-try]");
    if (next && !this.abort && JSON.stringify([next.dataset.era, next.dataset.versions]) !== this.spoken) {
      this.mcp.end();
      this.speak(next);
    }
    const listed = discovered();
    if (JSON.stringify(listed) === JSON.stringify(this.listed)) return;
    const [chosen, before] = [this.tool.value, this.schemaOf(this.tool.value)];
    this.listed = listed;
    this.offer(listed);
    if (!this.tools.has(chosen)) return this.draw(true);
    this.tool.value = chosen;
    if (this.schemaOf(chosen) !== before) this.draw();
  }

  schemaOf(name) {
    return JSON.stringify(this.tools.get(name)?.inputSchema);
  }

  offer(tools) {
    this.tools = new Map(tools.map((tool) => [tool.name, tool]));
    this.tool.replaceChildren(...[...this.tools.keys()].map((name) => new Option(name, name)));
    this.call.disabled = !this.tools.size || Boolean(this.abort);
  }

  choose(name, go = false) {
    if (!this.tools.has(name)) return;
    this.tool.value = name;
    this.draw(true);
    if (!go) return;
    history.replaceState(null, "", `#tool=${encodeURIComponent(name)}`);
    this.panel.scrollIntoView({ block: "nearest" });
    (this.fields.querySelector("input, select, textarea") ?? this.call).focus();
  }

  draw(anew = false) {
    const schema = this.tools.get(this.tool.value)?.inputSchema ?? {};
    let values = {};
    try {
      if (!anew) values = this.arguments.typed();
    } catch {
      // what could not be read stays behind
    }
    this.arguments = this.raw.checked ? new RawForm(this.fields, values) : new SchemaForm(this.fields, schema);
    if (!this.raw.checked && !anew) this.arguments.fill(values);
    if (anew) this.show("", "", []);
  }

  async ask() {
    await this.during("Listing", async (signal) => {
      const tools = await this.mcp.tools(LONGEST_LIST, { signal });
      const chosen = this.tool.value;
      this.offer(tools);
      this.choose(this.tools.has(chosen) ? chosen : this.tool.value);
      return ["green", `The server lists ${tools.length} ${tools.length === 1 ? "tool" : "tools"} for you`, []];
    });
  }

  async run() {
    let given;
    try {
      given = this.arguments.values();
    } catch (error) {
      return this.show("amber", error.message, []);
    }
    const name = this.tool.value;
    const mirrored = mirroredBy(this.tools.get(name).inputSchema, given);
    const notes = make("ul", { className: "mh-rows mh-sub" });
    await this.during("Calling", async (signal) => {
      this.result.replaceChildren(notes);
      const heard = (message) => this.heard(message, notes);
      const result = await this.mcp.request("tools/call", { name, arguments: given }, { signal, mirrored, heard });
      const words = result.isError ? "The tool reports an error" : result.resultType === "input_required" ? "The tool requests input" : "Answered";
      return [result.isError ? "red" : "green", words, [notes, ...shownResult(result)]];
    });
  }

  heard({ method, params }, notes) {
    const said = {
      "notifications/progress": () => `Progress ${params.progress}${params.total ? ` of ${params.total}` : ""} ${params.message ?? ""}`,
      "notifications/message": () => `${params.level}: ${typeof params.data === "string" ? params.data : pretty(params.data)}`,
    }[method];
    if (said && notes.children.length < 200) notes.append(make("li", {}, said()));
  }

  // Runs one exchange: shows its time, enables the button Cancel, and shows the outcome.
  async during(doing, work) {
    if (this.abort) return;
    const began = performance.now();
    this.abort = new AbortController();
    this.busy(true);
    const took = () => `${Math.round(performance.now() - began).toLocaleString("en")} ms`;
    const clock = setInterval(() => { this.outcome.textContent = `${doing} ${took()}`; }, 1000);
    this.show("blue", doing, []);
    try {
      const [tone, words, parts] = await work(this.abort.signal);
      this.show(tone, `${words} in ${took()}.`, parts);
    } catch (error) {
      this.show(...this.failure(error, took()));
    }
    clearInterval(clock);
    this.abort = null;
    this.busy(false);
  }

  failure(error, took) {
    if (this.abort.signal.aborted) return ["grey", `Cancelled after ${took}.`, []];
    if (!(error instanceof RpcError)) return ["red", `${error.message} (${took})`, []];
    const more = error.data === undefined ? [] : [text(pretty(error.data))];
    return ["red", `Error ${error.code} after ${took}: ${error.message}`, more];
  }

  busy(yes) {
    this.call.disabled = this.list.disabled = yes;
    this.cancel.hidden = !yes;
    this.panel.setAttribute("aria-busy", String(yes));
    if (yes) this.cancel.focus();
    else if (document.activeElement === document.body) this.call.focus();
  }

  show(tone, words, parts) {
    this.outcome.textContent = words;
    this.outcome.dataset.tone = tone;
    this.result.replaceChildren(...parts);
  }
}

// The tools as the page lists them, but for those that the policy denies.
function discovered() {
  return [...document.querySelectorAll("[data-tool]:has([data-try-this])")].map((row) => ({
    name: row.dataset.tool, inputSchema: JSON.parse(row.querySelector("[data-schema]").textContent),
  }));
}

function inAddress() {
  return decodeURIComponent(location.hash.match(/^#tool=(.*)/)?.[1] ?? "");
}

function sift(list) {
  const sought = list.querySelector("[data-tool-search]")?.value.toLowerCase();
  if (sought === undefined) return;
  const rows = [...list.querySelectorAll("[data-tool]")];
  rows.forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(sought); });
  list.querySelector("[data-tool-none]").hidden = rows.some((row) => !row.hidden);
}

// Adds the panel once the server serves. An existing panel is not replaced: somebody may be typing in it.
function panelOf(fresh) {
  const next = fresh.querySelector("[data-try]");
  if (!next || document.querySelector("[data-try]")) return;
  const panel = document.importNode(next, true);
  document.getElementById("try").replaceWith(panel);
  new Panel(panel);
}

for (const list of document.querySelectorAll("[data-tools]")) {
  list.addEventListener("input", () => sift(list));
  document.addEventListener("page-taken", () => sift(list));
}
document.addEventListener("page-taken", ({ detail }) => panelOf(detail));
document.querySelectorAll("[data-try]").forEach((panel) => new Panel(panel));
