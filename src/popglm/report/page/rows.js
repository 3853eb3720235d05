// A row per variable: distributions over neurons, and bars of one neuron.

const ROW = 24;

/** Axes whose rows are names; spec: {names, low, high, xLabel}. */
function rowAxes(width, spec, description) {
  const height = spec.names.length * ROW + 50;
  const y = { low: spec.names.length - 0.4, high: -0.6, names: spec.names };
  return { height, ...axes(width, height, { low: spec.low, high: spec.high, label: spec.xLabel }, y, description) };
}

/** Percentiles 5, 25, 50, 75, 95 of every row as a line, a box and a stroke; all neurons pooled as a diamond. */
function boxPicture(width, { names, percentiles, pooled, xLabel, low, high }, description) {
  const { root, X, Y } = rowAxes(width, { names, low, high, xLabel }, description);
  const inside = (value) => X(Math.min(high, Math.max(low, value)));
  names.forEach((_, k) => {
    const [p5, p25, p50, p75, p95] = percentiles[k].map(inside);
    const y = Y(k);
    if (percentiles[k].every(known)) {
      root.append(
        svg("path", { d: `M${p5},${y}H${p95}`, class: "curve s0" }),
        svg("rect", { x: p25, y: y - 6, width: Math.max(1, p75 - p25), height: 12, class: "f0" }),
        svg("path", { d: `M${p50},${y - 8}V${y + 8}`, class: "mark" }),
      );
    }
    if (known(pooled[k])) {
      root.append(svg("path", { d: `M${inside(pooled[k])},${y - 6}l5,6l-5,6l-5,-6Z`, class: "f1" }));
    }
  });
  return root;
}

/** Bars from 0: lists [{values, kind}] side by side in every row, and a stroke per row for the population. */
function barPicture(width, { names, lists, population, xLabel, low, high }, description) {
  const { root, X, Y } = rowAxes(width, { names, low, high, xLabel }, description);
  const inside = (value) => X(Math.min(high, Math.max(low, value)));
  const thick = 14 / lists.length;
  names.forEach((_, k) => {
    lists.forEach(({ values, kind }, i) => {
      if (!known(values[k])) return;
      const [from, to] = [inside(0), inside(values[k])].sort((a, b) => a - b);
      root.append(svg("rect", { x: from, y: Y(k) - 7 + i * thick, width: Math.max(1, to - from), height: thick - 1, class: fillOf(kind) }));
    });
    if (known(population[k])) root.append(svg("path", { d: `M${inside(population[k])},${Y(k) - 9}v18`, class: "mark" }));
  });
  return root;
}
