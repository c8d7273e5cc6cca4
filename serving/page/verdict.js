// The verdict on the selected student: a traffic light, a sentence, the evidence, and what to do next.

const SVG = "http://www.w3.org/2000/svg";
const LIGHTS = { // as in the reports: src/medlabel/reports/verdict_words.py
  read: { word: "Read", gloss: "The labels can be used", mark: "speaks for the labels" },
  doubtful: { word: "Doubtful", gloss: "Check the labels before you use them", mark: "raises a doubt" },
  guessing: { word: "Guessing", gloss: "Do not use these labels", mark: "speaks against the labels" },
};
const STROKES = {
  read: "M6.6 12.6l3.6 3.6 7.2-8",
  doubtful: "M12 6v7.4M12 17.6v.1",
  guessing: "M8 8l8 8M16 8l-8 8",
};
const UNKNOWN = {
  word: "Unknown",
  gloss: "Nothing is known about these labels",
  summary: "This student came without a verdict: nobody has examined how far its labels can be believed.",
};
const wide = matchMedia("(min-width: 64rem)"); // there it stands beside the verdict and needs no room
const panel = document.getElementById("verdict");

function element(name, className, ...content) {
  const created = document.createElement(name);
  if (className) created.className = className;
  created.append(...content.filter(Boolean)); // text and elements, never HTML: names come from anybody
  return created;
}

function svg(name, attributes, ...content) {
  const created = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  created.append(...content);
  return created;
}

const circle = () => svg("circle", { cx: 12, cy: 12, r: 11 });

function mark(level) {
  const symbol = svg("path", { d: STROKES[level] });
  return svg("svg", { viewBox: "0 0 24 24", class: `mark ${level}`, "aria-hidden": "true" }, circle(), symbol);
}

function trafficLight(level) {
  const lamps = ["guessing", "doubtful", "read"].map((one, index) => {
    const place = `translate(6 ${6 + 32 * index}) scale(1.1667)`;
    const symbol = one === level ? [svg("path", { d: STROKES[one] })] : [];
    return svg("g", { transform: place, class: one === level ? `lit ${one}` : "" }, circle(), ...symbol);
  });
  const housing = svg("rect", { width: 40, height: 104, rx: 12 });
  return svg("svg", { viewBox: "0 0 40 104", class: "light", "aria-hidden": "true" }, housing, ...lamps);
}

// What stands between backticks is code.
function sentence(text) {
  const parts = text.split("`").map((part, index) => (index % 2 ? element("code", "", part) : part));
  return element("span", "", ...parts);
}

function piece(one) {
  const named = one.class_name && !one.sentence.toLowerCase().includes(one.class_name.toLowerCase());
  const subject = named && element("strong", "", `${one.class_name}: `);
  const says = element("small", "", LIGHTS[one.level].mark);
  return element("li", "", mark(one.level), element("p", "", says, subject, sentence(one.sentence)));
}

function example(one) {
  const image = one.png && element("img");
  if (image) {
    image.src = `data:image/png;base64,${one.png}`;
    image.alt = `The image ${one.image_id}`;
  }
  const caption = element("p", "", element("strong", "", `labelled ${one.label}`), sentence(one.sentence));
  return element("li", "", image, caption);
}

function list(name, lines, create) {
  return element(name, "", ...lines.map(create));
}

function folded(title, className, open, ...content) {
  const created = element("details", className, element("summary", "", element("h2", "", title)), ...content);
  created.open = open;
  return created;
}

function advice(verdict, open) {
  const step = (line) => element("li", "", sentence(line));
  return folded("What to do next", "advice", open, list("ol", verdict.advice, step));
}

function why(verdict, open) {
  const { accuracy, evidence, examples } = verdict;
  return folded(
    "Why",
    "why",
    open,
    element("div", "evidence", element("p", "", sentence(accuracy)), list("ul", evidence, piece)),
    examples.length && element("div", "examples", list("ul", examples, example)),
  );
}

function head({ verdict, learned_from }) {
  const { word, gloss } = LIGHTS[verdict?.level] ?? UNKNOWN;
  const only = verdict?.level === "read" && learned_from === "drawn" ? ", for drawn images" : "";
  const title = element("p", "word", element("strong", "", word), " ", element("span", "", gloss + only));
  const summary = element("p", "summary", sentence(verdict?.summary ?? UNKNOWN.summary));
  return element("div", "head", trafficLight(verdict?.level), element("div", "", title, summary));
}

function notice(text) {
  const pencil = svg("path", { d: "M4 20l1-5L16 4l4 4L9 19z M14 6l4 4" });
  return element("p", "notice", svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, pencil), element("span", "", text));
}

export const suffixOf = (model) =>
  model.verdict && model.verdict.level !== "read" ? ` – ${model.verdict.level}` : "";

// `open` unfolds what is more than a few lines; a student whose teacher read the images needs less room.
export function showVerdict(model, open) {
  panel.hidden = !model;
  if (!model) return;
  const { verdict } = model;
  const unfold = open && verdict?.level !== "read";
  panel.className = verdict?.level ?? "unknown";
  const worth = element(
    "div",
    "worth",
    head(model),
    model.notice && notice(model.notice),
    verdict && element("p", "review", sentence(verdict.review)),
  );
  const parts = [worth, verdict?.advice.length && advice(verdict, unfold || wide.matches), verdict && why(verdict, unfold)];
  panel.replaceChildren(...parts.filter(Boolean));
}
