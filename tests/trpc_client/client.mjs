// Drives a served fake with the official client:
//
//     node client.mjs http://127.0.0.1:PORT/api/v1 v11-httpLink-plain [...]
//
// prints a line of JSON for each configuration: what it is, what was done step by step, which procedures answered,
// which errors the client reported, and how many requests and connections that took; or the step that failed, and why.

import { AssertionError } from "node:assert";
import { subscribe } from "node:diagnostics_channel";

import { configurationOf } from "./configurations.mjs";
import { Story, steps } from "./story.mjs";

const [url, ...names] = process.argv.slice(2);

let connections = 0;
subscribe("undici:client:connected", () => (connections += 1)); // undici is what Node's fetch is made of

async function told(name) {
  const story = new Story(url, configurationOf(name), () => connections);
  const done = [];
  for (const step of steps) {
    try {
      await step(story);
    } catch (error) {
      const message = error instanceof AssertionError ? error.message : error.stack;
      return { configuration: name, done, failed: step.name, message };
    }
    done.push(step.name);
  }
  const { procedures, errors, requests } = story;
  return { configuration: name, done, procedures, errors, requests: requests.length, connections };
}

for (const name of names) {
  const line = await told(name);
  console.log(JSON.stringify(line));
  if (line.failed) process.exitCode = 1;
}
