// One neuron: facts, kernels, contributions, activity, averages over trials, certificate.

const NEURON = { figures: {}, kernels: [], cache: new Map(), data: null, index: -1 };

function startNeuron() {
  const place = (id) => (NEURON.figures[id] = new Figure(part(`neuron-${id}`)));
  ["contributions", "along", "picture", "trials", "since", "path"].forEach(place);
  NEURON.figures.averages = FACTS.neuron.along.map(() => new Figure(part("neuron-averages")));
  NEURON.kernels = FACTS.neuron.kernels.map(() => new Figure(part("neuron-kernels")));
  if (FACTS.neuron.kernels.some((one) => one.gain)) {
    part("scale-control").hidden = false;
    part("scale").addEventListener("change", drawKernels);
  }
  const names = [...new Set(FACTS.population.along.map((one) => one.axis))];
  fillSelect("neuron-axis", names.map((name) => [name, name]), drawOverBins);
}

/** The arrays of a neuron; the last few are kept. */
async function dataOf(i) {
  if (!NEURON.cache.has(i)) {
    NEURON.cache.set(i, unpacked(await inflated(textOf(`neuron-${i}`)), FACTS.neuron_layout));
    if (NEURON.cache.size > 50) NEURON.cache.delete(NEURON.cache.keys().next().value);
  }
  return NEURON.cache.get(i);
}

async function drawNeuron(i) {
  performance.mark("neuron asked for");
  NEURON.index = i;
  const data = await dataOf(i);
  // another neuron may have been asked for meanwhile
  if (NEURON.index !== i) return;
  NEURON.data = data;
  part("neuron-name").replaceChildren(...breakable(nameOf(i)));
  showFacts(i);
  drawKernels();
  drawOwnContributions(i);
  drawOverBins();
  drawActivity();
  drawCertificate(i);
  performance.measure("neuron", "neuron asked for");
}

function showFacts(i) {
  const { columns, texts } = FACTS.population;
  const rows = columns.map((name) => [name.replaceAll("_", " "), texts[name] ? texts[name][i] : written(column(name)[i])]);
  if (FACTS.population.clusters) rows.push(["cluster", clusterName(i)]);
  part("neuron-facts").replaceChildren(...rows.map(([name, value]) => html("div", {}, html("dt", {}, name), html("dd", {}, ...breakable(value)))));
}

function drawKernels() {
  const gain = part("scale").value === "gain";
  const unused = [];
  const left = [];
  const shown = FACTS.neuron.kernels.map((about, k) => {
    const found = about.field && NEURON.data[about.field];
    const values = found?.values;
    if (!values || values.every(Number.isNaN)) left.push(about.group);
    else if (!about.band && values.every((value) => value === 0)) unused.push(about.group);
    else if (about.band && rowOf(found, 0).every((value) => Math.abs(value) < 1e-12) && range(values)[1] === range(values)[0]) unused.push(about.group);
    else return [NEURON.kernels[k], about, found];
    NEURON.kernels[k].hide();
    return null;
  }).filter(Boolean);
  for (const [figure] of shown) figure.root.hidden = false;
  // all are as wide as the first
  const width = shown.length ? shown[0][0].width || shown[0][0].plot.clientWidth : 0;
  for (const [figure, about, found] of shown) {
    (about.axes.length === 1 ? showKernel : showKernelOfTwo)(figure, about, found, gain && about.gain, width);
  }
  part("neuron-unused").textContent = [
    unused.length ? `Not in use: ${unused.join(", ")}.` : "",
    left.length ? `Not on this page (small, or over three axes): ${left.join(", ")}.` : "",
  ].join(" ").trim();
}

function showKernel(figure, about, found, gain, width) {
  const [axis] = about.axes;
  const change = gain ? Math.exp : (value) => value;
  const lines = about.band ? [0, 1, 2].map((k) => rowOf(found, k).map(change)) : [found.values.map(change)];
  const xLabel = withUnit(axis.name, axis.unit);
  const line = { label: about.group, y: lines[0], low: lines[1], high: lines[2], kind: 0 };
  const what = gain ? "Gain" : "Kernel";
  figure.show(
    {
      title: about.group,
      draw: (room) =>
        curvePicture(room, 180, { x: axis.values, names: axis.categories ? axis.values : undefined, series: [line], xLabel, yLabel: what, one: gain ? 1 : 0 }, `${what} of ${about.group}, from ${written(range(lines[0])[0])} to ${written(range(lines[0])[1])}`),
      table: () => ({
        head: [xLabel, what.toLowerCase(), ...(about.band ? ["lower", "upper"] : [])],
        rows: axis.values.map((value, i) => [value, ...lines.map((one) => one[i])]),
      }),
    },
    width,
  );
}

