// The API page, drawn from openapi.json: for each call its request, its answer, and a form to try it.

import { h } from "../../viewing/page/dom.js";
import { get, messageOf } from "./client.js";
import { themeButton } from "./theme.js";
import { withCode } from "./words.js";

/** @import { Health } from "./types" */

/**
 * The parts of OpenAPI 3.1 that FastAPI writes and this page shows.
 * @typedef {object} Schema
 * @property {string} [$ref]
 * @property {string} [type]
 * @property {string} [description]
 * @property {Schema[]} [anyOf]
 * @property {Schema} [items]
 * @property {Schema} [additionalProperties]
 * @property {Record<string, Schema>} [properties]
 * @property {string[]} [required]
 *
 * @typedef {{ content?: Record<string, { schema?: Schema }> }} Body
 * @typedef {{ summary: string, description?: string, requestBody?: Body, responses: Record<string, Body & { description: string }> }} Call
 * @typedef {{
 *   info: { title: string, description: string },
 *   paths: Record<string, Record<string, Call>>,
 *   components: { schemas: Record<string, Schema> },
 * }} OpenApi
 */

const MAX_SHOWN = 20000; // characters of an answer

class Docs {
  /**
   * @param {HTMLElement} root
   * @param {OpenApi} api
   * @param {Health} health
   */
  constructor(root, api, health) {
    this.api = api;
    this.health = health;
    root.replaceChildren(
      h("header", {},
        h("div", {}, h("h1", {}, `${api.info.title} API`), h("p", { class: "facts" }, withCode(api.info.description))),
        h("div", { class: "corner" }, themeButton(root),
          h("a", { class: "api", href: "/" }, "Web app"), h("a", { class: "api", href: "/openapi.json" }, "openapi.json"))),
      ...Object.entries(api.paths).flatMap(([path, calls]) =>
        Object.entries(calls).map(([method, call]) => this.call(path, method.toUpperCase(), call))));
    root.dataset.ready = "";
  }

  /**
   * @param {string} path
   * @param {string} method
   * @param {Call} call
   */
  call(path, method, call) {
    const request = jsonSchema(call.requestBody);
    const answer = jsonSchema(call.responses["200"]);
    const errors = Object.entries(call.responses).filter(([status]) => status !== "200");
    const otherwise = errors.map(([status, { description }]) => `${status} ${description}`).join(" ");
    return h("section", { class: "call", "aria-label": `${method} ${path}` },
      h("h2", {}, h("code", { class: "method" }, method), " ", h("code", {}, path)),
      h("p", {}, withCode(call.description ?? call.summary)),
      request ? this.fields("Request", request) : null,
      answer ? this.fields("Answer", answer) : null,
      errors.length ? h("p", { class: "fact" }, "Otherwise: ", otherwise) : null,
      this.tryForm(path, method, Boolean(request)));
  }

  /**
   * The schema that a reference names, or the schema itself.
   * @param {Schema} schema
   */
  resolve(schema) {
    return schema.$ref ? this.api.components.schemas[schema.$ref.split("/").pop() ?? ""] : schema;
  }

  /**
   * @param {"Request" | "Answer"} title
   * @param {Schema} schema
   */
  fields(title, schema) {
    const { properties = {}, required = [] } = this.resolve(schema);
    const rows = Object.entries(properties).map(([name, field]) => h("tr", {},
      h("th", { scope: "row" }, h("code", {}, name), title === "Request" && required.includes(name) ? " *" : ""),
      h("td", {}, h("code", {}, this.typeName(field))),
      h("td", {}, withCode(field.description ?? ""))));
    return h("details", { open: title === "Request" }, h("summary", {}, title),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title} fields` }, h("table", {}, h("tbody", {}, rows))));
  }

  /**
   * The type of a field in a few characters, as in "[string]".
   * @param {Schema} field
   * @returns {string}
   */
  typeName(field) {
    if (field.$ref) return `{${Object.keys(this.resolve(field).properties ?? {}).join(", ")}}`;
    if (field.anyOf) return field.anyOf.map((part) => this.typeName(part)).filter((name) => name !== "null").join(" or ");
    if (field.type === "array") return `[${this.typeName(field.items ?? {})}]`;
    if (field.type === "object" && field.additionalProperties) return `{number: ${this.typeName(field.additionalProperties)}}`;
    return field.type ?? "any";
  }

  /**
   * @param {string} path
   * @param {string} method
   * @param {boolean} hasBody
   */
  tryForm(path, method, hasBody) {
    const field = hasBody ? h("textarea", { rows: "5", spellcheck: "false", "aria-label": `Body for ${path}` }) : null;
    if (field) field.value = JSON.stringify(this.example(path), null, 1);
    const result = h("pre", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Answer of ${path}`, hidden: true });
    const send = async () => {
      const options = field ? { method, headers: { "content-type": "application/json" }, body: field.value } : {};
      try {
        const response = await fetch(path, options);
        const text = await response.text();
        const isJson = response.headers.get("content-type")?.includes("json");
        const pretty = isJson ? JSON.stringify(JSON.parse(text), null, 1) : text;
        result.textContent = `${response.status}\n${pretty.slice(0, MAX_SHOWN)}`;
      } catch (error) {
        result.textContent = messageOf(error);
      }
      result.hidden = false;
    };
    return h("div", { class: "attempt" }, field, h("button", { type: "button", class: "action", onclick: send }, "Try it"), result);
  }

  /**
   * A request that the server can answer, if it has a model for it.
   * @param {string} path
   */
  example(path) {
    const verbs = ["translate", "summarize", "classify", "generate", "fill"];
    const verb = path.slice(1);
    const model = this.health.models.find((info) => (!verbs.includes(verb) || info.verb === verb) && (path !== "/alternatives" || info.writes));
    return { text: path === "/fill" ? "A [MASK] text." : "A text.", ...(model ? { model: model.name } : {}) };
  }
}

/** @param {Body | undefined} body */
function jsonSchema(body) {
  return body?.content?.["application/json"]?.schema;
}

const root = document.getElementById("docs");
if (root) {
  Promise.all([get("/openapi.json"), get("/health")]).then(
    ([api, health]) => new Docs(root, /** @type {OpenApi} */ (api), /** @type {Health} */ (health)),
    (error) => root.replaceChildren(h("p", {}, messageOf(error))),
  );
}
