// The grid: one card an image, one of which the Tab key reaches; arrows go to the others.

import { keyOf, labelOf, stateOf, wordOn } from "./items.js";

const grid = document.getElementById("grid");
const REASONS = {
  low_confidence: "confidence too low",
  out_of_distribution: "unlike the training data",
  uncalibrated: "not calibrated",
  undecidable: "its task looks undecidable",
};

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text; // never HTML: names come from anybody
  return made;
}

function wordFor(one) {
  const word = wordOn(one);
  if (one.error) return one.error;
  if (word) return `${word.label === one.label ? "accepted" : "corrected"}${word.who ? ` by ${word.who}` : ""}`;
  if (one.decision === "auto") return "auto";
  return `to review: ${one.review_reasons.map((reason) => REASONS[reason] ?? reason).join(", ")}`;
}

function card(one, choose) {
  const made = element("li", stateOf(one));
  made.dataset.key = keyOf(one);
  made.tabIndex = -1;
  const name = (one.file || one.sha256.slice(0, 12)) + (one.index ? ` [${one.index}]` : "");
  if (one.thumbnail) {
    const image = element("img");
    image.src = one.thumbnail;
    image.alt = "";
    made.append(image);
  }
  made.append(element("span", "name", name));
  made.querySelector(".name").title = name;
  const sure = one.error ? "" : `${labelOf(one)} ${Math.round(100 * one.confidence)} %`;
  if (wordOn(one) && labelOf(one) !== one.label) {
    made.append(element("span", "label", labelOf(one)));
  } else if (!one.error) {
    made.append(element("span", "label", sure));
  }
  made.append(element("span", "word", wordFor(one)));
  made.setAttribute("aria-label", [name, sure, wordFor(one)].filter(Boolean).join(", "));
  if (!one.error) made.append(choices(one, choose));
  return made;
}

function choices(one, choose) {
  const row = element("span", "choose");
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", "It is");
  for (const label of Object.keys(one.probabilities)) {
    const button = element("button", "", label);
    button.type = "button";
    button.tabIndex = -1;
    button.setAttribute("aria-pressed", String(wordOn(one)?.label === label));
    button.addEventListener("click", () => choose(one, label));
    row.append(button);
  }
  return row;
}

export function draw(list, choose) {
  const focused = document.activeElement?.closest?.("#grid > li")?.dataset.key;
  const current = focused ?? grid.querySelector('li[tabindex="0"]')?.dataset.key;
  grid.replaceChildren(...list.map((one) => card(one, choose)));
  const cards = [...grid.children];
  const active = cards.find((one) => one.dataset.key === current) ?? cards[0];
  if (!active) return;
  active.tabIndex = 0;
  if (focused) active.focus({ preventScroll: true });
}

export function focusOn(card) {
  if (!card) return;
  for (const one of grid.querySelectorAll('li[tabindex="0"]')) one.tabIndex = -1;
  card.tabIndex = 0;
  card.focus();
  card.scrollIntoView({ block: "nearest" });
}

const perRow = () => getComputedStyle(grid).gridTemplateColumns.split(" ").length;

export function neighbour(card, key) {
  const cards = [...grid.children];
  const place = cards.indexOf(card);
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -perRow(), ArrowDown: perRow() };
  if (key === "Home") return cards[0];
  if (key === "End") return cards.at(-1);
  return cards[place + steps[key]];
}

export function nextToReview(card) {
  const cards = [...grid.children];
  const place = cards.indexOf(card);
  const after = [...cards.slice(place + 1), ...cards.slice(0, Math.max(place, 0))];
  return after.find((one) => one.classList.contains("review"));
}
