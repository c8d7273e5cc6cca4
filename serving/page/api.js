// What is asked of the server. A token, if it wants one, is kept for this tab alone.

const TOKEN = "medlabel-token";
let askForToken = async () => "";

export function onTokenWanted(ask) {
  askForToken = ask;
}

async function ask(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    const answer = await fetch(path, { ...options, headers });
    if (answer.status === 401) {
      sessionStorage.setItem(TOKEN, await askForToken());
    } else if (answer.status === 503) {
      const seconds = Number(answer.headers.get("Retry-After")) || 1;
      await new Promise((go) => setTimeout(go, 1000 * seconds));
    } else {
      return answer;
    }
  }
}

async function json(path, options) {
  const answer = await ask(path, options);
  const body = await answer.json();
  if (!answer.ok && !body.results?.length) throw new Error(body.detail);
  return body;
}

export const models = async () => (await json("models")).models;
export const corrections = async () => (await json("corrections")).corrections;

export async function annotate(files, bundle) {
  const form = new FormData();
  for (const file of files) form.append("file", file, file.webkitRelativePath || file.name);
  const query = new URLSearchParams({ bundle, thumbnails: "true" });
  return (await json(`annotate?${query}`, { method: "POST", body: form })).results;
}

export const correct = (correction) =>
  json("corrections", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(correction),
  });

export async function download(path, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await (await ask(path)).blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
