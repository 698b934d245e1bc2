// Rank: cards in an order, ties as "=", by drag or by keys. Ranks go to the server by the ticket's own order.
// An order that nobody touched was drawn by chance: it is sent only when the person says that it is theirs, too.
let touched = false, asked = false;
let size = Number(localStorage.getItem("alignloop.rank.size")) || 4;
const cardsNow = () => $$(".rank-card");
const list = () => $(".ranking");

function number() {
  let rank = 0;
  cardsNow().forEach((card, at) => {
    if (at === 0) card.removeAttribute("data-tied");
    const tied = at > 0 && card.hasAttribute("data-tied");
    if (!tied) rank = at + 1;
    card.dataset.rank = rank;
  });
  for (const card of cardsNow()) {
    const shared = cardsNow().filter((other) => other.dataset.rank === card.dataset.rank).length > 1;
    $("[data-place]", card).textContent = card.dataset.rank + (shared ? "=" : "");
    card.setAttribute("aria-label", `Place ${card.dataset.rank}${shared ? ", tied" : ""}: ${$(".md", card).innerText.slice(0, 80)}`);
    const tie = $('[data-act="tie"]', card);
    tie.disabled = card === cardsNow()[0];
    tie.setAttribute("aria-pressed", String(card.hasAttribute("data-tied")));
  }
}
function touch() { touched = true; ask(false); number(); }
function ask(open) {
  asked = open; $("[data-ask]").hidden = !open;
  $("[data-word]", $('[data-act="send"]')).textContent = open ? "Keep this order" : "Send this order";
}
function move(card, by) {
  const cards = cardsNow(), at = cards.indexOf(card), to = at + by;
  if (to < 0 || to >= cards.length) return;
  card.removeAttribute("data-tied");
  if (by < 0) list().insertBefore(card, cards[to]); else list().insertBefore(card, cards[to].nextSibling);
  touch(); card.focus();
}
// While the next ranking waits for its turn, the line says how many go before it.
const word = (text) => { $("[data-waiting] [data-word]").textContent = text || "Writing the answers"; };
setInterval(async () => {
  if (!page.busy.has("next")) return;
  const answer = await page.act("place", { size });
  if (answer && answer.state) word(answer.state.waiting);
}, 1000);
judging.next = () => next();
async function next() {
  word("");
  judging.begin(); touched = false; ask(false); $("[data-waiting]").hidden = false;
  if (list()) list().remove();
  const answer = await page.act("next", { size });
  if (!answer || answer.error) { $("[data-waiting]").hidden = true; if (page.state.ready) setTimeout(() => { if (!judging.ticket) next(); }, 5000); return; }
  $("[data-waiting]").hidden = true;
  number(); judging.show(answer.state.ticket);
  const first = cardsNow()[0]; if (first && !page.typing()) first.focus({ preventScroll: true });
}
page.acts.send = (args, node) => {
  if (!touched && !asked) { ask(true); judging.rest(); return; }
  const ranks = [];
  for (const card of cardsNow()) ranks[Number(card.dataset.index)] = Number(card.dataset.rank);
  return judging.send({ ranks, chosen: touched || asked }, node);
};
page.acts.cant = (args, node) => judging.send({ cannot_judge: true }, node);
page.acts.move = ({ by }, node) => { const card = node.closest(".rank-card"); move(card, Number(by)); node.focus(); };
page.acts.tie = (args, node) => { node.closest(".rank-card").toggleAttribute("data-tied"); touch(); };
page.acts.size = (args, node) => {
  size = Number(args.size); localStorage.setItem("alignloop.rank.size", size); showSize();
  next();
};
const showSize = () => $$('[data-act="size"]').forEach((chip) => chip.setAttribute("aria-pressed", String(Number(chip.dataset.size) === size)));

document.addEventListener("keydown", (event) => {
  if (!page.command(event)) return;
  const cards = cardsNow(), at = cards.indexOf(document.activeElement && document.activeElement.closest(".rank-card"));
  const onButton = event.target.tagName === "BUTTON" || event.target.tagName === "A";
  if (event.key === "ArrowUp" || event.key === "ArrowDown") {
    if (!cards.length) return;
    event.preventDefault();
    const by = event.key === "ArrowUp" ? -1 : 1;
    if (at < 0) cards[0].focus(); else if (event.shiftKey) move(cards[at], by); else cards[Math.max(0, Math.min(cards.length - 1, at + by))].focus();
  } else if (event.key === "=") { if (at > 0 && !event.again) { cards[at].toggleAttribute("data-tied"); touch(); } }
  else if (event.key === "Enter") { if (!onButton) { event.preventDefault(); if (judging.press(event)) page.acts.send({}, $('[data-act="send"]')); } }
  else if (event.key === "0") { if (judging.press(event)) page.acts.cant({}, $('[data-act="cant"]')); }
  else judging.keys(event);
});

// Drag with mouse, pen or finger: the card follows, the others make room.
al.addEventListener("pointerdown", (event) => {
  const grip = event.target.closest("[data-grip]");
  if (!grip || event.button) return;
  const card = grip.closest(".rank-card");
  event.preventDefault();
  let startY = event.clientY;
  card.classList.add("dragged"); grip.setPointerCapture(event.pointerId);
  const onMove = (moved) => {
    card.style.transform = `translateY(${moved.clientY - startY}px)`;
    const cards = cardsNow(), at = cards.indexOf(card), middle = card.getBoundingClientRect().top + card.offsetHeight / 2;
    const above = cards[at - 1], below = cards[at + 1];
    const before = card.offsetTop;
    if (above && middle < above.getBoundingClientRect().top + above.offsetHeight / 2) list().insertBefore(card, above);
    else if (below && middle > below.getBoundingClientRect().top + below.offsetHeight / 2) list().insertBefore(below, card);
    else return;
    startY += card.offsetTop - before;
    card.style.transform = `translateY(${moved.clientY - startY}px)`;
    card.removeAttribute("data-tied"); touch();
  };
  const onEnd = () => {
    card.classList.remove("dragged"); card.style.transform = "";
    grip.removeEventListener("pointermove", onMove);
    card.focus({ preventScroll: true }); number();
  };
  grip.addEventListener("pointermove", onMove);
  grip.addEventListener("pointerup", onEnd, { once: true });
  grip.addEventListener("pointercancel", onEnd, { once: true });
});
let begun = false;
page.onState.push(() => { if (page.state.ready && !begun) { begun = true; showSize(); next(); } });
page.act("start");
