// Compare: two answers, one key. The server keeps which is which; here are a ticket, two texts and a choice.
const CHOICES = { 1: "a_clearly", 2: "a_slightly", 3: "tie", 4: "b_slightly", 5: "b_clearly", 0: "cant" };
const marks = { a: "", b: "" };
let originals = { a: "", b: "" }, request = 0, settled = true, askedPrompt = null;

function showMarks() {
  $$("[data-act=enough]").forEach((node) => node.setAttribute("aria-pressed", String(marks[node.dataset.side] === node.dataset.mark)));
  const bothBad = marks.a === "bad" && marks.b === "bad";
  const tie = $('[data-choice="tie"]');
  $("[data-word]", tie).textContent = bothBad ? "Both bad" : "Tie";
  tie.setAttribute("aria-label", bothBad ? "Both are bad" : "They are equally good");
}
function showFix(open) {
  $$("[data-fix]").forEach((label) => { label.hidden = !open; });
  const opener = $('[data-act="fix"]'); if (opener) opener.setAttribute("aria-pressed", String(open));
}
judging.next = (prompt) => next(prompt);
function next(prompt) {
  judging.begin(); showFix(false);
  marks.a = marks.b = ""; showMarks();
  request += 1; settled = false; askedPrompt = prompt || null;
  al.classList.add("waiting");
  page.listen({ request, prompt: prompt || "" });
}
page.onLive.push((live) => {
  if (live.request !== request || settled) return;
  if (live.error) {
    settled = true; al.classList.remove("waiting");
    page.say("", "page", true); page.say(live.error, askedPrompt ? "own" : "page", true);
    if (askedPrompt) next(); else if (page.state.ready) setTimeout(() => { if (settled && !judging.ticket) next(); }, 5000);
    return;
  }
  if (live.waiting) {
    const line = document.createElement("span"), spin = document.createElement("span");
    line.className = "small row"; spin.className = "spin"; line.append(spin, live.waiting);
    $("[data-prompt]").replaceChildren(line);
  }
  if (live.prompt) { $("[data-prompt]").textContent = live.prompt; $("[data-earlier]").innerHTML = live.earlier || ""; }
  for (const side of ["a", "b"]) {
    const wanted = document.createElement("div"); wanted.innerHTML = live[side];
    morphChildren($(`[data-text="${side}"]`), wanted);
  }
  if (live.ticket) {
    settled = true;
    originals = { a: live.a_text, b: live.b_text };
    for (const side of ["a", "b"]) $(`[data-correction="${side}"]`).value = originals[side];
    al.classList.remove("waiting"); page.say("", "page", true);
    if (askedPrompt) { $("[data-own]").value = ""; page.draft.set("compare.own", ""); }
    judging.show(live.ticket);
  }
});
page.acts.verdict = ({ choice }, node) => {
  const corrections = {};
  for (const side of ["a", "b"]) { const text = $(`[data-correction="${side}"]`).value.trim(); if (text && text !== originals[side].trim()) corrections[side] = text; }
  return judging.send({ choice, a_mark: marks.a, b_mark: marks.b, corrections }, node);
};
page.acts.enough = ({ side, mark }) => { marks[side] = marks[side] === mark ? "" : mark; showMarks(); };
page.acts.fix = () => { const open = $("[data-fix]").hidden; showFix(open); if (open) $("[data-correction]").focus(); };
page.acts.own = ({ prompt }) => { if (prompt.trim()) next(prompt.trim()); };
$("[data-own]").addEventListener("input", (event) => page.draft.set("compare.own", event.target.value));

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing && event.target.matches("textarea")) { event.target.blur(); return; }
  if (!page.command(event)) return;
  const key = event.key.toLowerCase();
  if (key in CHOICES) { event.preventDefault(); if (judging.press(event)) page.acts.verdict({ choice: CHOICES[key] }, $(`[data-choice="${CHOICES[key]}"]`)); }
  else if (key === "q" || key === "p") { if (judging.press(event)) { const side = key === "q" ? "a" : "b"; marks[side] = { "": "good", good: "bad", bad: "" }[marks[side]]; showMarks(); } }
  else if (key === "e") { event.preventDefault(); if (!event.again) page.acts.fix(); }
  else judging.keys(event);
});
let begun = false;
page.onState.push(() => {
  if (page.state.ready && !begun) { begun = true; $("[data-own]").value = page.draft.get("compare.own"); next(); }
});
page.act("start");
