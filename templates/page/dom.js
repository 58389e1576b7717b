// Elements, and the data of the page.
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
const readJson = (id) => JSON.parse(byId(id).textContent);

// Texts become text nodes, never mark-up. Attributes that are null or false are left out.
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

const overview = readJson("overview");
const columns = overview.columns;
// A measure; of a score, as the metric of the given task is written and judged.
function measureOf(key, task) {
  const measure = overview.measures.find((one) => one.key === key);
  return measure.scored && overview.tasks[task] ? { ...measure, ...scaleOf(overview.tasks[task], overview.tasks[task].key) } : measure;
}
// Cards of old say nothing of a metric's scale: perplexities were no fractions then either.
const scaleOf = (task, metric) => task.scales[metric]
  || (metric.startsWith("perplexity") ? { kind: "places:2", better: "lower" } : { kind: "points", better: "higher" });
const indexOfId = new Map(overview.ids.map((id, index) => [id, index]));
const familyClass = (family) => `f-${FAMILIES.includes(family) ? family : "other"}`;
const FAMILIES = ["baseline", "sparse", "low-rank", "adapter", "soft-prompt", "hypernetwork"];

// Details are read when the first cell is opened. They are packed: a list begins with -1, a mapping with the number
// of its keys.
let loadedDetails = null;
function sharedDetails() {
  loadedDetails = loadedDetails || readJson("details");
  return loadedDetails;
}
function unpack(value, keys) {
  if (!Array.isArray(value)) return value;
  const [number, ...inner] = value;
  const items = inner.map((one) => unpack(one, keys));
  return number < 0 ? items : Object.fromEntries(keys[number].map((key, i) => [key, items[i]]));
}
function detailsOf(index) {
  const { cells, keys } = sharedDetails();
  return unpack(cells[index], keys);
}

const recordsLink = (ids) => (ids.length === 1 ? `#cell-${ids[0]}` : `#records=${ids.join(",")}`);

function choice(title, options, selected, onchange) {
  const select = el("select", { "aria-label": title, onchange: () => onchange(select.value) },
    options.map(([value, text]) => el("option", { value, selected: String(value) === String(selected) }, text)));
  return el("label", {}, el("span", {}, title), select);
}
function statusMark(status) {
  const kind = status === "ok" || status === "trained" ? "good" : ["failed", "broken", "undefined"].includes(status) ? "bad" : "void";
  return el("span", { class: `status ${kind}` }, status);
}
