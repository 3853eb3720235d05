// The order in which the page comes to life.

const FACTS = JSON.parse(textOf("facts"));
let POPULATION;

part("theme").addEventListener("change", () => {
  const { value } = part("theme");
  if (value) document.documentElement.dataset.theme = value;
  else delete document.documentElement.dataset.theme;
});

async function start() {
  POPULATION = unpacked(await inflated(textOf("block")), FACTS.population_layout);
  drawPopulation();
  performance.mark("population drawn");
  // the blocks of neurons stand after this script
  if (document.readyState === "loading") await new Promise((done) => addEventListener("DOMContentLoaded", done));
  startNeuron();
  startPicker();
  new ResizeObserver(() => requestAnimationFrame(fitFigures)).observe(document.querySelector("main"));
}

addEventListener("beforeprint", fitToPaper);
addEventListener("afterprint", fitFigures);
start();
