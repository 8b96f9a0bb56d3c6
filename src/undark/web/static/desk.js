// The page: the list of photos, one photo, and the keys.

import { $, attempt, get, post, put, tell } from "./api.js";
import * as exports from "./exports.js";
import * as grid from "./grid.js";
import * as photo from "./photo.js";
import * as stage from "./stage.js";
import { forgetThumbnails } from "./thumbs.js";

let photos = [];
let version = -1; // of the list
let byId = new Map();
let inside = new Map(); // frame → the burst that is shown in its place

function shown() {
  const text = $("filter").value.trim().toLowerCase();
  const todo = $("todo").checked;
  const fits = (p) => p.name.toLowerCase().includes(text);
  return photos.filter((p) => (!text || fits(p) || p.frames.some(fits)) && (!todo || !p.restored));
}

function list(instead) {
  const seen = shown();
  grid.show(seen, instead);
  $("empty").hidden = seen.length > 0;
  $("empty").textContent = photos.length
    ? "No photo fits the filter."
    : "No photos here. Drop RAW photos or pictures on this page, or start undark desk with a folder.";
  counts();
}

function counts() {
  const chosen = grid.chosen.size;
  const seen = shown().length;
  const all = seen === photos.length ? `${seen} photo${seen === 1 ? "" : "s"}` : `${seen} of ${photos.length} photos`;
  $("count").textContent = chosen ? `${all}, ${chosen} chosen` : all;
  $("export-chosen").disabled = !chosen;
  const some = [...grid.chosen].map(find);
  $("split").hidden = !some.some((p) => p.frames.length || p.burst);
  $("split").textContent = some.some((p) => p.frames.length) ? "Show frames singly" : "Join frames";
  const others = [...grid.chosen].filter((id) => id !== photo.current());
  $("copy").disabled = !others.length;
  $("copy").textContent = `Copy to ${others.length || ""} chosen`;
}

// A list from the server. What was chosen, active and open remains so, where frames have become a burst
// or a burst its frames.
function take(said) {
  const last = byId;
  ({ photos, version } = said);
  byId = new Map(photos.map((p) => [p.id, p]));
  inside = new Map(photos.flatMap((p) => p.frames.map((frame) => [frame.id, p])));
  const shownFor = (id) => (byId.has(id) ? id : inside.get(id)?.id);
  const instead = (id) => [shownFor(id), ...(last.get(id)?.frames || []).map((frame) => shownFor(frame.id))].filter(Boolean);
  const chosen = [...grid.chosen].flatMap((id) => (shownFor(id) ? [shownFor(id)] : instead(id)));
  grid.chosen.clear();
  for (const id of chosen) grid.chosen.add(id);
  $("folders").textContent = said.folders.join(", ");
  if (said.unreadable.length) tell(said.unreadable[0]);
  list(instead);
  const open = photo.current();
  if (open && !find(open)) location.replace(`#${instead(open).slice(0, 1).map((id) => `photo=${id}`)}`);
  else if (open) around();
}

// Ask for the list again where the server has another one by now.
function keepUp(current) {
  if (version < 0 || current === version) return;
  version = current;
  attempt(async () => take(await get("api/photos")));
}

async function stored() {
  const { bytes } = await get("api/storage");
  $("stored").textContent = `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)} MiB stored`;
}

// Also a frame that is not shown, since its burst is.
function find(id) {
  const burst = inside.get(id);
  return byId.get(id) || (burst && { ...burst.frames.find((frame) => frame.id === id), frames: [], burst: { id: burst.id, frames: burst.frames.length } });
}

// Its place in the list: that of its burst for a frame that is not shown.
function place(id) { return byId.has(id) ? id : inside.get(id)?.id; }

// What depends on the list around the open photo.
function around() {
  const id = photo.current();
  const { frames, burst } = find(id);
  $("previous").disabled = !grid.neighbour(place(id), -1);
  $("next").disabled = !grid.neighbour(place(id), 1);
  $("burst").hidden = !frames.length && !burst;
  if (frames.length && !$("burst-text").textContent.startsWith("Burst")) $("burst-text").textContent = `Burst of ${frames.length}`;
  if (burst) $("burst-text").textContent = `Frame of a burst of ${burst.frames}`;
  $("burst-button").textContent = burst ? (byId.has(id) ? "Join frames" : "Open the burst") : "Show frames singly";
  counts();
}

// Show the frames of bursts singly, or, where all are frames, as bursts again.
async function regroup(some) {
  const split = some.some((p) => p.frames.length);
  const ids = some.filter((p) => (split ? p.frames.length : p.burst)).map((p) => (split ? p.id : p.burst.id));
  if (ids.length) take(await post("api/bursts", { ids: [...new Set(ids)], split }));
}

function regroupOpen() {
  const open = find(photo.current());
  attempt(async () => {
    if (!open.burst || byId.has(open.id)) await regroup([open]);
    if (open.burst) location.replace(`#photo=${open.burst.id}`);
  });
}

