// How classes are mistaken for each other: a row per class, a column per most probable class.

function drawConfusions() {
  const place = document.getElementById("figure-confusions");
  for (const one of FACTS.population.confusions ?? []) showConfusion(new Figure(place), one);
}

/** Pixels that a cell is wide at most. */
const WIDEST = 90;

function showConfusion(figure, { response, classes, counts }) {
  const totals = counts.map((row) => row.reduce((sum, n) => sum + n, 0));
  const all = totals.reduce((sum, n) => sum + n, 0);
  const right = counts.reduce((sum, row, k) => sum + row[k], 0);
  const often = Math.max(...totals);
  figure.show({
    title: `${response}: ${percent(right, all)} of held-out samples are told rightly, ${percent(often, all)} by naming the most frequent class`,
    draw: (width) => confusionPicture(Math.min(width, 120 + WIDEST * classes.length), { classes, counts, totals }, `Confusion of the classes of ${response}: ${classes.map((name, k) => `${name} found in ${percent(counts[k][k], totals[k])}`).join(", ")}`),
    below: [colourBar(0, 1, "even", "Share of a class")],
    table: () => ({
      head: ["class \\ most probable", ...classes, "samples"],
      rows: classes.map((name, k) => [name, ...counts[k], totals[k]]),
    }),
  });
}

/** A table of cells with the share of each class in them, from the first class at the top. */
function confusionPicture(width, { classes, counts, totals }, description) {
  const n = classes.length;
  const longest = Math.max(...classes.map(widthOf));
  // names that stand slanted below take no room from the cells
  const slanted = slantOf({ names: classes }, width - 38 - longest, 3 * longest);
  const height = 60 + Math.max(24, Math.min(44, 320 / n)) * n + slanted;
  const x = { low: -0.5, high: n - 0.5, names: classes, label: "Most probable class" };
  const y = { low: n - 0.5, high: -0.5, names: classes, label: "Class" };
  const { root, X, Y } = axes(width, height, x, y, description);
  // few cells would else fill the room of many, and their letters grow with them
  root.style.maxWidth = `${width}px`;
  const [across, down] = [X(1) - X(0), Y(1) - Y(0)];
  counts.forEach((row, k) =>
    row.forEach((count, j) => {
      const share = totals[k] ? count / totals[k] : NaN;
      if (!known(share)) return;
      const cell = { x: (X(j) - across / 2 + 0.5).toFixed(1), y: (Y(k) - down / 2 + 0.5).toFixed(1), width: (across - 1).toFixed(1), height: (down - 1).toFixed(1) };
      root.append(svg("rect", { ...cell, fill: `rgb(${colourAt("even", share).join(",")})` }));
      const label = written(Math.round(100 * share) / 100);
      if (widthOf(label) < across - 2) root.append(text(X(j), Y(k) + 4, label, { "text-anchor": "middle", class: share < 0.55 ? "on-dark" : "on-light" }));
    }),
  );
  return root;
}
