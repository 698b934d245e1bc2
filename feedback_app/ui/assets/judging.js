// Shared by comparing and ranking: reasons and a comment that stay here until the verdict is sent.
const judging = { ticket: "" };
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
