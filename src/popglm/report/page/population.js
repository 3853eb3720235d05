// The population: deviance explained, strengths, contributions, mean kernels, places.

/** A column of the table of neurons. */
const column = (name) => POPULATION[`column ${name}`]?.values;

/** The values of what was fitted: one per neuron, or of a response that of its first class. */
const ofModels = (values) => (FACTS.population.first ? FACTS.population.first.map((i) => values[i]) : values);

/** What every variable contributes to every neuron, by a measure. */
const contributionsOf = (measure) => POPULATION[`${measure.part} ${measure.quantity}`];

/** Fill a select with texts, show its control, and do something when it changes. */
function fillSelect(id, options, changed) {
  const select = document.getElementById(id);
  select.replaceChildren(...options.map(([value, label]) => html("option", { value }, label)));
  select.addEventListener("change", changed);
  const control = document.getElementById(`${id}-control`);
  if (control) control.hidden = options.length < 2;
  return select;
}

function drawPopulation() {
  const deviance = new Figure(document.getElementById("figure-deviance"));
  const score = document.getElementById("score");
  document.getElementById("score-control").hidden = !column("deviance_explained_test");
  score.addEventListener("change", () => showDeviance(deviance, score.value));
  showDeviance(deviance, score.value);
  drawConfusions();
  if (column("strength")) showStrengths(new Figure(document.getElementById("figure-strengths")));
  if (FACTS.population.measures.length) drawContributions();
  const multiples = document.getElementById("figure-mean-kernels");
  for (const one of FACTS.population.mean_kernels) showMeanKernel(new Figure(multiples), one);
  if (FACTS.population.place) drawPlaces();
  if (FACTS.population.clusters) drawClusters();
}

function showDeviance(figure, name) {
  const values = ofModels(column(name));
  const middle = quantile(values, 0.5);
  // a few neurons far below 0, whose predictions failed, would leave no room for all others
  const low = Math.max(range(values)?.[0] ?? 0, -0.2);
  const shown = Array.from(values, (value) => Math.max(value, low));
  const counts = counted(shown, 24);
  const below = Array.from(values).filter((value) => value < low).length;
  figure.show({
    title: `Median ${written(middle)}, quartiles ${written(quantile(values, 0.25))} and ${written(quantile(values, 0.75))}`,
    draw: (width) =>
      histogram(width, 220, counts, { xLabel: "Fraction of deviance explained", mark: middle }, `Histogram of deviance explained over ${FACTS.words.models}; median ${written(middle)}`),
    below: below ? [html("p", { class: "note" }, `${modelled(below)} below ${written(low)} stand at the left end.`)] : [],
    table: () => ({
      head: ["from", "to", FACTS.words.models],
      rows: counts.counts.map((n, k) => [counts.borders[k], counts.borders[k + 1], n]),
    }),
  });
}

function showStrengths(figure) {
  const values = Array.from(ofModels(column("strength")));
  const finite = values.filter((value) => known(value) && value > 0);
  const [atNull, atNone] = [values.filter((value) => value === Infinity).length, values.filter((value) => value === 0).length];
  const counts = counted(finite.map(Math.log10), 16, 0.5);
  const notes = [
    atNull ? `The null model was best for ${modelled(atNull)}.` : "",
    atNone ? `${modelled(atNone)} have no penalty.` : "",
  ].filter(Boolean);
  figure.show({
    title: `Selected strengths, median ${written(quantile(finite, 0.5))}`,
    draw: (width) =>
      histogram(width, 220, counts, { xLabel: "Strength λ", mark: Math.log10(quantile(finite, 0.5)), exponent: true }, `Histogram of selected strengths over ${FACTS.words.models}, on a logarithmic axis`),
    below: notes.map((note) => html("p", { class: "note" }, note)),
    table: () => ({
      head: ["from", "to", FACTS.words.models],
      rows: counts.counts.map((n, k) => [10 ** counts.borders[k], 10 ** counts.borders[k + 1], n]),
    }),
  });
}

