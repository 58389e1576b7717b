// The plot of two quantities: a point per method (a mean over seeds) or per cell, and who is on the front.
const ALL = -1;
const plot = { backbone: 0, task: 0, x: "", y: "score", each: false, log: null, hidden: new Set(), points: [], active: 0 };
const MARKS = {
  baseline: "M-4-4H4V4H-4Z", sparse: "M0-5 5 4H-5Z", "low-rank": "M-4.6 0a4.6 4.6 0 1 0 9.2 0a4.6 4.6 0 1 0 -9.2 0Z",
  adapter: "M0-5.6 5.6 0 0 5.6-5.6 0Z", "soft-prompt": "M0 5-5-4H5Z",
  hypernetwork: "M-1.8-5.2H1.8V-1.8H5.2V1.8H1.8V5.2H-1.8V1.8H-5.2V-1.8H-1.8Z",
  other: "M-5-3-3-5 0-2 3-5 5-3 2 0 5 3 3 5 0 2-3 5-5 3-2 0Z",
};
// A score is written and judged by the scale of the task that is shown; a mean over tasks by that of those it is over.
const plotted = (key) => measureOf(key, plot.task === ALL ? overview.averaged[0] : plot.task);
const isScore = (key) => plotted(key).scored;
const markOf = (family) => MARKS[family] || MARKS.other;

function cellsOf(group, key) {
  const own = (i) => columns.backbone[i] === group.backbone && columns.label[i] === group.label
    && (group.task === ALL ? !isScore(key) || overview.averaged.includes(columns.task[i]) : columns.task[i] === group.task);
  return overview.ids.filter((_, i) => own(i) && columns[key][i] !== null);
}

// What is to be drawn: the points with both quantities, families that are switched off left out.
function plotPoints() {
  const found = plot.each ? cellPoints() : meanPoints();
  judge(found);
  const shown = found.filter((point) => !plot.hidden.has(point.label.family));
  const better = (key) => (plotted(key).better === "higher" ? -1 : 1);
  const [sx, sy] = [better(plot.x), better(plot.y)];
  for (const point of shown) {
    point.front = !plot.each && !shown.some((other) => sx * other.x <= sx * point.x && sy * other.y <= sy * point.y
      && (other.x !== point.x || other.y !== point.y));
  }
  return shown.sort((a, b) => a.x - b.x || a.y - b.y);
}
function meanPoints() {
  const points = [];
  for (const group of overview.groups) {
    if (group.backbone !== plot.backbone || group.task !== plot.task) continue;
    const [x, y] = [group.values[plot.x], group.values[plot.y]];
    if (!x || !y) continue;
    points.push({ label: overview.labels[group.label], x: x[0], y: y[0], sx: x[1], sy: y[1], n: y[2], group });
  }
  return points;
}
function cellPoints() {
  const points = [];
  const scored = isScore(plot.x) || isScore(plot.y);
  overview.ids.forEach((id, i) => {
    if (columns.backbone[i] !== plot.backbone || (plot.task !== ALL && columns.task[i] !== plot.task)) return;
    if (scored && plot.task === ALL && !overview.averaged.includes(columns.task[i])) return;
    const [x, y] = [columns[plot.x][i], columns[plot.y][i]];
    if (x !== null && y !== null) points.push({ label: overview.labels[columns.label[i]], x, y, sx: null, sy: null, n: 1, index: i });
  });
  return points;
}
function linkOf(point) {
  if (point.index !== undefined) return `#cell-${overview.ids[point.index]}`;
  return recordsLink(cellsOf(point.group, plot.y));
}
function describe(point) {
  const say = (key, value, sd) => `${plotted(key).title} ${written(plotted(key).kind, value)}${sd ? ` ± ${written(plotted(key).kind, sd)}` : ""}`;
  const where = point.index === undefined ? `${point.n} record${point.n > 1 ? "s" : ""}`
    : `${overview.tasks[columns.task[point.index]].name}, seed ${columns.seed[point.index]}, cell ${overview.ids[point.index]}`;
  return [`${point.label.name} (${point.label.family})`, say(plot.y, point.y, point.sy), say(plot.x, point.x, point.sx), where,
    point.rank ? `ranked ${ordinals(point.rank)}` : "", point.state ? `front: ${point.state}` : point.front ? "on the front" : ""].filter(Boolean);
}

