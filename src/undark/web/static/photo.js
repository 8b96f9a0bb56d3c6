// One photo: its settings, histogram and data.

import { $, attempt, duration, get, post, tell } from "./api.js";
import * as stage from "./stage.js";
import { thumbnail } from "./thumbs.js";

const DEFAULT = { ev: 0, strength: 1, white_balance: "as-shot", contrast: 0 };
const SLOW = 150; // milliseconds after which the picture is drafted while a slider moves
let id = null;
let settings = { ...DEFAULT };
let about = {};
let frames = 0; // of a burst
let polling;
let saving;
let unsaved = null;
let edited = () => {};

export function setUp({ onEdited }) {
  edited = onEdited;
  stage.setUp({ onBase: histogram, onZoom: (zoom) => { document.querySelector(`input[name="zoom"][value="${zoom}"]`).checked = true; } });
  slider("exposure", (value) => ({ ev: value }), (s) => s.ev);
  slider("strength", (value) => ({ strength: value / 100 }), (s) => Math.round(s.strength * 100));
  slider("contrast", (value) => ({ contrast: value / 100 }), (s) => Math.round(s.contrast * 100));
  $("balance").addEventListener("change", () => {
    if ($("balance").value !== "picked") change({ white_balance: $("balance").value });
  });
  $("pick").addEventListener("click", startPicking);
  $("confidence").addEventListener("change", overlay);
  $("reset").addEventListener("click", () => { change({ ...DEFAULT }); controls(); });
  for (const radio of document.getElementsByName("zoom")) {
    radio.addEventListener("change", () => stage.setZoom(radio.value === "fit" ? "fit" : Number(radio.value)));
  }
  $("stage").addEventListener("fault", (event) => {
    // its light was dropped for that of other photos: it is read and restored again
    if (event.detail.includes("not open")) reopen();
    else note(event.detail);
  });
}

export function current() { return id; }
export function currentSettings() { return settings; }

export async function open(photo) {
  close();
  id = photo.id;
  settings = { ...DEFAULT };
  about = {};
  frames = photo.frames.length;
  $("photo-name").textContent = photo.name;
  $("before-label").textContent = frames ? "Before: merged" : "Before";
  $("because").textContent = "";
  $("facts").replaceChildren();
  note("");
  controls();
  stage.open({ id, width: 0, height: 0, restored: false, ready: false }, thumbnail(id));
  working("Reading the photo…", null);
  const said = await post(`api/photos/${id}/open`);
  if (id !== photo.id) return;
  settings = said.settings;
  controls();
  learn(said);
}

function reopen() {
  const asked = id;
  clearTimeout(polling);
  attempt(async () => {
    const said = await post(`api/photos/${asked}/open`);
    if (id !== asked) return;
    stage.update({ width: about.width, height: about.height, restored: false });
    learn(said);
  });
}

export function close() {
  save();
  clearTimeout(polling);
  if (id) post(`api/photos/${id}/leave`).catch(() => {}); // its restoring ends
  id = null;
  stage.close();
  $("pick").setAttribute("aria-pressed", "false");
}

// What the server says of the photo, asked again until it is restored.
function learn(said) {
  about = said;
  const { state } = said;
  if (said.width) {
    stage.adjust(settings, $("confidence").checked, false);
    stage.update({ width: said.width, height: said.height, restored: said.restored });
    describe(said);
  }
  if (!state || state.stage === "waiting" || state.stage === "reading") working("Reading the photo…", null);
  else if (state.stage === "merging" || state.stage === "restoring") {
    const left = state.seconds_left === null ? "" : `, about ${duration(state.seconds_left)} left`;
    working(`${state.stage === "merging" ? `Merging ${frames} frames` : "Restoring"}${left}`, state.share);
  } else if (state.stage === "failed") { working(state.error, 0); $("work-bar").hidden = true; }
  else $("work").hidden = true;
  $("stage").dataset.stage = state ? state.stage : "";
  if (state?.stage === "ready" || state?.stage === "failed") return;
  const asked = id;
  polling = setTimeout(() => attempt(async () => {
    const next = state ? await get(`api/photos/${asked}`) : await post(`api/photos/${asked}/open`);
    if (id === asked) learn(next);
  }), 250);
}

function working(text, share) {
  $("work").hidden = false;
  $("work-bar").hidden = false;
  if ($("work-text").textContent !== text) $("work-text").textContent = text;
  if (share === null) $("work-bar").removeAttribute("value");
  else $("work-bar").value = share;
}

function describe(said) {
  $("because").textContent = `×${Number(said.amplification.toPrecision(3))}: ${said.because}.`;
  if ($("facts").childElementCount) return;
  for (const [label, text] of Object.entries(said.facts)) {
    if (text === "unknown") continue;
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = label;
    dd.textContent = text;
    $("facts").append(dt, dd);
  }
  if (said.facts["left out"]) $("burst-text").textContent += `, left out: ${said.facts["left out"]}`;
  $("confidence").disabled = !said.confidence;
  $("legend").querySelector("span").textContent = `±0 to ±${said.unsure} of 255 levels (90 % of errors)`;
}

