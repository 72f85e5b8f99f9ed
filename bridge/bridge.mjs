// Serves a stdio MCP server over Streamable HTTP: the same program as the Python bridge, for images that have only
// Node. It needs Node 18 or later and protocol.json beside it. It has the same arguments and the same behaviour: one
// test suite runs against both. The reasons are in docs/design/bridge.md.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { lstatSync, readFileSync, unlinkSync } from "node:fs";
import http from "node:http";
import { constants } from "node:os";
import { parseArgs } from "node:util";

const STOPPED = "server was ended: it was stopped or deployed anew while it answered";
const HEALTH_PATH = "/.bridge/healthz";
const KEEP_ALIVE_MS = 15_000;
const COMMIT_MS = 1_000; // of silence, before a session's answer becomes a stream
const CANCEL_MS = 2_000; // for the server to answer a cancelled request itself
const ROOM_MS = 5_000; // after which a client may ask again, when every session is in use
const SESSION_PATIENCE_MS = 30_000; // with a client that takes nothing, while the server waits
const SHARED_PATIENCE_MS = 2_000;
const [EOF_MS, CLOSE_MS, TERM_MS] = [500, 2_000, 2_000];
const HIGH_WATER = 1 << 20;
const [REPLAY_EVENTS, REPLAY_BYTES] = [1000, 2 << 20]; // or one event
const MAX_LINE_BYTES = 64 << 20;
const MAX_UNREAD_BYTES = 32 << 20; // that may wait for the server to read them

const PROTOCOL = JSON.parse(readFileSync(new URL("protocol.json", import.meta.url), "utf8"));
const { meta: META, headers: HEADERS, named: NAMED, errors: ERRORS } = PROTOCOL;
const [LEGACY_VERSIONS, PRIMED_VERSIONS] = [PROTOCOL.legacy_versions, PROTOCOL.primed_versions];
const HTTP_STATUS = Object.fromEntries(Object.entries(PROTOCOL.statuses).map(([name, status]) => [ERRORS[name], status]));
const [EITHER, JSON_ONLY, EVENTS_ONLY] = ["either", "json", "events"]; // forms of an answer
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

process.stderr.on("error", () => {}); // whoever read the log is gone: no reason to stop serving
const log = (text) => process.stderr.write(`bridge: ${text}\n`);
const quote = (text) => text.slice(0, 500).replace(/\p{C}/gu, " ");

// JSON-RPC.

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isId = (value) => typeof value === "string" || Number.isInteger(value);
const isRequest = (message) => typeof message.method === "string" && isId(message.id);
const isNotification = (message) => typeof message.method === "string" && !("id" in message);
const isResponse = (message) => !("method" in message) && ("result" in message || "error" in message);
const isMessage = (value) =>
  isObject(value) && value.jsonrpc === "2.0" && (isRequest(value) || isNotification(value) || isResponse(value));
const params = (message) => (isObject(message.params) ? message.params : {});
const meta = (message) => (isObject(params(message)._meta) ? params(message)._meta : {});
const NUMBER = /^(-?\d{1,18})(?:\.0+)?$/;

/** The same id in the other type: "1" for 1, and 1 for "1". Some servers answer with "1" to 1. */
function inOtherType(id) {
  if (typeof id === "number") return String(id);
  const number = typeof id === "string" ? NUMBER.exec(id)?.[1] : undefined;
  return number === undefined ? undefined : Number(number);
}

const refersTo = (named, id) => isId(id) && (named === id || inOtherType(named) === id);
const rpcError = (code, message, id = null) => JSON.stringify({ jsonrpc: "2.0", id, error: { code, message } });
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function progressToken(message) {
  const token = meta(message).progressToken;
  return isId(token) ? token : undefined;
}

/**
 * The JSON text with the values at some paths replaced; the rest stays unchanged, because numbers above 2^53 would
 * change if they were parsed and written again. `edits` is a list of pairs of a path and a JSON text.
 */
function splice(text, edits) {
  const spans = [];
  walkObject(text, skipSpace(text, 0), edits, spans);
  let result = "";
  let end = 0;
  for (const [from, to, value] of spans) {
    result += text.slice(end, from) + value;
    end = to;
  }
  return result + text.slice(end);
}

