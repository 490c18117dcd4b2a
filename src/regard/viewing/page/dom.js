// Building elements and reading words out. Text from a record only ever becomes text nodes.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

// A token in running text, fenced so that its direction stays its own.
export function token(text, attributes = {}) {
  return h("bdi", { class: "token", title: text.length > 24 ? text.slice(0, 400) : null, ...attributes }, short(text, 48));
}

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

// At most `most` whole characters as a reader counts them.
export function short(text, most) {
  if (text.length <= most) return text;
  const parts = [...graphemes.segment(text.slice(0, 8 * most))].slice(0, most).map((part) => part.segment);
  const cut = parts.join("").slice(0, 4 * most);
  return cut.length < text.length ? `${cut}…` : cut;
}

export function number(weight, exact = true) {
  if (!exact) return `≈ ${weight === 0 ? "0" : weight < 1e-4 ? weight.toExponential(0) : Number(weight.toPrecision(2))}`;
  if (weight === 0) return "0";
  return weight < 0.001 ? weight.toPrecision(3) : weight.toFixed(4);
}

export function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}
