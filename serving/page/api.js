// Requests to the server. The token, if the server needs one, is kept in this tab only.

const TOKEN_KEY = "medlabel-token";
let askForToken = async () => "";

export function onTokenRequired(callback) {
  askForToken = callback;
}

async function request(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN_KEY);
    const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    const response = await fetch(path, { ...options, headers });
    if (response.status === 401) {
      sessionStorage.setItem(TOKEN_KEY, await askForToken());
    } else if (response.status === 503) {
      const seconds = Number(response.headers.get("Retry-After")) || 1;
      await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    } else {
      return response;
    }
  }
}

async function requestJson(path, options) {
  const response = await request(path, options);
  const body = await response.json();
  if (!response.ok && !body.results?.length) throw new Error(body.detail);
  return body;
}

export const getModels = async () => (await requestJson("models")).models;
export const getCorrections = async () => (await requestJson("corrections")).corrections;

export async function annotate(files, bundle) {
  const form = new FormData();
  for (const file of files) form.append("file", file, file.webkitRelativePath || file.name);
  const query = new URLSearchParams({ bundle, thumbnails: "true" });
  return (await requestJson(`annotate?${query}`, { method: "POST", body: form })).results;
}

export const postCorrection = (correction) =>
  requestJson("corrections", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(correction),
  });

export async function download(path, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await (await request(path)).blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
