// A view over the page: one cell with all that it left behind, or the records behind a number.
const pairs = (entries) => el("dl", { class: "pairs" }, entries.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
const spoken = (name) => name.replaceAll("_", " ");
const plainValue = (value) => (Array.isArray(value) ? value.join(", ") || "none"
  : value !== null && typeof value === "object" ? JSON.stringify(value) : typeof value === "number" && Number.isInteger(value) ? fixed(value, 0) : String(value));
const metricText = (task, name) => (value) => written(scaleOf(task, name).kind, value);
const part = (title, ...content) => (content.some(Boolean) ? el("section", {}, el("h3", {}, title), content) : null);

function small(heads, rows) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": heads.map(([text]) => text).filter(Boolean).join(", ") }, el("table", {},
    el("thead", {}, el("tr", {}, heads.map(([text, kind]) => (text ? el("th", { scope: "col", class: `plain ${kind}` }, text) : el("td", {}))))),
    el("tbody", {}, rows)));
}
const numberCell = (value, text) => el("td", { class: "number", "data-value": value }, value === null || value === undefined ? "–" : typeof value === "string" ? value : text(value));

function cellView(id) {
  const index = indexOfId.get(id);
  const detail = detailsOf(index);
  const { shared, environments } = sharedDetails();
  const common = shared[detail.cell];
  const label = labelOf(index);
  const task = overview.tasks[columns.task[index]];
  const status = overview.statuses[columns.status[index]];
  const environment = typeof detail.environment === "number" ? environments[detail.environment] : null;
  return [
    el("h2", { id: "view-title", tabindex: "-1" }, `${label.name} on ${task.name}, seed ${columns.seed[index]}`),
    el("p", { class: "about" }, statusMark(status), " ", el("code", {}, id), ` · ${overview.backbones[columns.backbone[index]].title}`,
      label.title === label.name ? "" : ` · ${label.title}`, ` · ${label.family}`,
      detail.files.map(([name, address]) => [" · ", el("a", { href: address }, name)])),
    detail.reason ? part("Reason", el("pre", {}, detail.reason)) : null,
    detail.notes?.length ? part("Notes", el("ul", {}, detail.notes.map((note) => el("li", {}, note)))) : null,
    detail.status === undefined && detail.started === undefined ? el("p", {}, "The run did not reach this cell.") : null,
    metricsOf(detail, task),
    detail.history?.length ? part("Learning curve", learningCurves(detail, primaryMetric(detail, task), scaleOf(task, primaryMetric(detail, task)).kind), historyTable(detail, task)) : null,
    detail.rewound?.length ? part("Rewound, on the validation split", rewoundTable(detail, task)) : null,
    detail.parameters ? part("Parameters", pairs(parameterPairs(detail.parameters))) : null,
    detail.cost ? part("Cost", pairs(costPairs(detail.cost)), phaseTable(detail.cost.phases)) : null,
    detail.published ? part("Published as", pairs(Object.entries(detail.published).filter(([, v]) => v !== null).map(([k, v]) => [spoken(k), plainValue(v)]))) : null,
    detail.published ? null : part("To repeat it", el("p", { class: "muted" }, "A suite of this one cell; under the revisions named below its id is the same:"), repeatBlock(index, common)),
    part("Hyperparameters", pairs([["method", label.method], ...Object.entries(common.hyperparameters).map(([k, v]) => [k, plainValue(v)])])),
    common.budget ? part("Budget", pairs([...Object.entries(common.budget).filter(([, v]) => v !== null && v !== false), ["precision", common.precision]].map(([k, v]) => [spoken(k), plainValue(v)]))) : null,
    common.budget ? null : part("Settings, as published", pairs(Object.entries(common.task_options).map(([k, v]) => [k, plainValue(v)]))),
    detail.data ? part("Data used", pairs(Object.entries(detail.data).filter(([, v]) => v !== null && (typeof v !== "object" || Object.keys(v).length)).map(([k, v]) => [spoken(k), plainValue(v)]))) : null,
    part("Revisions", pairs([["method", common.method_revision], ["task", common.task_revision], ["backbone", common.backbone_revision]])),
    environment ? part("Environment", pairs(environment)) : null,
    detail.log ? part("End of the log", el("pre", { class: "log", tabindex: "0" }, detail.log)) : null,
    detail.started ? el("p", { class: "muted" }, `${detail.started} to ${detail.finished}, attempt ${detail.attempts}, wall time ${fixed(detail.wall_seconds, 1)} s`) : null,
  ];
}
function primaryMetric(detail, task) {
  const names = Object.keys(detail.history[0].validation);
  return names.find((name) => name === task.key) || names[0];
}
function metricsOf(detail, task) {
  const names = [...new Set([...Object.keys(detail.test || {}), ...Object.keys(detail.validation || {})])];
  if (!names.length) return null;
  const others = names.filter((name) => scaleOf(task, name).kind !== "points");
  const units = !others.length ? "points" : others.every((name) => name.startsWith("perplexity")) ? "points; perplexities as they are"
    : others.length === names.length ? "as they are" : `points; ${others.map(spoken).join(", ")} as they are`;
  return part(`Metrics (${units})`, small([["Metric", "label"], ["test", "number"], ["validation", "number"]], names.map((name) =>
    el("tr", {}, el("th", { scope: "row" }, spoken(name)), numberCell(detail.test[name], metricText(task, name)), numberCell(detail.validation[name], metricText(task, name))))),
    Object.entries(detail.rescored || {}).map(([name, later]) => el("p", { class: "muted" }, rescoredText(task, name, later))));
}
function rescoredText(task, name, { was, version, task_revision: revision, when }) {
  const before = was === null ? "" : `; the run had ${typeof was === "string" ? was : metricText(task, name)(was)}`;
  return `The test ${spoken(name)} was computed from kept predictions after the run, by version ${version} (revision ${revision} of the task) on ${when.slice(0, 10)}${before}.`;
}
function rewoundTable({ rewound }, task) {
  const metrics = [...new Set(rewound.flatMap((point) => Object.keys(point.validation)))];
  const general = rewound.some((point) => point.general_loss !== null);
  const heads = [["share α of the difference", "number"], ...metrics.map((name) => [spoken(name), "number"]), ...(general ? [["loss on general text", "number"]] : [])];
  return small(heads, rewound.map((point) => el("tr", {}, numberCell(point.alpha, String), metrics.map((name) => numberCell(point.validation[name], metricText(task, name))),
    general ? numberCell(point.general_loss, (value) => fixed(value, 4)) : null)));
}
function historyTable({ history, best_step: best }, task) {
  const metrics = Object.keys(history[0].validation);
  const heads = [["phase", "label"], ["step", "number"], ["training loss", "number"], ["validation loss", "number"], ...metrics.map((name) => [spoken(name), "number"])];
  const loss = (value) => fixed(value, 4);
  return el("details", {}, el("summary", {}, "As a table"), small(heads, history.map((line) => el("tr", { class: line.step === best ? "best" : null },
    el("td", {}, line.phase), numberCell(line.step, (v) => fixed(v, 0)), numberCell(line.train_loss, loss), numberCell(line.validation_loss, loss),
    metrics.map((name) => numberCell(line.validation[name], metricText(task, name)))))));
}
function parameterPairs({ adapter, head, total, backbone, percent }) {
  const whole = (value) => fixed(value, 0);
  const share = percent === null ? "" : `, ${threeDigits(percent)} % of the backbone`;
  return [["adapter", whole(adapter) + share], ["head", whole(head)], ["trained in all", whole(total)], ...(backbone === null ? [] : [["backbone", whole(backbone)]])];
}
function costText(name, value) {
  if (name.endsWith("_bytes")) return scaled("bytes", value);
  if (name.endsWith("_seconds")) return scaled("seconds", value);
  if (name.endsWith("_percent")) return `${threeDigits(value)} %`;
  if (name.endsWith("_joules")) return `${threeDigits(value)} J`;
  if (name === "matmul_flops_per_second") return `${scaled("flops", value)}/s`;
  return name.endsWith("_flops") ? scaled("flops", value) : fixed(value, 0);
}
const costName = (name) => spoken(name.replace(/_(bytes|seconds|percent|joules)$/, "")).replace("flops", "FLOPs");
function costPairs(cost) {
  const figures = Object.entries(cost).filter(([, value]) => typeof value === "number");
  const protocol = Object.entries(cost.protocol || {}).map(([name, value]) => `${spoken(name)} ${Array.isArray(value) ? value.join(" × ") : plainValue(value)}`);
  return [...figures.map(([name, value]) => [costName(name), costText(name, value)]), ["protocol", protocol.join(", ")]];
}
function phaseTable(phases) {
  if (!phases || phases.length < 2) return null;
  const keys = Object.keys(phases[0]).filter((key) => key !== "name");
  return small([["Phase", "label"], ...keys.map((key) => [costName(key), "number"])], phases.map((phase) => el("tr", {}, el("th", { scope: "row" }, phase.name),
    keys.map((key) => numberCell(phase[key], (value) => (key === "share" ? threeDigits(value) : costText(key, value)))))));
}

