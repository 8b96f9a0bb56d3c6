// The list of photos: only the rows in sight are in the document, so thousands stay quick.

import { $ } from "./api.js";
import { onThumbnail, thumbnail, want } from "./thumbs.js";

const LEAST = 225;
const CAPTION = 36;
const grid = $("grid");
const space = $("space");
const tiles = new Map(); // id → element
let photos = [];
let places = new Map(); // id → index
let active = 0;
let anchor = 0;
let columns = 1;
let open = () => {};
let changed = () => {};
export const chosen = new Set();

export function setUp({ onOpen, onChosen }) {
  open = onOpen;
  changed = onChosen;
  grid.addEventListener("scroll", () => requestAnimationFrame(draw));
  grid.addEventListener("keydown", key);
  grid.addEventListener("click", click);
  grid.addEventListener("dblclick", (event) => event.preventDefault());
  new ResizeObserver(() => draw()).observe(grid);
  onThumbnail(paint);
}

// Show photos. `instead` gives the identifiers that stand for one of the list before; what is in sight
// then remains in sight.
export function show(list, instead = null) {
  const last = photos;
  const [first, beyond] = instead ? top() : [];
  photos = list;
  places = new Map(list.map((photo, index) => [photo.id, index]));
  const now = (index) => {
    const id = last[index]?.id;
    const found = (id && instead ? instead(id) : [id]).find((other) => places.has(other));
    return Math.max(0, places.get(found) ?? Math.min(index, list.length - 1));
  };
  [active, anchor] = [now(active), now(anchor)];
  for (const tile of tiles.values()) tile.remove();
  tiles.clear();
  draw();
  if (first > 0) {
    grid.scrollTop = Math.floor(now(first) / columns) * layout().row + beyond;
    draw();
  }
}

// The first photo in sight, and how many pixels of its row are above.
function top() {
  if (!grid.clientWidth) return [];
  const { row } = layout();
  return [Math.floor(grid.scrollTop / row) * columns, grid.scrollTop % row];
}

export function current() { return photos[active]?.id; }

export function activate(id) {
  if (!places.has(id)) return;
  active = anchor = places.get(id);
  reveal();
}

export function neighbour(id, step) {
  const index = places.get(id);
  return index === undefined ? undefined : photos[index + step]?.id;
}

export function chooseAll() {
  const all = photos.every((photo) => chosen.has(photo.id));
  for (const photo of photos) if (all) chosen.delete(photo.id); else chosen.add(photo.id);
  draw();
  changed();
}

function layout() {
  const style = getComputedStyle(grid);
  const width = grid.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  columns = Math.max(width < 420 ? 2 : 1, Math.floor(width / LEAST));
  const side = width / columns;
  return { side, row: Math.round(side * 0.667) + CAPTION };
}

function draw() {
  if (!grid.clientWidth) return;
  const { side, row } = layout();
  space.style.height = `${Math.ceil(photos.length / columns) * row}px`;
  const first = Math.max(0, Math.floor(grid.scrollTop / row) - 1) * columns;
  const last = Math.min(photos.length, (Math.ceil((grid.scrollTop + grid.clientHeight) / row) + 1) * columns);
  const seen = new Set();
  for (let index = first; index < last; index += 1) {
    const photo = photos[index];
    seen.add(photo.id);
    const tile = tiles.get(photo.id) || make(photo);
    tile.style.transform = `translate(${(index % columns) * side}px, ${Math.floor(index / columns) * row}px)`;
    tile.style.width = `${side}px`;
    tile.style.height = `${row}px`;
    describe(tile, photo, index);
  }
  for (const [id, tile] of tiles) {
    if (!seen.has(id)) { tile.remove(); tiles.delete(id); }
  }
  if (photos[active] && tiles.has(photos[active].id)) {
    grid.setAttribute("aria-activedescendant", `p${photos[active].id}`);
  } else {
    grid.removeAttribute("aria-activedescendant");
  }
  want([...seen]);
}

function make(photo) {
  const tile = document.createElement("div");
  tile.className = "tile";
  tile.id = `p${photo.id}`;
  tile.dataset.id = photo.id;
  tile.setAttribute("role", "option");
  tile.innerHTML = '<div class="frame"></div><div class="caption"><b></b><span class="done"></span></div><span class="many"></span><i class="box" aria-hidden="true">✓</i>';
  tile.querySelector("b").textContent = photo.name;
  tile.querySelector("b").title = photo.name;
  tiles.set(photo.id, tile);
  space.append(tile);
  paint(photo.id);
  return tile;
}

function describe(tile, photo, index) {
  const said = [photo.name];
  if (photo.frames.length) said.push(`burst of ${photo.frames.length}`);
  if (photo.burst) said.push(`frame of a burst of ${photo.burst.frames}`);
  if (photo.restored) said.push("restored already");
  if (photo.edited) said.push("with settings of its own");
  tile.setAttribute("aria-label", said.join(", "));
  tile.setAttribute("aria-selected", String(chosen.has(photo.id)));
  tile.setAttribute("aria-posinset", String(index + 1));
  tile.setAttribute("aria-setsize", String(photos.length));
  tile.classList.toggle("active", index === active);
  tile.querySelector(".many").textContent = photo.frames.length ? `burst of ${photo.frames.length}` : "";
  const marks = tile.querySelector(".done");
  marks.textContent = `${photo.edited ? "◐ " : ""}${photo.restored ? "restored" : ""}`;
}

function paint(id) {
  const frame = tiles.get(id)?.querySelector(".frame");
  const url = thumbnail(id);
  if (!frame || url === undefined) return;
  if (!url) { frame.textContent = "no preview"; return; }
  const image = frame.querySelector("img") || document.createElement("img");
  image.alt = "";
  image.src = url;
  if (!image.parentNode) frame.replaceChildren(image);
}

function reveal() {
  const { row } = layout();
  const top = Math.floor(active / columns) * row;
  if (top < grid.scrollTop) grid.scrollTop = top;
  if (top + row > grid.scrollTop + grid.clientHeight - 12) grid.scrollTop = top + row - grid.clientHeight + 12;
  draw();
}

function toggle(index, to) {
  const id = photos[index]?.id;
  if (!id) return;
  if (to ?? !chosen.has(id)) chosen.add(id); else chosen.delete(id);
}

function key(event) {
  const page = Math.max(1, Math.floor(grid.clientHeight / layout().row)) * columns;
  const steps = {
    ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns,
    PageUp: -page, PageDown: page, Home: -photos.length, End: photos.length,
  };
  if (event.key in steps && !event.altKey) {
    active = Math.max(0, Math.min(photos.length - 1, active + steps[event.key]));
    if (event.shiftKey) range(); else anchor = active;
    reveal();
  } else if (event.key === " ") {
    toggle(active);
    anchor = active;
    draw();
  } else if (event.key === "Enter") {
    if (photos[active]) open(photos[active].id);
  } else if ((event.ctrlKey || event.metaKey) && event.key === "a") {
    chooseAll();
  } else {
    return;
  }
  event.preventDefault();
  changed();
}

function range() {
  for (let i = Math.min(anchor, active); i <= Math.max(anchor, active); i += 1) toggle(i, true);
}

function click(event) {
  const tile = event.target.closest(".tile");
  if (!tile) return;
  active = places.get(tile.dataset.id);
  if (event.shiftKey) range();
  else if (event.ctrlKey || event.metaKey || event.target.closest(".box")) { toggle(active); anchor = active; }
  else { draw(); open(tile.dataset.id); return; }
  draw();
  changed();
}
