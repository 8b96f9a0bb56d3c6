// Requests to the server. Addresses are relative: the page's own has the key in its path.

export const $ = (id) => document.getElementById(id);

async function answer(response) {
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw new Error(said.error || `the desk answered ${response.status}`);
}

export async function get(path, options) {
  return (await answer(await fetch(path, options))).json();
}

export async function post(path, content = {}) {
  const body = JSON.stringify(content);
  // keepalive: settings that are saved while the page is being closed arrive
  const response = await fetch(path, { method: "POST", body, keepalive: body.length < 60000 });
  return (await answer(response)).json();
}

export async function put(path, body) {
  return (await answer(await fetch(path, { method: "PUT", body }))).json();
}

export async function picture(path, options) {
  const response = await answer(await fetch(path, options));
  return { blob: await response.blob(), headers: response.headers };
}

let hiding;
export function tell(text) {
  const box = $("message");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { box.hidden = true; }, 8000);
}

export function attempt(work) {
  return Promise.resolve().then(work).catch((error) => {
    tell(error instanceof TypeError ? "The desk does not answer. Is undark still running?" : error.message);
  });
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
