// The large picture. The server renders the part in sight, the browser only places it: what is shown
// is what an export writes.

import { $, picture } from "./api.js";

const NEAR = 22; // CSS pixels from the divider at which it is taken hold of
const SETTLED = 160; // milliseconds after the last change until what is out of sight is asked for too
const ROUGH = 2; // sizes below the window's: of the whole frame while a slider moves, for the histogram
const canvas = $("canvas");
const stage = $("stage");
const pen = canvas.getContext("2d");

let photo = null; // { id, width, height, restored }
let settings = {};
let confidence = false;
let zoom = "fit";
let centre = { x: 0, y: 0 };
let divider = 0.5;
let placeholder = null;
let layers = [];
let drafts = false;
let settling; // the timer
let unsettled = false; // what is out of sight is still to be asked for
let picking = null;
let changes = 0; // of settings, while a slider moves
let began = null; // { at, change }: the first change that is not in sight yet
let painting = 0;
let onBase = () => {};
let onZoom = () => {};

class Layer {
  // One picture of one side: the whole frame, or the part in sight.
  constructor(side, whole) {
    Object.assign(this, { side, whole, bitmap: null, place: null, wanted: null, key: null, busy: false });
    this.over = null; // of a whole frame: the part that lies over it
    this.due = this.change = 0; // the change of settings that it is to show, and that it shows
  }

  clear() { this.bitmap?.close(); this.bitmap = this.place = this.wanted = this.key = null; this.change = this.due; }

  // Ask for a part; while a request is under way only the newest is remembered. A whole frame that
  // `replaces` is sharp enough for the window: what lies over it is removed once it is there.
  ask(query, replaces = false) {
    this.wanted = query;
    this.replaces = replaces;
    this.due = changes;
    if (this.busy) return;
    if (query !== this.key) this.load();
    else this.loaded(changes);
  }

  async load() {
    const query = this.wanted;
    const due = this.due;
    const { id } = photo;
    this.busy = true;
    try {
      const { blob, headers } = await picture(`api/photos/${id}/view?${query}`);
      const bitmap = await createImageBitmap(blob);
      if (photo?.id !== id || !this.wanted) { bitmap.close(); return; }
      this.bitmap?.close();
      this.bitmap = bitmap;
      this.place = headers.get("X-Place").split(",").map(Number);
      this.key = query;
      this.loaded(due);
      if (this.side === "after" && this.whole) onBase(bitmap);
      draw();
    } catch (error) {
      if (photo?.id === id) { this.key = query; this.change = due; stage.dispatchEvent(new CustomEvent("fault", { detail: error.message })); }
    } finally {
      this.busy = false;
      if (photo && this.wanted && this.wanted !== this.key) this.load();
      else settle();
    }
  }

  loaded(change) {
    this.change = change;
    if (this.replaces && this.wanted === this.key) this.over.clear();
  }
}

export function setUp(callbacks) {
  ({ onBase, onZoom } = callbacks);
  new ResizeObserver(resize).observe(stage);
  stage.addEventListener("pointerdown", grab);
  stage.addEventListener("dblclick", (event) => {
    if (picking) return;
    const at = point(event);
    setZoom(zoom === "fit" ? 1 : "fit", at);
  });
  stage.addEventListener("keydown", pan);
  $("divider").addEventListener("input", () => setDivider($("divider").valueAsNumber / 100));
  setDivider(0.5);
}

export function open(next, thumbnail) {
  close();
  photo = next;
  layers = ["before", "after"].flatMap((side) => {
    const [whole, part] = [new Layer(side, true), new Layer(side, false)];
    whole.over = part;
    return [whole, part];
  });
  centre = { x: next.width / 2, y: next.height / 2 };
  placeholder = null;
  if (thumbnail) {
    const image = new Image();
    image.onload = () => { if (photo === next) { placeholder = image; draw(); } };
    image.src = thumbnail;
  }
  resize();
}

export function close() {
  for (const layer of layers) layer.clear();
  layers = [];
  photo = null;
  pick(null);
  clearTimeout(settling);
  settling = began = null;
  unsettled = false;
  paint(); // now: what is hidden cannot have the focus
}

// Known from the server: the size, and whether it is restored.
export function update(next) {
  const first = !photo.ready;
  const sized = photo.width !== next.width || photo.height !== next.height;
  const restored = photo.restored !== next.restored;
  Object.assign(photo, next, { ready: true });
  if (sized) centre = { x: next.width / 2, y: next.height / 2 };
  if (restored) for (const layer of layers) if (layer.side === "after") layer.key = null;
  if (first || sized || restored) refresh(false);
}

export function adjust(next, overlay, moving) {
  settings = next;
  confidence = overlay;
  if (moving) changes += 1;
  if (moving && !began) began = { at: performance.now(), change: changes };
  refresh(moving);
}

export function setZoom(to, at) {
  zoom = to;
  if (at) centre = at;
  onZoom(zoom);
  refresh(false);
}

