// How numbers are written: as reports/model/writing.py writes them, so that the same value looks the same everywhere.

// Like Python's format: a tie goes to the even digit.
function fixed(value, digits) {
  const text = value.toFixed(digits);
  const shifted = Math.abs(value * 10 ** digits);
  if (shifted % 1 !== 0.5 || !/^50*$/.test(value.toFixed(digits + 60).split(".")[1].slice(digits))) return grouped(text);
  const down = Math.floor(shifted);
  const even = (down % 2 ? down + 1 : down) / 10 ** digits;
  return grouped((value < 0 ? -even : even).toFixed(digits));
}
function grouped(text) {
  // Zero has no sign.
  const [whole, fraction] = text.replace("-", /[1-9]/.test(text) ? "−" : "").split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (fraction ? `.${fraction}` : "");
}
const points = (fraction) => fixed(100 * fraction, 1);

// A count with three digits and k, M or B; below 1,000 exact.
function count(value) {
  if (value < 1000) return fixed(value, 0);
  const rounded = Number(value.toPrecision(3));
  const [factor, suffix] = [[1e9, "B"], [1e6, "M"], [1e3, "k"]].find(([f]) => rounded >= f);
  const digits = Math.max(0, 2 - Math.floor(Math.log10(rounded / factor)));
  return fixed(rounded / factor, digits) + suffix;
}

const SCALES = {
  bytes: [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]],
  seconds: [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]],
  flops: [[1e15, "PFLOP"], [1e12, "TFLOP"], [1e9, "GFLOP"], [1e6, "MFLOP"], [1, "FLOP"]],
};
function scaled(kind, value) {
  const [factor, unit] = SCALES[kind].find(([f]) => Math.abs(value) >= f) || SCALES[kind].at(-1);
  return `${threeDigits(value / factor)} ${unit}`;
}
function threeDigits(value) {
  if (value === 0) return "0";
  return fixed(value, Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))));
}

const UNITS = { points: "points", percent: "%", rate: "tokens/s", joules: "J" };
// A value of a measure, with its unit where that is not the column's.
function written(kind, value) {
  if (value === null || value === undefined) return "–";
  if (kind === "points") return points(value);
  if (kind.startsWith("places:")) return fixed(value, Number(kind.slice(7)));
  if (kind === "joules") return `${threeDigits(value)} J`;
  if (kind === "percent") return `${threeDigits(value)} %`;
  if (kind === "count") return count(value);
  if (kind === "rate") return fixed(value, 0);
  if (kind === "plain") return threeDigits(value);
  return scaled(kind, value);
}
const unitOf = (measure) => (UNITS[measure.kind] ? ` (${UNITS[measure.kind]})` : "");

// The unit of a column, as the tables choose it: the largest in which the greatest value is at least 10; three
// digits for the smallest value, but never more than two decimals.
function columnUnit(kind, values) {
  if (!["bytes", "seconds"].includes(kind)) return { unit: UNITS[kind] || "", text: (value) => written(kind, value) };
  const sizes = values.filter((value) => value).map(Math.abs);
  const scales = SCALES[kind].slice(0, 3);
  const [factor, unit] = scales.find(([f]) => sizes.reduce((a, b) => Math.max(a, b), 0) / f >= 10) || scales[2];
  const least = sizes.reduce((a, b) => Math.min(a, b), Infinity);
  const decimals = sizes.length ? Math.min(2, Math.max(0, 2 - Math.floor(Math.log10(least / factor)))) : 0;
  return { unit, text: (value) => fixed(value / factor, decimals) };
}

// Ticks that people can read: 1, 2 or 5 times a power of ten; on a logarithmic axis powers of ten.
function linearTicks(low, high, wanted) {
  const rough = (high - low || Math.abs(high) || 1) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(i * step);
  return ticks;
}
function logTicks(low, high) {
  const decades = Math.log10(high / low);
  const factors = decades > 3 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const factor of factors) {
      const tick = factor * 10 ** power;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  }
  return ticks;
}
function tickText(kind, value) {
  const trimmed = (text) => text.replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
  return kind === "points" ? trimmed(fixed(100 * value, 2)) : trimmed(written(kind, value));
}
