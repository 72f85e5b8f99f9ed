// Makes one element equal to another with few changes, so that focus, selection, open details and the scroll position
// stay.
export function morph(from, to) {
  if (from.isEqualNode(to)) return;
  attributes(from, to);
  const kept = new Map([...from.children].filter((child) => child.dataset?.key).map((child) => [child.dataset.key, child]));
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const key = wanted.dataset?.key;
    const match = key ? kept.get(key) : alike(at, wanted) ? at : null;
    if (!match) {
      from.insertBefore(wanted.cloneNode(true), at);
      continue;
    }
    if (match !== at) from.insertBefore(match, at);
    else at = at.nextSibling;
    if (match.nodeType === Node.ELEMENT_NODE) morph(match, wanted);
    else if (match.data !== wanted.data) match.data = wanted.data;
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function alike(one, other) {
  return one && one.nodeName === other.nodeName && !one.dataset?.key;
}

function attributes(from, to) {
  const own = from.nodeName === "DETAILS" ? ["open"] : [];
  for (const { name, value } of to.attributes) {
    if (!own.includes(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!own.includes(name) && !to.hasAttribute(name)) from.removeAttribute(name);
  }
}
