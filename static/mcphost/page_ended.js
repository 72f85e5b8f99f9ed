// Whether this page is still there for whoever looks at it. A feed cannot tell: an EventSource keeps to itself why
// it was refused. The page's own answer says it.
const PATIENCE = 30_000;
const GONE = [403, 404, 410];
const acts = [];
let over = false;
let asking = null;

export function isOver() {
  return over;
}

// Called once, when the page is over.
export function whenOver(act) {
  acts.push(act);
}

// The page as it is now; throws where it cannot be had, and ends this one where there is none any more.
export async function askPage(method = "GET") {
  const about = { method, headers: { Accept: "text/html" }, redirect: "manual", signal: AbortSignal.timeout(PATIENCE) };
  const answer = await fetch(location.href, about);
  if (answer.type === "opaqueredirect") end("Your login has ended.", "Log in again", location.href);
  else if (GONE.includes(answer.status) && isOurs(answer)) end("This page is gone: deleted, or not yours to see any more.", "To the overview", "/admin/");
  if (!answer.ok) throw new Error(`The page answered ${answer.status}`);
  return answer;
}

// After a feed has failed: once for all feeds of the page.
export function askWhy() {
  asking ??= askPage("HEAD").catch(() => {}).finally(() => { asking = null; });
}

// A proxy in front may say 404 too while the platform restarts; what the platform says carries its headers.
function isOurs(answer) {
  return answer.headers.has("Cross-Origin-Opener-Policy");
}

function end(words, label, href) {
  if (over) return;
  over = true;
  acts.forEach((act) => act());
  const notice = Object.assign(document.createElement("p"), { className: "mh-notice mh-over" });
  notice.dataset.tone = "red";
  notice.setAttribute("role", "alert");
  notice.append(`${words} `, Object.assign(document.createElement("a"), { className: "mh-link", href, textContent: label }));
  document.body.append(notice);
}
