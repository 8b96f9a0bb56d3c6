// The large picture. The server renders the part in sight, the browser only places it: what is shown
// is what an export writes.

import { $, picture } from "./api.js";

const NEAR = 22; // CSS pixels from the divider at which it is taken hold of
const SETTLED = 160; // milliseconds after the last change until the full resolution is asked for
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
let settling;
let picking = null;
let began = 0;
let onBase = () => {};
let onZoom = () => {};

class Layer {
  // One picture of one side: the whole frame, or the part in sight.
  constructor(side, whole) {
    Object.assign(this, { side, whole, bitmap: null, place: null, wanted: null, key: null, busy: false });
  }

  clear() { this.bitmap?.close(); this.bitmap = this.place = this.wanted = this.key = null; }

  // Ask for a part; while a request is under way only the newest is remembered.
  ask(query) {
    this.wanted = query;
    if (!this.busy && query !== this.key) this.load();
  }

  async load() {
    const query = this.wanted;
    const { id } = photo;
    this.busy = true;
    try {
      const { blob, headers } = await picture(`api/photos/${id}/view?${query}`);
      const bitmap = await createImageBitmap(blob);
      if (photo?.id !== id) { bitmap.close(); return; }
      this.bitmap?.close();
      this.bitmap = bitmap;
      this.place = headers.get("X-Place").split(",").map(Number);
      this.key = query;
      draw();
      if (began && this.side === "after" && query === this.wanted) { stage.dataset.latency = String(Math.round(performance.now() - began)); began = 0; }
      if (this.side === "after" && this.whole) onBase(bitmap);
      stage.dataset.shown = String(Number(stage.dataset.shown || 0) + 1);
    } catch (error) {
      if (photo?.id === id) { this.key = query; stage.dispatchEvent(new CustomEvent("fault", { detail: error.message })); }
    } finally {
      this.busy = false;
      if (photo && this.wanted && this.wanted !== this.key) this.load();
    }
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
  layers = ["before", "after"].flatMap((side) => [new Layer(side, true), new Layer(side, false)]);
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
  draw();
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
  if (moving && !began) began = performance.now();
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
  refresh(false);
}

function refresh(moving) {
  draw();
  if (!photo?.ready) return;
  request(moving);
  clearTimeout(settling);
  if (moving) settling = setTimeout(() => request(false), SETTLED);
}

function request(moving) {
  const draft = moving && drafts;
  const level = Math.max(0, Math.round(Math.log2(1 / Math.min(canvas.width / photo.width, canvas.height / photo.height))));
  const larger = scale() * (1 << level) > 1.5;
  const part = larger ? sight() : null;
  for (const layer of layers) {
    if (layer.side === "after" && !photo.restored) continue;
    if (layer.whole) {
      // zoomed in, the whole frame is only what is seen while moving, and the histogram
      if (!larger || !moving) layer.ask(query(layer.side, [0, 0, photo.width, photo.height], level + (draft ? 1 : 0)));
    } else if (part) {
      layer.ask(query(layer.side, part, Math.max(0, Math.round(Math.log2(1 / scale()))) + (draft ? 1 : 0)));
    } else {
      layer.clear();
    }
  }
}

function sight() {
  const [s, [left, top]] = [scale(), corner()];
  const x = Math.max(0, Math.floor(-left / s));
  const y = Math.max(0, Math.floor(-top / s));
  const right = Math.min(photo.width, Math.ceil((canvas.width - left) / s));
  const bottom = Math.min(photo.height, Math.ceil((canvas.height - top) / s));
  return [x, y, right - x, bottom - y];
}

function query(side, [left, top, width, height], level) {
  const used = { ...settings };
  if (side === "before") used.strength = 0;
  const asked = new URLSearchParams({ left, top, width, height, level, side, settings: JSON.stringify(used) });
  if (confidence && side === "after") asked.set("confidence", "1");
  return asked.toString();
}

export function setDrafts(on) { drafts = on; }

function draw() {
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const both = Boolean(photo?.restored && layers.some((l) => l.side === "after" && l.bitmap));
  for (const id of ["line", "before-label", "after-label", "divider"]) $(id).hidden = !both;
  stage.classList.toggle("pannable", Boolean(photo?.ready) && pannable());
  if (!photo) return;
  const edge = both ? Math.round(divider * canvas.width) : canvas.width;
  side("before", 0, edge);
  if (both) side("after", edge, canvas.width);
}

function pannable() {
  return photo.width * scale() > canvas.width + 1 || photo.height * scale() > canvas.height + 1;
}

function side(name, from, to) {
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
    pen.imageSmoothingEnabled = layer.whole || s < 1;
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
