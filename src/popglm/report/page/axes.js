// A pair of axes with ticks and labels: what every picture over two numbers begins with.

/**
 * @param {number} width, height  of the whole picture (px)
 * @param {{low, high, label, names, exponent}} x, y  ends, label; names of categories in place of ticks; exponent: ticks
 *   are powers of ten
 * @returns {{root, X, Y, left, right, top, bottom}}  the SVG, functions from values to pixels, and the frame
 */
function axes(width, height, x, y, description) {
  const yTicks = y.names ? y.names.map((_, k) => k) : ticks(Math.min(y.low, y.high), Math.max(y.low, y.high), Math.max(2, Math.floor(height / 45)));
  const yNames = y.names ?? yTicks.map((value) => tickName(value, y));
  const beside = y.label ? 28 : 10;
  const left = Math.min(0.45 * width, beside + Math.max(...yNames.map(widthOf), 12));
  const [right, top, bottom] = [width - 10, 8, height - 38];
  const X = (value) => left + ((value - x.low) / (x.high - x.low || 1)) * (right - left);
  const Y = (value) => bottom - ((value - y.low) / (y.high - y.low || 1)) * (bottom - top);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": description });
  let lines = "";
  yTicks.forEach((value, k) => {
    lines += `M${left},${Y(value).toFixed(1)}H${right}`;
    root.append(text(left - 6, Y(value) + 4, cut(yNames[k], left - beside + 4), { "text-anchor": "end" }));
  });
  root.append(svg("path", { d: lines, class: "grid" }));
  xTicks(root, x, X, left, right, bottom);
  if (x.label) {
    const label = cut(x.label, width);
    const middle = Math.min((left + right) / 2, width - widthOf(label) / 2);
    root.append(text(middle, height - 4, label, { "text-anchor": "middle" }));
  }
  if (y.label) {
    const middle = (top + bottom) / 2;
    const at = { "text-anchor": "middle", transform: `rotate(-90 11 ${middle})` };
    root.append(text(11, middle, cut(y.label, bottom - top + 20), at));
  }
  if (y.low < 0 && y.high > 0) root.append(svg("path", { d: `M${left},${Y(0).toFixed(1)}H${right}`, class: "zero" }));
  return { root, X, Y, left, right, top, bottom };
}

function xTicks(root, x, X, left, right, bottom) {
  const room = x.names ? (right - left) / x.names.length : 0;
  const each = x.names ? Math.ceil(24 / Math.max(room, 1)) : 1;
  const most = Math.max(2, Math.floor((right - left) / 65));
  const values = x.names
    ? x.names.map((_, k) => k).filter((k) => k % each === 0)
    : x.exponent
      ? logarithmicTicks(x.low, x.high, most)
      : ticks(x.low, x.high, most);
  let lines = "";
  for (const value of values) {
    lines += `M${X(value).toFixed(1)},${bottom}v4`;
    const name = x.names ? cut(x.names[value], room * each) : tickName(value, x);
    root.append(text(X(value), bottom + 17, name, { "text-anchor": "middle" }));
  }
  root.append(svg("path", { d: `M${left},${bottom}H${right}${lines}`, class: "grid" }));
}

/** Powers of ten between two exponents; 2 and 5 times these as well where there are few. */
function logarithmicTicks(low, high, most) {
  const factors = high - low >= 2 ? [1] : [1, 2, 5];
  const found = [];
  for (let power = Math.floor(low); power <= high; power++) {
    found.push(...factors.map((factor) => power + Math.log10(factor)).filter((value) => value >= low && value <= high));
  }
  const each = Math.ceil(found.length / most);
  return found.length ? found.filter((_, k) => k % each === 0) : ticks(low, high, most);
}

const tickName = (value, axis) => written(axis.exponent ? 10 ** value : value);