function walkObject(text, at, edits, spans) {
  at = skipSpace(text, at + 1);
  while (text[at] === '"') {
    const colon = skipString(text, at);
    const key = JSON.parse(text.slice(at, colon));
    const from = skipSpace(text, skipSpace(text, colon) + 1);
    const inner = edits.filter(([path]) => path[0] === key).map(([path, value]) => [path.slice(1), value]);
    const here = inner.find(([path]) => path.length === 0);
    const nested = inner.length > 0 && !here && text[from] === "{";
    const to = nested ? walkObject(text, from, inner, spans) : skipValue(text, from);
    if (here) spans.push([from, to, here[1]]);
    at = skipSpace(text, to);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return at + 1;
}

function skipSpace(text, at) {
  while (" \t\r\n".includes(text[at]) && at < text.length) at += 1;
  return at;
}

function skipString(text, at) {
  for (at += 1; at < text.length && text[at] !== '"'; at += 1) if (text[at] === "\\") at += 1;
  return at + 1;
}

function skipValue(text, at) {
  let depth = 0;
  do {
    const character = text[at];
    if (character === '"') {
      at = skipString(text, at);
      continue;
    }
    if ((character === "}" || character === "]" || character === ",") && depth === 0) return at;
    if (character === "{" || character === "[") depth += 1;
    if (character === "}" || character === "]") depth -= 1;
    at += 1;
  } while (at < text.length);
  return at;
}

// The messages that a server writes to its stdout.

const LOOKED_AT = 64 << 10; // characters at the head of what cannot be read, for whose answer it is
const TAIL = 4 << 10; // and at its end
const MAX_LINES_LENGTH = 8 << 20; // of one message over several lines
const NOT_JSON = "server answered with a line that is not JSON";
const NEITHER = "server answered with neither a result nor an error";
const UNASKED = "server answered with an id that no request has";
const ANSWER = new Set(["jsonrpc", "id", "result", "error"]);
const STRING = String.raw`"[^"\\]*(?:\\[^][^"\\]*)*"`;
const TOKEN = new RegExp(String.raw`(${STRING})(\s*:)?|[{}[\]]|"`, "g");
const ID_AT = new RegExp(String.raw`\s*(${STRING}|-?\d+(?:\.\d+)?)(?=\s*[,}]|\s*$)`, "y");
const LAST_ID = new RegExp(String.raw`"id"\s*:\s*(${STRING}|-?\d+(?:\.\d+)?)\s*\}\s*$`);
const ODD_ID = /"id"\s*:\s*-?\d+[.eE]/; // 1.0 is 1 to JavaScript, and not to every client
const lenientUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Reads the lines of one process. A line that is correct JSON-RPC is passed on unchanged. An incorrect one with a
 * clear meaning is repaired. An answer that cannot be read becomes an error with the same id. Anything else goes to
 * the log. Each kind of repair is logged once, without any content.
 */
class Reader {
  told = new Set();
  lines = []; // of a message that goes over several
  depth = 0;

  /** The messages of a line, as a list of `{ text, message }`. `line`: bytes without a line end, not empty. */
  read(line) {
    let text;
    let message;
    try {
      text = utf8.decode(line).trim();
      message = JSON.parse(text);
    } catch {
      return this.mended(line);
    }
    if (isMessage(message) && !("result" in message && "error" in message)) {
      this.lines = [];
      return [{ text: this.withPlainId(text, message), message }];
    }
    return this.continued(text) ?? this.meant(text, message, text);
  }

  /** The message for a line that was too long to keep, given its start, its end and its size. */
  tooLong(head, tail, size) {
    const why = `server answered with a line of ${size} bytes, which is too long`;
    log(`a line of ${size} bytes on the server's stdout was dropped`);
    const refused = refusedAnswer(lenientUtf8.decode(head).trim(), lenientUtf8.decode(tail), why);
    return refused ? [refused] : [];
  }

  withPlainId(text, message) {
    if (typeof message.id !== "number") return text;
    if (!ODD_ID.test(text.slice(0, 200)) && !ODD_ID.test(text.slice(-200))) return text;
    return splice(text, [[["id"], String(message.id)]]);
  }

  mended(line) {
    const whole = lenientUtf8.decode(line).trim();
    const text = whole.replace(/^[\uFEFF \t]+/, "");
    const found = this.continued(text);
    if (found) return found;
    if (text === "{") {
      [this.lines, this.depth] = [[text], 1];
      return [];
    }
    if (!/^[{[]/.test(text)) {
      notAMessage(text);
      return [];
    }
    if (line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf) this.tell("a byte order mark, which is left out");
    if (!isUtf8(line)) this.tell("bytes that are not UTF-8, each passed on as U+FFFD");
    return this.values(text);
  }

  /** The messages of all JSON values on a line: two threads may have written at the same time. */
  values(text) {
    const found = [];
    for (let at = 0; at < text.length; at = skipSpace(text, at)) {
      const end = valueEnd(text, at);
      const held = text.slice(at, end);
      const read = this.parsed(held);
      if (!read) {
        const refused = refusedAnswer(text.slice(at, at + LOOKED_AT), text.slice(-TAIL), NOT_JSON);
        if (refused) {
          this.tell("a line that is not JSON in the place of an answer, which became an error");
          found.push(refused);
        } else if (!found.length) notAMessage(text);
        break;
      }
      found.push(...this.meant(read.text, read.value, text));
      at = end;
    }
    return found;
  }

  /** Parses JSON, and text that some writers take for JSON, after a repair. */
  parsed(held) {
    try {
      return { text: held, value: JSON.parse(held) };
    } catch {
      // a repair may help
    }
    try {
      const { text, constants } = withoutConstants(held);
      const value = JSON.parse(text);
      if (constants) this.tell("NaN or Infinity, which are not JSON, each passed on as null");
      return { text, value };
    } catch {
      return undefined;
    }
  }

  /** Takes the next line of a message over several lines: [] until it is complete; undefined where none is open. */
  continued(text) {
    if (!this.lines.length) return undefined;
    this.lines.push(text);
    this.depth += depthOf(text);
    if (this.lines.reduce((sum, each) => sum + each.length, 0) > MAX_LINES_LENGTH) {
      this.lines = [];
      return undefined;
    }
    if (this.depth > 0) return [];
    const whole = this.lines.join(" ");
    this.lines = [];
    this.tell("a message over several lines");
    return this.values(whole);
  }

  /** The messages in a JSON value that is no JSON-RPC message as it is. */
  meant(text, value, line) {
    if (Array.isArray(value) && value.some(isObject)) {
      this.tell("an array of messages, which are passed on one by one");
      return elements(text).flatMap((each, at) => (isObject(value[at]) ? this.meant(each, value[at], line) : []));
    }
    const said = isObject(value) ? this.asMessage(text, value) : undefined;
    if (said) return [said];
    notAMessage(line);
    return [];
  }

  asMessage(text, value) {
    let known = text;
    if (value.jsonrpc !== "2.0") {
      if (!isPlainlyAnAnswer(value)) return undefined;
      this.tell('an answer without "jsonrpc": "2.0", which is added');
      known = withMember(without(known, value, "jsonrpc"), '"jsonrpc":"2.0"');
    }
    if ("method" in value && "id" in value && value.id === null) {
      this.tell("a notification with the id null, which is left out");
      known = without(known, value, "id");
    } else if (!("method" in value) && "result" in value && "error" in value) {
      this.tell("a result and an error in one answer, of which one is left out");
      known = without(known, value, value.error === null ? "error" : "result");
    } else if (!("method" in value || "result" in value || "error" in value) && isId(value.id)) {
      this.tell("an answer with neither a result nor an error, which became an error");
      known = rpcError(ERRORS.internal_error, NEITHER, value.id);
    }
    const message = JSON.parse(known);
    return isMessage(message) ? { text: this.withPlainId(known, message), message } : undefined;
  }

  tell(fault) {
    if (this.told.has(fault)) return;
    this.told.add(fault);
    log(`the server writes ${fault}`);
  }
}

/** Whether an object is an answer that lacks "jsonrpc", and not a line of a structured log. */
function isPlainlyAnAnswer(value) {
  const means = isObject(value.result) || (isObject(value.error) && "message" in value.error);
  return means && isId(value.id) && Object.keys(value).every((name) => ANSWER.has(name));
}

/** An error with the id of an unreadable answer; undefined where the text seems to be no answer. */
function refusedAnswer(head, tail, why) {
  const named = namedIn(head);
  if (named.has("method") || !(named.has("result") || named.has("error"))) return undefined;
  const found = named.get("id") ?? LAST_ID.exec(tail)?.[1];
  const id = found === undefined ? undefined : JSON.parse(withoutConstants(found).text);
  if (!isId(id)) return undefined;
  const text = rpcError(ERRORS.internal_error, why, id);
  return { text, message: JSON.parse(text) };
}

/** The keys of an object that may be broken JSON, up to the place where it breaks; for "id" also its value. */
function namedIn(text) {
  const found = new Map();
  let depth = 0;
  for (const token of text.matchAll(TOKEN)) {
    if (token[0] === '"') break; // a string that does not end: what follows may be its content
    if (token[0] === "{" || token[0] === "[") depth += 1;
    else if (token[0] === "}" || token[0] === "]") depth -= 1;
    else if (token[2] && depth === 1) {
      const name = token[1].slice(1, -1);
      ID_AT.lastIndex = token.index + token[0].length;
      if (!found.has(name)) found.set(name, name === "id" ? ID_AT.exec(text)?.[1] : undefined);
    }
  }
  return found;
}

/** The number of objects and lists that the text opens less those that it closes. */
function depthOf(text) {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '"') at = skipString(text, at) - 1;
    else if (text[at] === "{" || text[at] === "[") depth += 1;
    else if (text[at] === "}" || text[at] === "]") depth -= 1;
  }
  return depth;
}

function isUtf8(line) {
  try {
    utf8.decode(line);
    return true;
  } catch {
    return false;
  }
}

/** The text with control characters in strings escaped; NaN and infinities outside of strings become null. */
function withoutConstants(text) {
  const parts = [];
  let constants = false;
  for (let at = 0; at < text.length; ) {
    const quoted = text.indexOf('"', at);
    const outside = text.slice(at, quoted < 0 ? text.length : quoted);
    const plain = outside.replace(/-?Infinity|NaN/g, "null");
    constants ||= plain !== outside;
    parts.push(plain);
    if (quoted < 0) break;
    const end = Math.min(skipString(text, quoted), text.length);
    parts.push(text.slice(quoted, end).replace(/[\u0000-\u001f]/g, escapedControl));
    at = end;
  }
  return { text: parts.join(""), constants };
}

const escapedControl = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** The end of the value that begins here: after its last bracket, or at the end of the text without one. */
function valueEnd(text, at) {
  for (let depth = 0; at < text.length; at += 1) {
    if (text[at] === '"') at = skipString(text, at) - 1;
    else if (text[at] === "{" || text[at] === "[") depth += 1;
    else if ((text[at] === "}" || text[at] === "]") && (depth -= 1) <= 0) return at + 1;
  }
  return text.length;
}

/** The texts of the values in a list. */
function elements(text) {
  const found = [];
  let at = skipSpace(text, 1);
  while (at < text.length && text[at] !== "]") {
    const end = skipValue(text, at);
    found.push(text.slice(at, end).trim());
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return found;
}

/** The text of an object without one of its members; the others stay unchanged. */
function without(text, value, name) {
  if (!(name in value)) return text;
  const members = memberTexts(text).filter((member) => JSON.parse(member.slice(0, skipString(member, 0))) !== name);
  return `{${members.join(",")}}`;
}

const withMember = (text, member) => `{${[...memberTexts(text), member].join(",")}}`;

function memberTexts(text) {
  const found = [];
  let at = skipSpace(text, skipSpace(text, 0) + 1);
  while (text[at] === '"') {
    const from = skipSpace(text, skipSpace(text, skipString(text, at)) + 1);
    const end = skipValue(text, from);
    found.push(text.slice(at, end).trim());
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return found;
}

// The calls that wait for an answer, and to which of them an answer of the server belongs.

class OpenCalls {
  calls = new Map();
  answered = []; // ids of the last that were answered: to some an answer comes twice
  abandoned = []; // and of those that nobody waits for any more: theirs comes late
  notes = 0;

  get size() {
    return this.calls.size;
  }

  all() {
    return [...this.calls.values()];
  }

  has(id) {
    return this.calls.has(id);
  }

  add(id, call) {
    this.calls.set(id, call);
  }

  get(id) {
    return this.calls.get(id) ?? this.calls.get(inOtherType(id));
  }

  /** Removes a call. True where it was open. `answered` means that the server itself has answered it. */
  close(id, { answered = false } = {}) {
    if (!this.calls.delete(id)) return false;
    const [closed, most] = answered ? [this.answered, 64] : [this.abandoned, 4096];
    closed.push(id);
    if (closed.length > most) closed.shift();
    return true;
  }

  /** Counts a notification that was sent: some servers answer notifications too. */
  notificationSent() {
    this.notes += 1;
  }

  /** The call that a response belongs to, and why the response cannot be passed on. */
  answeredBy({ id, error }) {
    const call = this.get(id);
    if (call) {
      this.notes = 0; // before it they were read
      return { call };
    }
    if ([id, inOtherType(id)].some((each) => this.answered.includes(each) || this.abandoned.includes(each))) return {};
    if (this.notes) {
      this.notes -= 1;
      return {};
    }
    // No request has this id. Where one call is open, the answer is for that one. An error without an id says that
    // the server could not read the request (JSON-RPC 2.0, section 5).
    if (this.size === 1) return { call: this.all()[0], fault: (id ?? null) === null && isObject(error) ? undefined : UNASKED };
    log("an answer of the server has an id that no request has: dropped");
    return {};
  }
}

// Queues of messages to a client.

class Signal {
  set() {
    this.resolve?.();
  }

  async wait(milliseconds) {
    let timer;
    await new Promise((resolve) => {
      this.resolve = resolve;
      timer = setTimeout(resolve, milliseconds);
    });
    clearTimeout(timer);
  }
}

class ReplayLog {
  entries = [];
  bytes = 0;

  add(stream, event) {
    this.entries.push({ stream, event });
    this.bytes += event.data.length;
    while (this.entries.length > 1 && (this.bytes > REPLAY_BYTES || this.entries.length > REPLAY_EVENTS)) {
      this.bytes -= this.entries.shift().event.data.length;
    }
  }

  after(stream, number) {
    return this.entries.filter((entry) => entry.stream === stream && entry.event.number > number)
      .map((entry) => entry.event);
  }
}

/** The messages of one call, or of the GET stream of a session. At most one client is attached. */
class Stream {
  ended = false;
  client = undefined;
  committed = false;
  waiting = [];
  waitingBytes = 0;
  pushed = 0;
  taken = 0;
  arrival = new Signal();
  space = new Signal();

  constructor(number = 0, replayLog = undefined) {
    this.number = number;
    this.log = replayLog;
  }

  get full() {
    return this.client !== undefined && this.waitingBytes >= HIGH_WATER;
  }

  eventId(number) {
    return this.committed && this.log ? `${this.number}-${number}` : undefined;
  }

  attach(client, after = this.taken) {
    this.client = client;
    if (this.log && this.committed) this.refill(this.log.after(this.number, after));
    this.arrival.set();
  }

  detach(client) {
    if (this.client !== client) return;
    this.client = undefined;
    this.refill([]);
    this.arrival.set();
  }

  disconnect() {
    const client = this.client;
    if (!client) return;
    this.detach(client);
    client.abort();
  }

  commit() {
    if (this.log && !this.committed) for (const event of this.waiting) this.log.add(this.number, event);
    this.committed = true;
  }

  push(data, { final = false, status = 200 } = {}) {
    if (this.ended) return;
    this.pushed += 1;
    this.ended = final;
    const event = { number: this.pushed, data, final, status };
    if (this.log && this.committed) this.log.add(this.number, event);
    if (this.client) {
      this.waiting.push(event);
      this.waitingBytes += data.length;
    }
    this.arrival.set();
  }

  end() {
    this.ended = true;
    this.arrival.set();
  }

  async next(client, milliseconds) {
    if (this.client === client && !this.waiting.length && !this.ended) await this.arrival.wait(milliseconds);
    if (this.client !== client || !this.waiting.length) return undefined;
    const event = this.waiting.shift();
    this.waitingBytes -= event.data.length;
    this.taken = event.number;
    if (!this.full) this.space.set();
    return event;
  }

  putBack(event) {
    this.waiting.unshift(event);
    this.waitingBytes += event.data.length;
    this.taken = event.number - 1;
  }

  async waitForRoom(milliseconds) {
    if (this.full) await this.space.wait(milliseconds);
    return !this.full;
  }

  refill(events) {
    this.waiting = events;
    this.waitingBytes = events.reduce((sum, event) => sum + event.data.length, 0);
    this.space.set();
  }
}

/** One request and its response. */
class Exchange {
  constructor(request, response) {
    this.request = request;
    this.response = response;
    response.on("drain", () => this.wake?.());
    response.on("close", () => {
      this.wake?.();
      this.onGone?.();
    });
  }

  /** Calls `onGone` when the client leaves, or now if it has left. */
  watch(onGone) {
    this.onGone = onGone;
    if (this.response.closed) onGone?.();
  }

  header(name) {
    return this.request.headers[name];
  }

  repeats(name) {
    return this.request.rawHeaders.filter((value, at) => at % 2 === 0 && value.toLowerCase() === name).length > 1;
  }

  abort() {
    this.response.destroy();
  }

  respond(status, body = "", headers = {}) {
    const type = body ? { "Content-Type": "application/json" } : {};
    this.response.writeHead(status, { ...type, ...headers, "Content-Length": Buffer.byteLength(body) });
    this.response.end(body);
  }

  startEvents(headers) {
    this.response.writeHead(200, {
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-cache, no-transform",
      "X-Accel-Buffering": "no",
      ...headers,
    });
  }

  async write(text) {
    if (this.response.destroyed || this.response.write(text)) return;
    await new Promise((resolve) => (this.wake = resolve));
  }

  sendEvent(data, id) {
    const label = id ? `id: ${id}\n` : "";
    return this.write(`event: message\n${label}data: ${data.replaceAll("\r", " ")}\n\n`);
  }
}

/**
 * Answers with JSON when the response is the first message, else with an event stream. `form` limits this to one
 * of them.
 */
async function answer(exchange, stream, { headers = {}, commitMs = KEEP_ALIVE_MS, prime = false, form = EITHER } = {}) {
  if (form === JSON_ONLY) {
    await answerOnce(exchange, stream, headers);
    return;
  }
  const first = form === EITHER ? await stream.next(exchange, commitMs) : undefined;
  if (stream.client !== exchange) return;
  if (first?.final) {
    exchange.respond(first.status, first.data, headers);
    return;
  }
  if (first) stream.putBack(first);
  stream.commit();
  await sendEvents(exchange, stream, { headers, prime });
}

/** Waits for the response and answers with JSON. Messages before it have no place in such an answer. */
async function answerOnce(exchange, stream, headers) {
  let event;
  while (stream.client === exchange && !event?.final) {
    event = await stream.next(exchange, KEEP_ALIVE_MS);
    if (!event && stream.ended && stream.client === exchange) {
      exchange.respond(200, rpcError(ERRORS.request_cancelled, "Request cancelled by the server"), headers);
      return;
    }
  }
  if (event) exchange.respond(event.status, event.data, headers);
}

async function sendEvents(exchange, stream, { headers = {}, prime = false } = {}) {
  exchange.startEvents(headers);
  await (prime ? exchange.sendEvent("", stream.eventId(stream.taken)) : exchange.write(": keep-alive\n\n"));
  for (;;) {
    const event = await stream.next(exchange, KEEP_ALIVE_MS);
    if (event) await exchange.sendEvent(event.data, stream.eventId(event.number));
    if (stream.client !== exchange || (event ? event.final : stream.ended)) break;
    if (!event) await exchange.write(": keep-alive\n\n");
  }
  exchange.response.end();
}

// Server processes.

/** A server process in a process group of its own. `onExit` is called once, after its last message. */
class Child {
  partial = [];
  partialBytes = 0;
  tail = Buffer.alloc(0); // of a line that is too long
  isGone = false;
  reader = new Reader();

  /** `onMessage` is called with the text and the value of each message of the server. */
  constructor(command, onMessage, onExit) {
    this.onMessage = onMessage;
    this.onExit = onExit;
    this.gone = new Promise((resolve) => (this.resolveGone = resolve));
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("BRIDGE_")));
    this.process = spawn(command[0], command.slice(1), { detached: true, env, stdio: ["pipe", "pipe", "inherit"] });
    if (!this.process.stdin) throw withoutPipes(this.process);
    this.process.on("error", (error) => this.couldNotStart(command[0], error));
    this.process.on("exit", (code, signal) => this.exited(code ?? -constants.signals[signal]));
    this.process.stdin.on("error", () => {}); // it left while it was written to: its exit tells
    this.process.stdout.on("data", (data) => this.received(data));
    this.process.stdout.on("close", () => this.code !== undefined && this.finish());
  }

  get howItEnded() {
    if (this.code === undefined) return "server was ended";
    return this.code < 0 ? `server was ended by signal ${-this.code}` : `server exited with code ${this.code}`;
  }

  write(text) {
    if (this.code === undefined && this.process.stdin.writable) this.process.stdin.write(`${text}\n`);
  }

  /** Whether too many bytes wait because the server does not read its stdin. */
  get isBehind() {
    return this.process.stdin.writableLength > MAX_UNREAD_BYTES;
  }

  /** Ends the process group: closes stdin, then sends SIGTERM, then SIGKILL. */
  end(closeMs = CLOSE_MS) {
    this.ending ??= this.endInOrder(closeMs);
    return this.ending;
  }

  async endInOrder(closeMs) {
    this.process.stdin.end();
    if (await this.goneWithin(closeMs)) return;
    this.signal("SIGTERM");
    if (await this.goneWithin(TERM_MS)) return;
    this.signal("SIGKILL");
    await this.gone;
  }

  async goneWithin(milliseconds) {
    let timer;
    await Promise.race([this.gone, new Promise((resolve) => (timer = setTimeout(resolve, milliseconds)))]);
    clearTimeout(timer);
    return this.isGone;
  }

  signal(name) {
    try {
      if (this.process.pid) process.kill(-this.process.pid, name);
    } catch {
      // the group is gone
    }
  }

  received(data) {
    let from = 0;
    for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, from)) {
      this.keep(data.subarray(from, at));
      this.emitLine();
      from = at + 1;
    }
    this.keep(data.subarray(from));
  }

  keep(chunk) {
    if (chunk.length && this.partialBytes <= MAX_LINE_BYTES) this.partial.push(chunk);
    else if (chunk.length) this.tail = Buffer.concat([this.tail, chunk]).subarray(-TAIL);
    this.partialBytes += chunk.length;
  }

  emitLine() {
    const [chunks, size, tail] = [this.partial, this.partialBytes, this.tail];
    [this.partial, this.partialBytes, this.tail] = [[], 0, Buffer.alloc(0)];
    const line = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    for (const { text, message } of this.messagesIn(line, tail, size)) this.onMessage(text, message);
  }

  messagesIn(line, tail, size) {
    if (size > MAX_LINE_BYTES) {
      return this.reader.tooLong(line.subarray(0, LOOKED_AT), Buffer.concat([line.subarray(-TAIL), tail]), size);
    }
    return line.toString("latin1").trim() === "" ? [] : this.reader.read(line);
  }

  couldNotStart(program, error) {
    if (this.process.pid) return;
    const missing = error.code === "ENOENT";
    log(missing ? `command not found: ${program}` : `cannot start ${program}: ${error.code}`);
    this.exited(missing ? 127 : 126);
  }

  exited(code) {
    this.code = code;
    this.signal("SIGKILL"); // whatever it left behind in its group
    if (this.process.stdout.destroyed) this.finish();
    else setTimeout(() => this.finish(), EOF_MS);
  }

  finish() {
    if (this.isGone) return;
    if (this.partialBytes) log(`the server's last line on stdout was not finished: ${this.partialBytes} bytes`);
    this.isGone = true;
    this.process.stdout.destroy();
    this.process.stdin.destroy();
    this.resolveGone();
    this.onExit(this);
  }
}

