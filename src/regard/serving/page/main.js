// The web app: a text, one model or two, and their answers.

import { h } from "../../viewing/page/dom.js";
import { format, parse, readingStep } from "./address.js";
import { get, messageOf } from "./client.js";
import { Pane, unsteered } from "./pane.js";
import { themeButton } from "./theme.js";

/** @import { Health, ModelInfo, PaneState, ReadingStep, Verb } from "./types" */

/** @type {Record<Verb, string>} */
const ACTIONS = { translate: "Translate", summarize: "Summarize", classify: "Classify", generate: "Continue", fill: "Fill in [MASK]" };
/** @type {Record<ReadingStep, string>} */
const READING_NAMES = { own: "at the model's own step", output: "as they were written", input: "as they were read back" };
const COPIED_MS = 1500; // how long the button says so

export class App {
  /**
   * @param {HTMLElement} root
   * @param {Health} health
   */
  constructor(root, health) {
    this.root = root;
    this.models = health.models;
    this.maxCharacters = health.max_characters;
    /** @type {Pane[]} */
    this.panes = [];
    this.first = h("select", { id: "model", onchange: () => this.changeModels() },
      this.models.map(({ name, task }) => h("option", { value: name }, `${name} (${task})`)));
    this.second = h("select", { id: "second", onchange: () => this.changeModels() });
    this.input = h("textarea", {
      id: "text", rows: "4", spellcheck: "false", dir: "auto", placeholder: "Type or paste a text",
      onkeydown: (event) => this.onKey(event), oninput: () => this.countCharacters(),
    });
    this.pair = h("textarea", {
      id: "pair", rows: "2", spellcheck: "false", dir: "auto", placeholder: "A second text, if the model was trained on pairs",
      onkeydown: (event) => this.onKey(event), oninput: () => this.countCharacters(),
    });
    this.pairBox = h("div", { hidden: true }, h("label", { for: "pair", class: "visually-hidden" }, "Second text"), this.pair);
    this.readingBox = h("select", { id: "reading", onchange: () => this.changeModels() },
      Object.entries(READING_NAMES).map(([value, name]) => h("option", { value }, name)));
    this.readingChoice = h("span", { class: "choice" }, h("label", { for: "reading" }, "Words looked"), this.readingBox);
    this.button = h("button", { type: "submit", class: "main" });
    this.length = h("span", { class: "fact" });
    this.live = h("p", { class: "visually-hidden", role: "status", "aria-live": "polite" });
    this.stage = h("div", { class: "panes" });
    this.copyButton = h("button", { type: "button", onclick: () => this.copyLink() }, "Copy link");
    this.build();
    this.readAddress();
    addEventListener("hashchange", () => this.readAddress());
    root.dataset.ready = "";
  }

  build() {
    this.root.replaceChildren(
      h("header", {},
        h("div", {}, h("h1", {}, "regard"), h("p", { class: "facts" }, "Ask a model, see where it looked, lead it elsewhere.")),
        h("div", { class: "corner" }, this.copyButton, themeButton(this.root), h("a", { class: "api", href: "/docs" }, "API"))),
      h("form", { class: "ask", onsubmit: (event) => { event.preventDefault(); this.submit(); } },
        h("div", { class: "controls" },
          h("span", { class: "choice" }, h("label", { for: "model" }, "Model"), this.first),
          h("span", { class: "choice" }, h("label", { for: "second" }, "Compare with"), this.second),
          this.readingChoice),
        h("label", { for: "text", class: "visually-hidden" }, "Text"), this.input, this.pairBox,
        h("div", { class: "send" }, this.button, h("span", { class: "fact help" }, "or Ctrl+Enter"), this.length)),
      this.stage, this.live);
  }

  /**
   * @param {string} name
   * @returns {ModelInfo}
   */
  modelInfo(name) {
    const info = this.models.find((model) => model.name === name);
    if (!info) throw new Error(`the server has no model ${name}`);
    return info;
  }

  /**
   * The decoder step that is asked for.
   * @returns {ReadingStep}
   */
  get reading() {
    return readingStep(this.readingBox.value);
  }

