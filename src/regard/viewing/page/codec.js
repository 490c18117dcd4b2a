// Decoding what pack.py wrote: weights as bytes, deflated and in base64 until a matrix is looked at.

// One byte holds a weight on a log scale: 0 is "less than 1e-8", 1 to 255 span eight powers of ten.
// Neighbouring codes differ by 7.5 %, too little for an eye to tell; exact numbers are stored beside them.
export const CODE_DECADES = 8;
const STEPS_PER_DECADE = 254 / CODE_DECADES;

export const WEIGHT_OF_CODE = Float32Array.from({ length: 256 }, (_, code) =>
  code === 0 ? 0 : 10 ** ((code - 255) / STEPS_PER_DECADE));

/**
 * The byte code nearest to a weight.
 * @param {number} weight
 */
export function encodeWeight(weight) {
  if (weight < 10 ** -CODE_DECADES) return 0;
  return Math.min(255, Math.max(1, Math.round(255 + STEPS_PER_DECADE * Math.log10(weight))));
}

/**
 * The byte code of each weight.
 * @param {Float32Array} weights
 */
export function encodeWeights(weights) {
  const codes = new Uint8Array(weights.length);
  for (let i = 0; i < codes.length; i++) codes[i] = encodeWeight(weights[i]);
  return codes;
}

/**
 * The bytes of a base64 text of deflated (zlib) data.
 * @param {string} base64
 */
export async function inflate(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Reads typed arrays from bytes, one after another. */
export class ArrayReader {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.offset = 0;
  }

  /**
   * The next array of bytes.
   * @param {number} length
   */
  uint8(length) {
    const bytes = this.bytes.subarray(this.offset, this.offset + length);
    this.offset += length;
    return bytes;
  }

  /** @param {number} length */
  uint16(length) {
    return new Uint16Array(this.joined(length, 2));
  }

  /** @param {number} length */
  uint32(length) {
    return new Uint32Array(this.joined(length, 4));
  }

  /** @param {number} length */
  float32(length) {
    return new Float32Array(this.joined(length, 4));
  }

  /**
   * The bytes of numbers that are `width` bytes wide, in memory order.
   *
   * They are stored plane by plane (the first byte of every number, then the second of every number ...),
   * because the high bytes of neighbouring weights are alike and deflate well.
   * @param {number} length
   * @param {number} width
   */
  joined(length, width) {
    const planes = this.uint8(length * width);
    const bytes = new Uint8Array(length * width);
    for (let byte = 0; byte < width; byte++) {
      for (let i = 0; i < length; i++) bytes[i * width + byte] = planes[byte * length + i];
    }
    return bytes.buffer;
  }
}
