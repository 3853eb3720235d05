// A pair of axes with ticks and labels: what every picture over two numbers begins with.

/** Height of a slanted text as a share of its length. */
const SLANTED = Math.SQRT1_2;

/**
 * @param {number} width, height  of the whole picture (px)
 * @param {{low, high, label, names, exponent}} x, y  ends, label; names of categories in place of ticks; exponent: ticks
 *   are powers of ten
 * @returns {{root, X, Y, left, right, top, bottom}}  the SVG, functions from values to pixels, and the frame
 */
function axes(width, height, x, y, description) {
  const yTicks = y.names ? y.names.map((_, k) => k) : ticks(Math.min(y.low, y.high), Math.max(y.low, y.high), Math.max(2, Math.floor(height / 45)));
  const yNames = y.names?.map(String) ?? tickNames(yTicks, y);
  const beside = y.label ? 28 : 10;
  const left = Math.min(0.45 * width, beside + Math.max(...yNames.map(widthOf), 12));
  const right = width - 10;
  const slant = slantOf(x, right - left, height);
  const [top, bottom] = [8, height - 38 - slant];
  const X = (value) => left + ((value - x.low) / (x.high - x.low || 1)) * (right - left);
  const Y = (value) => bottom - ((value - y.low) / (y.high - y.low || 1)) * (bottom - top);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": description });
  let lines = "";
  yTicks.forEach((value, k) => {
    lines += `M${left},${Y(value).toFixed(1)}H${right}`;
    root.append(fitted(left - 6, Y(value) + 4, yNames[k], left - beside + 4, { "text-anchor": "end" }));
  });
  root.append(svg("path", { d: lines, class: "grid" }));
  xTicks(root, x, X, left, right, bottom, slant);
  if (x.label) {
    const half = Math.min(widthOf(x.label), width) / 2;
    const middle = Math.max(half, Math.min((left + right) / 2, width - half));
    root.append(fitted(middle, height - 4, x.label, width, { "text-anchor": "middle" }));
  }
  if (y.label) {
    const middle = (top + bottom) / 2;
    const at = { "text-anchor": "middle", transform: `rotate(-90 11 ${middle})` };
    root.append(fitted(11, middle, y.label, bottom - top + 20, at));
  }
  if (y.low < 0 && y.high > 0) root.append(svg("path", { d: `M${left},${Y(0).toFixed(1)}H${right}`, class: "zero" }));
  return { root, X, Y, left, right, top, bottom };
}

/** How much higher (px) names below an axis stand for being slanted; 0 where all fit side by side. */
function slantOf(x, across, height) {
  if (!x.names) return 0;
  const longest = Math.max(...x.names.map((name) => widthOf(String(name))));
  return longest <= across / x.names.length ? 0 : Math.min(SLANTED * longest, 0.35 * height);
}

function xTicks(root, x, X, left, right, bottom, slant) {
  const room = x.names ? (right - left) / x.names.length : 0;
  const each = x.names ? Math.ceil((slant ? 14 : 24) / Math.max(room, 1)) : 1;
  const most = Math.max(2, Math.floor((right - left) / 65));
  const values = x.names
    ? x.names.map((_, k) => k).filter((k) => k % each === 0)
    : x.exponent
      ? logarithmicTicks(x.low, x.high, most)
      : ticks(x.low, x.high, most);
  const names = x.names ? values.map((k) => String(x.names[k])) : tickNames(values, x);
  const crowd = x.names ? 1 : Math.ceil((values.length * (8 + Math.max(...names.map(widthOf)))) / (right - left));
  let lines = "";
  for (const [k, value] of values.entries()) {
    // fewer where they would touch, but two
    if (crowd > 1 && values.length > 2 && k % Math.min(crowd, values.length - 1)) continue;
    lines += `M${X(value).toFixed(1)},${bottom}v4`;
    if (slant) {
      const [at, below] = [X(value) + 4, bottom + 14];
      const turned = { "text-anchor": "end", transform: `rotate(-45 ${at.toFixed(1)} ${below.toFixed(1)})` };
      root.append(fitted(at, below, names[k], Math.min(slant + 8, at - 2) / SLANTED, turned));
      continue;
    }
    root.append(fitted(X(value), bottom + 17, names[k], x.names ? room * each : Infinity, { "text-anchor": "middle" }));
  }
  root.append(svg("path", { d: `M${left},${bottom}H${right}${lines}`, class: "grid" }));
}

/** Powers of ten between two exponents; 2 and 5 times these as well where there are few, and round values between. */
function logarithmicTicks(low, high, most) {
  const factors = high - low >= 2 ? [1] : [1, 2, 5];
  const found = [];
  for (let power = Math.floor(low); power <= high; power++) {
    found.push(...factors.map((factor) => power + Math.log10(factor)).filter((value) => value >= low && value <= high));
  }
  const each = Math.ceil(found.length / most);
  return found.length > 1 ? found.filter((_, k) => k % each === 0) : ticks(10 ** low, 10 ** high, most).map(Math.log10);
}

const tickNames = (values, axis) => writtenApart(axis.exponent ? values.map((value) => 10 ** value) : values);