export function getZoom() { return zoom; }

export function setDivider(share) {
  divider = Math.min(1, Math.max(0, share));
  const percent = Math.round(divider * 100);
  const input = $("divider");
  if (input.valueAsNumber !== percent) input.value = String(percent);
  input.setAttribute("aria-valuetext", `before on the left ${percent} %`);
  $("line").style.left = `${divider * 100}%`;
  $("before-label").style.visibility = divider < 0.12 ? "hidden" : "visible";
  $("after-label").style.visibility = divider > 0.88 ? "hidden" : "visible";
  draw();
}

export function pick(callback) {
  picking = callback;
  stage.classList.toggle("picking", Boolean(callback));
  $("cross").hidden = !callback;
  if (callback) cross(stage.clientWidth * 0.5, stage.clientHeight * 0.5);
}

function cross(x, y) {
  $("cross").style.left = `${x}px`;
  $("cross").style.top = `${y}px`;
}

function ratio() { return window.devicePixelRatio || 1; }

// Device pixels that a pixel of the photo takes.
function scale() {
  if (zoom !== "fit") return zoom;
  return Math.min(canvas.width / photo.width, canvas.height / photo.height, 2);
}

// Left and top of the photo's corner, in device pixels of the canvas.
function corner() {
  const s = scale();
  const along = (size, n, c) => (n * s <= size ? (size - n * s) / 2 : Math.min(0, Math.max(size - n * s, size / 2 - c * s)));
  return [Math.round(along(canvas.width, photo.width, centre.x)), Math.round(along(canvas.height, photo.height, centre.y))];
}

function resize() {
  const [width, height] = [Math.round(stage.clientWidth * ratio()), Math.round(stage.clientHeight * ratio())];
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  paint(); // now: a new size has cleared it
  refresh(false);
}

function refresh(moving) {
  draw();
  if (!photo?.ready) return;
  clearTimeout(settling);
  settling = moving ? setTimeout(() => { settling = null; settle(); }, SETTLED) : null;
  unsettled = moving;
  request(moving);
  settle();
}

// While something moves: what is in sight, on each side up to the divider, and the whole frame small,
// for the histogram. Else all of it, so that the divider can be moved.
function request(moving) {
  const draft = moving && drafts ? 1 : 0;
  const level = sizeFor(Math.min(canvas.width / photo.width, canvas.height / photo.height));
  const larger = scale() * (1 << level) > 1.5;
  for (const layer of layers) {
    const { side, over } = layer;
    if (!over || (side === "after" && !photo.restored)) continue;
    const frame = query(side, [0, 0, photo.width, photo.height], level);
    if (!moving || layer.key === frame) layer.ask(frame, !larger);
    else if (side === "after") layer.ask(query(side, [0, 0, photo.width, photo.height], level + ROUGH, true));
    if (!larger && (!moving || layer.key === frame)) continue;
    const part = moving ? inSight(side) : inSight();
    if (part) over.ask(query(side, part, sizeFor(scale()) + draft, moving));
  }
}

// How many times a picture is halved that is shown at a scale.
function sizeFor(shown) { return Math.max(0, Math.round(Math.log2(1 / shown))); }

// Left, top, width and height in the photo: of one side, or of both; null where nothing is in sight.
function inSight(side) {
  const [s, [left, top]] = [scale(), corner()];
  const [from, to] = side ? extent(side) : [0, canvas.width];
  const x = Math.max(0, Math.floor((from - left) / s));
  const y = Math.max(0, Math.floor(-top / s));
  const right = Math.min(photo.width, Math.ceil((to - left) / s));
  const bottom = Math.min(photo.height, Math.ceil((canvas.height - top) / s));
  return right > x && bottom > y ? [x, y, right - x, bottom - y] : null;
}

// From where to where a side is drawn, in device pixels of the canvas.
function extent(side) {
  const edge = compares() ? Math.round(divider * canvas.width) : canvas.width;
  return side === "before" ? [0, edge] : [edge, canvas.width];
}

// Whether there are two sides.
function compares() { return Boolean(photo?.restored && layers.some((l) => l.side === "after" && l.bitmap)); }

// Ask for what is out of sight once nothing moves and all in sight is there, which it would delay. Say,
// for tests and drafts, when a change of the settings is in sight, and when all is there.
function settle() {
  const idle = layers.every((layer) => !layer.busy);
  const seen = layers.filter((layer) => !layer.over?.wanted);
  if (began && seen.every((layer) => layer.change >= Math.min(layer.due, began.change))) {
    const { at } = began;
    began = null;
    requestAnimationFrame(() => { stage.dataset.latency = String(Math.round(performance.now() - at)); }); // after paint
  }
  if (unsettled && !settling && idle && photo?.ready) { unsettled = false; request(false); }
  stage.dataset.settled = String(!unsettled && layers.every((layer) => !layer.busy));
}

