// Thumbnails: few requests at a time, the visible ones first; better ones from the RAW data after all
// quick ones.

import { picture } from "./api.js";

const AT_ONCE = 3;
const KEPT = 600;
const urls = new Map(); // id → object URL, the most recently used last
const waiting = new Map(); // id → better?
let running = 0;
let shown = () => {};
let wanted = new Set();

export function onThumbnail(callback) { shown = callback; }

export function thumbnail(id) {
  const url = urls.get(id);
  if (url) { urls.delete(id); urls.set(id, url); }
  return url;
}

// ids that are visible now: others that wait are forgotten
export function want(ids) {
  wanted = new Set(ids);
  for (const id of waiting.keys()) if (!wanted.has(id)) waiting.delete(id);
  for (const id of ids) if (!urls.has(id) && !waiting.has(id)) waiting.set(id, false);
  next();
}

export function forgetThumbnails() {
  for (const url of urls.values()) if (url) URL.revokeObjectURL(url);
  urls.clear();
}

function next() {
  while (running < AT_ONCE && waiting.size) {
    const quick = [...waiting].find(([, better]) => !better);
    const [id, better] = quick || [...waiting][0];
    waiting.delete(id);
    running += 1;
    load(id, better).finally(() => { running -= 1; next(); });
  }
}

async function load(id, better) {
  try {
    const { blob, headers } = await picture(`api/photos/${id}/thumbnail${better ? "?better=1" : ""}`);
    keep(id, URL.createObjectURL(blob));
    if (headers.get("X-Rough") === "1" && wanted.has(id)) waiting.set(id, true);
  } catch (error) {
    if (!urls.has(id)) keep(id, "");
  }
  shown(id);
}

function keep(id, url) {
  if (urls.get(id)) URL.revokeObjectURL(urls.get(id));
  urls.delete(id);
  urls.set(id, url);
  while (urls.size > KEPT) {
    const [oldest, old] = urls.entries().next().value;
    if (old) URL.revokeObjectURL(old);
    urls.delete(oldest);
  }
}
