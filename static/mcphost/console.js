// The console's script. Every page works without it; with it, pages keep themselves current.
import { copy } from "./copy.js";
import { keepTimes } from "./times.js";
import { livePage } from "./page.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = button.parentElement.querySelector("[data-copy-source]").textContent;
  button.textContent = (await copy(text)) ? "Copied" : "Select and copy";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.submit();
});

// Icons are words of a font: beside other words they are not read out.
for (const icon of document.querySelectorAll(".material-symbols-outlined")) {
  const words = icon.closest("a, button")?.textContent.replace(icon.textContent, "").trim();
  if (words) icon.setAttribute("aria-hidden", "true");
}

// On a phone the pages of a server do not fit into one row.
// Not scrollIntoView: it makes Chromium begin there with the first Tab, past “Skip to the content”.
function center(tab) {
  const strip = tab.parentElement, [outer, inner] = [strip, tab].map((node) => node.getBoundingClientRect());
  strip.scrollLeft += inner.left + inner.width / 2 - (outer.left + outer.width / 2);
}
document.querySelectorAll(".mh-tabs > [aria-current]").forEach(center);

keepTimes();
const logs = document.querySelectorAll("[data-log-tool]");
if (logs.length) import("./log.js").then(({ liveLog }) => logs.forEach(liveLog));
livePage();
