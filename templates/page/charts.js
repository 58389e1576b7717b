// Learning curves of one cell: losses, and the validation metric.
function curve(title, history, all, best, write) {
  const [width, height, left, right, top, bottom] = [300, 170, 44, 12, 24, 26];
  const steps = history.map((line) => line.step);
  const series = all.filter(({ of }) => history.some((line) => typeof of(line) === "number"));
  const values = series.flatMap(({ of }) => history.map(of)).filter((value) => typeof value === "number");
  if (!values.length) return null;
  const x = axis(steps, left, width - right, false), y = axis(values, height - bottom, top, false);
  const lines = series.map(({ of, kind }) => {
    const drawn = history.filter((line) => typeof of(line) === "number");
    const places = drawn.map((line) => [x.place(line.step), y.place(of(line))]);
    return svg("g", { class: `series ${kind}` }, svg("polyline", { points: places.map((place) => place.join(",")).join(" ") }),
      places.map(([cx, cy], i) => svg("circle", { cx, cy, r: drawn[i].step === best ? 4 : 2.5 }, svg("title", {}, `step ${drawn[i].step}: ${write(of(drawn[i]))}`))));
  });
  const ticks = [
    ...stepTicks(steps).map((tick) => svg("text", { x: x.place(tick), y: height - 8, "text-anchor": "middle" }, tick)),
    ...y.ticks.map((tick) => svg("g", {}, svg("line", { class: "grid", x1: left, x2: width - right, y1: y.place(tick), y2: y.place(tick) }),
      svg("text", { x: left - 6, y: y.place(tick) + 4, "text-anchor": "end" }, write(tick, true)))),
  ];
  const alt = series.map(({ name, of }) => `${name} from ${write(of(history[0]))} to ${write(of(history.at(-1)))}`).join(", ");
  return el("figure", { class: "curve" }, el("figcaption", {}, `${title} by step: `, series.map(({ name, kind }) => el("span", { class: `sample ${kind}` }, name))),
    svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title} by step: ${alt}` }, svg("g", { class: "axes" }, ticks), lines));
}
// The evaluations themselves where they are few, round numbers between them otherwise.
function stepTicks(steps) {
  if (steps.length <= 5) return steps;
  return linearTicks(Math.min(...steps), Math.max(...steps), 4).filter(Number.isInteger);
}
function learningCurves(detail, metric, kind) {
  const { history, best_step: best } = detail;
  const loss = (value, tick) => (typeof value !== "number" ? "–" : tick ? tickText("plain", value) : fixed(value, 4));
  const score = (value, tick) => (typeof value !== "number" ? "–" : tick ? tickText(kind, value) : written(kind, value));
  return el("div", { class: "curves" },
    curve("Loss", history, [{ name: "training", kind: "train", of: (l) => l.train_loss }, { name: "validation", kind: "held", of: (l) => l.validation_loss }], best, loss),
    metric && curve(kind === "points" ? "Validation points" : "Validation score", history, [{ name: metric.replaceAll("_", " "), kind: "held", of: (l) => l.validation[metric] }], best, score) || null);
}
