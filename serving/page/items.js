// The images of this session. They are kept in the tab: a reload keeps them, closing it does not.

const STORAGE_KEY = "medlabel-items-3"; // another number whenever the fields of an annotation change

export const items = [];
export const keyOf = (item) => `${item.sha256}:${item.index ?? 0}`;
const corrections = new Map(); // the latest of each image and set of classes, as on the server

export function restore() {
  try {
    items.push(...JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? "[]"));
  } catch {
    sessionStorage.removeItem(STORAGE_KEY);
  }
}

function save() {
  for (const version of [items, items.map((item) => ({ ...item, thumbnail: null }))]) {
    try {
      sessionStorage.setItem(STORAGE_KEY, JSON.stringify(version));
      return;
    } catch {
      // more than a tab may store: try without the thumbnails, then not at all
    }
  }
}

export function add(results) {
  const indices = new Map(items.map((item, index) => [keyOf(item), index]));
  for (const result of results) {
    const index = indices.get(keyOf(result));
    if (index === undefined) {
      indices.set(keyOf(result), items.push(result) - 1);
    } else {
      items[index] = result;
    }
  }
  save();
}

export function clear() {
  items.length = 0;
  save();
}

export function addCorrections(list) {
  for (const correction of list) corrections.set(correctionKey(correction), correction);
}

// A correction is of an image and a set of classes: students of other tasks may label the image, too.
const correctionKey = (one) =>
  JSON.stringify([keyOf(one), [...(one.classes ?? Object.keys(one.probabilities ?? {}))].sort()]);

export function correctionOf(item) {
  const old = corrections.get(correctionKey({ ...item, classes: [] })); // of a version without classes
  const known = old && old.label in (item.probabilities ?? {}) ? old : undefined;
  return corrections.get(correctionKey(item)) ?? known;
}
export const stateOf = (item) =>
  item.error ? "refused" : correctionOf(item) ? "reviewed" : item.decision;
export const labelOf = (item) => correctionOf(item)?.label ?? item.label;

const ORDERS = {
  added: () => 0,
  confidence: (a, b) => (a.confidence ?? 2) - (b.confidence ?? 2),
  ood: (a, b) => (b.ood_score ?? -1) - (a.ood_score ?? -1),
};

export function select({ byClass, byState, order }) {
  return items
    .filter((item) => !byClass || labelOf(item) === byClass)
    .filter((item) => !byState || stateOf(item) === byState)
    .sort(ORDERS[order]);
}
