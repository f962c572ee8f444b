#!/usr/bin/env node
// Runs the program of the package for this platform, which npm has installed beside this one.
"use strict";
const { spawn } = require("node:child_process");

const musl = process.platform === "linux" && !process.report.getReport().header.glibcVersionRuntime ? "-musl" : "";
const platform = `${process.platform}-${process.arch}${musl}`;
let program;
try {
  program = require.resolve(`tidings-hub-${platform}/bin/tidings`);
} catch {
  const names = Object.keys(require("./package.json").optionalDependencies).map((name) => name.replace("tidings-hub-", ""));
  console.error(
    `tidings-hub: no program for ${platform} is installed. There are ${names.join(", ")}. Where yours is one of these, npm was told to leave out optional dependencies: npm install --include=optional. Elsewhere, build it from its sources: cargo build --release`,
  );
  process.exit(1);
}
const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
// A terminal tells both of Ctrl-C; who ends this one alone means the program.
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  console.error(`tidings-hub: ${program} does not run: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => process.exit(code ?? 128 + require("node:os").constants.signals[signal]));
