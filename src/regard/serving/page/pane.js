// One model and its answer. Two panes side by side compare models.

import { h } from "../../viewing/page/dom.js";
import { ClassificationView } from "./classification.js";
import { isAbort, messageOf, post, postStreaming } from "./client.js";
import { FillView } from "./filling.js";
import { GenerationView } from "./generation.js";
import { HeadGrid } from "./heads.js";
import { nameOf, withCode } from "./words.js";

/** @import { App } from "./main.js" */
/** @import { Answer, ClassifyAnswer, FillAnswer, ModelInfo, PaneState, Steering, WriteAnswer } from "./types" */
/** @typedef {ClassificationView | GenerationView | FillView} View */

/** @returns {Steering} */
export const unsteered = () => ({ begin: "", hide: [], strength: {}, silence: [] });

export class Pane {
  /**
   * @param {App} app
   * @param {ModelInfo} info
   * @param {PaneState} state
   */
  constructor(app, info, state) {
    this.app = app;
    this.info = info;
    this.state = state;
    this.text = "";
    this.pair = "";
    /** @type {Answer | null} */
    this.base = null; // the answer to `text` without steering
    /** @type {HeadGrid | null} */
    this.grid = null;
    /** @type {AbortController | null} */
    this.running = null;
    /** @type {View | null} */
    this.view = null;
    this.problem = h("p", { class: "status", hidden: true });
    this.steering = h("div", { class: "steering" });
    this.body = h("div", { class: "answer" });
    const about = `${info.kind}, ${info.parameters.toLocaleString("en")} parameters`;
    this.element = h("section", { class: "pane", "aria-label": `Answer of ${state.model}` },
      h("header", { class: "model" }, h("h2", {}, h("bdi", {}, info.name)), h("p", { class: "fact" }, about)),
      this.problem, this.steering, this.body);
  }

  get steered() {
    const { begin, hide, strength, silence } = this.state;
    return Boolean(begin || hide.length || silence.length || Object.keys(strength).length);
  }

  /** @param {string} text */
  announce(text) {
    this.app.announce(text);
  }

  /**
   * Answer a text. Steering ends unless `keep`: words chosen for one text mean nothing for another.
   * @param {string} text
   * @param {{ keep?: boolean, pair?: string }} options `pair`: the second text, if the model reads two
   */
  async run(text, { keep = false, pair = "" } = {}) {
    if (!keep) Object.assign(this.state, unsteered());
    if (text !== this.text || pair !== this.pair) this.base = null;
    this.text = text;
    this.pair = this.info.reads_pairs ? pair : "";
    await this.answer();
  }

  /**
   * Answer again, steered otherwise.
   * @param {Partial<Steering>} change
   */
  async steer(change) {
    const focused = document.activeElement;
    const control = focused instanceof HTMLElement ? focused.dataset.control : undefined;
    Object.assign(this.state, change);
    this.app.writeAddress();
    const shown = await this.answer();
    if (shown && [document.body, null].some((element) => element === document.activeElement)) this.restoreFocus(control);
  }

  /**
   * Focus the control that was used, which is drawn anew with the answer, so that a key can be pressed again.
   * @param {string | undefined} control
   */
  restoreFocus(control) {
    const same = control && this.body.querySelector(`[data-control="${control}"]`);
    const target = same || this.body.querySelector(".word");
    if (target instanceof HTMLElement) target.focus({ preventScroll: true });
  }

  /** Ask the server and show its answer; resolves to whether it came, and not a problem or a newer question. */
  async answer() {
    this.running?.abort();
    const running = (this.running = new AbortController());
    this.element.setAttribute("aria-busy", "true");
    this.showProblem(null);
    try {
      if (this.steered) this.base ??= /** @type {Answer} */ (await post(this.path, this.question(false), running));
      this.showSteering();
      const question = this.question(true);
      const answer = /** @type {Answer} */ (this.info.writes
        ? await postStreaming(this.path, question, (draft) => this.showDraft(draft), running)
        : await post(this.path, question, running));
      if (!this.steered) this.base = answer;
      this.show(answer);
    } catch (error) {
      if (isAbort(error)) return false;
      this.body.replaceChildren();
      this.showProblem(messageOf(error));
    }
    this.element.removeAttribute("aria-busy");
    return this.problem.hidden;
  }

  /** The decoder step that is asked for; a language model has no cross-attention to read. */
  get reading() {
    return this.info.task === "language" ? "own" : this.app.reading;
  }

  get path() {
    return `/${this.info.verb}`;
  }

  /**
   * What is sent to the server.
   * @param {boolean} steered
   */
  question(steered) {
    const { model, begin, hide, strength } = this.state;
    const silence = this.state.silence.length ? { silence: this.state.silence } : {};
    const common = { model, text: this.text, ...(this.pair ? { pair: this.pair } : {}) };
    if (this.info.task === "classification") {
      return steered && this.steered ? { ...common, strength, ...silence } : { ...common, explain: true };
    }
    if (this.info.verb === "fill") return common;
    const { reading } = this;
    const written = reading === "own" ? common : { ...common, reading };
    return steered ? { ...written, begin, hide, ...silence } : written;
  }

  /** @param {string} text */
  showDraft(text) {
    this.body.replaceChildren(h("p", { class: "draft" }, h("bdi", {}, text)));
  }

