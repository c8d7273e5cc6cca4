// The images of this session: kept in the tab, so that a reload loses nothing and closing it does.

const KEPT = "medlabel-items";

export const items = [];
export const keyOf = (one) => `${one.sha256}:${one.index ?? 0}`;
const words = new Map(); // the latest word on each image and its classes, as the server has it

export function restore() {
  try {
    items.push(...JSON.parse(sessionStorage.getItem(KEPT) ?? "[]"));
  } catch {
    sessionStorage.removeItem(KEPT);
  }
}

function keep() {
  for (const small of [items, items.map((one) => ({ ...one, thumbnail: null }))]) {
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(small));
      return;
    } catch {
      // more than a tab may keep: then without the thumbnails, then not at all
    }
  }
}

export function add(results) {
  const places = new Map(items.map((one, place) => [keyOf(one), place]));
  for (const one of results) {
    const place = places.get(keyOf(one));
    if (place === undefined) {
      places.set(keyOf(one), items.push(one) - 1);
    } else {
      items[place] = one;
    }
  }
  keep();
}

export function clear() {
  items.length = 0;
  keep();
}

export function learn(corrections) {
  for (const one of corrections) words.set(wordKey(one), one);
}

// a word is on an image and a set of classes: students of other tasks may label it too
const wordKey = (one) =>
  JSON.stringify([keyOf(one), [...(one.classes ?? Object.keys(one.probabilities ?? {}))].sort()]);
export function wordOn(one) {
  const old = words.get(wordKey({ ...one, classes: [] })); // from before classes were kept
  return words.get(wordKey(one)) ?? (old && old.label in (one.probabilities ?? {}) ? old : undefined);
}
export const stateOf = (one) => (one.error ? "refused" : wordOn(one) ? "done" : one.decision);
export const labelOf = (one) => wordOn(one)?.label ?? one.label;

const ORDERS = {
  added: () => 0,
  uncertain: (a, b) => (a.confidence ?? 2) - (b.confidence ?? 2),
  unlike: (a, b) => (b.ood_score ?? -1) - (a.ood_score ?? -1),
};

export function shown({ byClass, byDecision, order }) {
  return items
    .filter((one) => !byClass || labelOf(one) === byClass)
    .filter((one) => !byDecision || stateOf(one) === byDecision)
    .sort(ORDERS[order]);
}