function query(side, [left, top, width, height], level, moving) {
  const used = { ...settings };
  if (side === "before") used.strength = 0;
  const asked = new URLSearchParams({ left, top, width, height, level, side, settings: JSON.stringify(used) });
  if (confidence && side === "after") asked.set("confidence", "1");
  if (moving) asked.set("draft", "1");
  return asked.toString();
}

export function setDrafts(on) { drafts = on; }

// Once in a frame, whatever has changed.
function draw() {
  painting ||= requestAnimationFrame(paint);
}

function paint() {
  cancelAnimationFrame(painting);
  painting = 0;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const both = compares();
  for (const id of ["line", "before-label", "after-label", "divider"]) $(id).hidden = !both;
  stage.classList.toggle("pannable", Boolean(photo?.ready) && pannable());
  if (!photo) return;
  side("before");
  if (both) side("after");
}

function pannable() {
  return photo.width * scale() > canvas.width + 1 || photo.height * scale() > canvas.height + 1;
}

function side(name) {
  const [from, to] = extent(name);
  if (to <= from) return;
  pen.save();
  pen.beginPath();
  pen.rect(from, 0, to - from, canvas.height);
  pen.clip();
  const [s, [left, top]] = photo.width ? [scale(), corner()] : [1, [0, 0]];
  pen.imageSmoothingQuality = "high";
  const drawn = layers.filter((l) => l.side === name && l.bitmap);
  if (!drawn.length && placeholder) place(placeholder);
  for (const layer of drawn) {
    const [x, y, width, height] = layer.place;
    pen.imageSmoothingEnabled = layer.whole || s < 1 || zoom === "fit";
    pen.drawImage(layer.bitmap, left + x * s, top + y * s, width * s, height * s);
  }
  pen.restore();
}

// The thumbnail, while nothing else is known.
function place(image) {
  const known = photo.width > 0;
  const s = known ? scale() : Math.min(canvas.width / image.width, canvas.height / image.height);
  const [width, height] = known ? [photo.width * s, photo.height * s] : [image.width * s, image.height * s];
  pen.drawImage(image, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
}

// A pointer's or the cross's place in pixels of the photo.
function point(event) {
  const box = stage.getBoundingClientRect();
  const [s, [left, top]] = [scale(), corner()];
  return {
    x: ((event.clientX - box.left) * ratio() - left) / s,
    y: ((event.clientY - box.top) * ratio() - top) / s,
  };
}

function picked(at) {
  const done = picking;
  pick(null);
  done([Math.floor(at.x), Math.floor(at.y)]);
}

function grab(event) {
  if (!photo?.ready || event.button > 0) return;
  if (picking) { picked(point(event)); event.preventDefault(); return; }
  const box = stage.getBoundingClientRect();
  const near = Math.abs(event.clientX - box.left - divider * box.width) <= NEAR;
  const sliding = !$("line").hidden && (near || !pannable());
  if (!sliding && !pannable()) return;
  const from = { x: event.clientX, y: event.clientY, centre: clamped() };
  const s = scale();
  stage.setPointerCapture(event.pointerId);
  const move = (moved) => {
    if (sliding) { setDivider((moved.clientX - box.left) / box.width); return; }
    centre = {
      x: from.centre.x - ((moved.clientX - from.x) * ratio()) / s,
      y: from.centre.y - ((moved.clientY - from.y) * ratio()) / s,
    };
    refresh(true);
  };
  const end = () => {
    stage.removeEventListener("pointermove", move);
    centre = clamped();
    refresh(false);
  };
  if (sliding) { move(event); $("divider").focus({ preventScroll: true }); event.preventDefault(); }
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", end, { once: true });
  stage.addEventListener("pointercancel", end, { once: true });
}

// The centre of what is in sight, which is within the photo.
function clamped() {
  const [s, [left, top]] = [scale(), corner()];
  return { x: (canvas.width / 2 - left) / s, y: (canvas.height / 2 - top) / s };
}

function pan(event) {
  if (event.target !== stage || !photo?.ready) return;
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = steps[event.key];
  if (picking) {
    const box = $("cross");
    const [x, y] = [parseFloat(box.style.left), parseFloat(box.style.top)];
    const by = event.shiftKey ? 1 : 10;
    if (step) cross(x + step[0] * by, y + step[1] * by);
    else if (event.key === "Enter" || event.key === " ") {
      const at = stage.getBoundingClientRect();
      picked(point({ clientX: at.left + x, clientY: at.top + y }));
    } else if (event.key === "Escape") pick(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
    return;
  }
  if (!step) return;
  if (pannable()) {
    const from = clamped();
    centre = { x: from.x + (step[0] * canvas.width) / 8 / scale(), y: from.y + (step[1] * canvas.height) / 8 / scale() };
    centre = clamped();
    refresh(true);
  } else if (step[0]) {
    setDivider(divider + step[0] * 0.02);
  }
  event.preventDefault();
}