/** For a process that could not start, as no descriptor was free. Its error event must not end the bridge. */
function withoutPipes(made) {
  made.on("error", () => {});
  return Object.assign(new Error("Too many open files"), { code: "EMFILE" });
}

/** The result of `start`. Throws `HttpError` where no process can be created. */
function started(id, start) {
  try {
    return start();
  } catch (error) {
    throw new HttpError(502, `server cannot start: ${error.code ?? error.message}`, { code: ERRORS.server_gone, id });
  }
}

/** Logs a line that is no message. Where it may be one, only its size is logged. */
function notAMessage(line) {
  const shown = /^\uFEFF?\{/.test(line) ? `${Buffer.byteLength(line)} bytes` : quote(line);
  log(`stdout of the server is not JSON-RPC: ${shown}`);
}

/** Pauses a server while one of its clients reads too slowly; disconnects the client when that lasts. */
class Relief {
  busy = false;

  constructor(patienceMs) {
    this.patienceMs = patienceMs;
  }

  async give(stream, child) {
    if (!stream.full || this.busy) return;
    this.busy = true;
    child.process.stdout.pause();
    if (!(await stream.waitForRoom(this.patienceMs))) {
      log("a client that does not take what it is sent was cut off");
      stream.disconnect();
    }
    this.busy = false;
    child.process.stdout.resume();
  }
}

class Backoff {
  failures = 0;
  until = 0;

  failed() {
    this.failures += 1;
    if (this.failures > 1) this.until = Date.now() + Math.min(30_000, 500 * 2 ** Math.min(this.failures - 2, 10));
  }

  succeeded() {
    [this.failures, this.until] = [0, 0];
  }

  get remainingMs() {
    return Math.max(0, this.until - Date.now());
  }
}

// The revisions up to 2025-11-25: one client and one server process; messages stay unchanged.

const QUESTIONS = new Set(["sampling/createMessage", "elicitation/create"]); // a server asks them within a call

class Session {
  id = randomUUID().replaceAll("-", "");
  headers = { "Mcp-Session-Id": this.id };
  version = "";
  answered = false;
  lastUsed = Date.now();
  replayLog = new ReplayLog();
  standing = new Stream(0, this.replayLog);
  calls = new OpenCalls();
  streams = new Map([[0, this.standing]]);
  opened = 0;
  relief = new Relief(SESSION_PATIENCE_MS);

  constructor(command, onEnd) {
    this.onEnd = onEnd;
    this.standing.commit();
    this.child = new Child(command, (text, message) => this.fromServer(text, message), () => this.serverGone());
  }

  get connected() {
    return this.calls.size > 0 || this.standing.client !== undefined;
  }

  get idleMs() {
    return this.connected ? 0 : Date.now() - this.lastUsed;
  }

  end(closeMs, why = "session ended") {
    this.onEnd(this);
    this.failCalls(why);
    this.standing.end();
    return this.child.end(closeMs);
  }

  async call(exchange, text, message) {
    const opening = message.method === "initialize";
    if (this.child.isBehind) throw behind(200, message.id); // status 200: see `failCalls`
    const form = formOf(exchange);
    const call = this.openCall(message, form);
    call.stream.attach(exchange);
    exchange.watch(() => this.clientLeft(call.stream, exchange));
    this.child.write(oneLine(text));
    await answer(exchange, call.stream, {
      headers: this.headers,
      commitMs: opening ? KEEP_ALIVE_MS : COMMIT_MS,
      prime: PRIMED_VERSIONS.includes(opening ? params(message).protocolVersion : this.version),
      form,
    });
    this.clientLeft(call.stream, exchange);
  }

  forward(text, message) {
    this.lastUsed = Date.now();
    if (this.child.isBehind) throw behind(503);
    this.child.write(oneLine(text));
    if (isNotification(message)) this.calls.notificationSent();
    if (message.method !== "notifications/cancelled") return;
    const call = this.calls.get(params(message).requestId);
    if (!call) return;
    call.cancelled = true;
    setTimeout(() => this.answerCancelled(call), CANCEL_MS).unref();
  }

  async listen(exchange, lastEventId) {
    const [, number, after] = /^(\d+)-(\d+)$/.exec(lastEventId ?? "") ?? [];
    const stream = this.streams.get(Number(number ?? 0)) ?? this.finished(Number(number));
    // A new GET stream replaces the one before, whose client may have left without closing it.
    if (number !== undefined) stream.disconnect();
    stream.attach(exchange, after === undefined ? undefined : Number(after));
    exchange.watch(() => this.clientLeft(stream, exchange));
    await sendEvents(exchange, stream, { headers: this.headers });
    this.clientLeft(stream, exchange);
  }

  openCall(message, form) {
    if (this.calls.has(message.id)) {
      throw new HttpError(400, "This id is in use by a request that is not answered yet");
    }
    this.opened += 1;
    const stream = new Stream(this.opened, this.replayLog);
    const call = { id: message.id, stream, token: progressToken(message), takesStream: form !== JSON_ONLY };
    this.calls.add(message.id, call);
    this.streams.set(this.opened, stream);
    return call;
  }

  /** The stream of a call that was answered: the replay log may still have its events. */
  finished(number) {
    const stream = new Stream(number, this.replayLog);
    stream.commit();
    stream.end();
    return stream;
  }

  clientLeft(stream, exchange) {
    exchange.watch(undefined);
    stream.detach(exchange);
    this.lastUsed = Date.now();
  }

  answerCancelled(call) {
    if (this.calls.get(call.id) !== call) return;
    this.closeCall(call);
    call.stream.push(rpcError(ERRORS.request_cancelled, "Request cancelled", call.id), { final: true });
  }

  fromServer(text, message) {
    if (isResponse(message)) {
      this.deliverResponse(text, message);
      return;
    }
    const stream = this.streamFor(message);
    if (stream === this.standing && this.cannotBeAsked(message)) {
      this.refuseQuestion(message);
      return;
    }
    stream.push(text);
    this.relief.give(stream, this.child);
  }

  deliverResponse(text, message) {
    const { call, fault } = this.calls.answeredBy(message);
    if (!call) return; // cancelled, answered, or never asked
    if (!fault && !this.answered && isObject(message.result)) {
      this.answered = true;
      this.version = message.result.protocolVersion;
    }
    this.closeCall(call, { answered: true });
    const known = message.id === call.id ? text : withId(text, message, call.id);
    call.stream.push(fault ? rpcError(ERRORS.internal_error, fault, call.id) : known, { final: true });
    this.relief.give(call.stream, this.child);
  }

  /** The stream for a message, by its progress token; else of the only call that waits, or the GET stream. */
  streamFor(message) {
    const calls = this.calls.all().filter((call) => call.takesStream);
    if (message.method === "notifications/progress") {
      const token = params(message).progressToken;
      const owner = this.calls.all().find((call) => refersTo(token, call.token));
      if (owner) return owner.takesStream ? owner.stream : this.standing;
    }
    const awaited = calls.filter((call) => call.stream.client && !call.cancelled);
    const likely = awaited.length ? awaited : calls;
    const certain = likely.length === 1 || (likely.length > 1 && !this.standing.client && isRequest(message));
    return certain ? likely.at(-1).stream : this.standing;
  }

  /** Whether a request of the server would reach nobody: its call has a client that takes no stream. */
  cannotBeAsked(message) {
    return isRequest(message) && this.calls.size > 0 && !this.standing.client;
  }

  /**
   * Answers a request of the server that no client can receive, or the server would wait for ever. Where exactly
   * one call is open, it fails with 406: it needs a client that accepts event streams.
   */
  refuseQuestion(message) {
    if (message.method === "ping") {
      this.child.write(JSON.stringify({ jsonrpc: "2.0", id: message.id, result: {} }));
      return;
    }
    const cannot = "The client takes no event stream, so it cannot be asked";
    this.child.write(rpcError(ERRORS.method_not_found, cannot, message.id));
    const [call, ...others] = this.calls.all();
    if (!QUESTIONS.has(message.method) || others.length) return;
    const why = `server asks the client ${message.method}, which takes text/event-stream`;
    this.closeCall(call);
    call.stream.push(rpcError(ERRORS.invalid_request, why, call.id), { final: true, status: 406 });
  }

  closeCall(call, how) {
    this.calls.close(call.id, how);
    this.streams.delete(call.stream.number);
    this.lastUsed = Date.now();
  }

  serverGone() {
    this.onEnd(this);
    this.failCalls(this.child.howItEnded);
    this.standing.end();
    this.replayLog.entries = [];
  }

  failCalls(why) {
    const status = this.answered ? 200 : 502;
    for (const call of this.calls.all()) {
      this.closeCall(call);
      call.stream.push(rpcError(ERRORS.server_gone, why, call.id), { final: true, status });
    }
  }
}

const behind = (status, id) => new HttpError(status, "server does not read what it is sent", { code: ERRORS.server_gone, id });

const oneLine = (text) => text.replace(/[\r\n]+/g, " "); // outside of strings, where line breaks cannot be

// Revision 2026-07-28: one process for all clients, whose ids and progress tokens are replaced by unique ones.

const LISTEN = "subscriptions/listen";

class SharedServer {
  child = undefined;
  backoff = new Backoff();
  calls = new OpenCalls();
  count = 0;
  answered = false;
  refusedDiscover = undefined;
  lastUsed = Date.now();
  relief = new Relief(SHARED_PATIENCE_MS);

  constructor(command) {
    this.command = command;
  }

  get idleMs() {
    return this.calls.size ? 0 : Date.now() - this.lastUsed;
  }

  end(closeMs, why = "server was ended") {
    const child = this.child;
    this.child = undefined;
    this.failCalls(why);
    return child?.end(closeMs);
  }

  async call(exchange, text, message) {
    const form = formOf(exchange);
    if (message.method === "initialize") {
      const why = "This revision of the protocol has no initialize";
      throw new HttpError(404, why, { code: ERRORS.method_not_found, id: message.id });
    }
    if (message.method === LISTEN && form === JSON_ONLY) {
      throw new HttpError(406, "The client must accept text/event-stream", { id: message.id });
    }
    if (message.method === "server/discover" && this.refusedDiscover) {
      exchange.respond(404, JSON.stringify({ jsonrpc: "2.0", id: message.id, error: this.refusedDiscover }));
      return;
    }
    const child = this.runningChild(message);
    if (child.isBehind) throw behind(503, message.id);
    const call = this.openCall(message, form);
    call.stream.attach(exchange);
    child.write(oneLine(renamed(text, call)));
    exchange.watch(() => this.clientLeft(call, exchange));
    await answer(exchange, call.stream, { form });
    this.clientLeft(call, exchange);
  }

  runningChild(message) {
    if (this.child) return this.child;
    const wait = Math.ceil(this.backoff.remainingMs / 1000);
    if (wait) {
      const why = `server keeps failing; next start in ${wait} s`;
      throw new HttpError(503, why, { code: ERRORS.server_gone, id: message.id, headers: { "Retry-After": wait } });
    }
    this.answered = false;
    const onMessage = (text, answered) => this.fromServer(text, answered);
    const onExit = (child) => this.serverGone(child);
    this.child = started(message.id, () => new Child(this.command, onMessage, onExit));
    return this.child;
  }

  openCall(message, form) {
    this.count += 1;
    const call = {
      number: this.count, id: message.id, method: message.method, token: progressToken(message), stream: new Stream(),
      takesStream: form !== JSON_ONLY,
    };
    this.calls.add(call.number, call);
    return call;
  }

  /** A client cancels by closing the response (2026-07-28, Streamable HTTP, "Cancellation"). */
  clientLeft(call, exchange) {
    exchange.watch(undefined);
    call.stream.detach(exchange);
    if (!this.closeCall(call) || !this.child) return;
    const why = { requestId: call.number, reason: "The client closed the response" };
    this.calls.notificationSent();
    this.child.write(JSON.stringify({ jsonrpc: "2.0", method: "notifications/cancelled", params: why }));
  }

  closeCall(call, how) {
    this.lastUsed = Date.now();
    return this.calls.close(call.number, how);
  }

  fromServer(text, message) {
    if (isResponse(message)) this.deliverResponse(text, message);
    else if (isRequest(message)) {
      const why = "This revision of the protocol has no requests from the server";
      this.child?.write(rpcError(ERRORS.method_not_found, why, message.id));
    } else this.deliverNotification(text, message);
  }

  deliverResponse(text, message) {
    const { call, fault } = this.calls.answeredBy(message);
    if (!call) return; // its client left
    this.closeCall(call, { answered: true });
    const known = fault ? rpcError(ERRORS.internal_error, fault, call.number) : withId(text, message, call.number);
    const { error } = fault ? JSON.parse(known) : message;
    this.learn(call, error);
    call.stream.push(restored(known, call), { final: true, status: HTTP_STATUS[error?.code] ?? 200 });
    if (this.child) this.relief.give(call.stream, this.child);
  }

  learn(call, error) {
    if (!error) {
      this.answered = true;
      this.backoff.succeeded();
    } else if (call.method === "server/discover" && !this.answered && !this.calls.size) {
      if (error.code === ERRORS.method_not_found) this.refusedDiscover = error;
      this.end(); // it speaks only the older revisions: no process needs to wait for the newer one
    }
  }

  deliverNotification(text, message) {
    const call = this.callFor(message);
    if (!call) log(`${quote(message.method)} belongs to no request: dropped`);
    else if (message.method === "notifications/cancelled") {
      this.closeCall(call);
      call.stream.end();
    } else if (call.takesStream) {
      call.stream.push(restored(text, call));
      this.relief.give(call.stream, this.child);
    }
  }

  /** The call of a notification: by subscription, token or id, else the only open one. */
  callFor(message) {
    let named = meta(message)[META.subscription];
    if (message.method === "notifications/progress") named = params(message).progressToken;
    if (message.method === "notifications/cancelled") named = params(message).requestId;
    if (named !== undefined) return this.calls.get(named);
    const calls = this.calls.all().filter((call) => call.method !== LISTEN);
    return calls.length === 1 ? calls[0] : undefined;
  }

  serverGone(child) {
    if (this.child !== child) return; // ended on purpose
    this.child = undefined;
    this.backoff.failed();
    log(`the shared ${child.howItEnded}`);
    this.failCalls(child.howItEnded);
  }

  failCalls(why) {
    for (const call of this.calls.all()) {
      this.closeCall(call);
      call.stream.push(rpcError(ERRORS.server_gone, why, call.id), { final: true, status: 502 });
    }
  }
}

function renamed(text, call) {
  const edits = [[["id"], String(call.number)]];
  if (call.token !== undefined) edits.push([["params", "_meta", "progressToken"], String(call.number)]);
  return splice(text, edits);
}

/** The answer with this id, also where the server has left the id out. */
const withId = (text, message, id) =>
  "id" in message ? splice(text, [[["id"], JSON.stringify(id)]]) : withMember(text, `"id":${JSON.stringify(id)}`);

function restored(text, call) {
  const id = JSON.stringify(call.id);
  const edits = [
    [["id"], id],
    [["params", "_meta", META.subscription], id],
    [["result", "_meta", META.subscription], id],
  ];
  if (call.token !== undefined) edits.push([["params", "progressToken"], JSON.stringify(call.token)]);
  return splice(text, edits);
}

// HTTP.

/** An HTTP status and a JSON-RPC error to answer with. */
class HttpError extends Error {
  constructor(status, message, { code = ERRORS.invalid_request, id = null, headers = {}, fatal = false } = {}) {
    super(message);
    this.status = status;
    this.body = rpcError(code, message, id);
    this.headers = fatal ? { ...headers, Connection: "close" } : headers;
  }
}

class App {
  sessions = new Map();
  opening = 0; // that wait for another to leave
  backoff = new Backoff();

  constructor(settings) {
    this.settings = settings;
    this.shared = new SharedServer(settings.command);
    this.guardsHost = !settings.unix && LOOPBACK.test(settings.host.includes(":") ? `[${settings.host}]` : settings.host);
    this.sweeper = setInterval(() => this.sweep(), Math.min(15_000, Math.max(100, settings.idleMs / 4)));
  }

  async serve(request, response) {
    const exchange = new Exchange(request, response);
    try {
      await this.route(exchange);
    } catch (error) {
      if (error instanceof HttpError && !response.headersSent) {
        exchange.respond(error.status, error.body, error.headers);
        return;
      }
      if (!request.destroyed) log(`a request failed: ${error.stack}`);
      response.destroy();
    }
  }

  sweep() {
    for (const session of [...this.sessions.values()]) if (session.idleMs > this.settings.idleMs) session.end();
    if (this.shared.child && this.shared.idleMs > this.settings.idleMs) this.shared.end();
  }

  async close() {
    clearInterval(this.sweeper);
    const sessions = [...this.sessions.values()].map((session) => session.end(200, STOPPED));
    await Promise.all([...sessions, this.shared.end(200, STOPPED)]);
  }

  async route(exchange) {
    const { method, url } = exchange.request;
    const path = url.split("?", 1)[0];
    checkReadings(exchange.request);
    if (this.guardsHost) checkHost(exchange);
    if (path === HEALTH_PATH) this.health(exchange);
    else if (path.replace(/\/+$/, "") !== this.settings.path.replace(/\/+$/, "")) {
      throw new HttpError(404, "There is nothing at this path");
    } else if (method === "POST") await this.post(exchange);
    else if ((method === "GET" || method === "DELETE") && !headerIsModern(exchange)) await this.getOrDelete(exchange);
    else {
      const allowed = headerIsModern(exchange) ? "POST" : "GET, POST, DELETE";
      throw new HttpError(405, "Method not allowed", { headers: { Allow: allowed } });
    }
  }

  health(exchange) {
    if (exchange.request.method !== "GET") throw new HttpError(405, "Method not allowed", { headers: { Allow: "GET" } });
    const state = { status: "ok", sessions: this.sessions.size, shared: this.shared.child !== undefined };
    exchange.respond(200, JSON.stringify(state));
  }

  async post(exchange) {
    const body = await readBody(exchange, this.settings.maxBody);
    checkMediaTypes(exchange);
    const { text, message } = parseBody(body);
    const modern = isModern(exchange, message);
    if (isRequest(message)) {
      await (modern ? this.modernCall(exchange, text, message) : this.sessionCall(exchange, text, message));
      return;
    }
    if (!modern) this.session(exchange).forward(text, message);
    else if (isResponse(message)) {
      throw new HttpError(400, "This revision of the protocol has no responses from the client");
    }
    exchange.respond(202);
  }

  modernCall(exchange, text, message) {
    checkEnvelope(exchange, message);
    return this.shared.call(exchange, text, message);
  }

  async sessionCall(exchange, text, message) {
    if (message.method !== "initialize" || exchange.header("mcp-session-id") !== undefined) {
      await this.session(exchange).call(exchange, text, message);
      return;
    }
    const leaving = this.makeRoom();
    if (leaving) {
      this.opening += 1;
      await leaving;
      this.opening -= 1;
    }
    const onEnd = (ended) => this.sessionEnded(ended);
    const session = started(message.id, () => new Session(this.settings.command, onEnd));
    this.sessions.set(session.id, session);
    await session.call(exchange, text, message);
    if (!session.answered && this.sessions.has(session.id)) session.end();
  }

  sessionEnded(session) {
    const known = this.sessions.delete(session.id);
    if (session.answered) this.backoff.succeeded();
    else if (known) this.backoff.failed();
  }

  /**
   * When all sessions are in use, ends the one that was idle longest; the promise of its end. If its client still
   * exists, it gets 404 and opens a new session.
   */
  makeRoom() {
    if (this.backoff.remainingMs) throw tryLater("server keeps failing", this.backoff.remainingMs);
    if (this.sessions.size + this.opening < this.settings.maxSessions) return undefined;
    const idle = [...this.sessions.values()].filter((session) => !session.connected);
    if (!idle.length) throw tryLater("too many sessions, and each is in use", ROOM_MS);
    log("too many sessions: the one that was idle longest is ended");
    return idle.reduce((a, b) => (b.idleMs > a.idleMs ? b : a)).end();
  }

  async getOrDelete(exchange) {
    const session = this.session(exchange);
    if (exchange.request.method === "DELETE") {
      session.end();
      exchange.respond(204);
      return;
    }
    if (!accepts(exchange, "text/event-stream")) throw new HttpError(406, "The client must accept text/event-stream");
    await session.listen(exchange, exchange.header("last-event-id"));
  }

  session(exchange) {
    const id = exchange.header("mcp-session-id");
    if (id === undefined) throw new HttpError(400, "The Mcp-Session-Id header is missing");
    const session = this.sessions.get(id);
    if (!session) throw new HttpError(404, "Session not found");
    return session;
  }
}

function headerIsModern(exchange) {
  const version = exchange.header("mcp-protocol-version");
  return version !== undefined && !LEGACY_VERSIONS.includes(version);
}

function isModern(exchange, message) {
  if (headerIsModern(exchange)) return true;
  return META.version in meta(message) && message.method !== "initialize" && exchange.header("mcp-session-id") === undefined;
}

/** The checks that a stdio server cannot make, because it sees no headers (2026-07-28, "Server validation"). */
function checkEnvelope(exchange, message) {
  const missing = [META.version, META.capabilities].filter((key) => !(key in meta(message)));
  if (missing.length) {
    const why = `params._meta lacks ${missing.join(" and ")}`;
    throw new HttpError(400, why, { code: ERRORS.invalid_params, id: message.id });
  }
  const header = disagreement(exchange, message);
  if (header) {
    const why = `The ${header} header is repeated or does not match the body`;
    throw new HttpError(400, why, { code: ERRORS.header_mismatch, id: message.id });
  }
}

/** The first header that is repeated or differs from the body, as in agreement.py. */
function disagreement(exchange, message) {
  const name = Object.hasOwn(NAMED, message.method) ? params(message)[NAMED[message.method]] : undefined;
  const given = (header) => exchange.header(header.toLowerCase());
  const agrees = {
    [HEADERS.version]: (header) => given(header) === meta(message)[META.version],
    [HEADERS.method]: (header) => given(header) === message.method,
    [HEADERS.name]: (header) => name === undefined || name === null || decodeHeader(given(header)) === name,
  };
  return Object.keys(agrees).find((header) => exchange.repeats(header.toLowerCase()) || !agrees[header](header));
}

function decodeHeader(value) {
  const payload = /^=\?base64\?(.*)\?=$/.exec(value ?? "")?.[1];
  if (payload === undefined) return value;
  const decoded = Buffer.from(payload, "base64");
  if (decoded.toString("base64") !== payload) return undefined;
  try {
    return utf8.decode(decoded);
  } catch {
    return undefined;
  }
}

// Refuses requests that Node's parser accepts and another reader may read differently: two Host headers, and a
// target that ends its line as in HTTP/0.9.
function checkReadings({ rawHeaders, httpVersionMajor }) {
  const hosts = rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === "host");
  if (hosts.length > 1) throw new HttpError(400, "A request has one Host header", { fatal: true });
  if (httpVersionMajor !== 1) throw new HttpError(400, "Malformed request line", { fatal: true });
}

