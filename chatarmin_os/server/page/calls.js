// One call with its input and its response, and the failures that wait for calls.

import { addressOf, ask, Refused } from "./control.js";
import { exactMoment, json, make, named, terms } from "./dom.js";

export function createCall(call) {
  const node = make(`details.card.call${call.error ? ".bad" : ""}`);
  const brief = call.error ? `${call.error.code}: ${call.error.message}` : summarize(call.input);
  const company = call.company ? named("a.who", call.company.name, addressOf(call.company.id)) : null;
  node.append(make("summary", make("span.number", `${call.number}`), make("span.path", call.path), make("span.brief", brief), company, make("span.ms", `${call.ms.toFixed(2)} ms`)));
  // The content may be large, so it is created when the call is opened.
  node.addEventListener("toggle", async () => {
    if (!node.open || node.children.length > 1) return;
    const inside = make("div.inside");
    node.append(inside);
    await fillCall(inside, call);
  });
  return node;
}

async function fillCall(inside, shown) {
  let call = shown;
  try {
    if (shown.isCut) call = await ask("call_details", { number: shown.number });
  } catch (error) {
    inside.append(make("p.none", error instanceof Refused ? error.message : "The service does not respond."));
    return;
  }
  const result = call.error ? ["Error", call.error] : ["Response", call.answer];
  const blocks = [["Input", call.input], result].flatMap(([name, value]) => [make("h3", name), make("pre", make("code", json(value)))]);
  const times = terms([["Service clock", exactMoment(call.at)], ["Real time", exactMoment(call.real_at)]]);
  inside.append(make("p.none", call.kind), make("dl.facts", ...times), ...blocks);
}

function summarize(input) {
  if (input === null || typeof input !== "object") return "";
  const text = Object.entries(input).map(([name, value]) => `${name}: ${typeof value === "object" ? "…" : value}`).join(", ");
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

export function faultText(fault) {
  const subject = fault.times === 1 ? "The next call" : `The next ${fault.times} calls`;
  const effect = fault.error === "lost" ? "gets no response" : `fails with ${fault.error}`;
  return `${subject}${fault.path ? ` of ${fault.path}` : ""} ${fault.times === 1 ? effect : effect.replace("gets", "get").replace("fails", "fail")}${fault.after ? ", after it was carried out" : ""}.`;
}
