// Chat: the composer, the live answer, conversations in the address, the side bar on a phone.
const box = $(".composer textarea");
const talk = $(".talk");
page.args = () => ({ conversation: page.state.conversation || "" });
const place = () => page.state.conversation || "new";
const grow = (area) => { area.style.height = "auto"; area.style.height = Math.min(area.scrollHeight + 2, innerHeight * 0.4) + "px"; };
const nearEnd = () => talk.scrollHeight - talk.scrollTop - talk.clientHeight < 120;
const toEnd = () => { talk.scrollTop = talk.scrollHeight; };
let heardAt = 0, shown = null;

page.acts.send = async () => {
  await started;  // until then the page does not know which conversation it shows
  const text = box.value;
  if (!text.trim() || page.state.busy || page.busy.has("send")) return;
  al.classList.add("sending");
  const answer = await page.act("send", { text });
  al.classList.remove("sending");
  if (answer && answer.state && answer.state.sent) {
    page.draft.set("new", ""); page.draft.set(place(), "");
    if (box.value === text) box.value = "";
    grow(box); toEnd();
  } else { page.draft.set(place(), box.value); box.focus(); }
};
page.acts["send-click"] = page.acts.send;
page.acts.example = ({ text }) => { box.value = text; grow(box); page.acts.send(); };
page.acts.menu = () => al.classList.toggle("side-open");
page.acts.open = ({ of }, node) => { al.classList.remove("side-open"); page.act("open", { of }, node); };
page.acts.new = (args, node) => { al.classList.remove("side-open"); page.act("new", {}, node).then(() => box.focus()); };
page.acts.delete = (args, node) => {  // one more press says yes; no dialog
  if (node.dataset.sure) return page.act("delete", { of: args.of }, node);
  node.dataset.sure = "1"; node.classList.add("danger", "sure"); node.setAttribute("aria-label", "Press again to delete"); node.title = "Press again to delete";
  setTimeout(() => { delete node.dataset.sure; node.classList.remove("danger", "sure"); }, 4000);
};
page.acts.copy = async ({ message }, node) => {
  if (page.state.copies) page.act("copied", { message });
  const text = $("#m-" + CSS.escape(message) + " .md").innerText;
  try { await navigator.clipboard.writeText(text); } catch { const area = document.createElement("textarea"); area.value = text; document.body.append(area); area.select(); document.execCommand("copy"); area.remove(); }
  node.classList.add("copied"); node.title = "Copied"; node.setAttribute("aria-label", "Copied");
  setTimeout(() => { node.classList.remove("copied"); node.title = "Copy"; node.setAttribute("aria-label", "Copy"); }, 1500);
};

// What is said of an answer names the rating that the page shows, which the rating before may just have changed: one
// at a time.
let rating = Promise.resolve(), said = "";
for (const name of ["mark", "reason", "comment", "correct"]) page.acts[name] = (args, node) => {
  rating = rating.then(() => {
    const answer = $("#m-" + CSS.escape(args.message));
    said = args.message;
    return answer && page.act(name, { ...args, saw: answer.dataset.saw }, node);
  });
};

box.addEventListener("input", () => { grow(box); page.draft.set(place(), box.value); });
box.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) { event.preventDefault(); if (!event.again) page.acts.send(); }
});
al.addEventListener("input", (event) => { if (event.target.matches(".edit textarea")) grow(event.target); if (event.target.matches(".thread [data-draft]")) page.draft.set(event.target.dataset.draft, event.target.value); });
al.addEventListener("keydown", (event) => { if (event.key === "Escape" && !event.isComposing) { if (al.classList.contains("side-open")) page.acts.menu(); else if ($(".edit")) page.act("edit-close"); else if (page.state.busy) page.act("stop"); } });

page.onState.push((answer, name) => {
  al.classList.toggle("busy", !!page.state.busy);
  const url = page.state.conversation ? "/?c=" + page.state.conversation : "/";
  if (answer.state && "conversation" in answer.state) {
    if (name === "start" || name === "show") history.replaceState({}, "", url);
    else if (location.pathname + location.search !== url && name !== "back") history.pushState({}, "", url);
    document.title = (page.state.conversation ? page.state.title + " · " : "") + "alignloop";
    if (shown !== page.state.conversation) {
      const sent = answer.state.sent;
      shown = page.state.conversation;
      const early = name === "start" ? box.value : "";  // typed before the server had answered at all
      if (early) page.draft.set(place(), early);
      if (!sent) { box.value = early || page.draft.get(place()); grow(box); }
      toEnd();
    }
  }
  const edit = $(".edit textarea");
  if (edit && name === "edit") { edit.value = page.draft.get(edit.dataset.draft) || edit.value; grow(edit); edit.focus(); }
  if (name === "correct" && !answer.error && answer.regions) for (const key of Object.keys(localStorage)) if (key.startsWith(page.draftKey("edit."))) localStorage.removeItem(key);
  // A comment that was not kept comes back wherever its field does.
  if (name === "comment" && !answer.error && answer.regions) page.draft.set("comment." + said, "");
  for (const field of $$(".comment [data-draft]")) { const typed = page.draft.get(field.dataset.draft); if (typed && field !== document.activeElement) field.value = typed; }
  if (name === "rename-open") { const field = $(".renaming input"); if (field) { field.focus(); field.select(); } }
  if (page.state.busy && answer.state && answer.state.busy) { heardAt = Date.now(); page.listen({ conversation: page.state.conversation }); if (name !== "mark") toEnd(); }
});
page.onLive.push((live) => {
  if (!live.conversation || live.conversation !== page.state.conversation) return;
  heardAt = Date.now();
  const place = $("[data-live]");
  if (live.done) { page.act("show").then(() => { if (live.error) page.say(live.error, "composer", true); }); return; }
  if (!place) return;
  const follow = nearEnd();
  const wanted = document.createElement("div"); wanted.innerHTML = live.html;
  morphChildren(place, wanted);
  const wait = $("[data-wait]");
  if (wait) { wait.hidden = !!live.html; $("[data-word]", wait).textContent = live.waiting || "Writing"; }
  if (follow) toEnd();
});
// A lost update costs nothing: while an answer is on its way and nothing is heard, the page asks.
setInterval(() => { if (page.state.busy && Date.now() - heardAt > 3000) { heardAt = Date.now(); page.act("show"); } }, 1000);
addEventListener("pageshow", (event) => { if (event.persisted) page.act("show"); });  // back, to a page as it was left
addEventListener("popstate", () => page.act("open", { of: new URLSearchParams(location.search).get("c") || "" , conversation: "" }));
const started = page.act("start", { of: new URLSearchParams(location.search).get("c") || "" });
