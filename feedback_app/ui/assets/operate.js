// Operate: the page asks every second while a round runs, every five otherwise, and never while it is hidden.
page.acts.fold = (args, node) => { node.closest("details").open = false; };
for (const name of ["promote", "rollback"]) {
  page.acts[name] = async (args, form) => {
    const answer = await page.act(name, args, form);
    if (answer && !answer.error) { const fold = $("#confirm-" + name); if (fold) fold.open = false; }
  };
}
page.acts.invite = async (args, form) => { const answer = await page.act("invite", args, form); if (answer && !answer.error) $(".invite").reset(); };
page.acts.schedule = async (args, form) => {
  const answer = await page.act("schedule", args, form), save = $("button", form);
  if (answer && !answer.error && save) { save.textContent = "Saved"; setTimeout(() => { save.textContent = "Save the schedule"; }, 1500); }
};
al.addEventListener("change", (event) => {
  if (event.target.dataset.change === "role") page.act("role", { name: event.target.dataset.name, role: event.target.value }, event.target);
});
let asked = 0;
setInterval(() => {
  if (document.hidden || page.state.ready === false) return;  // page.js asks every second while the model loads
  asked += 1;
  if (page.state.running || asked % 5 === 0) page.act("pulse");
}, 1000);
page.act("start");
