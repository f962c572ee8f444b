// How a subscription is told that its topic has ended, and why.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "tidings";
import { begin, block, ended, page, script } from "./support/script.js";
import { states } from "./support/wait.js";

const ends = {
  sse: (reason) => ended(begin(), block(1), `event: tidings.end\nid: aaaaaa-2\ndata: ${JSON.stringify({ reason })}\n\n`),
  "long-poll": (reason) => page({ next: "aaaaaa-2", closed: true, reason }),
  poll: (reason) => page({ next: "aaaaaa-2", closed: true, reason }),
};

for (const [transport, end] of Object.entries(ends)) {
  for (const reason of [undefined, "aborted", "stopped"]) {
    test(`${transport}: a topic that has ended, ${reason ?? "as it should"}`, async (t) => {
      const server = await script(t, end(reason));
      const events = connect(server.url, { transports: [transport] });
      events.on("*", () => {});
      t.after(events.close);
      assert.deepEqual(await states(events).until("ended"), { status: "ended", ...(reason && { reason }) });
      assert.equal(events.cursor, "aaaaaa-2");
    });
  }
}
