// Curves with bands, points with error bars, histograms.

const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
const COLOURED = 8;

/** The dashes of a kind of curve: two that share a colour have others. */
const dashOf = (kind) => (typeof kind === "number" && DASHES[(kind + Math.floor(kind / COLOURED)) % DASHES.length]) || null;

/**
 * @param {{x, names, series, xLabel, yLabel, marks, one}} spec  series: [{y, low, high, kind, label}] where kind is a
 *   number (a colour with dashes), "recorded" or "other"; names: categories in place of numbers x; marks: x values marked by a line; one: the height
 *   that stands for no effect
 */
function curvePicture(width, height, spec, description) {
  const lists = spec.series.flatMap((one) => [one.y, one.low ?? [], one.high ?? []]);
  let [low, high] = range(...lists, spec.one === undefined ? [] : [spec.one]) ?? [0, 1];
  const room = 0.06 * (high - low || Math.abs(high) || 1);
  low = low >= 0 && low < 0.3 * high ? 0 : low - room;
  high += room;
  const x = spec.names
    ? { low: -0.5, high: spec.names.length - 0.5, names: spec.names, label: spec.xLabel }
    : { low: spec.x[0], high: spec.x[spec.x.length - 1], label: spec.xLabel, exponent: spec.exponent };
  if (!spec.names && x.low === x.high) [x.low, x.high] = [x.low - 0.5, x.high + 0.5];
  if (!spec.names && x.low > x.high) [x.low, x.high] = [x.high, x.low];
  const { root, X, Y, left, right, top, bottom } = axes(width, height, x, { low, high, label: spec.yLabel }, description);
  for (const mark of spec.marks ?? []) root.append(svg("path", { d: `M${X(mark)},${top}V${bottom}`, class: "zero" }));
  if (spec.one !== undefined) root.append(svg("path", { d: `M${left},${Y(spec.one).toFixed(1)}H${right}`, class: "zero" }));
  spec.series.forEach((one, k) => {
    const shift = spec.names ? ((k + 0.5) / spec.series.length - 0.5) * 0.5 : 0;
    const xs = Array.from(spec.names ?? spec.x, (value, i) => X(spec.names ? i + shift : value));
    const heights = (values) => Array.from(values, (value) => (known(value) ? Y(value) : NaN));
    if (spec.names) return root.append(...points(xs, one, heights));
    if (one.low) {
      root.append(svg("path", { d: areaBetween(xs, heights(one.low), heights(one.high)), class: `band ${fillOf(one.kind)}` }));
    }
    const line = { d: pathThrough(xs, heights(one.y)), class: `curve ${strokeOf(one.kind)}`, "stroke-linecap": "round" };
    root.append(svg("path", { ...line, "stroke-dasharray": dashOf(one.kind) }));
  });
  return root;
}

function points(xs, one, heights) {
  const y = heights(one.y);
  const dots = xs.map((x, i) => (known(y[i]) ? `M${x.toFixed(1)},${y[i].toFixed(1)}h.1` : "")).join("");
  const drawn = [svg("path", { d: dots, class: `dots ${strokeOf(one.kind)}`, "stroke-width": 7 })];
  if (one.low) {
    const [low, high] = [heights(one.low), heights(one.high)];
    const bars = xs.map((x, i) => (known(low[i]) ? `M${x.toFixed(1)},${low[i].toFixed(1)}V${high[i].toFixed(1)}` : ""));
    drawn.unshift(svg("path", { d: bars.join(""), class: `curve ${strokeOf(one.kind)}` }));
  }
  return drawn;
}

const strokeOf = (kind) => (typeof kind === "number" ? `s${kind % COLOURED}` : kind);
const fillOf = (kind) => (typeof kind === "number" ? `f${kind % COLOURED}` : kind);

/** Counts between borders: {borders, counts}; round values are borders, or with `shift` 0.5 in the middle of a bar. */
function counted(values, n, shift = 0) {
  const found = Array.from(values).filter(known);
  const [low, high] = range(found) ?? [0, 1];
  const marks = ticks(low, high === low ? low + 1 : high, n);
  const step = marks.length > 1 ? marks[1] - marks[0] : 1;
  const place = (value) => Math.floor(value / step + shift + 1e-9);
  const first = place(low);
  const counts = new Array(place(high) - first + 1).fill(0);
  for (const value of found) counts[place(value) - first]++;
  return { borders: Array.from({ length: counts.length + 1 }, (_, k) => (first + k - shift) * step), counts };
}

/** A histogram, with a line at some value. */
function histogram(width, height, { borders, counts }, { xLabel, mark, exponent }, description) {
  const x = { low: borders[0], high: borders[borders.length - 1], label: xLabel, exponent };
  const { root, X, Y, top, bottom } = axes(width, height, x, { low: 0, high: Math.max(...counts, 1) * 1.05, label: capital(FACTS.words.models) }, description);
  const bars = counts.map((n, k) => {
    const [from, to] = [X(borders[k]), X(borders[k + 1])];
    return n ? `M${(from + 0.5).toFixed(1)},${bottom}V${Y(n).toFixed(1)}H${(to - 0.5).toFixed(1)}V${bottom}Z` : "";
  });
  root.append(svg("path", { d: bars.join(""), class: "bar" }));
  if (known(mark)) root.append(svg("path", { d: `M${X(mark).toFixed(1)},${bottom}V${top}`, class: "mark" }));
  return root;
}