// From values to places. On a logarithmic axis zero has a place of its own, left of a gap.
function axis(values, from, to, log) {
  const positive = values.filter((value) => value > 0);
  if (log && positive.length) {
    const gap = values.some((value) => value <= 0) ? (to > from ? 38 : -38) : 0;
    let [low, high] = [Math.min(...positive), Math.max(...positive)];
    [low, high] = low === high ? [low / 2, high * 2] : [low / (high / low) ** 0.06, high * (high / low) ** 0.06];
    const start = from + gap;
    const place = (value) => (value <= 0 ? from + gap / 3 : start + (to - start) * (Math.log(value / low) / Math.log(high / low)));
    return { place, ticks: [...(gap ? [0] : []), ...logTicks(low, high)], gap: gap ? start : null };
  }
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
  [low, high] = [low >= 0 && low - room < 0 ? -room / 3 : low - room, high + room];
  const place = (value) => from + (to - from) * ((value - low) / (high - low));
  const ticks = linearTicks(low, high, Math.abs(to - from) > 400 ? 7 : 4).filter((tick) => tick >= low);
  return { place, ticks, gap: null };
}
function wantsLog(values) {
  const positive = values.filter((value) => value > 0);
  return positive.length > 1 && values.every((value) => value >= 0) && Math.max(...positive) / Math.min(...positive) > 30;
}

function drawPlot() {
  const points = plotPoints();
  plot.points = points;
  plot.active = 0;
  const host = byId("plot");
  const width = Math.max(280, Math.min(1080, host.clientWidth || 800));
  const height = Math.round(Math.min(520, Math.max(320, width * 0.56)));
  const [left, right, top, bottom] = [width < 500 ? 46 : 62, 18, 14, 48];
  const old = host.querySelector(".plot-area");
  const area = el("div", { class: "plot-area" });
  if (points.length) {
    const xs = points.map((point) => point.x), ys = points.map((point) => point.y);
    const logX = plot.log === null ? wantsLog(xs) : plot.log;
    const x = axis(xs, left, width - right, logX);
    const y = axis(points.flatMap(({ y: value, sy }) => [value - (sy || 0), value + (sy || 0)]), height - bottom, top,
      plot.y !== "score" && wantsLog(ys));
    for (const point of points) [point.px, point.py] = [x.place(point.x), y.place(point.y)];
    area.append(svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
      "aria-label": `${plotted(plot.y).title} over ${plotted(plot.x).title}, ${points.length} points` },
    axes(x, y, { width, height, left, right, top, bottom }), frontLine(points), spreads(points, x, y), marks(points), names(points, width, top)));
    area.append(el("div", { class: "tip", hidden: true, "aria-hidden": "true" }));
  } else area.append(el("p", { class: "notice" }, emptyPlot()));
  if (old) old.replaceWith(area);
  else host.append(area);
  tellFront(points);
}
function emptyPlot() {
  const profiled = [plot.x, plot.y].some((key) => plotted(key).profiled);
  if (plot.task === ALL && (isScore(plot.x) || isScore(plot.y)) && !overview.averaged.length) {
    return "Nothing to show: the tasks' metrics differ in unit or direction, so that a mean over tasks would mean nothing. Choose one task.";
  }
  return plot.task === ALL && profiled
    ? "Nothing to show: cost is never averaged over tasks that were profiled under different protocols. Choose one task."
    : "Nothing to show: no record has both quantities here.";
}

