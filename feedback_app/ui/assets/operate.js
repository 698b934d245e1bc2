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
// A file of feedback goes to the server as it is: once to be looked at, and again to be imported. What the look said
// holds for that file and those columns, so it goes when either changes.
const bringForm = $("form.bring");
const bringSays = (text) => { const place = $('[data-says="bring"]'); place.textContent = text; place.hidden = !text; };
let bringing = false;
async function bringFile(step, doing) {
  const file = bringForm.elements.file.files[0], most = Number(bringForm.dataset.most);
  if (bringing || !file) return;
  bringSays("");
  if (file.size > most) { bringSays(`This file holds ${Math.ceil(file.size / 2 ** 20)} MiB, and the page takes ${most / 2 ** 20}. Bring it with alignloop import.`); return; }
  const how = new URLSearchParams({ name: file.name, map: bringForm.elements.map.value, text_only: bringForm.elements.text_only.checked, strict: bringForm.elements.strict.checked });
  const wait = (on, text) => { bringing = on; $('[data-keep="spin"]', bringForm).hidden = !on; $('[data-keep="doing"]', bringForm).textContent = text; for (const button of $$('form.bring button, [data-act="bring"]')) button.disabled = on; };
  wait(true, doing);
  let answer;
  try {
    const response = await fetch(`/operate/bring/${step}?${how}`, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
    if (response.status === 401) { location.href = "/sign-in?next=" + encodeURIComponent(location.pathname); return; }
    answer = await response.json();
  } catch (problem) {
    answer = { error: "The file did not reach the server, or changed meanwhile. Choose it again and try once more." };
  } finally { wait(false, ""); }
  if (typeof answer.html === "string") {
    fill("bring", answer.html);
    const at = $('[data-region="bring"] [data-focus]'); if (at) at.focus({ preventScroll: true });
  } else bringSays(answer.error || "The server could not do this. Reload the page and try again.");
  return typeof answer.html === "string";
}
page.acts.preview = () => { fill("bring", ""); return bringFile("preview", "Reading the file…"); };
page.acts.bring = async () => { if (await bringFile("import", "Importing…")) page.act("pulse"); };
for (const kind of ["change", "input"]) bringForm.addEventListener(kind, () => { fill("bring", ""); bringSays(""); });