function slider(name, toSettings, fromSettings) {
  const input = $(name);
  input.addEventListener("input", () => change(toSettings(input.valueAsNumber)));
  input.addEventListener("dblclick", () => { change(toSettings(fromSettings(DEFAULT))); controls(); });
}

function change(part) {
  settings = { ...settings, ...part };
  note("");
  texts();
  if (Number($("stage").dataset.latency || 0) > SLOW) stage.setDrafts(true);
  stage.adjust(settings, $("confidence").checked, true);
  clearTimeout(saving);
  unsaved = { ids: [id], settings };
  saving = setTimeout(save, 500);
}

// Keep the settings on the server.
function save() {
  clearTimeout(saving);
  if (!unsaved) return;
  const kept = unsaved;
  unsaved = null;
  attempt(async () => {
    await post("api/settings", kept);
    edited(kept.ids, !same(kept.settings, DEFAULT));
  });
}

export async function copyTo(ids) {
  save();
  await post("api/settings", { ids, settings });
  edited(ids, !same(settings, DEFAULT));
  tell(ids.length === 1 ? "One photo has these settings now." : `${ids.length} photos have these settings now.`);
}

export async function saved() {
  if (!unsaved) return;
  clearTimeout(saving);
  const kept = unsaved;
  unsaved = null;
  await post("api/settings", kept);
  edited(kept.ids, !same(kept.settings, DEFAULT));
}

function same(a, b) { return JSON.stringify(a) === JSON.stringify(b); }

function controls() {
  $("exposure").value = settings.ev;
  $("strength").value = Math.round(settings.strength * 100);
  $("contrast").value = Math.round(settings.contrast * 100);
  texts();
}

function signed(number, digits) {
  const text = Math.abs(number).toFixed(digits);
  if (Number(text) === 0) return text;
  return (number < 0 ? "−" : "+") + text;
}

function texts() {
  const ev = `${signed(settings.ev, 1)} EV`;
  $("exposure-text").textContent = ev;
  $("exposure").setAttribute("aria-valuetext", ev);
  $("strength-text").textContent = `${Math.round(settings.strength * 100)} %`;
  $("strength").setAttribute("aria-valuetext", `${Math.round(settings.strength * 100)} percent of the noise removed`);
  $("contrast-text").textContent = signed(settings.contrast * 100, 0);
  const picked = Array.isArray(settings.white_balance);
  $("balance").querySelector('[value="picked"]').disabled = !picked;
  $("balance").value = picked ? "picked" : settings.white_balance;
}

function note(text) { $("note").textContent = text; }

function startPicking() {
  if ($("pick").getAttribute("aria-pressed") === "true") { stopPicking(); return; }
  if (!about.width) return;
  $("pick").setAttribute("aria-pressed", "true");
  note("");
  stage.pick((point) => attempt(async () => {
    $("pick").setAttribute("aria-pressed", "false");
    const asked = id;
    try {
      const found = await post(`api/photos/${asked}/gains`, { point });
      if (id === asked) change({ white_balance: found.white_balance });
    } catch (error) {
      note(error.message);
    }
  }));
  $("stage").focus();
}

export function stopPicking() {
  $("pick").setAttribute("aria-pressed", "false");
  stage.pick(null);
}

export function overlay() {
  $("legend").hidden = !$("confidence").checked;
  stage.adjust(settings, $("confidence").checked, false);
}

// Of the whole frame, as it is shown: red, green and blue, 128 bins each.
function histogram(bitmap) {
  const width = Math.min(300, bitmap.width);
  const height = Math.max(1, Math.round((bitmap.height * width) / bitmap.width));
  const small = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  small.drawImage(bitmap, 0, 0, width, height);
  const { data } = small.getImageData(0, 0, width, height);
  const bins = [0, 1, 2].map(() => new Float64Array(128));
  for (let i = 0; i < data.length; i += 4) for (let c = 0; c < 3; c += 1) bins[c][data[i + c] >> 1] += 1;
  const canvas = $("histogram");
  const pen = canvas.getContext("2d");
  // the ends hold all that is black or white; they would flatten the rest
  const most = Math.max(1, ...bins.map((bin) => Math.max(...bin.slice(1, -1))));
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.globalCompositeOperation = matchMedia("(prefers-color-scheme: light)").matches ? "multiply" : "screen";
  ["#e0524d", "#4fae57", "#4a78e0"].forEach((colour, c) => {
    pen.fillStyle = colour;
    pen.beginPath();
    pen.moveTo(0, canvas.height);
    bins[c].forEach((count, i) => pen.lineTo(((i + 0.5) / 128) * canvas.width, canvas.height - (Math.min(1, count / most) ** 0.7) * (canvas.height - 4)));
    pen.lineTo(canvas.width, canvas.height);
    pen.fill();
  });
  pen.globalCompositeOperation = "source-over";
}
