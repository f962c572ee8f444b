import { field, h, segments, write } from "./dom.ts";
import { duration } from "./format.ts";
import { ask, at, demand, Refused, topicUrl, wordsOf } from "./hub.ts";

export interface Publisher {
  element: HTMLElement;
  /** The topic that is being looked at. */
  suggest(topic: string): void;
}

type Form = "text" | "json";

/** A form that publishes one event, and shows what the hub answers. It sends what is typed as it is, byte for byte. */
export function publisher(published: () => void): Publisher {
  let form: Form = "text";
  let suggested = "";
  const topic = h("input", { required: true, autocomplete: "off", spellcheck: "false", placeholder: "orders/42" });
  const type = h("input", { autocomplete: "off", spellcheck: "false", placeholder: "message" });
  const key = h("input", { autocomplete: "off", spellcheck: "false", placeholder: "none" });
  const data = h("textarea", { rows: 4, spellcheck: "false", placeholder: "hello" });
  const close = h("input", { type: "checkbox" });
  const button = h("button", { type: "submit", class: "primary" }, "Publish");
  const answer = h("div", { class: "answer", role: "status" });
  const element = h(
    "details",
    { class: "publisher" },
    h("summary", {}, h("h3", {}, "Publish")),
    h(
      "form",
      { submit: send },
      h("div", { class: "grid" }, field("Topic", topic, { class: "wide" }), field("Event type", type), field("Idempotency key", key)),
      h("div", { class: "dataline" }, field("Data", data), segments<Form>("Form of the data", [["text", "Text"], ["json", "JSON"]], form, (chosen) => (form = chosen))),
      h("div", { class: "buttons" }, button, h("label", { class: "check" }, close, "Close the topic with it")),
      answer,
    ),
  );

  async function send(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    button.disabled = true;
    const began = performance.now();
    try {
      if (topic.value.split("/").some((segment) => segment === "*" || segment === "**")) throw new TypeError("a topic has no segment that is * or **: those are for reading");
      if (form === "json") JSON.parse(data.value);
      const headers: Record<string, string> = { "Content-Type": form === "json" ? "application/json" : "text/plain; charset=utf-8" };
      if (key.value) headers["Idempotency-Key"] = key.value;
      let body = data.value;
      let url = topicUrl(topic.value);
      if (url) {
        if (type.value) url.searchParams.set("event", type.value);
        if (close.checked) url.searchParams.set("close", "true");
      } else {
        if (close.checked) throw new TypeError("a topic with an empty segment, or one of dots, cannot be closed from a browser");
        url = at("events");
        headers["Content-Type"] = "application/json";
        const item = JSON.stringify({ topic: topic.value, event: type.value || undefined }).slice(0, -1);
        body = `[${item},"data":${form === "json" ? body : JSON.stringify(body)}}]`;
      }
      const response = await demand(await ask(url, { method: "POST", headers, body }));
      const took = performance.now() - began;
      const receipt = await response.json();
      tell(true, `${response.status} ${response.status === 200 ? "known already: nothing was appended" : "published"}`, [
        ["id", receipt.id ?? receipt.ids?.[0] ?? "none: the topic was only closed"],
        ["time", receipt.time],
        ["took", duration(took)],
      ]);
      close.checked = false;
      published();
    } catch (error) {
      if (error instanceof Refused) tell(false, `${error.status} ${error.problem.title}`, [["detail", error.problem.detail]]);
      else if (error instanceof SyntaxError) tell(false, "Not sent", [["detail", `the data is no JSON: ${error.message}`]]);
      else tell(false, "Not sent", [["detail", wordsOf(error)]]);
    } finally {
      button.disabled = false;
    }
  }

  function tell(well: boolean, title: string, details: [string, string][]): void {
    answer.dataset["well"] = String(well);
    answer.replaceChildren(h("strong", {}, title), h("dl", {}, ...details.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
    if (!well) write(button, "Publish");
  }

  return {
    element,
    suggest(name) {
      // What was typed stays.
      if (topic.value === suggested) topic.value = name;
      suggested = name;
    },
  };
}
