// Updates relative times and running durations every second.
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

export function ago(seconds) {
  const [size, unit] = UNITS.find(([size]) => Math.abs(seconds) >= size) ?? [1, "s"];
  const count = Math.floor(Math.abs(seconds) / size);
  if (size === 1 && count < 10) return "just now";
  return seconds > 0 ? `${count} ${unit} ago` : `in ${count} ${unit}`;
}

export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  let rest = Math.floor(seconds);
  const parts = [];
  for (const [size, unit] of UNITS) {
    const count = Math.floor(rest / size);
    rest %= size;
    if (count || parts.length) parts.push([count, unit]);
  }
  return parts.slice(0, 2).filter(([count]) => count).map((part) => part.join(" ")).join(" ");
}

function since(moment) {
  return Math.max(0, (Date.now() - Date.parse(moment)) / 1000);
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function keepTimes() {
  setInterval(() => {
    document.querySelectorAll("time[data-ago]").forEach((time) => {
      say(time, ago((Date.now() - Date.parse(time.dateTime)) / 1000));
    });
    document.querySelectorAll("[data-since]").forEach((span) => say(span, duration(since(span.dataset.since))));
  }, 1000);
}
