// The API page, drawn from openapi.json: each call, what goes in, what comes out, and a try.

import { get } from "./client.js";
import { h } from "../../viewing/page/dom.js";
import { themeButton } from "./theme.js";
import { prose } from "./words.js";

class Docs {
  constructor(root, api, health) {
    this.api = api;
    this.health = health;
    root.replaceChildren(
      h("header", {},
        h("div", {}, h("h1", {}, `${api.info.title} API`), h("p", { class: "facts" }, prose(api.info.description))),
        h("div", { class: "corner" }, themeButton(root), h("a", { class: "api", href: "/" }, "Web app"), h("a", { class: "api", href: "/openapi.json" }, "openapi.json"))),
      ...Object.entries(api.paths).flatMap(([path, calls]) => Object.entries(calls).map(([method, call]) => this.call(path, method, call))));
    root.dataset.ready = "";
  }

  call(path, method, call) {
    const body = call.requestBody?.content["application/json"]?.schema;
    const found = call.responses["200"].content["application/json"]?.schema;
    const refusals = Object.entries(call.responses).filter(([status]) => status !== "200");
    return h("section", { class: "call", "aria-label": `${method.toUpperCase()} ${path}` },
      h("h2", {}, h("code", { class: "method" }, method.toUpperCase()), " ", h("code", {}, path)),
      h("p", {}, prose(call.description ?? call.summary)),
      body ? this.fields("Request", body) : null,
      found ? this.fields("Answer", found) : null,
      refusals.length ? h("p", { class: "fact" }, "Otherwise: ", refusals.map(([status, { description }]) => `${status} ${description}`).join(" ")) : null,
      this.attempt(path, method, body));
  }

  resolve(schema) {
    return schema?.$ref ? this.api.components.schemas[schema.$ref.split("/").pop()] : schema;
  }

  fields(title, schema) {
    const { properties = {}, required = [] } = this.resolve(schema);
    return h("details", { open: title === "Request" }, h("summary", {}, title),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title} fields` },
        h("table", {}, h("tbody", {}, Object.entries(properties).map(([name, field]) => h("tr", {},
          h("th", { scope: "row" }, h("code", {}, name), title === "Request" && required.includes(name) ? " *" : ""),
          h("td", {}, h("code", {}, this.type(field))),
          h("td", {}, prose(field.description ?? ""))))))));
  }

  type(field) {
    if (field.$ref) return this.object(this.resolve(field));
    if (field.anyOf) return field.anyOf.map((part) => this.type(part)).filter((name) => name !== "null").join(" or ");
    if (field.type === "array") return `[${this.type(field.items)}]`;
    if (field.type === "object" && field.additionalProperties) return `{number: ${this.type(field.additionalProperties)}}`;
    return field.type ?? "any";
  }

  object({ properties }) {
    return `{${Object.keys(properties).join(", ")}}`;
  }

  attempt(path, method, body) {
    const field = body ? h("textarea", { rows: "5", spellcheck: "false", "aria-label": `Body for ${path}` }) : null;
    if (field) field.value = JSON.stringify(this.example(path), null, 1);
    const result = h("pre", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Answer of ${path}`, hidden: true });
    const send = async () => {
      const options = field ? { method: method.toUpperCase(), headers: { "content-type": "application/json" }, body: field.value } : {};
      try {
        const response = await fetch(path, options);
        const text = await response.text();
        const pretty = response.headers.get("content-type")?.includes("json") ? JSON.stringify(JSON.parse(text), null, 1) : text;
        result.textContent = `${response.status}\n${pretty.slice(0, 20000)}`;
      } catch (error) {
        result.textContent = error.message;
      }
      result.hidden = false;
    };
    return h("div", { class: "attempt" }, field, h("button", { type: "button", class: "act", onclick: send }, "Try it"), result);
  }

  example(path) {
    const task = { "/translate": ["translation"], "/summarize": ["summarization"], "/classify": ["classification"], "/alternatives": ["translation", "summarization"] }[path];
    const model = this.health.models.find((facts) => (!task || task.includes(facts.task)) && (path !== "/alternatives" || facts.writes));
    return { text: "A text.", ...(model ? { model: model.name } : {}) };
  }
}

const root = document.getElementById("docs");
Promise.all([get("/openapi.json"), get("/health")]).then(
  ([api, health]) => new Docs(root, api, health),
  (error) => root.replaceChildren(h("p", {}, error.message)),
);