function showKernelOfTwo(figure, about, found, gain, width) {
  const [first, second] = about.axes;
  const table = rowOf(found, 0);
  const [nRows, nColumns] = [first.values.length, second.values.length];
  const most = Math.max(...range(table).map(Math.abs)) || 1;
  const change = gain ? Math.exp : (value) => value;
  const side = ({ name, unit, values, categories }) =>
    categories ? { low: -0.5, high: values.length - 0.5, names: values, label: name } : { low: values[0], high: values[values.length - 1], label: withUnit(name, unit) };
  figure.show(
    {
      title: about.group,
      draw: (room) =>
        cellPicture(room, 220, { nRows, nColumns, scale: "around_zero", share: (row, k) => (table[row * nColumns + k] / most + 1) / 2, x: side(second), y: side(first) }, `Kernel of ${about.group} as a table of colours`),
      below: [colourBar(change(-most), change(most), "around_zero", gain ? "Gain" : "Kernel")],
      table: () => ({
        head: [`${first.name} \\ ${second.name}`, ...second.values.map(String)],
        rows: first.values.map((value, row) => [value, ...Array.from(table.subarray(row * nColumns, (row + 1) * nColumns), change)]),
      }),
    },
    width,
  );
}

function drawOwnContributions(i) {
  const { measures, neurons } = FACTS.population;
  const own = measures.filter((one) => one.quantity === "fraction_null_deviance");
  if (!own.length) return NEURON.figures.contributions.hide();
  const { variables } = own[0];
  const lists = own.map((measure, kind) => {
    const { values } = contributionsOf(measure);
    return { kind, label: kind ? "fits without it" : "ablation", values: measure.variables.map((_, k) => values[k * neurons.length + i]) };
  });
  const median = FACTS.population.first ? "median of the responses" : "median of the population";
  const medians = own[0].percentiles.map((five) => five[2]);
  const [least, most] = range([0], medians, ...lists.map((one) => one.values));
  const room = 0.05 * (most - least || 0.1);
  NEURON.figures.contributions.show({
    title: "Fraction of null deviance",
    draw: (width) =>
      barPicture(width, { names: variables, lists, population: medians, xLabel: "Fraction of null deviance", low: least < 0 ? Math.max(least - room, -0.5) : 0, high: most + room }, `What each variable contributes to this ${FACTS.words.model}: ${variables.map((name, k) => `${name} ${written(lists[0].values[k])}`).join(", ")}`),
    legend: [...lists.map(({ label, kind }) => ({ label, kind, shape: "box" })), { label: median, shape: "stroke" }],
    table: () => ({
      head: ["variable", ...own.map((one) => one.label), median],
      rows: variables.map((name, k) => [name, ...lists.map((one) => one.values[k]), medians[k]]),
    }),
  });
}

function drawOverBins() {
  const figure = NEURON.figures.along;
  const { along, measures } = FACTS.population;
  const name = part("neuron-axis").value;
  const found = along.find((one) => one.part === "contributions" && one.axis === name);
  const binned = NEURON.data[`binned over ${name}`];
  if (!found || !binned) return figure.hide();
  const { variables } = measures[0];
  const series = coloured(variables.map((label, k) => ({ label, y: rowOf(binned, k) })));
  const xLabel = withUnit(found.axis, found.unit);
  figure.show({
    title: `Fraction of null deviance over ${found.axis}`,
    draw: (width) => curvePicture(width, 220, { x: found.centers, series, xLabel, yLabel: "Contribution" }, `Contributions to this ${FACTS.words.model} over ${found.axis}, a curve per variable`),
    legend: legendOf(series),
    table: () => ({
      head: [xLabel, ...series.map((one) => one.label)],
      rows: found.centers.map((center, k) => [center, ...series.map((one) => one.y[k])]),
    }),
  });
}
