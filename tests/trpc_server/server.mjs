// The service behind tRPC itself, in every configuration that a client may meet, each at its own port:
//
//     node server.mjs http://127.0.0.1:PORT/api/v1
//
// prints one line, {"v11-plain": URL, "v11-plain-nobatching": URL, "v11-superjson": ..., "v10-plain": ...}, when all
// listen. The fake that is served at the given URL responds to the calls, under the caller's key.

import { createServer } from "node:http";

import superjson from "superjson";
import * as v10 from "trpc-server-10";
import { createHTTPHandler as handlerOf10 } from "trpc-server-10/adapters/standalone";
import * as v11 from "trpc-server-11";
import { createHTTPHandler as handlerOf11 } from "trpc-server-11/adapters/standalone";

import { serviceOf } from "./router.mjs";

const BASE = "/api/v1";
const [fakeUrl] = process.argv.slice(2);

// End with the process that started this one: its end of the pipe closes even if it is killed.
process.stdin.on("end", () => process.exit()).resume();

/** Return the {result} or {error} of the fake for a call. */
async function ask({ key, path, kind, input }) {
  const url = new URL(`${fakeUrl}/${path}`);
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const text = JSON.stringify(input); // undefined without an input
  if (kind === "query" && text !== undefined) url.searchParams.set("input", text);
  const response = await fetch(url, kind === "query" ? { headers } : { method: "POST", headers, body: text });
  return response.json();
}

function listen(handler) {
  const server = createServer((req, res) => {
    if (!req.url.startsWith(`${BASE}/`)) {
      res.writeHead(404, { "content-type": "text/html" }).end("<h1>Not found</h1>");
      return;
    }
    req.url = req.url.slice(BASE.length); // version 10 has no base path
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
  urls[`v11-${name}`] = await listen(handlerOf11(of11));
  urls[`v11-${name}-nobatching`] = await listen(handlerOf11({ ...of11, allowBatching: false }));
  urls[`v10-${name}`] = await listen(handlerOf10(of10));
  urls[`v10-${name}-nobatching`] = await listen(handlerOf10({ ...of10, batching: { enabled: false } }));
}
console.log(JSON.stringify(urls));
