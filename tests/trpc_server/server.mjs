// The service as tRPC itself would serve it, in every configuration that a client may meet, a port for each:
//
//     node server.mjs http://127.0.0.1:PORT/door
//
// prints one line, {"v11-plain": URL, "v11-plain-nobatching": URL, "v11-superjson": ..., "v10-plain": ...}, once all
// answer. What the business answers is asked at the door, by POST of {key, path, kind, input}: {answer} or
// {error: {code, message, data}}.

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

async function ask(call) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(door, { method: "POST", headers, body: JSON.stringify(call) });
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
