// The numbers beside the picture: the cell under the cursor, its row and its column.

import { h, number, short, token } from "./dom.js";

const LISTED = 10;
const MEAN = ", the mean of the heads’";

export class Readout {
  constructor(app) {
    this.app = app;
    this.element = h("aside", { class: "readout", "aria-label": "Numbers" });
  }

  render() {
    const { sheet, state } = this.app;
    const { query, key } = state;
    const { weight, exact } = sheet.weight(query, key);
    const row = sheet.row(query, LISTED);
    const column = sheet.column(key, LISTED);
    const parts = [
      h("section", { class: "cell" },
        h("p", { class: "pair" }, token(sheet.rows[query]), h("span", { class: "to", "aria-label": "to" }, "→"), token(sheet.columns[key])),
        h("p", { class: "weight" }, number(weight, exact)),
        h("p", { class: "fact" }, `query ${query + 1} of ${sheet.queries}, key ${key + 1} of ${sheet.keys}`)),
      this.list("looks at", sheet.rows[query], row, sheet.columns, (index) => ({ key: index }), `entropy ${sheet.about ? "≈ " : ""}${sheet.entropy[query].toFixed(2)} nats${sheet.over ? MEAN : ""}`),
    ];
    if (sheet.queries > 1) {
      const sum = sheet.over === "max" ? MEAN : ", exact"; // the mean of sums is the sum of means
      const received = `received ${number(sheet.received[key], !sheet.about)} in all${sheet.kept === "blocks" ? `${sum}; listed: among the top of their rows` : ""}`;
      parts.push(this.list("is looked at by", sheet.columns[key], column, sheet.rows, (index) => ({ query: index }), received));
    }
    this.element.replaceChildren(...parts);
  }

  list(verb, piece, items, pieces, patch, fact) {
    const most = items[0]?.weight ?? 1;
    const lines = items.map(({ index, weight, exact }) => {
      const bar = h("span", { class: "bar", "aria-hidden": "true" });
      bar.style.inlineSize = `${(100 * weight) / most}%`;
      return h("li", {}, h("button", { onclick: () => this.app.set(patch(index), { reveal: true }) },
        bar, token(pieces[index]), h("span", { class: "value" }, number(weight, exact))));
    });
    return h("section", {}, h("h2", {}, token(piece), ` ${verb}`), h("ol", {}, lines), h("p", { class: "fact" }, fact));
  }

  // One sentence for a screen reader.
  sentence() {
    const { sheet, state } = this.app;
    const { weight, exact } = sheet.weight(state.query, state.key);
    const rank = sheet.row(state.query, 32).findIndex((item) => item.index === state.key) + 1;
    const [from, to] = [short(sheet.rows[state.query], 60), short(sheet.columns[state.key], 60)];
    const said = number(weight, exact).replace("≈", "about");
    const ranked = rank ? `, rank ${rank} in its row` : "";
    const place = `Query ${state.query + 1} of ${sheet.queries}, key ${state.key + 1} of ${sheet.keys}`;
    return `${from} to ${to}: ${said}${ranked}. ${place}.`;
  }
}
