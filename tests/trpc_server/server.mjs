// The service as tRPC itself would serve it, in every configuration that a client may meet, a port for each:
//
//     node server.mjs http://127.0.0.1:PORT/api/v1
//
// prints one line, {"v11-plain": URL, "v11-plain-nobatching": URL, "v11-superjson": ..., "v10-plain": ...}, once all
// answer. What the business answers is asked of the fake that is served there, with the caller's key.

import { createServer } from "node:http";

import superjson from "superjson";
import * as v10 from "trpc-server-10";
import { createHTTPHandler as handlerOf10 } from "trpc-server-10/adapters/standalone";
import * as v11 from "trpc-server-11";
import { createHTTPHandler as handlerOf11 } from "trpc-server-11/adapters/standalone";

import { serviceOf } from "./router.mjs";

const BASE = "/api/v1";
const [door] = process.argv.slice(2);

// Nothing may outlive whoever started it: its end of the pipe closes even where it is killed.
process.stdin.on("end", () => process.exit()).resume();

/** Return the {result} or {error} with which the fake answers a call. */
async function ask({ key, path, kind, input }) {
  const url = new URL(`${door}/${path}`);
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const text = JSON.stringify(input); // undefined where there is no input
  if (kind === "query" && text !== undefined) url.searchParams.set("input", text);
  const response = await fetch(url, kind === "query" ? { headers } : { method: "POST", headers, body: text });
  return response.json();
}

function listening(handler) {
  const server = createServer((req, res) => {
    if (!req.url.startsWith(`${BASE}/`)) {
      res.writeHead(404, { "content-type": "text/html" }).end("<h1>Not found</h1>");
      return;
    }
    req.url = req.url.slice(BASE.length); // version 10 knows no base path
    handler(req, res);
  });
  return new Promise((done) => {
    server.listen(0, "127.0.0.1", () => done(`http://127.0.0.1:${server.address().port}${BASE}`));
  });
}

const urls = {};
for (const [transformer, name] of [[undefined, "plain"], [superjson, "superjson"]]) {
  const of11 = serviceOf(v11, { superjson: transformer, ask });
  const of10 = serviceOf(v10, { superjson: transformer, ask });
  urls[`v11-${name}`] = await listening(handlerOf11(of11));
  urls[`v11-${name}-nobatching`] = await listening(handlerOf11({ ...of11, allowBatching: false }));
  urls[`v10-${name}`] = await listening(handlerOf10(of10));
  urls[`v10-${name}-nobatching`] = await listening(handlerOf10({ ...of10, batching: { enabled: false } }));
}
console.log(JSON.stringify(urls));
