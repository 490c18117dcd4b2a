// A text whose words can be pointed at, reached by keyboard and shaded by numbers.

import { h, truncate } from "../../viewing/page/dom.js";

// A text whose first letter is written right to left. (`dir="auto"` does not look into fenced words.)
const RIGHT_TO_LEFT = /^\P{L}*[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;
const DEEPEST = 46; // per cent of the accent behind a word that got all attention: text stays readable

export class Words {
  // `side` is { text, words }; `about` has label, aim(index | null), choose(index) and marks(index).
  constructor(side, { label, aim, choose }) {
    this.side = side;
    this.aim = aim;
    this.choose = choose;
    this.buttons = side.words.map((word, index) => this.button(word, index));
    this.rightToLeft = RIGHT_TO_LEFT.test(side.text);
    this.element = h("div", { class: "words", dir: this.rightToLeft ? "rtl" : "ltr", role: "group", "aria-label": label, onkeydown: (event) => this.key(event), onpointerleave: () => aim(null) });
    this.element.append(...this.spaced());
    this.buttons[0]?.setAttribute("tabindex", "0");
  }

  button(word, index) {
    const name = word.special ? "end of text" : word.text;
    return h("button", {
      type: "button",
      class: word.special ? "word special" : "word",
      tabindex: "-1",
      "aria-pressed": "false",
      title: name.length > 40 ? name.slice(0, 400) : null,
      onpointerenter: (event) => { if (event.pointerType === "mouse") this.aim(index); },
      onfocus: () => { this.reach(index); this.aim(index); },
      onclick: () => this.choose(index),
    }, h("bdi", {}, truncate(name, 60)));
  }

  // Words with what stands between them in the text.
  spaced() {
    const parts = [];
    let end = 0;
    this.side.words.forEach((word, index) => {
      if (word.start > end) parts.push([...this.side.text].slice(end, word.start).join(""));
      else if (word.special && index) parts.push(" ");
      parts.push(this.buttons[index]);
      end = Math.max(end, word.end);
    });
    return parts;
  }

  key(event) {
    const at = this.buttons.indexOf(document.activeElement);
    const last = this.buttons.length - 1;
    const right = this.rightToLeft ? -1 : 1;
    const step = { ArrowRight: at + right, ArrowDown: at + 1, ArrowLeft: at - right, ArrowUp: at - 1, Home: 0, End: last }[event.key];
    if (step === undefined || at < 0) return;
    event.preventDefault();
    this.buttons[Math.max(0, Math.min(last, step))].focus();
  }

  // One stop for the Tab key: the word that was reached last.
  reach(index) {
    this.buttons.forEach((button, i) => button.setAttribute("tabindex", i === index ? "0" : "-1"));
  }

  // `peak` is the largest weight of the whole map, so that what is small everywhere stays pale.
  shade(weights, peak) {
    this.buttons.forEach((button, i) => {
      const share = weights ? weights[i] / peak : 0;
      button.style.setProperty("--share", `${(DEEPEST * share).toFixed(1)}%`);
    });
  }

  mark(name, indices) {
    const marked = new Set(indices);
    this.buttons.forEach((button, i) => button.classList.toggle(name, marked.has(i)));
  }

  press(index) {
    this.buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
  }
}

// The words that got most, with numbers: `pairs` is [name, weight] in any order.
export function ranking(pairs, most = 5) {
  const best = pairs.toSorted((a, b) => b[1] - a[1]).slice(0, most).filter(([, weight]) => weight > 0);
  const peak = best[0]?.[1] ?? 1;
  return h("ol", { class: "ranking" }, best.map(([name, weight]) => {
    const bar = h("span", { class: "bar" });
    bar.style.inlineSize = `${(100 * weight) / peak}%`;
    return h("li", {}, bar, h("bdi", { class: "token" }, truncate(name, 40)), h("span", { class: "value" }, weight.toFixed(3)));
  }));
}

// Text with `code` in it, as documentation writes it.
export function prose(text) {
  return text.split("`").map((part, index) => index % 2 ? h("code", {}, part) : part);
}

export function nameOf(word) {
  return word.special ? "end of text" : word.text;
}
