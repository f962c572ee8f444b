import { defineConfig } from "vite";

// Where the hub is that `npm run dev` shows.
const hub = process.env.TIDINGS_HUB ?? "http://127.0.0.1:8080";
const paths = ["/topics", "/events", "/metrics", "/healthz", "/readyz"];

export default defineConfig({
  base: "./",
  publicDir: "public",
  server: { proxy: Object.fromEntries(paths.map((path) => [path, { target: hub, changeOrigin: true }])) },
  build: {
    outDir: "../crates/console/files",
    emptyOutDir: true,
    assetsDir: ".",
    target: ["chrome123", "firefox120", "safari17.5"],
    modulePreload: false,
    // No file is inlined: the page's policy lets nothing run or show that the hub does not serve.
    assetsInlineLimit: 0,
    // The names of the files are known to crates/console.
    rolldownOptions: { output: { entryFileNames: "console.js", assetFileNames: "console[extname]" } },
  },
});