  /** Offer what goes with the first model: only models for the same task can be compared. */
  updateChoices() {
    const { task, verb, writes, reads_pairs: readsPairs } = this.modelInfo(this.first.value);
    const before = this.second.value;
    const comparable = this.models.filter((model) => model.verb === verb && model.name !== this.first.value);
    this.second.replaceChildren(h("option", { value: "" }, "nothing"), ...comparable.map(({ name }) => h("option", { value: name }, name)));
    this.second.value = comparable.some(({ name }) => name === before) ? before : "";
    this.second.disabled = !comparable.length;
    this.readingChoice.hidden = !writes || task === "language"; // cross-attention alone has steps to choose from
    this.pairBox.hidden = !readsPairs;
    this.button.textContent = ACTIONS[verb];
    this.countCharacters();
  }

  /** Show what the address holds. */
  readAddress() {
    const { text, pair, reading, panes } = parse(location.hash);
    this.readingBox.value = reading;
    const known = panes.filter(({ model }) => this.models.some(({ name }) => name === model));
    if (known.length) this.first.value = known[0].model;
    this.updateChoices();
    this.second.value = known[1]?.model ?? "";
    if (this.second.selectedIndex < 0) this.second.value = "";
    this.input.value = text;
    this.pair.value = pair;
    this.countCharacters();
    this.buildPanes(known);
    if (text.trim()) this.answer({ keep: true });
  }

  /** @param {PaneState[]} states of panes, taken over where the model is the same */
  buildPanes(states = []) {
    const names = [this.first.value, this.second.value].filter(Boolean);
    this.panes = names.map((model, index) => {
      const state = states[index]?.model === model ? states[index] : { ...unsteered(), model };
      return new Pane(this, this.modelInfo(model), state);
    });
    this.stage.replaceChildren(...this.panes.map(({ element }) => element));
    this.stage.classList.toggle("two", this.panes.length === 2);
    this.stage.hidden = !this.input.value.trim();
  }

  changeModels() {
    this.updateChoices();
    this.buildPanes();
    this.writeAddress();
    if (this.input.value.trim()) this.answer();
  }

  submit() {
    if (!this.input.value.trim()) return this.input.focus();
    if (this.characters() > this.maxCharacters) return this.announce(this.length.textContent ?? "");
    this.answer();
    this.writeAddress();
  }

  /** @param {{ keep?: boolean }} [options] whether to keep the steering */
  async answer(options) {
    this.stage.hidden = false;
    const [text, pair] = [this.input.value, this.pairText].map((given) => given.split(/\s+/).filter(Boolean).join(" "));
    await Promise.all(this.panes.map((pane) => pane.run(text, { ...options, pair })));
  }

  writeAddress() {
    const hash = format({ text: this.input.value, pair: this.pairText, reading: this.reading, panes: this.panes.map(({ state }) => state) });
    history.replaceState(null, "", `#${hash}`);
  }

  countCharacters() {
    const length = this.characters();
    const over = length > this.maxCharacters;
    const [count, max] = [length.toLocaleString("en"), this.maxCharacters.toLocaleString("en")];
    this.length.textContent = over ? `${count} characters, at most ${max} are taken` : "";
    this.length.classList.toggle("over", over);
    this.button.disabled = over;
  }

  /** The second text; none where the model reads one. */
  get pairText() {
    return this.pairBox.hidden ? "" : this.pair.value;
  }

  /** The length of the longer text in code points, as the server counts; `length` counts most emoji twice. */
  characters() {
    return Math.max([...this.input.value].length, [...this.pairText].length);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.submit();
    }
  }

  async copyLink() {
    this.writeAddress();
    try {
      await navigator.clipboard.writeText(location.href);
      this.copyButton.textContent = "Copied";
      setTimeout(() => { this.copyButton.textContent = "Copy link"; }, COPIED_MS);
    } catch {
      this.announce("The link is in the address bar.");
    }
  }

  /**
   * Say something to a screen reader.
   * @param {string} text
   */
  announce(text) {
    this.live.textContent = text;
  }
}

const root = document.getElementById("app");
if (root) {
  get("/health").then(
    (health) => new App(root, /** @type {Health} */ (health)),
    (error) => root.replaceChildren(h("p", {}, messageOf(error))),
  );
}