function drawContributions() {
  const { measures, along } = FACTS.population;
  const spread = new Figure(document.getElementById("figure-contributions"));
  const over = along.length ? new Figure(document.getElementById("figure-along")) : null;
  const show = () => {
    const measure = measures[Number(select.value)];
    showSpread(spread, measure);
    if (over) showAlong(over, measure, axis.value);
  };
  const select = fillSelect("measure", measures.map(({ label }, k) => [k, label]), show);
  const names = [...new Set(along.map((one) => one.axis))];
  const axis = fillSelect("axis", names.map((name) => [name, name]), show);
  show();
}

function showSpread(figure, measure) {
  const { variables, percentiles, pooled, sem, n, label } = measure;
  const [low, high] = range([0], percentiles.flatMap((five) => five.slice(1, 4)), pooled) ?? [0, 1];
  const room = 0.05 * (high - low);
  const ends = { low: low < 0 ? Math.max(low - room, -0.5) : 0, high: low < high ? Math.min(high + room, 1.02) : 1 };
  const isKnown = [...percentiles.flat(), ...pooled].some(known);
  figure.show({
    title: label,
    draw: (width) =>
      boxPicture(width, { names: variables, percentiles, pooled, xLabel: label, ...ends }, `Contribution of each variable over ${FACTS.words.models}: median and quartiles. ${variables.map((name, k) => `${name} ${written(percentiles[k][2])}`).join(", ")}`),
    legend: [
      { label: `quartiles over ${FACTS.words.models}`, kind: 0, shape: "box" },
      { label: "5 % to 95 %", kind: 0 },
      { label: "median", shape: "stroke" },
      { label: `all ${FACTS.words.models} pooled`, kind: 1, shape: "diamond" },
    ],
    below: isKnown ? [] : [html("p", { class: "note" }, `Nothing is known of this: the model explains no deviance of these ${FACTS.words.models}.`)],
    table: () => ({
      head: ["variable", "5 %", "25 %", "median", "75 %", "95 %", "pooled", "± s.e.m.", FACTS.words.models],
      rows: variables.map((name, k) => [name, ...percentiles[k], pooled[k], sem[k], n[k]]),
    }),
  });
}

function showAlong(figure, measure, axis) {
  const found = FACTS.population.along.find((one) => one.part === measure.part && one.quantity === measure.quantity && one.axis === axis);
  if (!found) return figure.hide();
  const series = coloured(
    measure.variables.map((label, k) => ({
      label,
      y: found.pooled[k],
      low: found.pooled[k].map((value, i) => value - (found.sem[k][i] ?? NaN)),
      high: found.pooled[k].map((value, i) => value + (found.sem[k][i] ?? NaN)),
    })),
  );
  figure.show({
    title: `${measure.label}, over ${found.axis}; all ${FACTS.words.models} pooled ± s.e.m.`,
    draw: (width) =>
      curvePicture(width, 300, { x: found.centers, series, xLabel: withUnit(found.axis, found.unit), yLabel: "Contribution" }, `Contributions over ${found.axis}, a curve per variable`),
    legend: legendOf(series),
    table: () => ({
      head: [withUnit(found.axis, found.unit), "samples", ...measure.variables],
      rows: found.centers.map((center, i) => [center, found.samples[i], ...found.pooled.map((row) => row[i])]),
    }),
  });
}

function showMeanKernel(figure, { group, axis, mean, sem, in_use: inUse }) {
  const line = { label: group, y: mean, kind: 0, low: mean.map((value, i) => value - (sem[i] ?? NaN)), high: mean.map((value, i) => value + (sem[i] ?? NaN)) };
  const xLabel = withUnit(axis.name, axis.unit);
  figure.show({
    title: group,
    draw: (width) =>
      curvePicture(width, 180, { x: axis.values, names: axis.categories ? axis.values : undefined, series: [line], xLabel, yLabel: "Mean |kernel|" }, `Mean absolute kernel of ${group} over ${FACTS.words.many}; in use in ${inUse}`),
    below: [html("p", { class: "note" }, `In use in ${several(inUse)}.`)],
    table: () => ({ head: [xLabel, "mean |kernel|", "± s.e.m."], rows: axis.values.map((value, i) => [value, mean[i], sem[i]]) }),
  });
}

