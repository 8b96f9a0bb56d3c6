// The list of exports, and the dialog that adds to it.

import { $, attempt, duration, get, post } from "./api.js";

const SHOWN = 150; // entries in the document
const FAST = 400;
const LOOKING = 1000; // while the desk looks for bursts
const SLOW = 3000;
const STATUS = { waiting: "waiting", running: "", done: "done", skipped: "skipped", failed: "failed" };
let version = -1;
let list = [];
let state = {};
let timer;
let told = () => {};
let ids = [];
let names = [];
let bursts = [];
let before = async () => {};
let listed = () => {};

export function setUp({ onDone, beforeExport, onListed }) {
  told = onDone;
  listed = onListed;
  before = beforeExport;
  $("queue-button").addEventListener("click", () => toggle());
  $("queue-close").addEventListener("click", () => { toggle(false); $("queue-button").focus(); });
  $("queue-stop").addEventListener("click", () => act(state.stopped ? "go-on" : "stop"));
  $("queue-retry").addEventListener("click", () => act("retry"));
  $("queue-tidy").addEventListener("click", () => act("remove-finished"));
  $("queue-items").addEventListener("click", (event) => {
    const button = event.target.closest("button[data-id]");
    if (button) attempt(async () => { await post("api/exports/do", { what: "remove", ids: [button.dataset.id] }); await poll(); });
  });
  $("export-cancel").addEventListener("click", () => $("export").close());
  $("export").querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); go(); });
  $("export").addEventListener("input", explain);
  $("below").addEventListener("focus", () => { $("where-below").checked = true; explain(); });
  poll();
}

export function toggle(open = $("queue").hidden) {
  $("queue").hidden = !open;
  $("queue-button").setAttribute("aria-expanded", String(open));
  if (open) { render(); $("queue-stop").focus(); }
}

function act(what) {
  return attempt(async () => { await post("api/exports/do", { what }); await poll(); });
}

export async function poll() {
  clearTimeout(timer);
  try {
    const said = await get(`api/exports?version=${version}`);
    const finished = new Set(list.filter((e) => e.status === "done").map((e) => e.id));
    if (said.exports) list = said.exports;
    const fresh = version >= 0 ? list.filter((e) => e.status === "done" && !finished.has(e.id)) : [];
    version = said.version;
    state = said;
    if (fresh.length) told(fresh.map((e) => e.photo));
    listed(said.list);
    render();
  } catch (error) {
    $("queue-text").textContent = "The desk does not answer. Is undark still running?";
  }
  const busy = state.now || (!state.stopped && list.some((e) => e.status === "waiting"));
  const wait = state.looking ? LOOKING : SLOW;
  timer = setTimeout(poll, busy ? FAST : wait);
}

function render() {
  const count = (status) => list.filter((e) => e.status === status).length;
  const [waiting, failed, running] = [count("waiting"), count("failed"), count("running")];
  const all = list.length;
  const finished = all - waiting - running;
  $("queue-button").textContent = waiting + running ? `Exports ${finished} of ${all}` : "Exports";
  const share = all ? (finished + (state.now?.share || 0)) / all : 0;
  $("queue-bar").value = share;
  $("queue-bar").hidden = !all;
  $("queue-stop").hidden = !(waiting + running);
  $("queue-stop").textContent = state.stopped ? "Go on" : "Stop";
  $("queue-stop").classList.toggle("primary", Boolean(state.stopped));
  $("queue-retry").hidden = !failed;
  $("queue-tidy").hidden = !finished;
  const text = summary(all, finished, failed, waiting + running);
  if ($("queue-text").textContent !== text) $("queue-text").textContent = text;
  if (!$("queue").hidden) items();
}

function summary(all, finished, failed, left) {
  if (state.problem) return state.problem;
  if (!all) return "Nothing to export yet: choose photos, then Export….";
  const said = [`${finished} of ${all} done`];
  if (failed) said.push(`${failed} failed`);
  if (left && state.stopped) said.push("stopped");
  else if (left && state.seconds_left !== null) said.push(`about ${duration(state.seconds_left)} left`);
  return `${said.join(", ")}.`;
}

