// A small MCP client over Streamable HTTP, of both protocol eras: the legacy one with a session, the modern one with
// an envelope in each request.
const CLIENT = { name: "mcphost-console", version: "1" };
const MOST_PAGES = 100;

export class RpcError extends Error {
  constructor({ code, message, data }) {
    super(message);
    Object.assign(this, { code, data });
  }
}

export class Mcp {
  // `protocol`: the constants of MCP, which the page brings (bridge/protocol.json); `versions`: what the server speaks,
  // newest first; `ticket()` gives a bearer token, a new one with `true`.
  constructor(url, protocol, versions, ticket) {
    Object.assign(this, { url, protocol, ticket });
    this.modern = versions.find((version) => version >= protocol.modern_versions[0]) ?? "";
    this.session = null;
    this.next = 1;
  }

  // The result. `mirrored`: headers that repeat arguments; `heard(notification)` while it works.
  async request(method, params, { signal, heard, mirrored } = {}) {
    if (!this.modern && !this.session) await this.initialize(signal);
    return this.ask(method, params, { signal, heard, mirrored });
  }

  // Its tools, each once. A list ends without a cursor ("" is one), when a cursor comes again, when a page holds nothing
  // new, and where a server that ended with "" does not know that cursor.
  async tools(most, options) {
    const found = new Map();
    const cursors = [];
    do {
      const asked = cursors.length ? { cursor: cursors.at(-1) } : {};
      const page = await this.request("tools/list", asked, options).catch((error) => {
        if (asked.cursor === "" && error instanceof RpcError) return { tools: [] };
        throw error;
      });
      const known = found.size;
      const listed = page.tools ?? [];
      for (const tool of listed) if (!found.has(tool.name)) found.set(tool.name, tool);
      if (listed.length && found.size === known) break;
      if (typeof page.nextCursor !== "string" || cursors.includes(page.nextCursor)) break;
      cursors.push(page.nextCursor);
    } while (found.size < most && cursors.length < MOST_PAGES);
    return [...found.values()];
  }

  async initialize(signal) {
    const newest = this.protocol.legacy_versions.at(-1);
    this.session = { version: newest };
    try {
      const offer = { protocolVersion: newest, capabilities: {}, clientInfo: CLIENT };
      const hello = await this.ask("initialize", offer, { signal });
      this.session.version = hello.protocolVersion;
      await this.notify("notifications/initialized", {});
    } catch (error) {
      this.session = null;
      throw error;
    }
  }

