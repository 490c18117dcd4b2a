// A label: how likely each is, how much attention each word got, and what if it had got another share.

import { h, truncate } from "../../viewing/page/dom.js";
import { Words, nameOf } from "./words.js";

const SHOWN_LABELS = 8;

export class ClassifiedView {
  constructor(pane, answer, base) {
    this.pane = pane;
    this.answer = answer;
    this.pinned = null;
    this.words = new Words(answer.source, {
      label: "What it read, shaded by attention",
      aim: (index) => this.aim(index),
      choose: (index) => this.choose(index),
    });
    this.words.shade(answer.attention, Math.max(...answer.attention));
    const { strength } = pane.state;
    this.words.mark("hidden-word", Object.keys(strength).filter((i) => strength[i] === 0).map(Number));
    this.words.mark("edited-word", Object.keys(strength).filter((i) => strength[i] > 0).map(Number));
    this.detail = h("div", { class: "detail", hidden: true });
    this.element = h("div", { class: "classified" },
      h("div", { class: "line" }, h("h3", {}, "Answer"), this.probabilities(base)),
      h("div", { class: "line" }, h("h3", {}, "Read"), this.words.element),
      this.detail,
      this.was(base),
    );
  }

  probabilities(base) {
    const before = new Map((this.pane.steered && base ? base.probabilities : []).map(({ label, probability }) => [label, probability]));
    const chosen = new Set(this.answer.labels);
    return h("ol", { class: "labels" }, this.answer.probabilities.slice(0, SHOWN_LABELS).map(({ label, probability }) => {
      const bar = h("span", { class: "bar" });
      bar.style.inlineSize = `${100 * probability}%`;
      const moved = before.has(label) ? probability - before.get(label) : 0;
      const change = before.size ? h("span", { class: "change" }, `${moved < 0 ? "−" : "+"}${Math.abs(100 * moved).toFixed(1)}`) : null;
      return h("li", { class: chosen.has(label) ? "chosen" : null }, bar, h("bdi", { class: "token" }, truncate(label, 40)),
        h("span", { class: "value" }, `${(100 * probability).toFixed(1)} %`, change));
    }));
  }

  was(base) {
    if (!base || !this.pane.steered) return null;
    const same = base.label === this.answer.label;
    return h("p", { class: "was" }, same ? "The same label as without the change." : ["Without the change: ", h("bdi", {}, base.label)]);
  }

  aim(index) {
    this.words.mark("aimed", index === null ? [this.pinned] : [index]);
    if (index !== null) this.pane.say(`${nameOf(this.answer.source.words[index])} got ${(100 * this.answer.attention[index]).toFixed(1)} % of attention`);
  }

  choose(index) {
    const again = this.pinned === index;
    this.pinned = again ? null : index;
    this.words.press(again ? -1 : index);
    this.aim(again ? null : index);
    this.detail.hidden = again;
    if (!again) this.detail.replaceChildren(...this.about(index));
  }

  // The word whose detail was open in the answer before this one, or null.
  open(pinned) {
    if (pinned !== null) this.choose(pinned);
  }

  about(index) {
    const { answer } = this;
    const seen = h("section", {},
      h("h3", {}, h("bdi", {}, truncate(nameOf(answer.source.words[index]), 60)), " got"),
      h("p", { class: "share" }, `${(100 * answer.attention[index]).toFixed(1)} %`),
      h("p", { class: "fact" }, "of attention, the mean over heads"));
    return answer.editable ? [seen, this.edit(index)] : [seen];
  }

  edit(index) {
    const now = this.pane.state.strength[index] ?? 1;
    const shown = h("output", {}, `× ${now}`);
    const put = (value) => {
      const strength = { ...this.pane.state.strength, [index]: value };
      if (value === 1) delete strength[index];
      this.pane.steer({ strength });
    };
    const slider = h("input", {
      type: "range", min: "0", max: "4", step: "0.25", value: String(now), "aria-label": "Strength of attention to it", "data-control": "strength",
      oninput: () => { shown.textContent = `× ${slider.value}`; },
      onchange: () => put(Number(slider.value)),
    });
    return h("section", {},
      h("h3", {}, "What if it had got another share?"),
      h("p", { class: "fact" }, "The word is still read; only the weight it is pooled with changes."),
      h("div", { class: "own" }, slider, shown,
        h("button", { type: "button", class: "act", "data-control": "knock", onclick: () => put(now === 0 ? 1 : 0) }, now === 0 ? "Let it look again" : "Knock out attention to it")));
  }
}