function checkHost(exchange) {
  const host = exchange.header("host");
  const origin = exchange.header("origin");
  const [, local] = /^https?:\/\/(.*)$/.exec(origin ?? "") ?? [];
  if ((host && !LOOPBACK.test(host)) || (origin !== undefined && !LOOPBACK.test(local ?? ""))) {
    throw new HttpError(403, "This Host or Origin may not speak to a local server");
  }
}

function checkMediaTypes(exchange) {
  const type = (exchange.header("content-type") ?? "").split(";", 1)[0].trim().toLowerCase();
  if (type !== "application/json") throw new HttpError(415, "Content-Type must be application/json");
  formOf(exchange);
}

/** The content types in which a client accepts an answer. It should accept both; some accept only one. */
function formOf(exchange) {
  const [json, events] = [accepts(exchange, "application/json"), accepts(exchange, "text/event-stream")];
  if (!json && !events) throw new HttpError(406, "The client must accept application/json or text/event-stream");
  if (json && events) return EITHER;
  return json ? JSON_ONLY : EVENTS_ONLY;
}

/** Whether the Accept header allows a type. Its most specific range decides (RFC 9110, section 12.5.1). */
function accepts(exchange, type) {
  const accept = exchange.header("accept");
  if (accept === undefined) return true;
  const ranges = new Map(accept.split(",").map((part) => {
    const [name, ...parameters] = part.split(";");
    return [name.trim().toLowerCase(), !/;\s*q\s*=\s*0(\.0*)?\s*(;|$)/i.test(`;${parameters.join(";")}`)];
  }));
  const likest = [type, `${type.split("/")[0]}/*`, "*/*"].find((name) => ranges.has(name));
  return ranges.get(likest) ?? false;
}

