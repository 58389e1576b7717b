// How `make check-page` lints the page's scripts. They become one <script>, so that each sees what the others declare.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";

// ESLint's own rules, from wherever the ESLint that reads this file is installed.
const { configs } = createRequire(process.argv[1])("@eslint/js");

const folder = new URL("templates/page/", import.meta.url);
const sources = readdirSync(folder).filter((name) => name.endsWith(".js"))
  .map((name) => readFileSync(new URL(name, folder), "utf8"));
const declared = sources.flatMap((source) => [...source.matchAll(/^(const|let|function) (\w+)/gm)])
  .map(([, kind, name]) => [name, kind === "let" ? "writable" : "readonly"]);
const browser = ["ResizeObserver", "addEventListener", "document", "getSelection", "location", "matchMedia", "navigator",
  "requestAnimationFrame", "scrollTo", "scrollY"].map((name) => [name, "readonly"]);

const unusedAnywhere = {
  meta: { schema: [] },
  create: (context) => ({
    ":matches(Program > FunctionDeclaration, Program > VariableDeclaration > VariableDeclarator)"({ id }) {
      if (id.type !== "Identifier") return;
      const uses = sources.reduce((sum, source) => sum + source.split(new RegExp(`\\b${id.name}\\b`)).length - 1, 0);
      if (uses < 2) context.report({ node: id, message: `'${id.name}' is used in none of the page's scripts.` });
    },
  }),
};

export default [
  configs.recommended,
  {
    files: ["templates/page/*.js"],
    plugins: { page: { rules: { "unused-anywhere": unusedAnywhere } } },
    languageOptions: {
      sourceType: "script",
      globals: Object.fromEntries([...declared, ...browser]),
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      // What one script declares is a global of the others.
      "no-redeclare": ["error", { builtinGlobals: false }],
      "no-unused-vars": ["error", { vars: "local", ignoreRestSiblings: true }],
      "page/unused-anywhere": "error",
      "no-shadow": ["error", { builtinGlobals: false, hoist: "functions" }],
      "no-unused-expressions": "error",
      "no-implicit-coercion": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-param-reassign": "error",
      "no-var": "error",
      "prefer-const": ["error", { destructuring: "all" }],
      eqeqeq: "error",
    },
  },
];
