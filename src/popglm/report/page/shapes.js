// Elements. Texts become text nodes: no name of a neuron or a variable is ever read as markup.

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const html = (name, attributes, ...children) => filled(document.createElement(name), attributes, children);

/** A text that may be broken after each of its underscores and slashes. */
const breakable = (content) =>
  (String(content).match(/[^_/]*[_/]|[^_/]+$/g) ?? []).flatMap((one, k) => (k ? [html("wbr"), one] : [one]));

const svg = (name, attributes, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

const text = (x, y, content, attributes) => svg("text", { x: x.toFixed(1), y: y.toFixed(1), ...attributes }, content);

const PEN = document.createElement("canvas").getContext("2d");
PEN.font = `12px ${getComputedStyle(document.body).fontFamily}`;

/** As wide as a text of the pictures is (px). */
const widthOf = (content) => PEN.measureText(content).width;

/** A text that fits into so many pixels; a letter of it stays. */
function cut(content, room) {
  if (widthOf(content) <= room) return content;
  const letters = Array.from(content);
  let [fits, many] = [1, letters.length];
  while (many - fits > 1) {
    const middle = Math.floor((fits + many) / 2);
    if (widthOf(`${letters.slice(0, middle).join("")}…`) <= room) fits = middle;
    else many = middle;
  }
  return `${letters.slice(0, fits).join("")}…`;
}

/** A text that is cut to so many pixels, and then tells all of itself under the pointer. */
function fitted(x, y, content, room, attributes) {
  const shown = cut(content, room);
  const found = text(x, y, shown, attributes);
  if (shown !== content) found.append(svg("title", {}, content));
  return found;
}

/** A path through points; it begins anew after each that is not known. */
function pathThrough(xs, ys) {
  let path = "";
  let pen = false;
  for (let i = 0; i < xs.length; i++) {
    if (known(ys[i]) && known(xs[i])) {
      const alone = !pen && !known(ys[i + 1]);
      path += `${pen ? "L" : "M"}${xs[i].toFixed(1)},${ys[i].toFixed(1)}${alone ? "h.1" : ""}`;
      pen = true;
    } else {
      pen = false;
    }
  }
  return path;
}

/** An area between two curves, a piece for every stretch that is known. */
function areaBetween(xs, low, high) {
  let path = "";
  let from = -1;
  for (let i = 0; i <= xs.length; i++) {
    const here = i < xs.length && known(low[i]) && known(high[i]);
    if (here && from < 0) from = i;
    if (!here && from >= 0) {
      const forth = [];
      const back = [];
      for (let k = from; k < i; k++) {
        forth.push(`${xs[k].toFixed(1)},${high[k].toFixed(1)}`);
        back.unshift(`${xs[k].toFixed(1)},${low[k].toFixed(1)}`);
      }
      path += `M${forth.join("L")}L${back.join("L")}Z`;
      from = -1;
    }
  }
  return path;
}
