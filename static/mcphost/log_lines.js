// A log line: read from the page, matched against what is searched for, and drawn.
const LEVELS = ["debug", "info", "warning", "error"];

export function read(node) {
  return {
    id: Number(node.dataset.id),
    stream: node.dataset.stream,
    level: node.dataset.level,
    step: Number(node.dataset.step) || null,
    at: node.querySelector("time").dateTime,
    text: node.querySelector("span").textContent,
  };
}

// wanted: search, level, since and until (Date or null), deployment and step ("" for any).
export function matcher(wanted) {
  const text = wanted.search.toLowerCase();
  const levels = wanted.level ? LEVELS.slice(LEVELS.indexOf(wanted.level)) : null;
  return (line) =>
    (!text || line.text.toLowerCase().includes(text)) &&
    (!levels || levels.includes(line.level)) &&
    (!wanted.since || new Date(line.at) >= wanted.since) &&
    (!wanted.until || new Date(line.at) < wanted.until) &&
    (!wanted.deployment || !("deployment" in line) || String(line.deployment) === wanted.deployment) &&
    (!wanted.step || !("step" in line) || String(line.step) === wanted.step);
}

function element(name, attributes = {}, ...content) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...content);
  return made;
}

// `previous`: the line before it, or undefined. The date stands with the first line of a day only.
export function draw(line, previous, page, search) {
  const shown = new Date(line.at).toISOString();
  const day = shown.slice(0, 10);
  const title = `${shown.slice(0, 19).replace("T", " ")} UTC, ${line.stream}`;
  const time = element("time", { dateTime: line.at, title }, shown.slice(11, 19));
  const node = element("div", { className: "mh-log-line" });
  Object.assign(node.dataset, { id: line.id, stream: line.stream, level: line.level });
  if (!previous || new Date(previous.at).toISOString().slice(0, 10) !== day) node.dataset.day = day;
  node.append(element("a", { href: `${page}?line=${line.id}`, tabIndex: -1 }, time), element("span", {}, ...marked(line.text, search)));
  toStep(node, line);
  return node;
}

// Adds the link to the step that wrote the line. Called again later: a line may come before the row of its step.
export function toStep(node, line) {
  if (!node.querySelector(".mh-log-step")) node.append(...stepOf(line));
}

// The way to the step that wrote the line, where the page has the steps.
function stepOf(line) {
  const step = line.step && document.getElementById(`step-${line.step}`);
  if (!step) return [];
  return [element("a", { className: "mh-log-step", href: `#${step.id}`, tabIndex: -1 }, step.dataset.name)];
}

// The text with what was searched for marked in it.
function marked(text, search) {
  if (!search) return [text];
  const [folded, sought] = [text.toLowerCase(), search.toLowerCase()];
  if (folded.length !== text.length) return [text];
  const parts = [];
  let from = 0;
  for (let at = folded.indexOf(sought); at >= 0; at = folded.indexOf(sought, from)) {
    parts.push(text.slice(from, at), element("mark", {}, text.slice(at, at + sought.length)));
    from = at + sought.length;
  }
  return [...parts, text.slice(from)];
}