function items() {
  const order = { running: 0, failed: 1, waiting: 2, done: 3, skipped: 4 };
  const sorted = [...list].sort((a, b) => order[a.status] - order[b.status]);
  const box = $("queue-items");
  const kept = new Map([...box.children].map((li) => [li.dataset.id, li]));
  const seen = sorted.slice(0, SHOWN).map((item) => {
    const signature = JSON.stringify(item);
    let li = kept.get(item.id);
    if (!li || li.dataset.signature !== signature) { li = entry(item); li.dataset.signature = signature; }
    if (item.status === "running") {
      li.querySelector("progress").value = state.now?.share || 0;
      const left = state.now?.seconds_left;
      li.querySelector("small").textContent = left ? `about ${duration(left)} left` : "reading";
    }
    return li;
  });
  if (sorted.length > SHOWN) {
    const more = document.createElement("li");
    more.textContent = `and ${sorted.length - SHOWN} more`;
    seen.push(more);
  }
  if (seen.length !== box.children.length || seen.some((li, i) => box.children[i] !== li)) box.replaceChildren(...seen);
}

function entry(item) {
  const li = document.createElement("li");
  li.className = item.status;
  li.dataset.id = item.id;
  li.innerHTML = '<div class="what"><b></b><span></span></div><small></small>';
  const file = item.target.split(/[/\\]/).pop();
  const name = li.querySelector("b");
  if (item.status === "done") {
    const link = document.createElement("a");
    link.href = `api/exports/${item.id}/file`;
    link.download = file;
    link.textContent = file;
    name.append(link);
  } else {
    name.textContent = `${item.name} → ${file}`;
  }
  li.querySelector("span").textContent = STATUS[item.status];
  li.querySelector("small").textContent = item.status === "done" ? `${item.target} · ${duration(item.seconds)}` : item.message;
  if (item.status === "running") {
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.setAttribute("aria-label", item.name);
    li.append(bar);
  }
  if (item.status === "waiting" || item.status === "failed") {
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "quiet";
    remove.dataset.id = item.id;
    remove.textContent = "✕";
    remove.setAttribute("aria-label", `Remove ${item.name} from the exports`);
    li.querySelector(".what").append(remove);
  }
  return li;
}

export function ask(photos) {
  ids = photos.map((photo) => photo.id);
  names = photos.map((photo) => photo.name);
  bursts = photos.map((photo) => photo.frames.length > 0);
  const burst = bursts[0] ? `, burst of ${photos[0].frames.length}` : "";
  $("export-title").textContent = ids.length === 1 ? `Export ${names[0]}${burst}` : `Export ${ids.length} photos`;
  $("export-error").textContent = "";
  explain();
  $("export").showModal();
}

function wanted() {
  const kind = document.querySelector('input[name="kind"]:checked').value;
  const below = $("where-below").checked ? $("below").value.trim() : "";
  return { kind, below, label: $("label").value, replace: $("replace").checked };
}

function explain() {
  const { kind, below, label } = wanted();
  const suffix = { jpeg: ".jpg", png: ".png", tiff: ".tif", dng: ".dng" }[kind];
  const stem = (names[0] || "IMG_0001").split("/").pop().replace(/\.[^.]*$/, "");
  $("example").textContent = `${below ? `${below}/` : ""}${stem}${label}-undark${bursts[0] ? "-burst" : ""}${suffix}`;
  const hint = {
    jpeg: "To look at and to send.",
    png: "Without loss, large.",
    tiff: "Without loss, for editors.",
    dng: "Linear light for a RAW developer. Strength, exposure and white balance are in it; contrast is not.",
  }[kind];
  const merged = kind === "dng" ? "Of a burst only the merged mosaic, not restored: none of the settings is in it."
    : "A burst's merged mosaic is written beside its picture, as a DNG.";
  $("kind-hint").textContent = bursts.some(Boolean) ? `${bursts.every(Boolean) && kind === "dng" ? "" : `${hint} `}${merged}` : hint;
}

async function go() {
  try {
    await before();
    const { added } = await post("api/exports", { ids, ...wanted() });
    $("export").close();
    toggle(true);
    if (!added) $("queue-text").textContent = "No photo was added.";
    await poll();
  } catch (error) {
    $("export-error").textContent = error.message;
  }
}
