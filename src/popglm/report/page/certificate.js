// How well a neuron's fit is determined: its certificate, and held-out deviance over strengths.

function drawCertificate(i) {
  const [gap, strength] = [column("gap")[i], column("strength")?.[i]];
  const path = NEURON.data.path.values;
  const strengths = NEURON.data.strengths.values;
  const { of, column: bounded, tolerance: tol } = FACTS.certificate;
  const done = bounded && (column(bounded)[i] <= tol ? `a fit is done at ${written(tol)}, and this one is.` : `that is more than the tolerance of ${written(tol)}: look at this fit before you trust it.`);
  const first = known(gap) ? `The objective ${of}lies above its minimum by at most ${written(gap)} of half the mean null deviance` : "This fit has no bound on how far it is from the best one";
  const second = bounded === "gap" ? `; ${done}` : bounded ? `. The criterion changes with the logarithm of a strength by ${written(column(bounded)[i])} at most; ${done}` : ".";
  part("neuron-certificate").textContent =
    strength === Infinity
      ? `The null model predicts held-out samples best: all weights of this ${FACTS.words.model} are 0.`
      : first + second;
  const order = Array.from(strengths, (_, k) => k).filter((k) => known(strengths[k])).sort((a, b) => strengths[a] - strengths[b]);
  if (order.length < 2) return NEURON.figures.path.hide();
  const x = order.map((k) => strengths[k]);
  const y = order.map((k) => path[k]);
  NEURON.figures.path.show({
    title: "Held-out deviance explained over strengths; the line is at the chosen one",
    draw: (width) =>
      curvePicture(width, 200, { x, series: [{ y, kind: 0 }], xLabel: "Strength λ", yLabel: "Deviance explained", exponent: true, marks: known(strength) && strength > 0 ? [Math.log10(strength)] : [] }, "Held-out deviance explained over strengths"),
    table: () => ({ head: ["strength", "held-out deviance explained"], rows: order.map((k) => [10 ** strengths[k], path[k]]) }),
  });
}
