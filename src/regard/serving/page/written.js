// An answer that was written: words on both sides, linked by attention, and ways to lead it elsewhere.

import { ask } from "./client.js";
import { h, truncate } from "../../viewing/page/dom.js";
import { Words, nameOf, ranking } from "./words.js";

export class WrittenView {
  // `pane` steers: begin(text), hide(indices), say(text) to a screen reader.
  constructor(pane, answer, base) {
    this.pane = pane;
    this.answer = answer;
    this.pinned = null;
    this.peak = Math.max(...answer.attention.map((row) => Math.max(...row)));
    const picks = !pane.facts.writes;
    this.source = new Words(answer.source, {
      label: "What it read",
      aim: (index) => this.aim("source", index),
      choose: (index) => this.choose("source", index),
    });
    this.target = new Words(answer.answer, {
      label: picks ? "What it picked" : "What it wrote",
      aim: (index) => this.aim("answer", index),
      choose: (index) => this.choose("answer", index),
    });
    this.source.mark("hidden-word", pane.state.hide);
    this.detail = h("div", { class: "detail", hidden: true });
    this.element = h("div", { class: "written" },
      this.row(picks ? "Picked" : "Answer", answer.answer.words.length ? this.target.element : h("p", { class: "fact" }, "No words: the model ended at once.")),
      this.row("Read", this.source.element),
      this.detail,
      this.was(base),
      this.others(),
    );
  }

  row(name, words) {
    return h("div", { class: "line" }, h("h3", {}, name), words);
  }

  // How far the answer moved from what the model says by itself.
  was(base) {
    if (!base || !this.pane.steered) return null;
    const same = base.answer.text === this.answer.answer.text;
    return h("p", { class: "was" }, same ? "The same answer as without the change." : ["Without the change: ", h("bdi", {}, base.answer.text)]);
  }

  others() {
    const { alternatives, answer } = this.answer;
    if (!alternatives.length) return null;
    return h("details", { class: "others" },
      h("summary", {}, `${alternatives.length} other ${alternatives.length === 1 ? "answer" : "answers"} of the beam`),
      h("ol", {}, alternatives.map(({ text, score }) => h("li", {},
        h("button", { type: "button", class: "other", "aria-label": `Take: ${text.slice(0, 400)}`, onclick: () => this.pane.steer({ begin: text }) },
          differing(answer.text, text), h("span", { class: "value" }, score.toFixed(2)))))),
    );
  }

  weights(side, index) {
    const { attention } = this.answer;
    return side === "answer" ? attention[index] : attention.map((row) => row[index]);
  }

  aim(side, index) {
    const [at, of] = index === null ? (this.pinned ?? [null, null]) : [side, index];
    const [own, other] = at === "source" ? [this.source, this.target] : [this.target, this.source];
    for (const words of [this.source, this.target]) {
      words.shade(null, 1);
      words.mark("aimed", []);
    }
    if (at === null) return;
    own.mark("aimed", [of]);
    other.shade(this.weights(at, of), this.peak);
    if (index !== null) this.pane.say(this.spoken(at, of));
  }

  spoken(side, index) {
    const [own, other] = this.sides(side);
    const best = this.weights(side, index).map((weight, i) => [nameOf(other[i]), weight])
      .toSorted((a, b) => b[1] - a[1]).slice(0, 2).map(([name, weight]) => `${name} ${weight.toFixed(2)}`);
    const verb = side === "answer" ? "looked most at" : "was looked at most by";
    return `${nameOf(own[index])} ${verb} ${best.join(", ")}`;
  }

  sides(side) {
    const { source, answer } = this.answer;
    return side === "answer" ? [answer.words, source.words] : [source.words, answer.words];
  }

  choose(side, index) {
    const again = this.pinned?.[0] === side && this.pinned[1] === index;
    this.pinned = again ? null : [side, index];
    this.source.press(!again && side === "source" ? index : -1);
    this.target.press(!again && side === "answer" ? index : -1);
    this.aim(side, again ? null : index);
    this.detail.hidden = again;
    if (!again) this.detail.replaceChildren(...this.about(side, index));
  }

  // The word whose detail was open in the answer before this one: what was read is the same, what was written need not be.
  open(pinned) {
    if (pinned?.[0] === "source") this.choose(...pinned);
  }

  about(side, index) {
    const [own, other] = this.sides(side);
    const name = truncate(nameOf(own[index]), 60);
    const pairs = this.weights(side, index).map((weight, i) => [nameOf(other[i]), weight]);
    const heading = side === "answer" ? "looked at" : "was looked at by";
    const seen = h("section", {}, h("h3", {}, h("bdi", {}, name), ` ${heading}`), ranking(pairs));
    if (!this.pane.facts.writes) return [seen];
    return [seen, side === "answer" ? this.instead(index) : this.knock(index)];
  }

  knock(index) {
    const { hide } = this.pane.state;
    const hidden = hide.includes(index);
    return h("section", {},
      h("h3", {}, "What if it had not looked there?"),
      h("p", { class: "fact" }, "The word is still read; only attention to it is knocked out."),
      h("button", { type: "button", class: "act", "data-control": "knock", onclick: () => this.pane.steer({ hide: hidden ? hide.filter((i) => i !== index) : [...hide, index].toSorted((a, b) => a - b) }) },
        hidden ? "Let it look again" : "Knock out attention to it"));
  }

  instead(index) {
    const { text, words } = this.answer.answer;
    const begin = [...text].slice(0, words[index].start).join("").trim();
    const list = h("ol", { class: "ways", "aria-busy": "true" }, h("li", { class: "fact" }, "asking…"));
    const field = h("input", { name: "word", maxlength: "200", autocomplete: "off", "aria-label": "Another word" });
    const form = h("form", { class: "own", onsubmit: (event) => {
      event.preventDefault();
      if (field.value.trim()) this.pane.steer({ begin: `${begin} ${field.value}`.trim() });
    } }, field, h("button", { type: "submit", class: "act" }, "Go on from there"));
    this.fill(list, begin, words[index].text);
    return h("section", {}, h("h3", {}, "Say instead"), list, form);
  }

  async fill(list, begin, said) {
    const { model, hide } = this.pane.state;
    try {
      const { choices } = await ask("/alternatives", { model, text: this.pane.text, begin, hide });
      list.replaceChildren(...choices.map(({ word, probability, text }) => h("li", {},
        h("button", { type: "button", class: "way", title: text.slice(0, 400), disabled: word === said, onclick: () => this.pane.steer({ begin: upTo(text, begin, word) }) },
          h("bdi", { class: "token" }, truncate(word, 40)), h("span", { class: "value" }, word === said ? "said, " : "", probability.toFixed(3))))));
      if (!choices.length) list.replaceChildren(h("li", { class: "fact" }, "nothing else is likely here"));
    } catch (error) {
      list.replaceChildren(h("li", { class: "fact" }, error.message));
    }
    list.removeAttribute("aria-busy");
  }
}

// An answer as far as the word after a beginning: whether a space stands between them is the model's to say.
function upTo(text, begin, word) {
  return text.slice(0, text.indexOf(word, begin.length) + word.length);
}

// The alternative, with what it shares with the answer at its beginning made quiet.
function differing(answer, text) {
  const [one, two] = [answer.split(" "), text.split(" ")];
  let same = 0;
  while (same < two.length && one[same] === two[same]) same++;
  return h("bdi", {}, h("span", { class: "fact" }, two.slice(0, same).join(" ")), same && same < two.length ? " " : "", two.slice(same).join(" "));
}