  /** @param {Answer} answer */
  show(answer) {
    const before = this.view;
    this.view = this.viewOf(answer);
    if (before?.answer.source.text === answer.source.text) reopen(this.view, before);
    const said = saidBy(answer);
    this.body.replaceChildren(this.view.element, ...this.headGrid(), ...this.trust(isWriteAnswer(answer) ? answer.reading : ""),
      this.recordLink(said));
    this.announce(`${this.state.model}: ${said}`);
  }

  /** @param {Answer} answer */
  viewOf(answer) {
    const { base } = this;
    if (isFillAnswer(answer)) return new FillView(this, answer);
    if (isWriteAnswer(answer)) return new GenerationView(this, answer, base && isWriteAnswer(base) ? base : null);
    return new ClassificationView(this, answer, base && isClassifyAnswer(base) ? base : null);
  }

  /**
   * How far attention may be believed: what `regard trust` found, or that nobody has asked.
   * @param {string} reading at which step attention is read
   */
  trust(reading) {
    const { verdict } = this.info;
    const advice = "Attention shows where a model looked, not why it answered so; `regard trust` asks how far it explains.";
    const facts = [...(verdict ? [] : [advice]), ...(reading ? [`Attention is read ${reading}.`] : [])].join(" ");
    return [
      ...(verdict ? [h("p", { class: "verdict" }, h("strong", {}, "Attention: "), verdict)] : []),
      ...(facts ? [h("p", { class: "fact" }, ...withCode(facts))] : []),
    ];
  }

  /**
   * A link to the page of the whole record.
   * @param {string} said the answer
   */
  recordLink(said) {
    const { hide, strength, silence } = this.state;
    const query = new URLSearchParams({ model: this.state.model, text: this.text });
    if (this.pair) query.set("pair", this.pair);
    // Every layer of a pretrained model is steered, and so are the maps of its page, where words are hidden.
    const hidden = this.canSteerLayers ? [...hide, ...Object.keys(strength).filter((i) => strength[i] === 0)] : [];
    for (const index of hidden) query.append("hide", String(index));
    for (const head of silence) query.append("silence", head);
    const changed = hide.length + Object.keys(strength).length > hidden.length;
    if (this.info.writes && said) query.set("target", said);
    if (this.info.writes && this.reading !== "own") query.set("reading", this.reading);
    return h("p", { class: "record-link" }, h("a", { href: `/view?${query}`, target: "_blank", rel: "noopener" }, "All layers and heads"),
      changed ? h("span", { class: "fact" }, " as they are without the change of words' weights") : null);
  }

  /** Whether heads can be silenced, and words hidden in every layer. */
  get canSteerLayers() {
    return Object.keys(this.info.heads).length > 0;
  }

  /** The grid of heads, each a button that silences it. */
  headGrid() {
    if (!this.canSteerLayers) return [];
    this.grid ??= new HeadGrid(this.info.heads, (silence) => this.steer({ silence }));
    this.grid.show(this.state.silence);
    return [this.grid.element];
  }

  /** @param {string | null} message */
  showProblem(message) {
    this.problem.hidden = !message;
    this.problem.textContent = message ?? "";
    if (message) this.announce(message);
  }

  /** Show what steers the answer, each with a button that takes it back. */
  showSteering() {
    const { begin, hide, strength, silence } = this.state;
    /**
     * @param {string} text
     * @param {() => Partial<Steering>} undo
     */
    const chip = (text, undo) => h("button", { type: "button", class: "chip", onclick: () => this.steer(undo()) },
      h("bdi", {}, text), h("span", { class: "visually-hidden" }, ", take back"), h("span", { "aria-hidden": "true" }, "×"));
    const chips = [];
    if (begin) chips.push(chip(`begins with “${begin}”`, () => ({ begin: "" })));
    for (const index of hide) {
      chips.push(chip(`no attention to ${this.nameOf(index)}`, () => ({ hide: hide.filter((i) => i !== index) })));
    }
    for (const [index, factor] of Object.entries(strength)) {
      const name = this.nameOf(Number(index));
      const rest = Object.fromEntries(Object.entries(strength).filter(([i]) => i !== index));
      chips.push(chip(factor ? `attention to ${name} × ${factor}` : `no attention to ${name}`, () => ({ strength: rest })));
    }
    for (const head of silence) {
      chips.push(chip(`without head ${head}`, () => ({ silence: silence.filter((name) => name !== head) })));
    }
    this.steering.replaceChildren(...chips);
  }

  /**
   * What a source word is called.
   * @param {number} index
   */
  nameOf(index) {
    const word = this.base?.source.words[index];
    return word ? `“${nameOf(word)}”` : `word ${index + 1}`;
  }
}

/**
 * @param {Answer} answer
 * @returns {answer is WriteAnswer}
 */
function isWriteAnswer(answer) {
  return "answer" in answer;
}

/**
 * @param {Answer} answer
 * @returns {answer is FillAnswer}
 */
function isFillAnswer(answer) {
  return "masks" in answer;
}

/**
 * @param {Answer} answer
 * @returns {answer is ClassifyAnswer}
 */
function isClassifyAnswer(answer) {
  return "label" in answer;
}

/**
 * An answer in short.
 * @param {Answer} answer
 */
function saidBy(answer) {
  if (isFillAnswer(answer)) return answer.masks.map(({ choices }) => choices[0].word).join(", ");
  return isWriteAnswer(answer) ? answer.answer.text : answer.label;
}

/**
 * @param {View} view
 * @param {View} before
 */
function reopen(view, before) {
  if (view instanceof GenerationView && before instanceof GenerationView) view.reopen(before);
  if (view instanceof ClassificationView && before instanceof ClassificationView) view.reopen(before);
}
