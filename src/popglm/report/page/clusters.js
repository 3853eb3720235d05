// Clusters of neurons by what variables contribute: a row per neuron.

const clusterName = (i) => {
  const label = FACTS.population.clusters?.label[i];
  return label === undefined || label < 0 ? "none" : String(label + 1);
};

/** The variables that a cluster is about: those with a mean share of at least a third of the largest. */
function aboutOf(center, variables) {
  const most = Math.max(...center);
  const order = center.map((_, k) => k).sort((a, b) => center[b] - center[a]);
  return order.filter((k) => center[k] >= most / 3 && center[k] > 0.05).slice(0, 3).map((k) => variables[k]).join(", ");
}

function drawClusters() {
  const { clusters, measures, neurons } = FACTS.population;
  const measure = measures[0];
  const { variables } = measure;
  const { order } = clusters;
  const shares = contributionsOf(measure).values;
  const share = (row, k) => Math.max(0, Math.min(1, shares[k * neurons.length + order[row]]));
  const figure = new Figure(document.getElementById("figure-clusters"));
  const near = html("p", { class: "note hint", role: "status" }, "A click picks the neuron of a row.");
  const rowAt = (event, canvas) => {
    const box = canvas.getBoundingClientRect();
    return Math.max(0, Math.min(order.length - 1, Math.floor(((event.clientY - box.top) / box.height) * order.length)));
  };
  figure.show({
    title: `${plural(order.length, "neuron")} in ${plural(clusters.sizes.length, "cluster")}, each row a neuron, colour its share of explained deviance`,
    draw: (width) => clusterPicture(width, { variables, order, share, clusters }, (event, canvas) => choose(order[rowAt(event, canvas)], true), (event, canvas) => {
      const i = order[rowAt(event, canvas)];
      near.textContent = `${nameOf(i)}, cluster ${clusterName(i)}`;
    }),
    below: [
      colourBar(0, 1, "even", "Share"),
      near,
      html("ul", { class: "legend" }, clusters.sizes.map((n, k) => html("li", {}, `cluster ${k + 1}: ${plural(n, "neuron")}, ${aboutOf(clusters.centers[k], variables) || "no variable in particular"}`))),
    ],
    table: () => ({
      head: ["cluster", "neurons", ...variables],
      rows: clusters.sizes.map((n, k) => [String(k + 1), n, ...clusters.centers[k]]),
    }),
  });
}

function clusterPicture(width, { variables, order, share, clusters }, click, move) {
  let first = 0;
  const y = { low: order.length, high: 0, label: "Neurons" };
  const x = { low: -0.5, high: variables.length - 0.5, names: variables };
  const height = Math.min(640, Math.max(200, order.length * 2 + 60)) + slantOf(x, width - 50, 300);
  const [root, canvas] = cellPicture(
    width, height,
    { nRows: order.length, nColumns: variables.length, share: (row, k) => share(order.length - 1 - row, k), scale: "even", x, y },
    `Shares of explained deviance of ${order.length} neurons in ${clusters.sizes.length} clusters`,
  );
  const over = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "borders", "aria-hidden": "true" });
  const [left, top, tall] = [canvas.style.left, canvas.style.top, canvas.style.height].map((share) => parseFloat(share) / 100);
  const frame = { left: left * width, top: top * height, bottom: (top + tall) * height };
  for (const n of clusters.sizes.slice(0, -1)) {
    first += n;
    const at = frame.top + (first / order.length) * (frame.bottom - frame.top);
    over.append(svg("path", { d: `M${frame.left - 12},${at}H${width - 10}`, class: "mark border" }));
  }
  canvas.classList.add("pickable");
  canvas.addEventListener("click", (event) => click(event, canvas));
  canvas.addEventListener("pointermove", (event) => move(event, canvas));
  return [root, canvas, over];
}
