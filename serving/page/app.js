// The page: files in, labels out, a person's word on them kept. It works without any other server.

import * as api from "./api.js";
import { draw, focusOn, neighbour, nextToReview } from "./grid.js";
import * as store from "./items.js";

const $ = (id) => document.getElementById(id);
const AT_ONCE = 16; // files a request: few enough that the first labels come soon
const MOST = 16 * 2 ** 20; // bytes a request, unless a single file has more: below the server's limit
let models = [];
let waiting = 0;

function refresh() {
  const list = store.shown({
    byClass: $("by-class").value,
    byDecision: $("by-decision").value,
    order: $("order").value,
  });
  draw(list, choose);
  tell();
}

function tell(problem) {
  const count = (state) => store.items.filter((one) => store.stateOf(one) === state).length;
  const total = store.items.length + waiting;
  $("meter").max = total || 1;
  $("meter").value = store.items.length;
  const parts = [
    waiting ? `${store.items.length} of ${total} labelled` : `${total} images`,
    `${count("review")} to review`,
    `${count("auto")} auto`,
    `${count("done")} looked at`,
    count("refused") && `${count("refused")} refused`,
  ];
  $("status").textContent = problem ?? (total ? parts.filter(Boolean).join(" · ") : "No images yet.");
}

function* parcels(files) {
  let some = [];
  let size = 0;
  for (const file of files) {
    if (some.length && (some.length === AT_ONCE || size + file.size > MOST)) {
      yield some;
      [some, size] = [[], 0];
    }
    some.push(file);
    size += file.size;
  }
  if (some.length) yield some;
}

// What could not be sent is an item too: none of somebody's files may be gone without a word.
const unsent = (file, error) => {
  const name = file.webkitRelativePath || file.name;
  return { file: name, index: 0, sha256: `unsent:${name}:${file.size}`, error: `not labelled: ${error.message}` };
};

async function labelled(some) {
  try {
    return await api.annotate(some, $("bundle").value);
  } catch (error) {
    if (some.length === 1) return [unsent(some[0], error)];
  }
  const each = []; // one by one: perhaps it is one of them
  for (const file of some) each.push(...(await labelled([file])));
  return each;
}

async function label(files) {
  const list = [...files];
  waiting += list.length;
  tell();
  for (const some of parcels(list)) {
    store.add(await labelled(some));
    waiting -= some.length;
    refresh();
  }
}

async function choose(one, label) {
  try {
    const said = await api.correct({
      sha256: one.sha256,
      index: one.index,
      file: one.file.slice(0, 255),
      bundle: one.bundle,
      predicted: one.label,
      confidence: one.confidence,
      label,
      who: $("who").value.trim(),
    });
    store.learn([said]);
    refresh();
  } catch (error) {
    tell(`Not kept: ${error.message}`);
  }
}

const itemOf = (card) => store.items.find((one) => store.keyOf(one) === card.dataset.key);

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
  const one = itemOf(card);
  if (!one || one.error || (event.key === "Enter" && event.target !== card)) return;
  const label =
    event.key === "a" || event.key === "Enter"
      ? one.label
      : Object.keys(one.probabilities)[Number(event.key) - 1];
  if (label === undefined || event.key === " ") return;
  event.preventDefault();
  focusOn(nextToReview(card)); // before anything is waited for: the next key is for the next image
  await choose(one, label);
}

// Folders that are dropped are walked; a browser gives them a hundred entries at a time.
async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((good, bad) => entry.file(good, bad))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((good, bad) => reader.readEntries(good, bad));
    if (!some.length) return found;
    for (const one of some) found.push(...(await filesOf(one)));
  }
}

async function onDrop(event) {
  event.preventDefault();
  $("drop").classList.remove("over");
  const entries = [...event.dataTransfer.items].map((one) => one.webkitGetAsEntry?.()).filter(Boolean);
  const lists = await Promise.all(entries.map(filesOf));
  await label(lists.flat());
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").setAttribute("aria-pressed", String(theme === "dark"));
}

function option(value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  return made;
}

function onModel() {
  const classes = models.find((one) => one.id === $("bundle").value)?.classes ?? [];
  $("by-class").replaceChildren(option("", "all"), ...classes.map((name) => option(name, name)));
  $("legend").replaceChildren(
    ...classes.map((name) => {
      const line = document.createElement("li");
      line.textContent = name;
      return line;
    }),
  );
  refresh();
}

function listen() {
  for (const id of ["files", "folder"]) {
    $(id).addEventListener("change", async (event) => {
      const files = [...event.target.files];
      event.target.value = "";
      await label(files);
    });
  }
  for (const id of ["by-class", "by-decision", "order"]) $(id).addEventListener("change", refresh);
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
  api.onTokenWanted(async () => {
    $("ask").showModal();
    await new Promise((done) => $("ask").addEventListener("close", done, { once: true }));
    return $("token").value;
  });
}

async function start() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  setTheme(localStorage.getItem("medlabel-theme") ?? dark);
  listen();
  store.restore();
  try {
    models = await api.models();
    $("bundle").replaceChildren(...models.map((one) => option(one.id, `${one.classes.join(", ")} (${one.id})`)));
    store.learn(await api.corrections());
  } catch (error) {
    tell(`The server does not answer: ${error.message}`);
  }
  onModel();
}

start();
