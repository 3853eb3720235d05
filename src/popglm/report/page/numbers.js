// Numbers: which are known, how they are written, where ticks stand.

const known = (value) => typeof value === "number" && Number.isFinite(value);

/** A whole number with commas between thousands. */
const grouped = (n) => String(n).replace("-", "−").replace(/\B(?=(\d{3})+$)/g, ",");

/** A number with three digits; a dash where there is none. */
function written(value) {
  if (value === Infinity) return "∞";
  if (!known(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e").replaceAll("-", "−");
  const digits = Math.max(0, 2 - Math.floor(Math.log10(size)));
  if (size >= 1000) return grouped(Math.round(value));
  return String(Number(value.toFixed(digits))).replace("-", "−");
}

/** Smallest and largest known value of several lists; null where none is known. */
function range(...lists) {
  let low = Infinity;
  let high = -Infinity;
  for (const list of lists) {
    for (const value of list) {
      if (!known(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return low <= high ? [low, high] : null;
}

/** Round values for ticks between two numbers, about n of them. */
function ticks(low, high, n) {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(n, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((one) => one >= rough * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-6); k * step <= high + 1e-6 * step; k++) found.push(k * step);
  return found;
}

/** Share p of the sorted known values lies below. */
function quantile(values, p) {
  const sorted = Array.from(values).filter(known).sort((a, b) => a - b);
  if (!sorted.length) return NaN;
  const at = p * (sorted.length - 1);
  const below = Math.floor(at);
  return sorted[below] + (at - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
}

/** A name with its unit in brackets. */
const withUnit = (name, unit) => (unit ? `${name} (${unit})` : name);

const plural = (n, one) => `${grouped(n)} ${one}${n === 1 ? "" : "s"}`;
