// Shows the progress of pushes. A bar never moves back, even if events come late.
const newest = new Map(); // step: what was said last of it

export function progressed(data) {
  newest.set(String(data.step), data);
  draw(data);
}

// Called after the page was refreshed: its state may be older than the last events.
export function progressAgain() {
  newest.forEach(draw);
}

function draw(data) {
  const row = document.querySelector(`[data-progress="${data.step}"]`);
  const bar = row?.querySelector("progress");
  if (!bar || data.percent < Number(bar.getAttribute("value"))) return;
  const text = `${size(data.bytes_done)} of ${data.whole ? "" : "at most "}${size(data.bytes_total)}`;
  bar.setAttribute("value", data.percent);
  bar.setAttribute("aria-valuenow", data.percent);
  bar.setAttribute("aria-valuetext", text);
  row.querySelector(".mh-sub").textContent = text;
}

// As Django's filesizeformat.
function size(bytes) {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  return `${power ? (bytes / 1024 ** power).toFixed(1) : bytes}\u00a0${units[power]}`;
}