function axes(x, y, box) {
  const { width, height, left, right, top, bottom } = box;
  const parts = [];
  for (const tick of x.ticks) {
    const at = x.place(tick);
    parts.push(svg("line", { class: "grid", x1: at, x2: at, y1: top, y2: height - bottom }),
      svg("text", { x: at, y: height - bottom + 17, "text-anchor": "middle" }, tickText(plotted(plot.x).kind, tick)));
  }
  for (const tick of y.ticks) {
    const at = y.place(tick);
    parts.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: at, y2: at }),
      svg("text", { x: left - 7, y: at + 4, "text-anchor": "end" }, tickText(plotted(plot.y).kind, tick)));
  }
  parts.push(svg("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
  if (x.gap) parts.push(svg("line", { class: "break", x1: x.gap - 12, x2: x.gap - 12, y1: top, y2: height - bottom }));
  parts.push(svg("text", { class: "title", x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }, axisTitle(plot.x)),
    svg("text", { class: "title", transform: `translate(13 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, axisTitle(plot.y)));
  return svg("g", { class: "axes", "aria-hidden": "true" }, parts);
}
function axisTitle(key) {
  const measure = plotted(key);
  return `${measure.title}${unitOf(measure)}, ${measure.better} is better`;
}
// A staircase: up to the next point's cost, nothing better than this point's value is had.
function frontLine(points) {
  const front = points.filter((point) => point.front);
  if (front.length < 2) return null;
  const costsLess = plotted(plot.x).better === "lower";
  const places = front.flatMap(({ px, py }, i) => {
    const next = front[i + 1];
    return [[px, py], ...(next ? [costsLess ? [next.px, py] : [px, next.py]] : [])];
  });
  return svg("polyline", { class: "front", points: places.map((place) => place.join(",")).join(" "), "aria-hidden": "true" });
}
function spreads(points, x, y) {
  const bars = [];
  for (const point of points) {
    const family = familyClass(point.label.family);
    if (point.sy) bars.push(svg("line", { class: `spread ${family}`, x1: point.px, x2: point.px, y1: y.place(point.y - point.sy), y2: y.place(point.y + point.sy) }));
    if (point.sx && point.x - point.sx > 0) bars.push(svg("line", { class: `spread ${family}`, y1: point.py, y2: point.py, x1: x.place(point.x - point.sx), x2: x.place(point.x + point.sx) }));
  }
  return svg("g", { "aria-hidden": "true" }, bars);
}

// Points are links: Tab reaches the plot, arrows move along it, Enter opens the records behind the point.
function marks(points) {
  return points.map((point, number) => {
    const { family } = point.label;
    const mark = svg("a", {
      href: "#", class: `point ${familyClass(family)}${point.front ? " on-front" : ""}${plot.each ? " small" : ""}${point.state ? ` ${point.state.replaceAll(" ", "-")}` : ""}`, tabindex: number ? "-1" : "0",
      "aria-label": describe(point).join("; "), transform: `translate(${point.px.toFixed(1)} ${point.py.toFixed(1)})`,
      onfocus: () => { plot.active = number; point.mark.setAttribute("href", linkOf(point)); showTip(point); },
      onblur: hideTip, onmouseenter: () => { point.mark.setAttribute("href", linkOf(point)); showTip(point); }, onmouseleave: hideTip,
    }, svg("circle", { class: "reach", r: 11 }), svg("path", { d: markOf(family) }));
    point.mark = mark;
    return mark;
  });
}
function movePoint(event) {
  const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  const number = event.key === "Home" ? 0 : event.key === "End" ? plot.points.length - 1 : plot.active + (step || 0);
  if (!event.target.closest(".point") || (!step && event.key !== "Home" && event.key !== "End")) return;
  event.preventDefault();
  const next = plot.points[Math.max(0, Math.min(plot.points.length - 1, number))];
  plot.points[plot.active].mark.setAttribute("tabindex", "-1");
  next.mark.setAttribute("tabindex", "0");
  next.mark.focus({ preventScroll: true });
}
function showTip(point) {
  const tip = document.querySelector(".plot-area .tip");
  const [name, ...lines] = describe(point);
  tip.replaceChildren(el("b", {}, name), ...lines.map((line) => el("div", {}, line)));
  tip.hidden = false;
  const room = tip.parentElement.clientWidth - tip.offsetWidth;
  tip.style.left = `${Math.max(0, Math.min(room, point.px + 14))}px`;
  tip.style.top = `${point.py > tip.offsetHeight + 16 ? point.py - tip.offsetHeight - 12 : point.py + 14}px`;
}
function hideTip() {
  const tip = document.querySelector(".plot-area .tip");
  if (tip) tip.hidden = true;
}

// Names beside the points where there is room: those on the front first, none over another or over a point.
function names(points, width, top) {
  if (plot.each) return null;
  const taken = points.map(({ px, py }) => [px - 6, py - 6, px + 6, py + 6]);
  const clashes = ([a, b, c, d]) => a < 40 || c > width - 2 || b < top - 8 || taken.some(([e, f, g, h]) => a < g && c > e && b < h && d > f);
  const texts = [];
  for (const point of [...points].sort((a, b) => b.front - a.front)) {
    const { name } = point.label;
    const text = name.length > 26 ? `${name.slice(0, 25)}…` : name;
    const wide = text.length * 6.7;
    for (const [dx, dy, anchor] of [[9, 4, "start"], [-9, 4, "end"], [0, -10, "middle"], [0, 18, "middle"]]) {
      const start = point.px + dx - (anchor === "end" ? wide : anchor === "middle" ? wide / 2 : 0);
      const box = [start, point.py + dy - 11, start + wide, point.py + dy + 3];
      if (clashes(box)) continue;
      taken.push(box);
      texts.push(svg("text", { class: `name${point.front ? " on-front" : ""}`, x: point.px + dx, y: point.py + dy, "text-anchor": anchor }, text));
      break;
    }
  }
  return svg("g", { "aria-hidden": "true" }, texts);
}

// The same in words and as a table, for those who do not see the plot and those who want the numbers.
function tellFront(points) {
  const front = points.filter((point) => point.front).map((point) => point.label.name);
  const spread = points.some((point) => point.sy || point.sx) ? " Bars: ± one standard deviation over seeds." : "";
  const over = overview.averaged.map((task) => overview.tasks[task].name).join(", ");
  const partly = plot.task === ALL && overview.averaged.length < overview.tasks.length && (isScore(plot.x) || isScore(plot.y));
  byId("front").textContent = plot.each || !points.length ? `${points.length} cells.`
    : `On the front, where no other point is better in both: ${front.join(", ")}.${judged(points)}${spread}${partly ? ` Scores are means over ${over} alone: other metrics have another unit or direction.` : ""}`;
  const table = byId("plot-table");
  table.ontoggle = () => table.open && listPoints(table, points);
  if (table.open) listPoints(table, points);
}
function listPoints(table, points) {
  const ranked = points.some((point) => point.rank);
  const write = (key, value, sd) => el("td", { class: "number", "data-value": value }, `${written(plotted(key).kind, value)}${sd ? ` ± ${written(plotted(key).kind, sd)}` : ""}`);
  const rows = points.map((point) => el("tr", {}, el("th", { scope: "row", class: "label" }, el("a", { href: linkOf(point) }, point.label.name)),
    write(plot.y, point.y, point.sy), write(plot.x, point.x, point.sx), el("td", { class: "number" }, point.n), el("td", {}, point.front ? "yes" : ""),
    ranked ? [el("td", {}, point.state || ""), el("td", {}, point.rank ? ordinals(point.rank) : "")] : null));
  const heads = [["Method", "label"], [plotted(plot.y).title, "number"], [plotted(plot.x).title, "number"], ["Records", "number"], ["On the front", "label"],
    ...(ranked ? [["As far as shown", "label"], ["Ranked", "label"]] : [])];
  table.querySelector(".scroll").replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, heads.map(([text, kind]) => el("th", { scope: "col", class: `plain ${kind}` }, text)))), el("tbody", {}, rows)));
}

function startPlot() {
  const measures = overview.measures.map(({ key, title }) => [key, title]);
  if (measures.length < 2) {
    byId("plot").append(el("p", { class: "notice" }, "Nothing to plot yet: no cell of this suite has a score."));
    return;
  }
  plot.y = columns.score ? "score" : measures[0][0];
  plot.x = ["adapter_parameters", "peak_memory_bytes", "wall_seconds"].find((key) => columns[key] && key !== plot.y) || measures[1][0];
  plot.backbone = overview.groups.find((group) => group.values[plot.y])?.backbone ?? 0;
  const tasks = overview.tasks.map(({ title }, number) => [number, title]);
  if (tasks.length > 1) tasks.unshift([ALL, "all, mean of means"]);
  const whole = overview.groups.some((g) => g.task === ALL && g.backbone === plot.backbone && g.values[plot.x] && g.values[plot.y]);
  plot.task = whole ? ALL : overview.groups.find((g) => g.task !== ALL && g.values[plot.x] && g.values[plot.y])?.task ?? 0;
  const set = (name, read = String) => (value) => { plot[name] = read(value); drawPlot(); };
  byId("plot-tools").append(...[
    choice("Vertical", measures, plot.y, set("y")),
    choice("Horizontal", measures, plot.x, set("x")),
    tasks.length > 1 && choice("Task", tasks, plot.task, set("task", Number)),
    overview.backbones.length > 1 && choice("Backbone", overview.backbones.map(({ title }, n) => [n, title]), plot.backbone, set("backbone", Number)),
    choice("Scale", [["", "automatic"], ["log", "logarithmic"], ["linear", "linear"]], "", set("log", (v) => (v ? v === "log" : null))),
    choice("Points", [["", "methods"], ["each", "cells"]], "", set("each", Boolean)),
  ].filter(Boolean));
  byId("plot").append(familySwitches(), el("div", { class: "plot-area" }), el("p", { id: "front", class: "muted", role: "status" }),
    el("details", { id: "plot-table" }, el("summary", {}, "The points as a table"), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The points as a table" })));
  byId("plot").addEventListener("keydown", movePoint);
  drawPlot();
  let width = byId("plot").clientWidth;
  new ResizeObserver(() => {
    if (byId("plot").clientWidth === width) return;
    width = byId("plot").clientWidth;
    drawPlot();
  }).observe(byId("plot"));
}
function familySwitches() {
  const families = [...new Set(overview.labels.map((label) => label.family))];
  return el("div", { class: "legend", role: "group", "aria-label": "Families shown" }, families.map((family) => {
    const button = el("button", { type: "button", "aria-pressed": "true", onclick: () => {
      if (!plot.hidden.delete(family)) plot.hidden.add(family);
      button.setAttribute("aria-pressed", String(!plot.hidden.has(family)));
      drawPlot();
    } }, svg("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", class: familyClass(family), "aria-hidden": "true" }, svg("path", { d: markOf(family) })), family);
    return button;
  }));
}
