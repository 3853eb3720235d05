// Figures: a title, a picture as wide as its place, a legend, and the numbers as a table.

const FIGURES = new Set();

class Figure {
  /** @param {Element} place  where the figure stands; it is appended */
  constructor(place) {
    this.title = html("figcaption");
    this.plot = html("div", { class: "plot" });
    this.legend = html("ul", { class: "legend", hidden: true });
    this.below = html("div");
    this.numbers = html("div", { class: "scroll", tabindex: "0", role: "region" });
    this.details = html("details", {}, html("summary", {}, "Numbers"), this.numbers);
    this.root = html("figure", {}, this.title, this.plot, this.legend, this.below, this.details);
    this.details.addEventListener("toggle", () => this.fillTable());
    place.append(this.root);
    FIGURES.add(this);
  }

  /**
   * Show something else.
   * @param {{title, draw, legend, below, table}} spec  draw(width) makes the picture; legend: [{label, kind}]; table()
   *   makes {head, rows}
   */
  show(spec, width) {
    this.spec = spec;
    this.root.hidden = false;
    this.title.textContent = spec.title ?? "";
    this.title.hidden = !spec.title;
    this.legend.replaceChildren(...(spec.legend ?? []).map(legendEntry));
    this.legend.hidden = !spec.legend;
    this.below.replaceChildren(...(spec.below ?? []));
    this.numbers.setAttribute("aria-label", `Numbers: ${spec.title ?? spec.name}`);
    // to ask for the width again would lay out the page anew for every figure
    this.draw(width ?? (this.width || this.plot.clientWidth));
    this.fillTable();
  }

  hide() {
    this.root.hidden = true;
    this.spec = null;
  }

  draw(width) {
    this.width = width;
    if (this.spec && width > 0) this.plot.replaceChildren(...[this.spec.draw(Math.max(width, 200))].flat());
  }

  /** The table is made when it is opened: most never are. */
  fillTable() {
    if (!this.spec || !this.details.open) return this.numbers.replaceChildren();
    const { head, rows } = this.spec.table();
    const line = (cells, name) => html("tr", {}, cells.map((cell) => html(name, {}, typeof cell === "string" ? cell : written(cell))));
    this.numbers.replaceChildren(
      html("table", {}, html("thead", {}, line(head, "th")), html("tbody", {}, rows.map((row) => line(row, "td")))),
    );
  }
}

function legendEntry({ label, kind, shape }) {
  const sample = svg("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" });
  if (shape === "box") sample.append(svg("rect", { x: 2, y: 1, width: 22, height: 10, class: fillOf(kind) }));
  else if (shape === "dot") sample.append(svg("path", { d: "M13,6h.1", class: `dots ${strokeOf(kind)}`, "stroke-width": 9 }));
  else if (shape === "stroke") sample.append(svg("path", { d: "M13,0V12", class: "mark" }));
  else if (shape === "diamond") sample.append(svg("path", { d: "M13,0l5,6l-5,6l-5,-6Z", class: fillOf(kind) }));
  else sample.append(svg("path", { d: "M0,6H26", class: `curve ${strokeOf(kind)}`, "stroke-dasharray": dashOf(kind) }));
  return html("li", {}, sample, label);
}

/** Draw again what has another width than when it was drawn. */
function fitFigures() {
  const widths = [...FIGURES].map((one) => [one, one.plot.clientWidth]);
  for (const [one, width] of widths) {
    if (!one.spec) one.width = 0;
    else if (width > 0 && Math.abs(width - one.width) > 1) one.draw(width);
  }
}

/** Draw for paper, which is narrower than most windows: letters keep their size. */
function fitToPaper() {
  const paper = 760;
  for (const one of [...FIGURES].filter((figure) => figure.spec)) {
    const room = (one.root.closest("#neuron") ?? document.querySelector("main")).clientWidth;
    if (one.width > 0 && room > paper) one.draw((one.width * paper) / room);
  }
}

/** Every variable has the same kind of curve in all pictures: the first are those that contribute most. */
function kindOfVariable(name) {
  const { variables, pooled } = FACTS.population.measures[0];
  const order = variables.map((_, k) => k).sort((a, b) => (pooled[b] ?? 0) - (pooled[a] ?? 0));
  return order.findIndex((k) => variables[k] === name);
}

/** A curve per variable; as many as there are colours stand out, the largest ones, and the others are grey. */
function coloured(series) {
  const size = (one) => Math.max(0, ...Array.from(one.y, (value) => (known(value) ? Math.abs(value) : 0)));
  const first = new Set([...series].sort((a, b) => size(b) - size(a)).slice(0, COLOURED));
  return series
    .map((one) => ({ ...one, kind: first.has(one) ? Math.max(0, kindOfVariable(one.label)) : "other" }))
    .sort((a, b) => (b.kind === "other") - (a.kind === "other"));
}

/** Legend of series; the grey ones together. */
function legendOf(series) {
  const others = series.filter((one) => one.kind === "other").length;
  const entries = series.filter((one) => one.kind !== "other").map(({ label, kind }) => ({ label, kind }));
  return others ? [...entries, { label: plural(others, "other"), kind: "other" }] : entries;
}
