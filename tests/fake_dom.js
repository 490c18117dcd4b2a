// As much of the DOM as modules need that compute and draw, so that Node can test them.

/** Texts have six pixels per UTF-16 unit, whatever their font. */
export const CHARACTER_WIDTH = 6;

class FakeContext {
  constructor() {
    this.font = "";
    /** @type {[picture: FakeImageData, x: number, y: number][]} */
    this.pictures = [];
  }

  /** @param {string} text */
  measureText(text) {
    return { width: CHARACTER_WIDTH * text.length };
  }

  /**
   * @param {FakeImageData} picture
   * @param {number} x
   * @param {number} y
   */
  putImageData(picture, x, y) {
    this.pictures.push([picture, x, y]);
  }
}

export class FakeElement {
  /** @param {string} tag */
  constructor(tag) {
    this.tag = tag;
    /** @type {(FakeElement | string)[]} */
    this.children = [];
    /** @type {Record<string, string>} */
    this.attributes = {};
    /** @type {Record<string, (event: object) => void>} */
    this.listeners = {};
    /** @type {Record<string, string>} */
    this.properties = {};
    this.style = { setProperty: (/** @type {string} */ name, /** @type {string} */ value) => { this.properties[name] = value; } };
    /** @type {Set<string>} */
    this.classes = new Set();
    this.classList = {
      toggle: (/** @type {string} */ name, /** @type {boolean} */ on) => (on ? this.classes.add(name) : this.classes.delete(name)),
    };
    this.context = new FakeContext();
  }

  /** @param {(FakeElement | string)[]} children */
  append(...children) {
    this.children.push(...children);
  }

  /** @param {(FakeElement | string)[]} children */
  replaceChildren(...children) {
    this.children = children;
  }

  /** @param {FakeElement} child */
  appendChild(child) {
    this.children.push(child);
    return child;
  }

  /**
   * @param {string} name
   * @param {string} value
   */
  setAttribute(name, value) {
    this.attributes[name] = value;
  }

  /**
   * @param {string} name
   * @param {(event: object) => void} listener
   */
  addEventListener(name, listener) {
    this.listeners[name] = listener;
  }

  getContext() {
    return this.context;
  }

  set textContent(text) {
    this.children = [text];
  }

  /** @returns {string} */
  get textContent() {
    return this.children.map((child) => (typeof child === "string" ? child : child.textContent)).join("");
  }
}

class FakeImageData {
  /**
   * @param {number} width
   * @param {number} height
   */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.data = new Uint8ClampedArray(4 * width * height);
  }
}

/** Put the fakes where modules look for the DOM. */
export function install() {
  Object.assign(globalThis, {
    ImageData: FakeImageData,
    document: {
      activeElement: null,
      createElement: (/** @type {string} */ tag) => new FakeElement(tag),
      createElementNS: (/** @type {string} */ _, /** @type {string} */ tag) => new FakeElement(tag),
    },
  });
}

/**
 * What a fake element is, for a test that looks into it.
 * @param {unknown} element
 */
export function inside(element) {
  if (!(element instanceof FakeElement)) throw new Error("not an element of the fake DOM");
  return element;
}
