// Shared by comparing and ranking: when a verdict may be given, how it is sent, and reasons and a comment that stay
// here until it is kept.
//
// The verdict bar sleeps until the answers have been drawn and in view, in a visible document that has the focus, for
// as long as the server asks for (collect/on_page.py), and no judging key was pressed or held meanwhile. Once awake it
// stays so until a verdict is sent or the document is hidden.
const judging = { ticket: "", saw: "", awake: false, sending: false, next: () => {} };
const IN_VIEW_MS = Number(al.dataset.inViewMs);
let nap = 0, waking = false;  // each sleep has a number, so that what would have ended an earlier one ends nothing

function setAwake(yes) {
  judging.awake = yes;
  al.classList.toggle("awake", yes);
  $$("[data-act=verdict], [data-act=enough], [data-act=send], [data-act=cant]").forEach((node) => { node.disabled = !yes; });
}
judging.sleep = () => { nap += 1; waking = false; setAwake(false); };
judging.rest = () => {  // asleep, and awake again after a while in view
  judging.sleep();
  if (!judging.ticket || judging.sending || document.hidden || !document.hasFocus()) return;
  const mine = nap;
  waking = true;
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => { if (mine === nap) { waking = false; setAwake(true); } }, IN_VIEW_MS)));
};
document.addEventListener("visibilitychange", () => { if (document.hidden) judging.sleep(); else judging.rest(); });
addEventListener("focus", () => { if (!judging.awake) judging.rest(); });
addEventListener("blur", () => { if (!judging.awake) judging.sleep(); });
setInterval(() => { if (judging.ticket && !judging.awake && !waking) judging.rest(); }, 500);  // not every browser tells of every focus
addEventListener("pageshow", (event) => { if (event.persisted) { judging.rest(); page.act("start"); } });

// A judging key: true when it may judge. One that comes too early, or is still held, says so and prolongs the sleep.
judging.press = (event) => {
  if (judging.awake) return !event.again;
  if (judging.ticket && !judging.sending) { sayEarly("Not counted: these answers have only just come."); judging.rest(); }
  return false;
};
let early = 0;
function sayEarly(text) {
  const line = $("[data-early]");
  line.textContent = text; line.hidden = !text;
  clearTimeout(early);
  if (text) early = setTimeout(() => sayEarly(""), 4000);
}
judging.begin = () => {  // nothing is there to be judged
  judging.ticket = judging.saw = "";
  judging.clear(); judging.sleep();
};
judging.show = (ticket) => { judging.ticket = ticket; judging.rest(); };
judging.send = async (verdict, node) => {
  if (!judging.awake || judging.sending) return;
  const ticket = judging.ticket;
  judging.sending = true; judging.sleep(); sayEarly("");
  if (node) node.classList.add("chosen");
  const answer = await page.act("verdict", { ticket, saw: judging.saw, reasons: judging.reasons(), comment: judging.comment(), ...verdict });
  if (node) node.classList.remove("chosen");
  judging.sending = false;
  if (judging.ticket !== ticket) { judging.rest(); return; }  // something else was asked for meanwhile
  if (answer && answer.state && answer.state.judged === ticket) { if (al.contains(document.activeElement)) document.activeElement.blur(); judging.next(); } else judging.rest();
};
// Another verdict stands than this page knew of: what is chosen now replaces that one, by name.
page.onState.push((answer) => {
  const stands = answer.state && answer.state.stands;
  if (stands && stands.ticket === judging.ticket) judging.saw = stands.judgement;
});
page.acts.undo = async (args, node) => {
  const answer = await page.act("undo", args, node);
  if (!answer || answer.error) return;
  if (answer.state.undone === judging.ticket) { judging.saw = ""; judging.rest(); } else judging.next();
};
page.acts["go-on"] = (args, node) => { node.remove(); judging.next(); };
judging.keys = (event) => {  // what both pages know: reasons, undo, go on
  if (event.again) return;
  const key = event.key.toLowerCase();
  const pressed = (act) => { const node = $(`[data-act="${act}"]`); if (node) page.acts[act]({ ...node.dataset }, node); };
  if (key === "r") { event.preventDefault(); page.acts.why(); }
  else if (key === "u") pressed("undo");
  else if (key === "n") pressed("go-on");
};

judging.reasons = () => $$("[data-why] .chip[aria-pressed=true]").map((chip) => chip.dataset.reason);
judging.comment = () => $("[data-comment]").value.trim();
judging.clear = () => {
  $$("[data-why] .chip").forEach((chip) => chip.setAttribute("aria-pressed", "false"));
  $("[data-comment]").value = "";
  judging.showWhy(false);
};
judging.showWhy = (open) => {
  $("[data-why]").hidden = !open;
  const opener = $('[data-act="why"]'); if (opener) opener.setAttribute("aria-pressed", String(open));
};
page.acts.chip = (args, node) => node.setAttribute("aria-pressed", String(node.getAttribute("aria-pressed") !== "true"));
page.acts.why = () => {
  const open = $("[data-why]").hidden;
  judging.showWhy(open);
  if (open) $("[data-why] .chip").focus(); else if (al.contains(document.activeElement)) document.activeElement.blur();
};
$("[data-why]").addEventListener("keydown", (event) => {  // arrows walk the chips, Escape folds them
  const chips = $$("[data-why] .chip"), at = chips.indexOf(document.activeElement);
  if (event.key === "Escape") { page.acts.why(); event.stopPropagation(); return; }
  if (at < 0 || !/^Arrow(Left|Right)$/.test(event.key)) return;
  event.preventDefault(); event.stopPropagation();
  chips[(at + (event.key === "ArrowRight" ? 1 : chips.length - 1)) % chips.length].focus();
});