/** Columns, contributions and the cluster: what neurons can be sorted and coloured by. */
function quantities() {
  const found = FACTS.population.columns
    .filter((name) => column(name))
    .map((name) => ({ key: name, label: name.replaceAll("_", " "), values: column(name) }));
  const measure = FACTS.population.measures[0];
  measure?.variables.forEach((variable, k) => {
    const size = FACTS.population.neurons.length;
    const values = contributionsOf(measure).values.subarray(k * size, (k + 1) * size);
    found.push({ key: `share ${variable}`, label: `share of ${variable}`, values });
  });
  return found;
}

function drawPlaces() {
  const { across, down } = FACTS.population.place;
  const figure = new Figure(document.getElementById("figure-places"));
  const near = html("p", { class: "note hint", role: "status" }, "A click picks the nearest neuron.");
  const choices = quantities().filter(({ key }) => key !== across && key !== down);
  const clusters = FACTS.population.clusters;
  const options = choices.map(({ key, label }) => [key, label]);
  if (clusters && clusters.sizes.length > 1) options.push(["cluster", "cluster"]);
  const show = () => showPlaces(figure, near, choices.find(({ key }) => key === select.value));
  const select = fillSelect("places-colour", options, show);
  document.getElementById("places-control").hidden = options.length < 2;
  select.value = "deviance_explained";
  show();
}

/** Neurons where they lie; with depth alone, beside each other so that none hides another. */
function showPlaces(figure, near, quantity) {
  const { place, neurons } = FACTS.population;
  const spreadOut = neurons.map((_, k) => ((k * 0.618034) % 1) - 0.5);
  const side = (values, label, turned) => {
    const [low, high] = range(values) ?? [0, 1];
    const room = 0.03 * (high - low || 1);
    const ends = [low - room, high + room];
    return { values, low: ends[turned ? 1 : 0], high: ends[turned ? 0 : 1], label };
  };
  // down is down, as in an image, and as depth is
  const y = side(column(place.down), place.down, true);
  const x = place.across ? side(column(place.across), place.across) : quantity && { ...side(quantity.values, quantity.label) };
  const groups = quantity ? byColour(quantity.values) : byCluster();
  const tell = (i) => (near.textContent = i < 0 ? "A click picks the nearest neuron." : `${nameOf(i)}: ${quantity ? `${quantity.label} ${written(quantity.values[i])}` : `cluster ${clusterName(i)}`}`);
  const sideways = x ?? { values: spreadOut, low: -0.6, high: 0.6, label: "" };
  figure.show({
    title: place.across ? `Neurons in the plane, by ${quantity?.label ?? "cluster"}` : `Depth, by ${quantity?.label ?? "cluster"}`,
    draw: (width) => dotPicture(width, Math.max(240, 0.75 * width), { x: sideways, y, groups: groups.list }, `${plural(neurons.length, "neuron")} where they lie, coloured by ${quantity?.label ?? "cluster"}`, (i) => choose(i, true), tell),
    below: [groups.bar, near].filter(Boolean),
    legend: groups.legend,
    table: () => ({
      head: ["neuron", ...(place.across ? [place.across] : []), place.down, quantity?.label ?? "cluster"],
      rows: neurons.map((_, i) => [nameOf(i), ...(place.across ? [column(place.across)[i]] : []), column(place.down)[i], quantity ? quantity.values[i] : clusterName(i)]),
    }),
  });
}

/** Neurons by sixteen colours between the 2nd and the 98th percentile. */
function byColour(values) {
  const [low, high] = [quantile(values, 0.02), quantile(values, 0.98)];
  const list = Array.from({ length: 16 }, (_, k) => ({ members: [], colour: `rgb(${colourAt("even", (k + 0.5) / 16).join(",")})` }));
  values.forEach((value, i) => known(value) && list[Math.max(0, Math.min(15, Math.floor((16 * (value - low)) / (high - low || 1))))].members.push(i));
  return { list, bar: colourBar(low, high, "even", "Colour") };
}

function byCluster() {
  const { sizes } = FACTS.population.clusters;
  const list = sizes.map((_, kind) => ({ kind: `s${kind}`, members: [] }));
  const none = { kind: "recorded", members: [] };
  FACTS.population.clusters.label.forEach((label, i) => (label < 0 ? none : list[label]).members.push(i));
  return { list: [none, ...list], legend: sizes.map((n, kind) => ({ label: `cluster ${kind + 1} (${n})`, kind, shape: "dot" })) };
}
