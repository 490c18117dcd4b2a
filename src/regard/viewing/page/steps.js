// The page of steps: numbers that can be changed, and every step of attention redrawn from them.

import { NORMALIZERS, SCORES, computeSteps } from "./attention_steps.js";
import { h } from "./dom.js";

/** @import { StepsProblem, Steps } from "./types" */

/** @param {number} x */
export function formatNumber(x) {
  if (x === -Infinity) return "−∞";
  const whole = Math.round(x);  // 2.9999999999999996 is 3 that was summed
  return (Math.abs(x - whole) < 1e-9 ? String(whole || 0) : x.toFixed(4)).replace("-", "−");
}

/** @param {number[]} row */
const joined = (row) => row.map(formatNumber).join(", ");

/**
 * A table that scrolls by itself where it is wider than the screen.
 * @param {HTMLElement} table
 */
const scrolled = (table) => h("div", { class: "scrolled" }, table);

export class StepsPage {
  /**
   * @param {HTMLElement} root
   * @param {StepsProblem} problem
   */
  constructor(root, problem) {
    this.problem = problem;
    this.results = h("div", { class: "steps-results" });
    this.status = h("p", { role: "status", class: "visually-hidden" });
    const { queries, keys } = problem;
    root.replaceChildren(
      h("h1", {}, "Attention, step by step"),
      h("p", { class: "facts" }, "Change a number, a cell of the mask, the score or the normaliser: every step is computed anew."),
      h("div", { class: "controls" },
        this.choice("Score", "score", Object.keys(SCORES)), this.choice("Normaliser", "normalizer", Object.keys(NORMALIZERS))),
      h("div", { class: "steps-inputs" },
        this.inputs("Q", problem.query, queries), this.inputs("K", problem.key, keys), this.inputs("V", problem.value, keys), this.maskTable()),
      this.results, this.status,
    );
    this.render();
  }

  /**
   * @param {string} label
   * @param {"score" | "normalizer"} field
   * @param {string[]} names
   */
  choice(label, field, names) {
    const options = names.map((name) => h("option", { value: name }, name));
    const select = h("select", { onchange: () => { Object.assign(this.problem, { [field]: select.value }); this.render(); } }, options);
    select.value = this.problem[field];
    return h("label", { class: "choice" }, label, select);
  }

  /**
   * @param {string} title
   * @param {number[][]} matrix
   * @param {string[]} names
   */
  inputs(title, matrix, names) {
    const rows = matrix.map((row, i) => h("tr", {}, h("th", { scope: "row" }, names[i]), row.map((x, j) => {
      const input = h("input", {
        type: "number", step: "any", value: x, "aria-label": `${title}, ${names[i]}, feature ${j + 1}`,
        oninput: () => { this.change(matrix, i, j, input); },
      });
      return h("td", {}, input);
    })));
    return scrolled(h("table", {}, h("caption", {}, title), h("tbody", {}, rows)));
  }

  /**
   * Take a number; what is no number is marked, and the last one stays.
   * @param {number[][]} matrix
   * @param {number} row
   * @param {number} column
   * @param {HTMLInputElement} input
   */
  change(matrix, row, column, input) {
    const number = input.value.trim() === "" ? NaN : Number(input.value);
    input.setAttribute("aria-invalid", String(!Number.isFinite(number)));
    if (!Number.isFinite(number)) return;
    matrix[row][column] = number;
    this.render();
  }

  maskTable() {
    const { mask, queries, keys } = this.problem;
    const rows = mask.map((row, i) => h("tr", {}, h("th", { scope: "row" }, queries[i]), row.map((allowed, j) => {
      const box = h("input", {
        type: "checkbox", "aria-label": `${queries[i]} may attend to ${keys[j]}`,
        onchange: () => { row[j] = box.checked; this.render(); },
      });
      box.checked = allowed;
      return h("td", {}, box);
    })));
    return scrolled(h("table", {}, h("caption", {}, "Mask: may attend"), this.head(keys), h("tbody", {}, rows)));
  }

  /** @param {string[]} names */
  head(names) {
    return h("thead", {}, h("tr", {}, h("td", {}), names.map((name) => h("th", { scope: "col" }, name))));
  }

  /**
   * @param {string} title
   * @param {number[][]} matrix
   * @param {string[] | null} columns
   * @param {boolean} shaded
   */
  table(title, matrix, columns, shaded = false) {
    const rows = matrix.map((row, i) => h("tr", {}, h("th", { scope: "row" }, this.problem.queries[i]), row.map((x) => {
      const cell = h("td", { class: shaded ? "step-weight" : null }, formatNumber(x));
      if (shaded) cell.style.setProperty("--weight", String(Math.min(1, x)));
      return cell;
    })));
    return scrolled(h("table", {}, h("caption", {}, title), columns ? this.head(columns) : null, h("tbody", {}, rows)));
  }

  /** @param {Steps} steps */
  sums(steps) {
    const { queries, keys } = this.problem;
    const lines = queries.map((query, i) => {
      const terms = keys.map((_, j) => `${formatNumber(steps.weights[i][j])} × (${joined(this.problem.value[j])})`);
      return h("li", {}, `${query}: ${terms.join(" + ")} = (${joined(steps.output[i])})`);
    });
    return h("section", {}, h("h2", {}, "4. Weight the values and sum"), h("ol", { class: "sums" }, lines));
  }

  render() {
    const { keys, queries, score, normalizer } = this.problem;
    const steps = computeSteps(this.problem);
    this.results.replaceChildren(
      this.table(`1. Score: ${score}`, steps.scores, keys),
      this.table("2. Mask: −∞ where a query may not attend", steps.masked, keys),
      this.table(`3. Weights: ${normalizer} of each row`, steps.weights, keys, true),
      this.sums(steps),
      this.table("5. Output", steps.output, null),
    );
    this.status.textContent = `Output: ${queries.map((name, i) => `${name} ${joined(steps.output[i])}`).join("; ")}`;
  }
}
