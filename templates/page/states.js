// What the data say of a point: between which ranks it lies, and whether it is on the front. As reports/analysis has it:
// one is dominated where another is shown to be better and costs no more, and on the front where each of the others is
// shown to be worse or costs more.
const OPEN = "undecided";
const shownRanks = () => overview.ranks.find(({ backbone, task }) => backbone === plot.backbone && task === plot.task);
const ordinal = (n) => n + (n % 100 > 10 && n % 100 < 14 ? "th" : { 1: "st", 2: "nd", 3: "rd" }[n % 10] || "th");
const ordinals = ([, low, high]) => (low === high ? ordinal(low) : `between ${ordinal(low)} and ${ordinal(high)}`);

// The least and the greatest cost of a point's cells, less being better; of what is counted, its mean.
function spanOf(point) {
  const sign = plotted(plot.x).better === "higher" ? -1 : 1;
  if (plotted(plot.x).counted) return [sign * point.x, sign * point.x];
  const values = cellsOf(point.group, plot.x).map((id) => sign * columns[plot.x][overview.ids.indexOf(id)]);
  return [Math.min(...values), Math.max(...values)];
}

// Writes `rank` and `state` into the points, where anything is shown of their scores.
function judge(points) {
  const found = shownRanks();
  if (!found || plot.each || plot.y !== "score") return;
  const better = new Set(found.better.map(([a, b]) => `${a} ${b}`));
  const isBetter = (a, b) => better.has(`${a.group.label} ${b.group.label}`);
  for (const point of points) point.rank = found.sets[point.group.label];
  if (isScore(plot.x)) return;
  for (const point of points) point.span = spanOf(point);
  for (const point of points.filter(({ rank }) => rank)) {
    const others = points.filter((other) => other !== point);
    if (others.some((other) => isBetter(other, point) && other.span[1] <= point.span[0])) point.state = "dominated";
    else if (others.every((other) => isBetter(point, other) || other.span[0] > point.span[1])) point.state = "on the front";
    else point.state = OPEN;
  }
}

// A sentence for all that is judged, with a space before it.
function judged(points) {
  const those = (state) => points.filter((point) => point.state === state).map((point) => point.label.name);
  if (!points.some((point) => point.state)) return "";
  const said = [["on the front (filled)", those("on the front")], ["dominated (small and faint)", those("dominated")]]
    .filter(([, names]) => names.length).map(([state, names]) => `${state}: ${names.join(", ")}`);
  if (those(OPEN).length) said.push(`undecided (hollow): ${those(OPEN).length}`);
  return ` Shown with 95 % confidence, for ${shownRanks().population}: ${said.join("; ")}.`;
}
