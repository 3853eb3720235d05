// Recorded and predicted activity of a neuron: trials over time, trial by trial, and averages over trials.

const RECORDED_AND_PREDICTED = [
  { label: "recorded", kind: "recorded" },
  { label: "predicted", kind: 1 },
];

function drawActivity() {
  const { neuron, activity } = FACTS;
  showTrialPicture(NEURON.figures.picture);
  const single = NEURON.data["trial by trial"];
  const trials = Array.from({ length: neuron.trials.rows }, (_, k) => k * neuron.trials.together + (neuron.trials.together + 1) / 2);
  const each = neuron.trials.together > 1 ? `, means of ${neuron.trials.together} trials` : "";
  showLines(NEURON.figures.trials, `Trial by trial${each}`, trials, "Trial", [[rowOf(single, 0)], [rowOf(single, 1)]]);
  showAverage(NEURON.figures.since, "since the start", "Mean over trials ± s.e.m., from the start of the trial", neuron.since, "Time since the start (s)");
  neuron.along.forEach((axis, k) => {
    showAverage(NEURON.figures.averages[k], `along ${axis.name}`, `Mean over trials ± s.e.m., over ${axis.name}`, axis.centers, withUnit(axis.name, axis.unit));
  });

  function showAverage(figure, field, title, x, xLabel) {
    const found = NEURON.data[field];
    const lines = [0, 2].map((k) => {
      const [mean, sem] = [rowOf(found, k), rowOf(found, k + 1)];
      return [mean, mean.map((value, i) => value - sem[i]), mean.map((value, i) => value + sem[i])];
    });
    showLines(figure, title, x, xLabel, lines);
  }

  function showLines(figure, title, x, xLabel, lines) {
    const series = lines.map(([y, low, high], k) => ({ ...RECORDED_AND_PREDICTED[k], y, low, high }));
    figure.show({
      title,
      draw: (width) => curvePicture(width, 220, { x, series, xLabel, yLabel: activity }, `${title}: recorded and predicted activity`),
      legend: RECORDED_AND_PREDICTED,
      table: () => ({ head: [xLabel, "recorded", "predicted"], rows: Array.from(x, (value, i) => [value, lines[0][0][i], lines[1][0][i]]) }),
    });
  }
}

/** Two tables of colours side by side, or one over the other: a row per trial, from the first at the top. */
function showTrialPicture(figure) {
  const { shape: [nRows, nColumns], together, width: seconds } = FACTS.neuron.picture;
  const found = NEURON.data.picture;
  const [low, high] = range(found.values) ?? [0, 1];
  const bent = (value) => Math.sign(value) * Math.sqrt(Math.abs(value));
  const share = (value) => (bent(value) - bent(Math.min(low, 0))) / (bent(high) - bent(Math.min(low, 0)) || 1);
  const x = { low: 0, high: nColumns * seconds, label: "Time since the start of the trial (s)" };
  const y = { low: nRows * together + 0.5, high: 0.5, label: "Trial" };
  const one = (k, width) => {
    const table = rowOf(found, k);
    const name = k ? "predicted" : "recorded";
    const drawn = cellPicture(width, 240, { nRows, nColumns, scale: "even", share: (row, c) => share(table[(nRows - 1 - row) * nColumns + c]), x, y }, `${name} activity, trials over time`);
    return html("div", {}, html("p", { class: "note" }, name), html("div", { class: "plot" }, drawn));
  };
  figure.show({
    title: together > 1 ? `Trials over time; a row is the mean of ${together} trials` : "Trials over time; a row is a trial",
    draw: (width) => html("div", { class: "pair" }, [0, 1].map((k) => one(k, width > 672 ? (width - 32) / 2 : width))),
    below: [colourBar(Math.min(low, 0), high, "even", `${FACTS.activity}, in steps of its square root; the top 1 % of cells have the last colour`)],
    table: () => ({
      head: ["trial", ...["recorded", "predicted"].flatMap((name) => Array.from({ length: nColumns }, (_, c) => `${name} ${written((c + 0.5) * seconds)} s`))],
      rows: Array.from({ length: nRows }, (_, row) => [row * together + 1, ...[0, 1].flatMap((k) => Array.from(rowOf(found, k).subarray(row * nColumns, (row + 1) * nColumns)))]),
    }),
  });
}
