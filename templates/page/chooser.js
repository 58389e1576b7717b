// The chooser: what meets the reader's constraints, and which of it may be the best.
const chooser = { backbone: 0, task: ALL, memory: null, stored: null, merges: false, latency: false, quantised: false };
// As in the table of constraints: what is timed varies by about as much from run to run.
const NO_LATENCY = 1.02;
const MEGABYTE = 1e6;

// The mean of a figure, or null where it is not known.
const figure = (group, key) => group.values[key]?.[0] ?? null;
const latencyOf = (group) => figure(group, "merged_latency") ?? figure(group, "latency");
const merges = (group) => (figure(group, "merged_latency") !== null ? true : figure(group, "latency") !== null ? false : null);

// What is not known meets no constraint.
function meets(group) {
  const most = (key, megabytes) => megabytes === null || (figure(group, key) !== null && figure(group, key) <= megabytes * MEGABYTE);
  return most("peak_memory_bytes", chooser.memory) && most("stored_bytes", chooser.stored) && (!chooser.merges || merges(group) === true)
    && (!chooser.latency || (latencyOf(group) !== null && latencyOf(group) <= NO_LATENCY))
    && (!chooser.quantised || overview.labels[group.label].quantised === true);
}
// The one place that says what the data exclude: see reports/analysis/exclusion.py.
function excluded(group, best) {
  const found = overview.worse.find((one) => one.backbone === group.backbone && one.task === group.task);
  return (found?.than[group.label] || []).includes(best.label);
}

function chooserScore() {
  return measureOf("score", chooser.task === ALL ? overview.averaged[0] : chooser.task);
}
function drawChoices() {
  const score = chooserScore();
  const candidates = overview.groups.filter((group) => group.backbone === chooser.backbone && group.task === chooser.task && group.values.score);
  const left = candidates.filter(meets).sort((a, b) => (score.better === "higher" ? 1 : -1) * (figure(b, "score") - figure(a, "score")));
  const [best] = left;
  const open = left.filter((group) => !excluded(group, best)).length;
  const single = left.filter((group) => group.task !== ALL && group.values.score[2] < 2).length;
  const counted = (n) => `${n} configuration${n === 1 ? "" : "s"}`;
  const among = `${left.length} of ${counted(candidates.length)} ${left.length === 1 ? "is" : "are"} left`;
  const name = best && overview.labels[best.label].name;
  byId("chosen").textContent = !candidates.length ? "No configuration has a score here."
    : !left.length ? `None of ${counted(candidates.length)} is known to meet this.`
      : left.length === 1 ? `${among}: ${name}.`
        : `${among}; the data ${open === 1 ? `exclude all but ${name}` : `do not exclude ${open} of them`} from being the best.`
          + (single ? ` Of ${counted(single)} there is one seed alone, which excludes nothing.` : "");
  byId("choices").replaceChildren(...(left.length ? [choicesTable(left, best, score)] : []));
}
function choicesTable(left, best, score) {
  const known = (value) => (value === null || value === undefined ? "not known" : value ? "yes" : "no");
  const size = (group, key) => numberCell(figure(group, key), (value) => scaled("bytes", value));
  const rows = left.map((group) => {
    const label = overview.labels[group.label];
    const [mean, sd] = group.values.score;
    return el("tr", {}, el("th", { scope: "row" }, el("a", { href: recordsLink(cellsOf(group, "score")) },
      el("span", { class: `key ${familyClass(label.family)}`, "aria-hidden": "true" }), label.name)),
    el("td", {}, group === best ? "highest score" : excluded(group, best) ? "excluded" : "not excluded"),
    numberCell(mean, (value) => `${written(score.kind, value)}${sd ? ` ± ${written(score.kind, sd)}` : ""}`),
    size(group, "peak_memory_bytes"), size(group, "stored_bytes"), el("td", {}, known(merges(group))),
    numberCell(latencyOf(group), (value) => fixed(value, 2)), el("td", {}, known(label.quantised)));
  });
  const heads = [["Method", "label"], ["The best?", "label"], [`Score${unitOf(score)}`, "number"], ["Peak memory", "number"], ["Stored per task", "number"],
    ["Merges", "label"], ["Latency over the backbone's", "number"], ["On quantised weights", "label"]];
  return small(heads, rows);
}
function limit(title, name) {
  const input = el("input", { type: "number", min: "0", step: "any", inputmode: "decimal", placeholder: "any", oninput: () => {
    chooser[name] = input.value === "" || !(Number(input.value) >= 0) ? null : Number(input.value);
    drawChoices();
  } });
  return el("label", {}, el("span", {}, title), input);
}
function demand(title, name) {
  const input = el("input", { type: "checkbox", onchange: () => { chooser[name] = input.checked; drawChoices(); } });
  return el("label", { class: "demand" }, input, " ", title);
}
function startChooser() {
  if (!columns.score) {
    byId("choose").hidden = true;
    return;
  }
  chooser.backbone = plot.backbone;
  const whole = overview.groups.some((group) => group.task === ALL && group.backbone === chooser.backbone && group.values.score);
  const tasks = overview.tasks.map(({ title }, number) => [number, title]);
  if (whole) tasks.unshift([ALL, "all, mean of means"]);
  chooser.task = tasks[0][0];
  const set = (name) => (value) => { chooser[name] = Number(value); drawChoices(); };
  byId("choose-tools").append(...[
    overview.backbones.length > 1 && choice("Backbone", overview.backbones.map(({ title }, n) => [n, title]), chooser.backbone, set("backbone")),
    tasks.length > 1 && choice("Task", tasks, chooser.task, set("task")),
    columns.peak_memory_bytes && limit("Peak memory at most (MB)", "memory"),
    columns.stored_bytes && limit("Stored per task at most (MB)", "stored"),
    columns.latency && demand("merges", "merges"),
    columns.latency && demand("adds no latency once merged (2 % at most)", "latency"),
    demand("known to work on quantised weights", "quantised"),
  ].filter(Boolean));
  drawChoices();
}
