// What every page shares: one region of HTML at a time is replaced by what the server rendered, without losing
// focus, scroll or typed text; clicks on [data-act] become calls. Runs inside Gradio's HTML component, which
// hands in `element`, `trigger`, `props`, `server` and `watch`.
const root = element.querySelector(".al-root");
root.innerHTML = props.shell;
const al = root.querySelector(".al");
const $ = (selector, within) => (within || al).querySelector(selector);
const $$ = (selector, within) => Array.from((within || al).querySelectorAll(selector));
const page = { state: {}, busy: new Set(), onState: [], onLive: [], acts: {}, args: () => ({}) };

// Keyed by id where there is one; elements marked data-keep belong to the browser and are left alone.
function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) { from.replaceWith(to.cloneNode(true)); return; }
  if (from.nodeType === 3 || from.nodeType === 8) { if (from.data !== to.data) from.data = to.data; return; }
  if (from.nodeType !== 1 || from.dataset.keep !== undefined && from.dataset.keep === to.dataset.keep) return;
  for (const name of from.getAttributeNames()) if (!to.hasAttribute(name) && !(name === "open" && from.tagName === "DETAILS")) from.removeAttribute(name);
  for (const name of to.getAttributeNames()) if (from.getAttribute(name) !== to.getAttribute(name)) from.setAttribute(name, to.getAttribute(name));
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(from.tagName)) {  // typed text stays unless the server's own value changed
    if (from.tagName !== "TEXTAREA") morphChildren(from, to);
    return;
  }
  morphChildren(from, to);
}
function morphChildren(from, to) {
  const keyed = new Map();
  for (const child of from.children) if (child.id) keyed.set(child.id, child);
  let at = from.firstChild;
  for (const want of Array.from(to.childNodes)) {
    const same = want.id && keyed.get(want.id);
    if (same) {
      if (same !== at) from.insertBefore(same, at); else at = at.nextSibling;
      morph(same, want);
    } else if (at && !(at.id && keyed.has(at.id) && to.querySelector("#" + CSS.escape(at.id))) && at.nodeName === want.nodeName && !want.id && !at.id) {
      const next = at.nextSibling; morph(at, want); at = next;
    } else from.insertBefore(want.cloneNode(true), at);
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}
function fill(region, html) {
  const target = $(`[data-region="${region}"]`);
  if (!target) return;
  const wanted = target.cloneNode(false);
  wanted.innerHTML = html;
  morphChildren(target, wanted);
}

// One call of the server. The answer replaces regions and state; an error is shown where it happened.
page.act = async (name, args = {}, from = null) => {
  if (page.busy.has(name) && name !== "pulse") return null;
  page.busy.add(name);
  if (from) from.setAttribute("aria-busy", "true");
  let answer;
  try {
    answer = await server.act({ do: name, ...page.args(), ...args });
    if (!answer || !answer.regions) throw new Error("refused");  // Gradio's client hands on any answer as it came
  } catch (problem) {
    const alive = await fetch(location.href, { redirect: "manual", cache: "no-store" }).catch(() => null);
    if (alive && alive.status === 401) { location.href = "/sign-in?next=" + encodeURIComponent(location.pathname + location.search); return null; }
    answer = { error: alive ? "The server could not do this. Reload the page and try again." : "The server cannot be reached. Nothing you typed is lost; try again in a moment." };
    if (name === "pulse") return null;
  } finally {
    page.busy.delete(name);
    if (from) from.removeAttribute("aria-busy");
  }
  page.take(answer, name);
  return answer;
};
page.take = (answer, name) => {
  if (!answer) return;
  for (const [region, html] of Object.entries(answer.regions || {})) fill(region, html);
  if (answer.state) Object.assign(page.state, answer.state);
  page.say(answer.error || "", answer.where || "page", true);
  if (answer.said) page.say(answer.said, "said", false);
  for (const hear of page.onState) hear(answer, name);
};
page.say = (text, where, bad) => {
  const places = $$(`[data-says="${where}"]`);
  if (bad && !text) $$("[data-says]").forEach((place) => { if (place.dataset.bad) { place.hidden = true; place.textContent = ""; delete place.dataset.bad; } });
  for (const place of places) {
    if (!text) continue;
    place.textContent = text; place.hidden = false;
    if (bad) place.dataset.bad = "1";
  }
};
const argsOf = (node) => { const args = {}; for (const [key, value] of Object.entries(node.dataset)) if (key !== "act") args[key] = value; return args; };
// Acts that say what somebody thinks of an answer: the second click of a double click is not one of them.
const ONCE = new Set(["verdict", "send", "cant", "enough", "chip", "mark", "reason", "undo"]);
al.addEventListener("click", (event) => {
  const node = event.target.closest("[data-act]");
  if (!node || node.disabled || node.tagName === "FORM") return;
  event.preventDefault();
  if (event.detail > 1 && ONCE.has(node.dataset.act)) return;
  const own = page.acts[node.dataset.act];
  if (own) own(argsOf(node), node, event); else page.act(node.dataset.act, argsOf(node), node);
});
al.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-act]");
  if (!form) return;
  event.preventDefault();
  const args = argsOf(form);
  for (const [key, value] of new FormData(form)) args[key] = value;
  for (const box of form.querySelectorAll("input[type=checkbox]")) args[box.name] = box.checked;
  const own = page.acts[form.dataset.act];
  if (own) own(args, form, event); else page.act(form.dataset.act, args, form);
});

// A key says something once, however long it is held. `again`: it was not let go of since, also where a remote
// screen does not say that it repeats. A held Enter presses no button and sends no line a second time.
const down = new Set();
addEventListener("keydown", (event) => {
  event.again = event.repeat || down.has(event.code);
  if (event.code && !event.ctrlKey && !event.metaKey && !event.altKey) down.add(event.code);
  if (event.again && event.key === "Enter" && event.target.tagName !== "TEXTAREA") event.preventDefault();
}, true);
addEventListener("keyup", (event) => down.delete(event.code), true);
addEventListener("blur", () => down.clear());
// Whether a key is meant for the page: not for a field, not while a word is being composed, and not one that the
// browser makes up when it fills in a form (it has no name).
page.command = (event) => !!event.key && !event.isComposing && event.keyCode !== 229 && !event.ctrlKey && !event.metaKey && !event.altKey && !page.typing();

watch("value", () => { for (const hear of page.onLive) hear(props.value || {}); });
page.listen = (args) => trigger("listen", args);

// Light, dark, or as the system says.
page.acts.theme = () => {
  const dark = (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("alignloop.theme", document.documentElement.dataset.theme);
};

// Drafts: what is typed survives reload, back and a failed call. Votes are never kept here.
page.draftKey = (name) => `alignloop.draft.${page.state.person || ""}.${name}`;
page.draft = { get: (name) => localStorage.getItem(page.draftKey(name)) || "", set: (name, text) => text ? localStorage.setItem(page.draftKey(name), text) : localStorage.removeItem(page.draftKey(name)) };
page.typing = () => /^(INPUT|TEXTAREA|SELECT)$/.test((document.activeElement || {}).tagName || "") || (document.activeElement || {}).isContentEditable;

// While the model loads the page asks once a second; a hidden page rests.
setInterval(() => { if (!document.hidden && page.state.ready === false) page.act("pulse"); }, 1000);
