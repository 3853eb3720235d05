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

/** A share in percent; nothing but all is 100 %, and nothing but none is 0 %. */
function percent(part, whole) {
  if (!(whole > 0)) return "–";
  const found = (100 * part) / whole;
  if (part === 0 || part === whole) return `${found} %`;
  // as many digits as the lesser side of the share needs
  const digits = Math.max(1, 1 - Math.floor(Math.log10(Math.min(found, 100 - found))));
  return `${Number(found.toFixed(Math.min(digits, 20)))} %`;
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

/** Round values for ticks between two numbers, about n of them: two at least, since one tells no scale. */
function ticks(low, high, n) {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(n, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((one) => one >= rough * 0.999);
  const found = multiples(step, low, high);
  if (found.length > 1) return found;
  const finer = [5, 4, 2.5, 2, 1, 0.5].map((k) => k * power).filter((one) => one < step * 0.999);
  return finer.map((one) => multiples(one, low, high)).find((some) => some.length > 1) ?? found;
}

/** Whole multiples of a step between two numbers. */
function multiples(step, low, high) {
  const found = [];
  for (let k = Math.ceil(low / step - 1e-6); k * step <= high + 1e-6 * step; k++) found.push(k * step);
  return found;
}

/** Values of an axis as they are written, with as many decimals as they need to be told apart. */
function writtenApart(values) {
  const names = values.map(written);
  const least = Math.min(...values.slice(1).map((value, k) => Math.abs(value - values[k])));
  const off = (name, value) => Math.abs(Number(name.replaceAll("−", "-").replaceAll(",", "")) - value);
  if (values.length < 2 || names.every((name, k) => off(name, values[k]) < 0.01 * least)) return names;
  const digits = Math.min(20, Math.max(0, 1 - Math.floor(Math.log10(least))));
  return values.map((value) => {
    const [whole, part] = String(Number(value.toFixed(digits))).split(".");
    return part ? `${grouped(whole)}.${part}` : grouped(whole);
  });
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

const plural = (n, one, many = `${one}s`) => `${grouped(n)} ${n === 1 ? one : many}`;

/** So many of what is shown one by one, which are neurons, or classes. */
const several = (n) => plural(n, FACTS.words.one, FACTS.words.many);

/** So many of what was fitted, which are neurons, or responses. */
const modelled = (n) => plural(n, FACTS.words.model, FACTS.words.models);

const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);
