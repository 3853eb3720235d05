// Tables of colours, and dots where neurons lie.

const COLOURS = {};

/** Red, green and blue, 0 to 255, of a share from 0 to 1. */
function colourAt(scale, share) {
  COLOURS[scale] ??= FACTS.colours[scale].map((one) => [0, 2, 4].map((k) => parseInt(one.slice(k, k + 2), 16)));
  const list = COLOURS[scale];
  return list[Math.max(0, Math.min(list.length - 1, Math.floor(share * list.length)))];
}

/** A canvas with a pixel per cell; share(row, column) is from 0 to 1, or NaN for an empty cell. */
function cellCanvas(nRows, nColumns, share, scale) {
  const canvas = html("canvas", { width: nColumns, height: nRows, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  const image = context.createImageData(nColumns, nRows);
  for (let row = 0; row < nRows; row++) {
    for (let column = 0; column < nColumns; column++) {
      const value = share(row, column);
      if (Number.isNaN(value)) continue;
      image.data.set([...colourAt(scale, value), 255], 4 * (row * nColumns + column));
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Put a canvas into a frame, as shares of the picture, so that it keeps its place when the page prints. */
function placed(canvas, frame, width, height) {
  canvas.style.left = `${(100 * frame.left) / width}%`;
  canvas.style.top = `${(100 * frame.top) / height}%`;
  canvas.style.width = `${(100 * (frame.right - frame.left)) / width}%`;
  canvas.style.height = `${(100 * (frame.bottom - frame.top)) / height}%`;
  return canvas;
}

/** A table of colours under axes: spec {nRows, nColumns, share, scale, x, y}; row 0 is at the low end of y. */
function cellPicture(width, height, spec, description) {
  const frame = axes(width, height, spec.x, spec.y, description);
  const canvas = cellCanvas(spec.nRows, spec.nColumns, (row, column) => spec.share(spec.nRows - 1 - row, column), spec.scale);
  return [frame.root, placed(canvas, frame, width, height)];
}

/** A strip with the colours from one number to another. */
function colourBar(low, high, scale, label) {
  const strip = html("canvas", { width: 64, height: 1, class: "strip", "aria-hidden": "true" });
  const context = strip.getContext("2d");
  for (let k = 0; k < 64; k++) {
    context.fillStyle = `rgb(${colourAt(scale, (k + 0.5) / 64).join(",")})`;
    context.fillRect(k, 0, 1, 1);
  }
  return html("p", { class: "note bar-of-colours" }, `${label}: ${written(low)} `, strip, ` ${written(high)}`);
}

/**
 * Dots, colour by colour; a click picks the nearest.
 * @param {{x, y, groups}} spec  x, y: {values, low, high, label}; groups: [{members, colour}], CSS colours
 */
function dotPicture(width, height, spec, description, pick, near) {
  const { root, X, Y } = axes(width, height, spec.x, spec.y, description);
  const size = spec.x.values.length > 400 ? 5 : 8;
  const dot = (i) => (known(spec.x.values[i]) && known(spec.y.values[i]) ? `M${X(spec.x.values[i]).toFixed(1)},${Y(spec.y.values[i]).toFixed(1)}h.1` : "");
  // a ring around every dot: the darkest and the lightest colour are seen on any paper
  const rings = Array.from(spec.x.values, (_, i) => dot(i)).join("");
  root.append(svg("path", { d: rings, class: "dots ring", "stroke-width": size + 2 }));
  for (const { members, colour, kind } of spec.groups) {
    root.append(svg("path", { d: members.map(dot).join(""), class: `dots ${kind ?? ""}`, stroke: colour, "stroke-width": size }));
  }
  const nearest = (event) => {
    const box = root.getBoundingClientRect();
    const [px, py] = [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
    let best = [Infinity, -1];
    for (let i = 0; i < spec.x.values.length; i++) {
      const distance = (X(spec.x.values[i]) - px) ** 2 + (Y(spec.y.values[i]) - py) ** 2;
      if (distance < best[0]) best = [distance, i];
    }
    return best[0] < 400 ? best[1] : -1;
  };
  root.classList.add("pickable");
  root.addEventListener("click", (event) => {
    const i = nearest(event);
    if (i >= 0) pick(i);
  });
  root.addEventListener("pointermove", (event) => near(nearest(event)));
  return root;
}
