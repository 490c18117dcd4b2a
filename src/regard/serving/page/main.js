// The page: a text, one model or two, and their answers.

import * as address from "./address.js";
import { get } from "./client.js";
import { h } from "../../viewing/page/dom.js";
import { Pane } from "./pane.js";
import { themeButton } from "./theme.js";

const VERBS = { translation: "Translate", summarization: "Summarize", classification: "Classify" };

class App {
  constructor(root, health) {
    this.root = root;
    this.models = health.models;
    this.most = health.max_characters;
    this.panes = [];
    this.build();
    this.restore();
    addEventListener("hashchange", () => this.restore());
    root.dataset.ready = "";
  }

  build() {
    const options = (first) => [first, ...this.models.map(({ name, task }) => h("option", { value: name }, `${name} (${task})`))];
    this.first = h("select", { id: "model", onchange: () => this.chosen() }, options(null).filter(Boolean));
    this.second = h("select", { id: "second", onchange: () => this.chosen() });
    this.input = h("textarea", { id: "text", rows: "4", spellcheck: "false", dir: "auto", placeholder: "Type or paste a text", onkeydown: (event) => this.key(event), oninput: () => this.count() });
    this.reading = h("select", { id: "reading", onchange: () => this.chosen() },
      h("option", { value: "output" }, "as they were written"), h("option", { value: "input" }, "as they were read back"));
    this.button = h("button", { type: "submit", class: "main" });
    this.length = h("span", { class: "fact" });
    this.voice = h("p", { class: "unseen", role: "status", "aria-live": "polite" });
    this.stage = h("div", { class: "panes" });
    this.copy = h("button", { type: "button", onclick: () => this.share() }, "Copy link");
    this.root.replaceChildren(
      h("header", {},
        h("div", {}, h("h1", {}, "regard"), h("p", { class: "facts" }, "Ask a model, see where it looked, lead it elsewhere.")),
        h("div", { class: "corner" }, this.copy, themeButton(this.root), h("a", { class: "api", href: "/docs" }, "API"))),
      h("form", { class: "ask", onsubmit: (event) => { event.preventDefault(); this.run(); } },
        h("div", { class: "controls" },
          h("span", { class: "choice" }, h("label", { for: "model" }, "Model"), this.first),
          h("span", { class: "choice" }, h("label", { for: "second" }, "Compare with"), this.second),
          this.readings = h("span", { class: "choice" }, h("label", { for: "reading" }, "Words looked"), this.reading)),
        h("label", { for: "text", class: "unseen" }, "Text"), this.input,
        h("div", { class: "send" }, this.button, h("span", { class: "fact help" }, "or Ctrl+Enter"), this.length)),
      this.stage, this.voice);
  }

  get facts() {
    return this.models.find(({ name }) => name === this.first.value);
  }

  // Only models for the same task can be compared.
  offer() {
    const before = this.second.value;
    const alike = this.models.filter(({ name, task }) => task === this.facts.task && name !== this.first.value);
    this.second.replaceChildren(h("option", { value: "" }, "nothing"), ...alike.map(({ name }) => h("option", { value: name }, name)));
    this.second.value = alike.some(({ name }) => name === before) ? before : "";
    this.second.disabled = !alike.length;
    this.readings.hidden = !this.facts.writes;
    this.button.textContent = VERBS[this.facts.task];
    this.count();
  }

  restore() {
    const { text, reading, panes } = address.read();
    this.reading.value = reading;
    const known = panes.filter(({ model }) => this.models.some(({ name }) => name === model));
    if (known.length) this.first.value = known[0].model;
    this.offer();
    this.second.value = known[1]?.model ?? "";
    if (this.second.selectedIndex < 0) this.second.value = "";
    this.input.value = text;
    this.count();
    this.lay(known);
    if (text.trim()) this.answer({ keep: true });
  }

  lay(states = []) {
    const names = [this.first.value, this.second.value].filter(Boolean);
    this.panes = names.map((model, index) => {
      const given = states[index]?.model === model ? states[index] : {};
      return new Pane(this, { begin: "", hide: [], strength: {}, ...given, model });
    });
    this.stage.replaceChildren(...this.panes.map(({ element }) => element));
    this.stage.classList.toggle("two", this.panes.length === 2);
    this.stage.hidden = !this.input.value.trim();
  }

  chosen() {
    this.offer();
    this.lay();
    this.changed();
    if (this.input.value.trim()) this.answer();
  }

  run() {
    if (!this.input.value.trim()) return this.input.focus();
    if (this.characters() > this.most) return this.say(this.length.textContent);
    this.answer();
    this.changed();
  }

  async answer(options) {
    this.stage.hidden = false;
    const text = this.input.value.split(/\s+/).filter(Boolean).join(" ");
    await Promise.all(this.panes.map((pane) => pane.run(text, options)));
  }

  changed() {
    address.write({ text: this.input.value, reading: this.reading.value, panes: this.panes.map(({ state }) => state) });
  }

  count() {
    const length = this.characters();
    const over = length > this.most;
    this.length.textContent = over ? `${length.toLocaleString("en")} characters, at most ${this.most.toLocaleString("en")} are taken` : "";
    this.length.classList.toggle("over", over);
    this.button.disabled = over;
  }

  // As the server counts: an emoji beyond the first plane is one character, and `length` says two.
  characters() {
    return [...this.input.value].length;
  }

  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.run();
    }
  }

  async share() {
    this.changed();
    try {
      await navigator.clipboard.writeText(location.href);
      this.copy.textContent = "Copied";
      setTimeout(() => { this.copy.textContent = "Copy link"; }, 1500);
    } catch {
      this.say("The link is in the address bar.");
    }
  }

  say(text) {
    this.voice.textContent = text;
  }
}

const root = document.getElementById("app");
get("/health").then((health) => new App(root, health), (error) => {
  root.replaceChildren(h("p", {}, error.message));
});
