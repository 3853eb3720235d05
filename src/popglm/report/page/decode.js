// Blocks of compressed numbers, as popglm.report.packed writes them.

/** The text of an element that holds data. */
const textOf = (id) => document.getElementById(id).textContent;

/** Bytes of a deflated block in base64. */
async function inflated(text) {
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new DecompressionStream("deflate");
  const writer = stream.writable.getWriter();
  writer.write(packed);
  writer.close();
  return new Uint8Array(await new Response(stream.readable).arrayBuffer());
}

/** The arrays of a block by name: {shape, values}, with NaN where nothing is known. */
function unpacked(bytes, layout) {
  const view = new DataView(bytes.buffer);
  const found = {};
  let at = 0;
  for (const { name, shape, bytes: width, smooth, root } of layout) {
    const size = shape.reduce((product, n) => product * n, 1);
    const low = view.getFloat32(at, true);
    const step = view.getFloat32(at + 4, true);
    at += 8;
    let values = new Float32Array(size).fill(low);
    if (step !== 0 && width === 4) {
      const raw = new Uint8Array(4 * size);
      for (let k = 0; k < 4; k++) for (let i = 0; i < size; i++) raw[4 * i + k] = bytes[at + k * size + i];
      values = new Float32Array(raw.buffer);
      at += 4 * size;
    } else if (step !== 0) {
      const last = shape.length ? shape[shape.length - 1] : 1;
      const most = width === 1 ? 0xff : 0xffff;
      let before = 0;
      for (let i = 0; i < size; i++) {
        let code = width === 1 ? bytes[at + i] : bytes[at + i] + 256 * bytes[at + size + i];
        if (smooth) {
          if (i % last === 0) before = 0;
          code = (code + before) & most;
          before = code;
        }
        values[i] = code === 0 ? NaN : low + (code - 1) * step;
      }
      at += width * size;
    }
    if (root) for (let i = 0; i < size; i++) values[i] *= Math.abs(values[i]);
    found[name] = { shape, values };
  }
  return found;
}

/** Row k of an array of two or more dimensions. */
function rowOf({ shape, values }, k) {
  const size = shape.slice(1).reduce((product, n) => product * n, 1);
  return values.subarray(k * size, (k + 1) * size);
}