function open(id) { location.hash = `photo=${id}`; }

function leave() { location.hash = ""; }

// The address says what is open, so that the browser's back button works.
function follow() {
  const id = /^#photo=([0-9a-f]+)$/.exec(location.hash)?.[1];
  const wanted = id && find(id);
  for (const part of ["photo", "photo-tools"]) $(part).hidden = !wanted;
  for (const part of ["list", "list-tools"]) $(part).hidden = Boolean(wanted);
  if (wanted) {
    if (photo.current() === id) return;
    $("burst-text").textContent = "";
    const opening = photo.open(wanted); // its identifier is known from here on
    attempt(() => opening);
    around();
    $("divider").focus();
    if (document.activeElement === document.body) $("stage").focus();
  } else {
    const last = photo.current();
    photo.close();
    if (last) { list(); grid.activate(place(last)); }
    $("grid").focus({ preventScroll: true });
  }
}

function step(by) {
  const next = grid.neighbour(place(photo.current()), by);
  if (next) { location.replace(`#photo=${next}`); grid.activate(next); }
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches('input[type="text"], input[type="search"], select');
  if (event.key === "Escape" && !$("queue").hidden) { exports.toggle(false); $("queue-button").focus(); return; }
  if (typing) return;
  if (event.key === "q") { exports.toggle(); return; }
  if ($("photo").hidden) {
    if (event.key === "b" && grid.current()) attempt(() => regroup([find(grid.current())]));
    return;
  }
  const does = {
    Escape: leave,
    "[": () => step(-1),
    "]": () => step(1),
    f: () => stage.setZoom("fit"),
    0: () => stage.setZoom("fit"),
    1: () => stage.setZoom(1),
    2: () => stage.setZoom(2),
    c: () => { if (!$("confidence").disabled) { $("confidence").checked = !$("confidence").checked; photo.overlay(); } },
    b: () => { if (!$("burst").hidden) regroupOpen(); },
    e: () => exports.ask([find(photo.current())]),
  }[event.key];
  if (does) { does(); event.preventDefault(); }
}

async function upload(files) {
  let kept = 0;
  for (const file of files) {
    tell(`Adding ${file.name} (${kept + 1} of ${files.length})…`);
    try {
      await put(`api/uploads?name=${encodeURIComponent(file.name)}`, file);
      kept += 1;
    } catch (error) {
      tell(error instanceof TypeError ? `${file.name} was refused: too large, or the desk has ended.` : error.message);
    }
  }
  take(await get("api/photos"));
  if (kept) tell(kept === 1 ? "One photo was added." : `${kept} photos were added.`);
  await stored();
}

function dropping() {
  let inside = 0;
  const over = (by) => { inside += by; $("drop").hidden = inside <= 0; };
  addEventListener("dragenter", (event) => { if (event.dataTransfer?.types.includes("Files")) over(1); });
  addEventListener("dragleave", (event) => { if (event.dataTransfer?.types.includes("Files")) over(-1); });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    over(0);
    if (event.dataTransfer.files.length) attempt(() => upload([...event.dataTransfer.files]));
  });
}

function start() {
  grid.setUp({ onOpen: open, onChosen: counts });
  photo.setUp({
    onEdited: (ids, edited) => { for (const id of ids) { const p = find(id); if (p) p.edited = edited; } },
  });
  exports.setUp({
    onDone: (ids) => { for (const id of ids) { const p = find(id); if (p) p.restored = true; } list(); attempt(stored); },
    beforeExport: photo.saved,
    onListed: keepUp,
  });
  $("filter").addEventListener("input", () => list());
  $("todo").addEventListener("change", () => list());
  $("choose-all").addEventListener("click", () => grid.chooseAll());
  $("export-chosen").addEventListener("click", () => exports.ask(photos.filter((p) => grid.chosen.has(p.id))));
  $("split").addEventListener("click", () => attempt(() => regroup([...grid.chosen].map(find))));
  $("burst-button").addEventListener("click", regroupOpen);
  $("export-one").addEventListener("click", () => exports.ask([find(photo.current())]));
  $("copy").addEventListener("click", () => attempt(() => photo.copyTo([...grid.chosen].filter((id) => id !== photo.current()))));
  $("back").addEventListener("click", leave);
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("rescan").addEventListener("click", () => attempt(async () => take(await post("api/scan"))));
  $("add").addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", () => attempt(() => upload([...$("files").files])));
  $("clear").addEventListener("click", () => $("sure").showModal());
  $("sure").addEventListener("close", () => {
    if ($("sure").returnValue !== "yes") return;
    attempt(async () => { take(await post("api/clear")); forgetThumbnails(); list(); await stored(); });
  });
  addEventListener("hashchange", follow);
  addEventListener("keydown", keys);
  addEventListener("pagehide", () => photo.close());
  dropping();
  attempt(async () => { take(await get("api/photos")); follow(); await stored(); });
}

start();
