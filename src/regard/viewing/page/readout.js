// The numbers beside the picture: the cell at the cursor, its row and its column.

import { formatWeight, h, token, truncate } from "./dom.js";

/** @import { App } from "./main.js" */
/** @import { IndexedWeight, State } from "./types" */

const LISTED = 10; // weights of the row, and of the column
const RANKED = 32; // weights of a row among which the spoken rank is looked for
const MEAN_OF_HEADS = ", the mean of the heads’";

export class Readout {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.element = h("aside", { class: "readout", "aria-label": "Numbers" });
  }

  render() {
    const { matrix, cursor: { query, key } } = this.app;
    const { weight, exact } = matrix.weight(query, key);
    const [row, column] = [matrix.rows[query], matrix.columns[key]];
    const parts = [
      h("section", { class: "cell" },
        h("p", { class: "pair" }, token(row), h("span", { class: "to", "aria-label": "to" }, "→"), token(column)),
        h("p", { class: "weight" }, formatWeight(weight, exact)),
        h("p", { class: "fact" }, `query ${query + 1} of ${matrix.queries}, key ${key + 1} of ${matrix.keys}`)),
      this.list("looks at", row, matrix.topOfRow(query, LISTED), matrix.columns, (index) => ({ key: index }), this.entropy(query)),
    ];
    if (matrix.queries > 1) {
      const top = matrix.topOfColumn(key, LISTED);
      parts.push(this.list("is looked at by", column, top, matrix.rows, (index) => ({ query: index }), this.received(key)));
    }
    this.element.replaceChildren(...parts);
  }

  /** @param {number} query */
  entropy(query) {
    const { matrix } = this.app;
    const about = matrix.approximate ? "≈ " : "";
    return `entropy ${about}${matrix.entropy[query].toFixed(2)} nats${matrix.headReduction ? MEAN_OF_HEADS : ""}`;
  }

  /** @param {number} key */
  received(key) {
    const { matrix } = this.app;
    const sum = formatWeight(matrix.received[key], !matrix.approximate);
    if (matrix.storage !== "blocks") return `received ${sum} in all`;
    // Unlike the maximum, the mean over heads commutes with the sum over queries.
    const known = matrix.headReduction === "max" ? MEAN_OF_HEADS : ", exact";
    return `received ${sum} in all${known}; listed: among the top of their rows`;
  }

  /**
   * @param {string} verb
   * @param {string} piece
   * @param {IndexedWeight[]} items
   * @param {string[]} pieces
   * @param {(index: number) => Partial<State>} choose what a click on an item changes
   * @param {string} fact
   */
  list(verb, piece, items, pieces, choose, fact) {
    // A full bar is at least four even shares, as in the text: nearly equal weights are short bars.
    const max = this.app.colors.textMax(items[0]?.weight ?? 1, pieces.length);
    const lines = items.map(({ index, weight, exact }) => {
      const bar = h("span", { class: "bar", "aria-hidden": "true" });
      bar.style.inlineSize = `${(100 * weight) / max}%`;
      return h("li", {}, h("button", { onclick: () => this.app.set(choose(index), { reveal: true }) },
        bar, token(pieces[index]), h("span", { class: "value" }, formatWeight(weight, exact))));
    });
    return h("section", {}, h("h2", {}, token(piece), ` ${verb}`), h("ol", {}, lines), h("p", { class: "fact" }, fact));
  }

  /** The cell at the cursor in one sentence, for a screen reader. */
  sentence() {
    const { matrix, cursor: { query, key } } = this.app;
    const { weight, exact } = matrix.weight(query, key);
    const rank = matrix.topOfRow(query, RANKED).findIndex((item) => item.index === key) + 1;
    const [from, to] = [truncate(matrix.rows[query], 60), truncate(matrix.columns[key], 60)];
    const number = formatWeight(weight, exact).replace("≈", "about");
    const ranked = rank ? `, rank ${rank} in its row` : "";
    return `${from} to ${to}: ${number}${ranked}. Query ${query + 1} of ${matrix.queries}, key ${key + 1} of ${matrix.keys}.`;
  }
}
