// The grid: one card per image. The Tab key reaches one of them; the arrow keys move to the others.

import { correctionOf, keyOf, labelOf, stateOf } from "./items.js";

const grid = document.getElementById("grid");
const REASONS = {
  low_confidence: "low confidence",
  out_of_distribution: "out of distribution",
  uncalibrated: "student not calibrated",
  guessing: "the teacher was guessing",
  doubtful: "not sure enough for a doubtful student",
};

function element(name, className, text) {
  const created = document.createElement(name);
  if (className) created.className = className;
  if (text !== undefined) created.textContent = text; // never HTML: names come from anybody
  return created;
}

function decisionText(item) {
  const correction = correctionOf(item);
  if (item.error) return item.error;
  if (correction) {
    const verb = correction.label === item.label ? "accepted" : "corrected";
    return correction.who ? `${verb} by ${correction.who}` : verb;
  }
  const range = item.own_range ? " (no window: scaled by its own range of values)" : "";
  if (item.decision === "auto") return `auto${range}`;
  return `review: ${item.review_reasons.map((reason) => REASONS[reason] ?? reason).join(", ")}${range}`;
}

// The confidence of a student whose teacher was guessing means nothing.
function predictionText(item) {
  if (item.review_reasons.includes("guessing")) return `${labelOf(item)} (a guess)`;
  return `${labelOf(item)} ${Math.round(100 * item.confidence)} %`;
}

function createCard(item, onChoose) {
  const card = element("li", stateOf(item));
  card.dataset.key = keyOf(item);
  card.tabIndex = -1;
  const name = (item.file || item.sha256.slice(0, 12)) + (item.index ? ` [${item.index}]` : "");
  if (item.thumbnail) {
    const image = element("img");
    image.src = item.thumbnail;
    image.alt = "";
    card.append(image);
  }
  card.append(element("span", "name", name));
  card.querySelector(".name").title = name;
  const label = item.error ? "" : predictionText(item);
  if (correctionOf(item) && labelOf(item) !== item.label) {
    card.append(element("span", "label", labelOf(item)));
  } else if (!item.error) {
    card.append(element("span", "label", label));
  }
  card.append(element("span", "decision", decisionText(item)));
  card.setAttribute("aria-label", [name, label, decisionText(item)].filter(Boolean).join(", "));
  if (!item.error) card.append(createClassButtons(item, onChoose));
  return card;
}

function createClassButtons(item, onChoose) {
  const row = element("span", "classes");
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", "Class");
  for (const label of Object.keys(item.probabilities)) {
    const button = element("button", "", label);
    button.type = "button";
    button.tabIndex = -1;
    button.setAttribute("aria-pressed", String(correctionOf(item)?.label === label));
    button.addEventListener("click", () => onChoose(item, label));
    row.append(button);
  }
  return row;
}

export function render(items, onChoose) {
  const focused = document.activeElement?.closest?.("#grid > li")?.dataset.key;
  const current = focused ?? grid.querySelector('li[tabindex="0"]')?.dataset.key;
  grid.replaceChildren(...items.map((item) => createCard(item, onChoose)));
  const cards = [...grid.children];
  const active = cards.find((card) => card.dataset.key === current) ?? cards[0];
  if (!active) return;
  active.tabIndex = 0;
  if (focused) active.focus({ preventScroll: true });
}

export function focusOn(card) {
  if (!card) return;
  for (const other of grid.querySelectorAll('li[tabindex="0"]')) other.tabIndex = -1;
  card.tabIndex = 0;
  card.focus();
  card.scrollIntoView({ block: "nearest" });
}

const perRow = () => getComputedStyle(grid).gridTemplateColumns.split(" ").length;

export function neighbour(card, key) {
  const cards = [...grid.children];
  const index = cards.indexOf(card);
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -perRow(), ArrowDown: perRow() };
  if (key === "Home") return cards[0];
  if (key === "End") return cards.at(-1);
  return cards[index + steps[key]];
}

export function nextToReview(card) {
  const cards = [...grid.children];
  const index = cards.indexOf(card);
  const after = [...cards.slice(index + 1), ...cards.slice(0, Math.max(index, 0))];
  return after.find((other) => other.classList.contains("review"));
}
