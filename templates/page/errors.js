// The hardest test examples of a task, and what every family answered.
const erring = { at: 0, show: "", text: "", many: 25 };
const MORE = 25;

function shownExamples(group) {
  const words = wordsOf(erring.text);
  const [what, family] = erring.show.split(" ");
  return group.examples.filter(([id, text, expected, , all, wrong, right, said]) => {
    if ((what === "all" && !all) || (what === "wrong" && wrong !== Number(family)) || (what === "right" && right !== Number(family))) return false;
    const spokenOf = [id, text, group.answers[expected], ...said.map(([answer]) => group.answers[answer])].join(" ").toLowerCase();
    return words.every((word) => spokenOf.includes(word));
  });
}
// Text of a data set may run from right to left: it stays in its place.
const quoted = (text) => el("bdi", { dir: "auto" }, text);

function saidCell(group, [answer, value, n]) {
  const right = Math.round(value * n);
  const mark = !group.judged ? "" : value > 0.5 ? "✓ " : "✗ ";
  return el("td", { class: "said" }, el("span", { "aria-hidden": "true" }, mark), quoted(group.answers[answer] || "–"),
    el("span", { class: "muted" }, group.judged ? ` ${right} of ${n} right` : ` ${written(group.kind, value)}`));
}
function exampleRow(group, [id, text, expected, value, , , , said]) {
  return el("tr", {}, el("td", { class: "example" }, text ? quoted(text) : el("code", {}, id)), el("td", { class: "said" }, quoted(group.answers[expected] || "–")),
    el("td", { class: "number", "data-value": value }, group.judged ? fixed(100 * (1 - value), 0) : written(group.kind, value)),
    said.map((one) => saidCell(group, one)));
}
function drawErrors(groups) {
  const group = groups[erring.at];
  const found = shownExamples(group);
  const several = (n) => `${grouped(String(n))} example${n === 1 ? "" : "s"}`;
  byId("error-counts").textContent = `${several(found.length)} of the ${group.examples.length} kept here, of ${grouped(String(group.n))} test examples.`
    + (group.judged ? ` In all, ${several(group.wrongByAll)} ${group.wrongByAll === 1 ? "is" : "are"} wrong in each of ${grouped(String(group.runs))} runs.` : "");
  const heads = [["Example", "label"], ["Expected", "label"], [group.judged ? "Wrong in (% of runs)" : "Mean score", "number"], ...group.families.map((family) => [family, "label"])];
  const more = found.length > erring.many && el("button", { type: "button", class: "quiet", onclick: () => { erring.many += MORE; drawErrors(groups); } },
    `Show ${Math.min(MORE, found.length - erring.many)} more`);
  byId("error-list").replaceChildren(...[found.length && small(heads, found.slice(0, erring.many).map((example) => exampleRow(group, example))), more].filter(Boolean));
}
function showChoices(group) {
  const alone = (what, counts) => group.families.map((family, i) => [`${what} ${i}`, `only ${family} ${what} (${counts[i]})`]);
  if (!group.judged) return [["", "all kept here"]];
  return [["", "all kept here"], ["all", `wrong in every run (${group.wrongByAll})`],
    ...(group.families.length > 1 ? [...alone("wrong", group.wrongAlone), ...alone("right", group.rightAlone)] : [])];
}
function startErrors() {
  if (!byId("answers")) return;
  const groups = readJson("answers");
  const several = overview.backbones.length > 1;
  const named = ({ backbone, task }) => overview.tasks[task].title + (several ? ` (${overview.backbones[backbone].title})` : "");
  const tools = byId("error-tools");
  const refresh = () => { erring.many = MORE; drawErrors(groups); };
  const menu = () => choice("Show", showChoices(groups[erring.at]), erring.show, (value) => { erring.show = value; refresh(); });
  let shown = menu();
  const input = el("input", { type: "search", autocomplete: "off", oninput: () => { erring.text = input.value; refresh(); } });
  tools.append(choice("Task", groups.map((group, number) => [number, named(group)]), erring.at, (value) => {
    erring.at = Number(value);
    erring.show = "";
    const next = menu();
    shown.replaceWith(next);
    shown = next;
    refresh();
  }), shown, el("label", {}, el("span", {}, "Filter"), input));
  refresh();
}
