// Drives a served fake with the official client:
//
//     node client.mjs http://127.0.0.1:PORT/api/v1 v11-httpLink-plain [...]
//
// prints a line of JSON for each configuration: its name, the steps, the procedures that responded, the errors that the
// client reported, and the number of requests and connections; or the step that failed, and the reason.

import { AssertionError } from "node:assert";
import { subscribe } from "node:diagnostics_channel";

import { configurationOf } from "./configurations.mjs";
import { Scenario, steps } from "./scenario.mjs";

const [url, ...names] = process.argv.slice(2);

let connections = 0;
subscribe("undici:client:connected", () => (connections += 1)); // Node's fetch is undici

async function run(name) {
  const scenario = new Scenario(url, configurationOf(name), () => connections);
  const done = [];
  for (const step of steps) {
    try {
      await step(scenario);
    } catch (error) {
      const message = error instanceof AssertionError ? error.message : error.stack;
      return { configuration: name, done, failed: step.name, message };
    }
    done.push(step.name);
  }
  const { procedures, errors, requests } = scenario;
  return { configuration: name, done, procedures, errors, requests: requests.length, connections };
}

for (const name of names) {
  const line = await run(name);
  console.log(JSON.stringify(line));
  if (line.failed) process.exitCode = 1;
}
