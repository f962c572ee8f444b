// Pages with a framework in them, and the client under test.

import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** The blocks of docs/start/react.md, by what stands after their fence. */
export function blocks(language) {
  const page = readFileSync(new URL("../../../../docs/start/react.md", import.meta.url), "utf8");
  return [...page.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)].filter(([, given]) => given === language).map(([, , text]) => text);
}

/** A script that runs `entry`. `files` are those that it imports as `./NAME`. */
export async function script(entry, files = {}, plugins = []) {
  const given = {
    name: "given",
    setup(build) {
      build.onResolve({ filter: /^\.\// }, ({ path, resolveDir }) =>
        path.slice(2) in files ? { path: path.slice(2), namespace: "given", pluginData: resolveDir } : undefined,
      );
      build.onLoad({ filter: /.*/, namespace: "given" }, async ({ path }) => {
        const { contents, loader } = await files[path];
        return { contents, loader, resolveDir: root };
      });
    },
  };
  const { outputFiles } = await build({
    stdin: { contents: entry, resolveDir: root, loader: "tsx" },
    plugins: [given, ...plugins],
    define: { "process.env.NODE_ENV": '"development"', __VUE_OPTIONS_API__: "false", __VUE_PROD_DEVTOOLS__: "false", __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false" },
    bundle: true,
    format: "iife",
    jsx: "automatic",
    conditions: ["browser"],
    write: false,
  });
  return outputFiles[0].text;
}

/** A page of the hub's own origin that runs a script, beside an element `#root`. */
export async function page(context, hub, text) {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.errors = [];
  page.on("pageerror", (error) => page.errors.push(error));
  // Browsers ask every host for this, and say so where there is none.
  const favicon = (message) => message.location().url.endsWith("/favicon.ico");
  page.on("console", (message) => message.type() === "error" && !favicon(message) && page.errors.push(message.text()));
  page.asked = [];
  page.on("request", (request) => page.asked.push(request));
  await page.goto(`${hub.url}/healthz`);
  await page.evaluate(() => (document.body.innerHTML = '<div id="root"></div>'));
  await page.evaluate(text);
  return page;
}

/** Waits until the page shows a text. */
export const shows = (page, text) => page.waitForFunction((text) => document.body.innerText.includes(text), text, { polling: 50 });