// A suite file is YAML, and JSON is YAML: quoted texts need no other care. The quoted delimiter keeps the shell out.
function repeatCommand(index, common) {
  const { plugins } = sharedDetails();
  const id = overview.ids[index];
  const lines = Object.entries({
    backbones: [overview.backbones[columns.backbone[index]].name],
    tasks: [overview.tasks[columns.task[index]].name],
    methods: { [labelOf(index).name]: common.hyperparameters },
    seeds: [columns.seed[index]],
    budget: common.budget,
    precision: common.precision,
    ...(plugins.length ? { plugins } : {}),
  }).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return [`cat > ${id}.yaml <<'END'`, ...lines, "END", `bench run ${id}.yaml --results results/${id}`, `bench show ${id} --results results/${id}`].join("\n");
}
function repeatBlock(index, common) {
  const text = repeatCommand(index, common);
  const button = el("button", { type: "button", class: "quiet", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.nextElementSibling);
      button.textContent = "Selected";
    }
  } }, "Copy");
  return el("div", { class: "repeat" }, button, el("pre", { tabindex: "0" }, text));
}

function recordsView(ids) {
  const keys = ["score", "adapter_parameters", "peak_memory_bytes", "step_seconds", "inference_seconds", "stored_bytes"].filter((key) => columns[key]);
  const known = ids.filter((id) => indexOfId.has(id));
  const tasks = new Set(known.map((id) => columns.task[indexOfId.get(id)]));
  const kinds = (key) => new Set([...tasks].map((task) => measureOf(key, task).kind));
  const of = (key) => (kinds(key).size > 1 ? { kind: "" } : measureOf(key, [...tasks][0]));
  const rows = known.map((id) => {
    const index = indexOfId.get(id);
    return el("tr", {}, el("th", { scope: "row" }, el("a", { href: `#cell-${id}` }, labelOf(index).name)), el("td", {}, overview.tasks[columns.task[index]].name),
      numberCell(columns.seed[index], String), keys.map((key) => numberCell(columns[key][index], (value) => written(measureOf(key, columns.task[index]).kind, value))));
  });
  const heads = [["Method", "label"], ["Task", "label"], ["Seed", "number"], ...keys.map((key) => [measureOf(key).title + unitOf(of(key)), "number"])];
  return [el("h2", { id: "view-title", tabindex: "-1" }, `The ${known.length} records behind this number`),
    el("p", { class: "muted" }, "Each leads to its cell: metrics, learning curve, log, environment, and the command that repeats it."), small(heads, rows)];
}

// The address says what is open, so that a view can be linked, and left with the browser's way back.
function route() {
  const hash = location.hash.slice(1);
  const dialog = byId("view");
  const cell = hash.startsWith("cell-") && indexOfId.has(hash.slice(5)) ? hash.slice(5) : null;
  const records = hash.startsWith("records=") ? hash.slice(8).split(",") : null;
  if (!cell && !records) {
    if (dialog.open) dialog.close();
    const folded = hash && document.getElementById(hash)?.closest("details");
    if (folded) folded.open = true;
    return;
  }
  byId("view-body").replaceChildren(...(cell ? cellView(cell) : recordsView(records)).filter(Boolean));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  byId("view-title").focus({ preventScroll: true });
}
function leaveView() {
  if (!/^#(cell-|records=)/.test(location.hash)) return;
  const place = scrollY;
  location.hash = "_";
  scrollTo(0, place);
}
function startView() {
  const dialog = byId("view");
  dialog.prepend(el("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => dialog.close() }, "×"));
  dialog.addEventListener("close", leaveView);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  addEventListener("hashchange", route);
  route();
}
