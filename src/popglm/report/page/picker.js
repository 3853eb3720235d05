// The list of neurons: search, order, arrow keys, and the neuron's name in the address.

const PICKER = { order: [], chosen: -1, options: [] };
const part = (id) => document.getElementById(id);

/** What a neuron is called on the page: its name, which may be empty. */
const nameOf = (i) => (FACTS.population.neurons[i].trim() ? FACTS.population.neurons[i] : "(no name)");

function startPicker() {
  const { neurons, clusters } = FACTS.population;
  const sortable = quantities();
  PICKER.options = neurons.map((_, i) => {
    const name = nameOf(i);
    const option = html("li", { role: "option", id: `option-${i}`, "aria-selected": "false", title: name }, html("span", {}, name), html("span"));
    option.addEventListener("click", () => choose(i));
    return option;
  });
  const sort = fillSelect("sort", [...sortable.map(({ key, label }) => [key, label]), ["name", "name"], ["place", "place in the recording"]], () => arrange(sortable));
  sort.value = "deviance_explained";
  if (clusters && clusters.sizes.length > 1) {
    fillSelect("cluster", [["", "all"], ...clusters.sizes.map((n, k) => [k, `${k + 1} (${n})`]), [-1, "none"]], () => arrange(sortable));
  }
  part("search").addEventListener("input", () => arrange(sortable));
  part("search").addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    part("list").focus();
  });
  part("direction").addEventListener("click", () => {
    const falling = part("direction").getAttribute("aria-pressed") !== "true";
    part("direction").setAttribute("aria-pressed", String(falling));
    part("direction").textContent = falling ? "falling" : "rising";
    arrange(sortable);
  });
  part("list").addEventListener("keydown", stepByKey);
  part("previous").addEventListener("click", () => step(-1));
  part("next").addEventListener("click", () => step(1));
  addEventListener("hashchange", () => chooseByAddress());
  arrange(sortable);
  chooseByAddress();
  if (PICKER.chosen < 0) choose(PICKER.order[0], false, true);
}

/** Put the neurons that were searched for in order. */
function arrange(sortable) {
  const { neurons, clusters, texts } = FACTS.population;
  const searched = [neurons, ...Object.values(texts)];
  const sought = part("search").value.trim().toLowerCase();
  const cluster = part("cluster").value;
  const key = part("sort").value;
  const found = sortable.find((one) => one.key === key);
  const sign = part("direction").getAttribute("aria-pressed") === "true" ? -1 : 1;
  const compare = (a, b) => {
    if (key === "name") return sign * neurons[a].localeCompare(neurons[b], "en", { numeric: true });
    if (key === "place") return sign * (a - b);
    const [x, y] = [found.values[a], found.values[b]];
    // what is not known comes last, whatever the direction
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return x === y ? 0 : sign * (x < y ? -1 : 1);
  };
  PICKER.order = neurons
    .map((_, i) => i)
    .filter((i) => !sought || searched.some((column) => column[i].toLowerCase().includes(sought)))
    .filter((i) => cluster === "" || clusters.label[i] === Number(cluster))
    .sort((a, b) => compare(a, b) || a - b);
  for (const i of PICKER.order) PICKER.options[i].lastChild.textContent = found ? written(found.values[i]) : "";
  part("list").replaceChildren(...PICKER.order.map((i) => PICKER.options[i]));
  part("found").textContent = PICKER.order.length ? `${grouped(PICKER.order.length)} of ${several(neurons.length)}` : `No ${FACTS.words.one} has this in its name or in a text of its row.`;
  markChosen();
}

function stepByKey(event) {
  const steps = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
  if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  step(steps[event.key]);
}

/** Go so many neurons further in the list. */
function step(by) {
  if (!PICKER.order.length) return;
  const at = PICKER.order.indexOf(PICKER.chosen);
  const to = at < 0 ? 0 : Math.max(0, Math.min(PICKER.order.length - 1, at + by));
  choose(PICKER.order[to]);
}

function markChosen() {
  const at = PICKER.order.indexOf(PICKER.chosen);
  part("previous").disabled = at === 0 || !PICKER.order.length;
  part("next").disabled = at === PICKER.order.length - 1 || !PICKER.order.length;
  const list = part("list");
  if (at < 0) return list.removeAttribute("aria-activedescendant");
  list.setAttribute("aria-activedescendant", PICKER.options[PICKER.chosen].id);
  // places are known once the page is laid out, which is done for the next frame anyway
  requestAnimationFrame(scrollToChosen);
}

function scrollToChosen() {
  const [list, option] = [part("list"), PICKER.options[PICKER.chosen]];
  if (!option.isConnected) return;
  const [above, below] = [option.offsetTop - list.offsetTop, option.offsetTop - list.offsetTop + option.offsetHeight];
  if (above < list.scrollTop) list.scrollTop = above;
  else if (below > list.scrollTop + list.clientHeight) list.scrollTop = below - list.clientHeight;
}

/** Show a neuron; with `go` the page moves there. The address names it, unless it was not asked for. */
function choose(i, go = false, silently = false) {
  PICKER.options[PICKER.chosen]?.setAttribute("aria-selected", "false");
  PICKER.chosen = i;
  PICKER.options[i].setAttribute("aria-selected", "true");
  markChosen();
  if (!silently) {
    part("neuron-status").textContent = "";
    history.replaceState(null, "", `#neuron=${encodeURIComponent(FACTS.population.neurons[i])}`);
  }
  if (go) part("neurons").scrollIntoView();
  drawNeuron(i);
}

/** Choose the neuron that the address names, if there is one. */
function chooseByAddress() {
  if (!location.hash.startsWith("#neuron=")) return;
  let name = location.hash.slice("#neuron=".length);
  try {
    name = decodeURIComponent(name);
  } catch {
    // a stray % is part of the name
  }
  const i = FACTS.population.neurons.indexOf(name);
  part("neuron-status").textContent = i < 0 ? `There is no ${FACTS.words.one} ${name || "without a name"}.` : "";
  if (i >= 0) choose(i, true, true);
}
