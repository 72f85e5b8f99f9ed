// Shows the result of a call as text. Nothing that a server sends becomes markup.
import { make } from "./schema_form.js";

const LONGEST = 100_000;
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

export function shownResult(result) {
  const parts = (Array.isArray(result.content) ? result.content : []).map(shownPart);
  if (result.structuredContent !== undefined) parts.push(part("Structured", text(pretty(result.structuredContent))));
  if (result.inputRequests !== undefined) parts.push(part("Input requested", text(pretty(result.inputRequests))));
  return parts.length ? parts : [make("p", { className: "mh-sub" }, "The answer has no content.")];
}

export function pretty(value) {
  return JSON.stringify(value, null, 2) ?? "";
}

export function text(value) {
  const long = value.length > LONGEST;
  const pre = make("pre", { className: "mh-pre mh-wrapped", tabIndex: 0 }, long ? value.slice(0, LONGEST) : value);
  return long ? make("div", {}, pre, make("p", { className: "mh-sub" }, `The first ${LONGEST.toLocaleString("en")} of ${value.length.toLocaleString("en")} characters.`)) : pre;
}

function shownPart(content) {
  if (content?.type === "text") return part("Text", text(String(content.text ?? "")));
  if (content?.type === "image" && PICTURES.includes(content.mimeType)) {
    return part(`Image, ${content.mimeType}`, make("img", { className: "mh-picture", alt: "Answered by the tool", src: `data:${content.mimeType};base64,${content.data}` }));
  }
  if (content?.type === "resource" && typeof content.resource?.text === "string") {
    return part(`Resource ${content.resource.uri ?? ""}`, text(content.resource.text));
  }
  if (typeof content?.data === "string") return part(`${content.type}, ${content.mimeType ?? "unknown type"}`, text(`${content.data.length} characters of base64`));
  return part(String(content?.type ?? "Unknown"), text(pretty(content)));
}

function part(title, body) {
  return make("figure", { className: "mh-part" }, make("figcaption", { className: "mh-sub" }, title), body);
}
