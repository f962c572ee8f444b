// The page: `useChat` of the AI SDK, whose chat is read from the hub when the page comes, and whenever the network is back.

import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Chat, useChat } from "@ai-sdk/react";
import { DefaultChatTransport, generateId, readUIMessageStream } from "ai";
import { connect } from "tidings";
import { chatFetch } from "tidings/ai-sdk";

if (!location.hash) location.replace(`#${generateId()}`);
const id = location.hash.slice(1);
const chat = new Chat({ id, transport: new DefaultChatTransport({ fetch: chatFetch() }) });

/** The message that the chunks of an answer add up to. */
async function message(chunks, reason) {
  let message;
  const stream = new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  for await (message of readUIMessageStream({ stream }));
  return message && { ...message, metadata: { reason } };
}

/** Reads the chat as the hub has it, and goes on with the answer that is under way. Says whether there was one. */
async function sync() {
  const response = await fetch(`api/chat/${id}`);
  if (!response.ok) throw new Error(`the server says ${response.status}`);
  const { turns } = await response.json();
  const messages = [];
  for (const { message: question, chunks, active, reason } of turns) {
    messages.push(question);
    const answer = !active && (await message(chunks, reason));
    if (answer) messages.push(answer);
  }
  chat.messages = messages;
  chat.clearError();
  if (!turns.at(-1)?.active) return false;
  await chat.resumeStream();
  return true;
}

let syncing;
/** The same, one at a time, until it has worked and no answer is under way. */
async function keep(tell) {
  if (chat.status === "submitted" || chat.status === "streaming") return;
  syncing ??= (async () => {
    for (;;) {
      try {
        if (!(await sync())) break;
        if (chat.status !== "error") continue;
      } catch {
        // The network or the server is away.
      }
      tell("The connection is lost. It is tried again …");
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    tell("");
  })().finally(() => (syncing = undefined));
  return syncing;
}

function Page() {
  const { messages, status, sendMessage, stop } = useChat({ chat });
  const [trouble, setTrouble] = useState("");
  const [input, setInput] = useState("");
  const busy = status === "submitted" || status === "streaming";

  useEffect(() => {
    void keep(setTrouble);
    // A turn that another tab began, or ended.
    const events = connect(`hub/topics/chats/${id}`);
    events.on("*", ({ data }) => {
      if (chat.status === "ready" && chat.messages.findLast(({ role }) => role === "user")?.id !== data.note.id) void keep(setTrouble);
    });
    addEventListener("online", () => void keep(setTrouble));
    return () => events.close();
  }, []);

  // Whoever reads the end goes on reading it.
  useEffect(() => {
    const { scrollHeight, clientHeight, scrollTop } = document.documentElement;
    if (scrollHeight - clientHeight - scrollTop < 150) scrollTo(0, scrollHeight);
  }, [messages]);

  // How an answer ended is read where the answer is.
  useEffect(() => {
    if (!busy && messages.length) void keep(setTrouble);
  }, [busy]);

  return (
    <main>
      <h1>A chat that goes on</h1>
      <p className="note">Reload the page, open it in a second tab, cut the network, restart everything: the answer is in the hub's log, and goes on from there.</p>
      {messages.map(({ id, role, parts, metadata }) => (
        <div key={id} className={`message ${role}`}>
          {parts.map((part, n) => part.type === "text" && <span key={n}>{part.text}</span>)}
          {metadata?.reason && <span className={`end ${metadata.reason}`}>{metadata.reason === "stopped" ? "Stopped." : `The answer broke off (${metadata.reason}).`}</span>}
        </div>
      ))}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!input.trim() || busy) return;
          void sendMessage({ text: input });
          setInput("");
        }}
      >
        <p id="status" role="status">{trouble ? <span id="trouble">{trouble}</span> : { submitted: "Asked …", streaming: "Writing …", error: "Failed." }[status] ?? "Ready."}</p>
        <div>
          <input aria-label="Message" value={input} onChange={(event) => setInput(event.target.value)} placeholder="Say something" />
          {busy ? <button type="button" onClick={() => void stop()}>Stop</button> : <button type="submit">Send</button>}
        </div>
      </form>
    </main>
  );
}

createRoot(document.getElementById("root")).render(<Page />);
