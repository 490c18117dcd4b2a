import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["**/bundle/", ".venv*/", "build/", "dist/", "docs/_build/"] },
  js.configs.recommended,
  {
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-unused-vars": ["error", { args: "all", argsIgnorePattern: "^_" }],
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  { files: ["src/**/*.js"], languageOptions: { globals: globals.browser } },
  { files: ["tests/**/*.js"], languageOptions: { globals: { ...globals.browser, ...globals.node } } },
];
