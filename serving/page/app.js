// The page: it sends files, shows their labels, and stores people's corrections. It uses this server only.

import * as api from "./api.js";
import { focusOn, neighbour, nextToReview, render } from "./grid.js";
import * as store from "./items.js";
import { showVerdict, suffixOf } from "./verdict.js";

const $ = (id) => document.getElementById(id);
const MAX_FILES = 16; // per request: few enough that the first labels come soon
const MAX_BYTES = 16 * 2 ** 20; // per request, unless one file has more: below the server's limit
let models = [];
let waiting = 0;

function refresh() {
  const items = store.select({
    byClass: $("by-class").value,
    byState: $("by-state").value,
    order: $("order").value,
  });
  render(items, choose);
  showStatus();
}

function showStatus(problem) {
  const count = (state) => store.items.filter((item) => store.stateOf(item) === state).length;
  const total = store.items.length + waiting;
  $("meter").max = total || 1;
  $("meter").value = store.items.length;
  const parts = [
    waiting ? `${store.items.length} of ${total} labelled` : `${total} images`,
    `${count("review")} to review`,
    `${count("auto")} auto`,
    `${count("reviewed")} reviewed`,
    count("refused") && `${count("refused")} refused`,
  ];
  $("status").textContent = problem ?? (total ? parts.filter(Boolean).join(" · ") : "No images yet.");
}

function* batches(files) {
  let batch = [];
  let size = 0;
  for (const file of files) {
    if (batch.length && (batch.length === MAX_FILES || size + file.size > MAX_BYTES)) {
      yield batch;
      [batch, size] = [[], 0];
    }
    batch.push(file);
    size += file.size;
  }
  if (batch.length) yield batch;
}

// A file that could not be sent is shown, too, so that none is missing without a message.
const unsentItem = (file, error) => {
  const name = file.webkitRelativePath || file.name;
  return { file: name, index: 0, sha256: `unsent:${name}:${file.size}`, error: `not labelled: ${error.message}` };
};

async function annotateBatch(files) {
  try {
    return await api.annotate(files, $("bundle").value);
  } catch (error) {
    if (files.length === 1) return [unsentItem(files[0], error)];
  }
  const results = []; // one by one: a single file may have caused the error
  for (const file of files) results.push(...(await annotateBatch([file])));
  return results;
}

async function annotate(files) {
  const list = [...files];
  waiting += list.length;
  showStatus();
  for (const batch of batches(list)) {
    store.add(await annotateBatch(batch));
    waiting -= batch.length;
    refresh();
  }
}

async function choose(item, label) {
  try {
    const stored = await api.postCorrection({
      sha256: item.sha256,
      index: item.index,
      file: item.file.slice(0, 255),
      bundle: item.bundle,
      predicted: item.label,
      confidence: item.confidence,
      label,
      who: $("who").value.trim(),
    });
    store.addCorrections([stored]);
    refresh();
  } catch (error) {
    showStatus(`Not saved: ${error.message}`);
  }
}

const itemOf = (card) => store.items.find((item) => store.keyOf(item) === card.dataset.key);

async function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches?.("input:not([type=file]), select, textarea")) return;
  if (event.key === "?") return void $("help").showModal();
  const card = event.target.closest?.("#grid > li");
  if (event.key === "n") return void focusOn(nextToReview(card));
  if (!card && event.key === "ArrowRight") return void focusOn($("grid").querySelector('[tabindex="0"]'));
  if (!card) return;
  if (/^(Arrow|Home|End)/.test(event.key)) {
    event.preventDefault();
    return void focusOn(neighbour(card, event.key));
  }
  const item = itemOf(card);
  if (!item || item.error || (event.key === "Enter" && event.target !== card)) return;
  const label =
    event.key === "a" || event.key === "Enter"
      ? item.label
      : Object.keys(item.probabilities)[Number(event.key) - 1];
  if (label === undefined || event.key === " ") return;
  event.preventDefault();
  focusOn(nextToReview(card)); // before the request, so that the next key is for the next image
  await choose(item, label);
}

// Dropped folders are walked; a browser returns their entries a hundred at a time.
async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return files;
    for (const child of entries) files.push(...(await filesOf(child)));
  }
}

async function onDrop(event) {
  event.preventDefault();
  $("drop").classList.remove("over");
  const dropped = [...event.dataTransfer.items];
  const entries = dropped.map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const lists = await Promise.all(entries.map(filesOf));
  await annotate(lists.flat());
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").setAttribute("aria-pressed", String(theme === "dark"));
}

function createOption(value, text) {
  const option = document.createElement("option");
  option.value = value;
  option.textContent = text;
  return option;
}

function onModel() {
  const model = models.find((one) => one.id === $("bundle").value);
  const classes = model?.classes ?? [];
  showVerdict(model, !store.items.length); // with images, they need the room
  $("by-class").replaceChildren(
    createOption("", "all"),
    ...classes.map((name) => createOption(name, name)),
  );
  $("legend").replaceChildren(
    ...classes.map((name) => {
      const line = document.createElement("li");
      line.textContent = name;
      return line;
    }),
  );
  refresh();
}

function addListeners() {
  for (const id of ["files", "folder"]) {
    $(id).addEventListener("change", async (event) => {
      const files = [...event.target.files];
      event.target.value = "";
      await annotate(files);
    });
  }
  for (const id of ["by-class", "by-state", "order"]) $(id).addEventListener("change", refresh);
  $("bundle").addEventListener("change", onModel);
  $("drop").addEventListener("drop", onDrop);
  $("drop").addEventListener("dragleave", () => $("drop").classList.remove("over"));
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
  $("drop").addEventListener("dragover", () => $("drop").classList.add("over"));
  addEventListener("keydown", onKey);
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("csv").addEventListener("click", () => api.download("corrections.csv", "corrections.csv"));
  $("tasks").addEventListener("click", () => api.download("corrections.json", "label-studio-tasks.json"));
  $("clear").addEventListener("click", () => (store.clear(), refresh()));
  $("who").value = localStorage.getItem("medlabel-who") ?? "";
  $("who").addEventListener("change", () => localStorage.setItem("medlabel-who", $("who").value));
  $("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("medlabel-theme", theme);
    setTheme(theme);
  });
  api.onTokenRequired(async () => {
    $("ask").showModal();
    await new Promise((resolve) => $("ask").addEventListener("close", resolve, { once: true }));
    return $("token").value;
  });
}

async function start() {
  const preferred = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  setTheme(localStorage.getItem("medlabel-theme") ?? preferred);
  addListeners();
  store.restore();
  try {
    models = await api.getModels();
    $("bundle").replaceChildren(
      ...models.map((model) => createOption(model.id, `${model.classes.join(", ")} (${model.id})${suffixOf(model)}`)),
    );
    store.addCorrections(await api.getCorrections());
  } catch (error) {
    showStatus(`The server does not answer: ${error.message}`);
  }
  onModel();
}

start();
