// Weights as bytes: deflated and base64 in the page, opened only when a map is looked at.

// A byte holds a weight on a log scale: 0 is "less than 1e-8", 1 to 255 span eight powers of ten.
// Neighbouring codes differ by 7.5 %, which no eye can tell; exact numbers travel beside them.
export const CODE_DECADES = 8;
const STEPS_PER_DECADE = 254 / CODE_DECADES;

export const WEIGHT_OF_CODE = Float32Array.from({ length: 256 }, (_, code) =>
  code === 0 ? 0 : 10 ** ((code - 255) / STEPS_PER_DECADE));

export function codeOfWeight(weight) {
  if (weight < 10 ** -CODE_DECADES) return 0;
  return Math.min(255, Math.max(1, Math.round(255 + STEPS_PER_DECADE * Math.log10(weight))));
}

export function codesOf(weights) {
  const codes = new Uint8Array(weights.length);
  for (let i = 0; i < codes.length; i++) codes[i] = codeOfWeight(weights[i]);
  return codes;
}

export async function inflate(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Reads typed arrays one after another. Wide numbers travel byte plane by byte plane, because
// the high bytes of neighbouring weights are alike and deflate well.
export class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  take(Type, length) {
    const width = Type.BYTES_PER_ELEMENT;
    const planes = this.bytes.subarray(this.at, this.at + length * width);
    this.at += length * width;
    if (width === 1) return planes;
    const joined = new Uint8Array(length * width);
    for (let byte = 0; byte < width; byte++) {
      for (let i = 0; i < length; i++) joined[i * width + byte] = planes[byte * length + i];
    }
    return new Type(joined.buffer);
  }
}
