// The list of all cells. Only the rows in view exist; the others are two empty spaces above and below.
const ROW = 34;
const AROUND = 12;
const listed = { order: [], shown: [], rows: new Map(), filters: { text: "", label: "", task: "", status: "", backbone: "" } };

const CELL_COLUMNS = [
  overview.backbones.length > 1 && { title: "Backbone", kind: "label", value: (i) => overview.backbones[columns.backbone[i]].name },
  { title: "Method", kind: "label", value: (i) => labelOf(i).name },
  { title: "Task", kind: "label", value: (i) => overview.tasks[columns.task[i]].name },
  { title: "Seed", kind: "number", value: (i) => columns.seed[i], text: String },
  { title: "Status", kind: "label", value: (i) => overview.statuses[columns.status[i]] },
  ...["score", "adapter_parameters", "peak_memory_bytes", "step_seconds", "inference_seconds", "stored_bytes", "wall_seconds"]
    .filter((key) => columns[key]).map(measureColumn),
].filter(Boolean);

function labelOf(index) {
  return overview.labels[columns.label[index]];
}
function measureColumn(key) {
  const measure = measureOf(key);
  const title = { score: "Score", peak_memory_bytes: "Memory", adapter_parameters: "Adapter", step_seconds: "Step", inference_seconds: "Latency",
    stored_bytes: "Stored", wall_seconds: "Wall" }[key] || measure.title;
  const { unit, text } = measure.scored ? { unit: "", text: scoreText(key) } : columnUnit(measure.kind, columns[key]);
  return { title, unit, kind: "number", about: measure.title + (unit ? ` (${unit})` : ""), value: (i) => columns[key][i], text };
}
function scoreText(key) {
  return (value, index) => written(measureOf(key, columns.task[index]).kind, value);
}
function missing(column, index) {
  return column.title === "Score" && overview.statuses[columns.status[index]] === "undefined" ? "undefined" : "–";
}

function cellRow(index, position) {
  const id = overview.ids[index];
  const row = el("tr", { "aria-rowindex": position + 2 }, CELL_COLUMNS.map((column) => {
    const value = column.value(index);
    if (column.title === "Status") return el("td", { class: "label" }, statusMark(value));
    if (column.title === "Method") {
      return el("th", { class: "label", scope: "row" }, el("a", { href: `#cell-${id}`, title: `Open cell ${id}` },
        el("span", { class: `key ${familyClass(labelOf(index).family)}`, "aria-hidden": "true" }), value));
    }
    if (column.kind === "label") return el("td", { class: "label", title: value }, value);
    return el("td", { class: value === null ? "number none" : "number", "data-value": value }, value === null ? missing(column, index) : column.text(value, index));
  }));
  row.dataset.id = id;
  return row;
}

// Rows that stay in view stay in the page, so that what has the focus keeps it.
function drawRows(scroller, body, everything) {
  const { shown, rows } = listed;
  const first = everything ? 0 : Math.max(0, Math.floor(scroller.scrollTop / ROW) - AROUND);
  const last = everything ? shown.length : Math.min(shown.length, first + Math.ceil(scroller.clientHeight / ROW) + 2 * AROUND);
  const wanted = new Map();
  for (let position = first; position < last; position++) {
    const index = shown[position];
    const row = rows.get(index) || cellRow(index, position);
    row.setAttribute("aria-rowindex", position + 2);
    wanted.set(index, row);
  }
  const [above, below] = [body.firstElementChild, body.lastElementChild];
  above.firstElementChild.style.height = `${first * ROW}px`;
  below.firstElementChild.style.height = `${(shown.length - last) * ROW}px`;
  above.hidden = first === 0;
  below.hidden = last === shown.length;
  // After the spaces have grown: a list that were shorter for a moment would scroll up.
  for (const [index, row] of rows) if (!wanted.has(index)) row.remove();
  listed.rows = wanted;
  let before = above;
  for (const row of wanted.values()) {
    if (before.nextElementSibling !== row) before.after(row);
    before = row;
  }
}
function spacer() {
  return el("tr", { class: "space", "aria-hidden": "true" }, el("td", { colspan: CELL_COLUMNS.length }));
}

function matches(index) {
  const { text, label, task, status, backbone } = listed.filters;
  const chosen = (value, column) => value === "" || columns[column][index] === Number(value);
  if (!chosen(label, "label") || !chosen(task, "task") || !chosen(status, "status") || !chosen(backbone, "backbone")) return false;
  if (!text) return true;
  const { name, title, family } = labelOf(index);
  const said = [overview.ids[index], name, title, family, overview.tasks[columns.task[index]].name,
    overview.statuses[columns.status[index]], overview.backbones[columns.backbone[index]].name,
    `seed ${columns.seed[index]}`].join(" ").toLowerCase();
  return wordsOf(text).every((word) => said.includes(word));
}

function startCells() {
  const everyone = overview.ids.map((_, index) => index);
  listed.order = everyone;
  const body = el("tbody", {}, spacer(), spacer());
  const heads = CELL_COLUMNS.map((column) => el("th", { class: column.kind, scope: "col" },
    el("button", { type: "button", title: column.about }, column.unit ? `${column.title} (${column.unit})` : column.title)));
  const table = el("table", { id: "cell-table", "aria-label": "Cells" }, el("thead", {}, el("tr", {}, heads)), body);
  const scroller = el("div", { class: "scroll cells", tabindex: "0", role: "region", "aria-label": "List of cells" }, table);
  const shown = el("output", { id: "shown" });

  const draw = (everything) => drawRows(scroller, body, everything === true);
  const refresh = () => {
    listed.shown = listed.order.filter(matches);
    shown.textContent = `${grouped(String(listed.shown.length))} of ${grouped(String(everyone.length))} cells`;
    table.setAttribute("aria-rowcount", listed.shown.length + 1);
    scroller.scrollTop = 0;
    draw();
  };
  heads.forEach((head, number) => head.firstElementChild.addEventListener("click", () => {
    const order = nextOrder(head);
    markOrder(heads, head, order);
    listed.order = order === "none" ? everyone : [...everyone].sort(comparer(order, CELL_COLUMNS[number].value));
    refresh();
  }));
  byId("cell-tools").append(...cellFilters(refresh), shown);
  byId("cell-list").append(scroller);
  refresh();
  let waiting = false;
  scroller.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }, { passive: true });
  addEventListener("resize", draw);
  addEventListener("beforeprint", () => draw(true));
  addEventListener("afterprint", draw);
}
function cellFilters(refresh) {
  const set = (name) => (value) => { listed.filters[name] = value; refresh(); };
  const input = el("input", { type: "search", id: "filter", autocomplete: "off", oninput: () => set("text")(input.value) });
  const menu = (name, title, names) => (names.length < 2 ? null
    : choice(title, [["", "all"], ...names.map((text, number) => [number, text])], "", set(name)));
  return [
    el("label", {}, el("span", {}, "Filter"), input),
    menu("backbone", "Backbone", overview.backbones.map((one) => one.name)),
    menu("label", "Method", overview.labels.map((one) => one.name)),
    menu("task", "Task", overview.tasks.map((one) => one.name)),
    menu("status", "Status", overview.statuses),
  ].filter(Boolean);
}