async function readBody(exchange, limit) {
  const tooLarge = new HttpError(413, `The body is larger than ${limit} bytes`, { fatal: true });
  if (Number(exchange.header("content-length") ?? 0) > limit) throw tooLarge;
  const chunks = [];
  let size = 0;
  for await (const chunk of exchange.request) {
    size += chunk.length;
    if (size > limit) throw tooLarge;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parseBody(body) {
  let text;
  let message;
  try {
    text = utf8.decode(body);
    message = JSON.parse(text);
  } catch {
    throw new HttpError(400, "The body is not JSON", { code: ERRORS.parse_error });
  }
  if (!isMessage(message)) throw new HttpError(400, "The body must be one JSON-RPC message, and no batch of them");
  return { text, message };
}

function tryLater(why, milliseconds) {
  const headers = { "Retry-After": Math.ceil(milliseconds / 1000) };
  return new HttpError(503, why, { code: ERRORS.server_gone, headers });
}

// The command line.

const OPTIONS = {
  host: "127.0.0.1", port: "8000", unix: undefined, path: "/mcp",
  "max-sessions": process.env.BRIDGE_MAX_SESSIONS ?? "32", "idle-timeout": "900",
  "max-body": process.env.BRIDGE_MAX_BODY ?? String(4 << 20),
};

function settingsFrom(argv) {
  const at = argv.indexOf("--");
  const options = Object.fromEntries(Object.keys(OPTIONS).map((name) => [name, { type: "string" }]));
  const { values } = parseArgs({ args: at < 0 ? argv : argv.slice(0, at), options });
  const given = { ...OPTIONS, ...values };
  const number = (name) => {
    if (!/^\d+(\.\d+)?$/.test(given[name])) throw new TypeError(`--${name} must be a number, not ${given[name]}`);
    return Number(given[name]);
  };
  const command = at < 0 ? [] : argv.slice(at + 1);
  if (!command.length) throw new TypeError("what to run is missing: bridge.mjs [options] -- command args…");
  return {
    command, host: given.host, unix: given.unix, path: given.path, port: number("port"),
    maxSessions: number("max-sessions"), idleMs: number("idle-timeout") * 1000, maxBody: number("max-body"),
  };
}

function main() {
  let settings;
  try {
    settings = settingsFrom(process.argv.slice(2));
  } catch (error) {
    log(error.message);
    process.exit(2);
  }
  const app = new App(settings);
  const limits = { maxHeaderSize: 64 << 10, keepAliveTimeout: 75_000, requestTimeout: 60_000, requireHostHeader: false };
  const listener = http.createServer(limits, (request, response) => app.serve(request, response));
  listener.on("error", (error) => {
    log(`cannot listen: ${error.code}`);
    process.exit(1);
  });
  listener.on("listening", () => announce(listener.address(), settings));
  if (settings.unix) {
    if (lstatSync(settings.unix, { throwIfNoEntry: false })?.isSocket()) unlinkSync(settings.unix); // of a killed one
    listener.listen(settings.unix);
  }
  else listener.listen(settings.port, settings.host);
  for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => stop(listener, app));
}

function announce(address, settings) {
  if (typeof address === "string") log(`listening on ${address}`);
  else {
    const host = address.address.includes(":") ? `[${address.address}]` : address.address;
    log(`listening on http://${host}:${address.port}${settings.path}`);
  }
}

async function stop(listener, app) {
  listener.close();
  await app.close();
  process.exit(0);
}

main();
