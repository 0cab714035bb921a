// Builds ../report.html: the page with its script and style, and their hashes in its policy.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const read = (name) => readFileSync(here(name), "utf8").replaceAll("\r\n", "\n");
const version = (name) => JSON.parse(read(`node_modules/${name}/package.json`)).version;
const bundle = async (entry, options) => {
  const { outputFiles } = await build({ entryPoints: [here(entry)], bundle: true, minify: true, write: false, legalComments: "none", ...options });
  return outputFiles[0].text.trim();
};
const hash = (text) => `sha256-${createHash("sha256").update(text).digest("base64")}`;

const licence = `/*! Contains Preact ${version("preact")}.\n${read("node_modules/preact/LICENSE").trim()}\n*/\n`;
const script = licence + (await bundle("app.tsx", { format: "esm", target: "es2022", jsx: "automatic", jsxImportSource: "preact" }));
const style = await bundle("page.css", { target: "chrome110", external: ["#*"] });
if (/<\/script|<!--/i.test(script) || /<\/style/i.test(style)) throw new Error("the script or the style would end its element");
const values = { script, style, script_hash: hash(script), style_hash: hash(style) };
writeFileSync(process.argv[2] ?? here("../report.html"), read("page.html").replace(/\{\{(\w+)\}\}/g, (_, name) => values[name]));
