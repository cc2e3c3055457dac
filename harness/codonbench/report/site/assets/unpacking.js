// Packed arrays (scripts.py) back to numbers: base64, inflate, running sum along the last axis.
"use strict";

codonbench.unpack = async (packed) => {
  const text = atob(packed.deflated);
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = await new Response(stream).arrayBuffer();
  const wide = packed.kind === "u4";
  const values = wide ? words32(raw) : new Uint8Array(raw);
  const length = packed.shape[packed.shape.length - 1];
  for (let start = 0; start < values.length; start += length)
    for (let i = start + 1; i < start + length; i++) values[i] += values[i - 1]; // wraps around, as it should
  return values;

  function words32(buffer) { // little-endian, whatever this machine is
    const view = new DataView(buffer);
    return Uint32Array.from({ length: buffer.byteLength / 4 }, (_, i) => view.getUint32(4 * i, true));
  }
};

codonbench.canUnpack = () => typeof DecompressionStream === "function";