  async ask(method, params, { signal, heard, mirrored }) {
    const id = this.next++;
    const progress = heard && method !== "initialize" ? { progressToken: id } : {};
    const message = { jsonrpc: "2.0", id, method, params: this.framed(params, progress) };
    const stop = () => this.cancel(id);
    signal?.addEventListener("abort", stop);
    try {
      const response = await this.post(message, mirrored, signal);
      const opened = response.headers.get(this.protocol.headers.session);
      if (opened && this.session) this.session.id = opened;
      if (response.status === 404 && !this.modern && this.session?.id && method !== "initialize") this.session = null;
      const answer = await answerTo(id, response, heard);
      if (answer.error) throw new RpcError(answer.error);
      return answer.result;
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  // A closed connection cancels in the newer era; the older one wants to be told.
  cancel(requestId) {
    if (!this.modern) this.notify("notifications/cancelled", { requestId, reason: "Cancelled in the console" }).catch(() => {});
  }

  async notify(method, params) {
    const response = await this.post({ jsonrpc: "2.0", method, params });
    if (!response.ok) throw new Error(`The server answered HTTP ${response.status} to ${method}.`);
  }

  async end() {
    if (!this.session?.id) return;
    const headers = await this.headers({ method: "" }, {});
    this.session = null;
    await fetch(this.url, { method: "DELETE", headers }).catch(() => {});
  }

  async post(message, mirrored = {}, signal = undefined, again = true) {
    const headers = await this.headers(message, mirrored);
    const body = JSON.stringify(message);
    const response = await fetch(this.url, { method: "POST", headers, body, signal, credentials: "omit", redirect: "error" });
    if (response.status !== 401 || !again) return response;
    await this.ticket(true);
    return this.post(message, mirrored, signal, false);
  }

  async headers(message, mirrored) {
    const { headers: names, named } = this.protocol;
    const plain = {
      Authorization: `Bearer ${await this.ticket()}`,
      "Content-Type": "application/json",
      Accept: "application/json, text/event-stream",
    };
    if (!this.modern) {
      if (this.session?.id) plain[names.session] = this.session.id;
      if (message.method !== "initialize" && this.session) plain[names.version] = this.session.version;
      return plain;
    }
    const name = message.params?.[named[message.method]];
    const repeated = name === undefined ? {} : { [names.name]: written(name) };
    return { ...plain, [names.version]: this.modern, [names.method]: message.method, ...repeated, ...mirrored };
  }

  framed(params, progress) {
    if (!this.modern) return Object.keys(progress).length ? { ...params, _meta: progress } : params;
    const keys = this.protocol.meta;
    const meta = { [keys.version]: this.modern, [keys.client]: CLIENT, [keys.capabilities]: {} };
    return { ...params, _meta: { ...meta, ...progress } };
  }
}

// Headers that repeat arguments (2026-07-28, "Custom headers").
export function mirroredBy(schema, values) {
  const found = {};
  for (const [key, inner] of Object.entries(schema?.properties ?? {})) {
    const value = values?.[key];
    if (inner?.["x-mcp-header"] && ["string", "number", "boolean"].includes(typeof value)) {
      found[`Mcp-Param-${inner["x-mcp-header"]}`] = written(String(value));
    }
    if (inner?.properties) Object.assign(found, mirroredBy(inner, value));
  }
  return found;
}

// As a header takes it: what is not plain ASCII in base64.
export function written(value) {
  if (/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(value) && !value.startsWith("=?base64?")) return value;
  return `=?base64?${btoa(String.fromCharCode(...new TextEncoder().encode(value)))}?=`;
}

async function answerTo(id, response, heard) {
  const kind = (response.headers.get("content-type") ?? "").split(";")[0].trim();
  if (kind === "text/event-stream") return fromEvents(id, response, heard);
  const body = await response.text();
  try {
    const answer = JSON.parse(body);
    if (answer.result !== undefined || answer.error) return answer;
  } catch {
    // said below
  }
  throw new Error(`The server answered HTTP ${response.status}${kind ? `, ${kind}` : ""}, which is not MCP.`);
}

async function fromEvents(id, response, heard) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const splitter = new EventSplitter();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("The stream ended without an answer.");
    for (const data of splitter.feed(value)) {
      if (!data.trim()) continue;
      const message = JSON.parse(data);
      if (message.id === id && !message.method) {
        reader.cancel().catch(() => {});
        return message;
      }
      if (message.method && heard) heard(message);
    }
  }
}

// Cuts an event stream as the WHATWG's HTML says ("Parsing an event stream"; the twin of bridge/event_stream.py). `feed`
// gives the data of the events that a piece completes. TextDecoderStream has taken the byte order mark.
export class EventSplitter {
  line = [];
  data = [];
  afterCr = false;

  *feed(piece) {
    // An LF here is the second half of a CRLF that was cut in two.
    const text = this.afterCr && piece.startsWith("\n") ? piece.slice(1) : piece;
    if (piece) this.afterCr = piece.endsWith("\r");
    const [rest, ...lines] = text.split(/\r\n|\n|\r/);
    this.line.push(rest);
    for (const next of lines) {
      yield* this.ended(this.line.join(""));
      this.line = [next];
    }
  }

  *ended(line) {
    if (line.startsWith("data:")) this.data.push(line.slice(5).replace(/^ /, ""));
    else if (line === "data") this.data.push("");
    else if (line === "" && this.data.length) yield this.data.splice(0).join("\n");
  }
}
