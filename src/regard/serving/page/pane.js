// One model and its answer. Two of them side by side compare models.

import { ask, askAloud } from "./client.js";
import { ClassifiedView } from "./classified.js";
import { h } from "../../viewing/page/dom.js";
import { prose } from "./words.js";
import { WrittenView } from "./written.js";

const PATHS = { translation: "/translate", summarization: "/summarize", classification: "/classify" };

export class Pane {
  // `app` has say(text), changed() and the models; `state` is { model, begin, hide, strength }.
  constructor(app, state) {
    this.app = app;
    this.state = state;
    this.text = "";
    this.base = null; // the answer without any steering, for the text it was given to
    this.status = h("p", { class: "status", hidden: true });
    this.steering = h("div", { class: "steering" });
    this.body = h("div", { class: "answer" });
    this.element = h("section", { class: "pane", "aria-label": `Answer of ${state.model}` });
    this.draw();
  }

  get facts() {
    return this.app.models.find(({ name }) => name === this.state.model);
  }

  get steered() {
    const { begin, hide, strength } = this.state;
    return Boolean(begin || hide.length || Object.keys(strength).length);
  }

  say(text) {
    this.app.say(text);
  }

  draw() {
    const { name, kind, parameters } = this.facts;
    this.element.replaceChildren(
      h("header", { class: "model" }, h("h2", {}, h("bdi", {}, name)), h("p", { class: "fact" }, `${kind}, ${parameters.toLocaleString("en")} parameters`)),
      this.status, this.steering, this.body);
  }

  // A new text begins without steering; what was chosen for one text means nothing for another.
  async run(text, { keep = false } = {}) {
    if (!keep) Object.assign(this.state, { begin: "", hide: [], strength: {} });
    if (text !== this.text) this.base = null;
    this.text = text;
    await this.answer();
  }

  async steer(change) {
    const control = document.activeElement?.dataset.control;
    Object.assign(this.state, change);
    this.app.changed();
    const shown = await this.answer();
    if (shown && [document.body, null].includes(document.activeElement)) this.takeUp(control);
  }

  // The answer is drawn anew: the hand is back on the control it used, so that a key can be pressed again.
  takeUp(control) {
    const same = control && this.body.querySelector(`[data-control="${control}"]`);
    (same ?? this.body.querySelector(".word"))?.focus({ preventScroll: true });
  }

  // Whether an answer came, and not a problem or a newer question.
  async answer() {
    this.running?.abort();
    const running = (this.running = new AbortController());
    this.element.setAttribute("aria-busy", "true");
    this.told(null);
    try {
      if (this.steered && !this.base) this.base = await ask(this.path, this.question(false), running);
      this.chips();
      const answer = this.facts.writes
        ? await askAloud(this.path, this.question(true), (draft) => this.draft(draft), running)
        : await ask(this.path, this.question(true), running);
      if (!this.steered) this.base = answer;
      this.show(answer);
    } catch (error) {
      if (error.name === "AbortError") return false;
      this.body.replaceChildren();
      this.told(error.message);
    }
    this.element.removeAttribute("aria-busy");
    return this.status.hidden;
  }

  get path() {
    return PATHS[this.facts.task];
  }

  question(steered) {
    const { model, begin, hide, strength } = this.state;
    const common = { model, text: this.text };
    if (this.facts.task === "classification") return steered ? { ...common, strength } : common;
    const written = { ...common, reading: this.app.reading.value };
    return steered ? { ...written, begin, hide } : written;
  }

  draft(text) {
    this.body.replaceChildren(h("p", { class: "draft" }, h("bdi", {}, text)));
  }

  show(answer) {
    const View = this.facts.task === "classification" ? ClassifiedView : WrittenView;
    const before = this.view;
    this.view = new View(this, answer, this.base);
    if (before?.answer.source.text === answer.source.text) this.view.open(before.pinned);
    const said = answer.answer ? answer.answer.text : answer.label;
    this.body.replaceChildren(this.view.element, ...this.trust(answer), this.whole(said));
    this.say(`${this.state.model}: ${said}`);
  }

  // How far attention may be believed: what `regard trust` found, or that nobody has asked.
  trust({ reading }) {
    const { verdict } = this.facts;
    const advice = "Attention shows where a model looked, not why it answered so; `regard trust` asks how far it explains.";
    const facts = [verdict ? "" : advice, reading ? `Attention is read ${reading}.` : ""].filter(Boolean).join(" ");
    return [
      verdict ? h("p", { class: "verdict" }, verdict) : null,
      facts ? h("p", { class: "fact" }, prose(facts)) : null,
    ].filter(Boolean);
  }

  whole(said) {
    const changed = this.state.hide.length || Object.keys(this.state.strength).length;
    const query = new URLSearchParams({ model: this.state.model, text: this.text });
    if (this.facts.writes && said) query.set("target", said);
    return h("p", { class: "whole" }, h("a", { href: `/view?${query}`, target: "_blank", rel: "noopener" }, "All layers and heads"),
      changed ? h("span", { class: "fact" }, " as they are without the change") : null);
  }

  told(problem) {
    this.status.hidden = !problem;
    this.status.textContent = problem ?? "";
    if (problem) this.say(problem);
  }

  // What leads the answer at the moment, each with a way to take it back.
  chips() {
    const { begin, hide, strength } = this.state;
    const words = (this.base ?? {}).source?.words ?? [];
    const name = (index) => words[index] ? `“${words[index].special ? "end of text" : words[index].text}”` : `word ${index + 1}`;
    const chip = (text, undo) => h("button", { type: "button", class: "chip", onclick: undo }, h("bdi", {}, text), h("span", { class: "unseen" }, ", take back"), h("span", { "aria-hidden": "true" }, "×"));
    const chips = [];
    if (begin) chips.push(chip(`begins with “${begin}”`, () => this.steer({ begin: "" })));
    for (const index of hide) chips.push(chip(`no attention to ${name(index)}`, () => this.steer({ hide: hide.filter((i) => i !== index) })));
    for (const [index, factor] of Object.entries(strength)) {
      const rest = Object.fromEntries(Object.entries(strength).filter(([i]) => i !== index));
      chips.push(chip(factor ? `attention to ${name(Number(index))} × ${factor}` : `no attention to ${name(Number(index))}`, () => this.steer({ strength: rest })));
    }
    this.steering.replaceChildren(...chips);
  }
}
