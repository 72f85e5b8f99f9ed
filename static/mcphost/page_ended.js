// Finds out whether the person may still see this page. An EventSource does not tell why it was refused, so the page
// itself is requested.
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

// Fetches the page as it is now. Throws if that fails, and ends this page if it does not exist any more.
export async function askPage(method = "GET") {
  const about = { method, headers: { Accept: "text/html" }, redirect: "manual", signal: AbortSignal.timeout(PATIENCE) };
  const answer = await fetch(location.href, about);
  if (answer.type === "opaqueredirect") end("Your login has ended.", "Log in again", location.href);
  else if (GONE.includes(answer.status) && isOurs(answer)) end("This page no longer exists, or you may no longer see it.", "Go to the overview", "/admin/");
  if (!answer.ok) throw new Error(`The page answered ${answer.status}`);
  return answer;
}

// Called after a feed has failed; one request serves all feeds of the page.
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
