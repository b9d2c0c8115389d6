#!/bin/sh
# superjson 2.2.7 as the transformer of @trpc/server 11.25.2: one result that holds an object with the key
# "constructor" fails every call of its batch with 500, after all of them ran.
#
# superjson refuses the keys "constructor", "prototype" and "__proto__" when it WRITES, not only when it reads, so a
# JSON column that somebody's data filled with {"constructor": "Acme Builders"} cannot be sent. One expects the error
# to belong to the call that returned it. tRPC serializes the batch as a whole: the answer is a single error, the
# other calls get it too, although they succeeded, and a client that repeats "failed" mutations runs them twice.
# The same happens without superjson to a bigint.
#
# Seen (Node 20.20.2):
#   superjson: HTTP 500, ran: add,add,read; answer: Detected property constructor. This is a prototype pollution risk, please remove it from your object.
#   plain: HTTP 500, ran: add,add,count; answer: Do not know how to serialize a BigInt
#
# Exits with 0 if the two lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
printf '{"private":true,"type":"module"}' >package.json
npm install --loglevel=error --ignore-scripts --legacy-peer-deps --no-audit --no-fund --save-exact @trpc/server@11.25.2 \
  superjson@2.2.7 >&2
cat >batch.mjs <<'JS'
import { initTRPC } from "@trpc/server";
import { fetchRequestHandler } from "@trpc/server/adapters/fetch";
import superjson from "superjson";

async function post(name, transformer, last) {
  const ran = [];
  const t = initTRPC.create({ transformer, isDev: false });
  const router = t.router({
    add: t.procedure.mutation(() => ran.push("add")),
    read: t.procedure.mutation(() => (ran.push("read"), JSON.parse('{"config":{"constructor":"Acme Builders"}}'))),
    count: t.procedure.mutation(() => (ran.push("count"), 12n)),
  });
  const req = new Request(`http://localhost/add,add,${last}?batch=1`, {
    method: "POST",
    body: "{}",
    headers: { "content-type": "application/json" },
  });
  const response = await fetchRequestHandler({ endpoint: "", req, router });
  const { error } = await response.json();
  const { message } = error.json ?? error;
  console.log(`${name}: HTTP ${response.status}, ran: ${ran.join()}; answer: ${message}`);
}

await post("superjson", superjson, "read");
await post("plain", undefined, "count");
JS
output=$(node batch.mjs)
echo "$output"
risk="This is a prototype pollution risk, please remove it from your object."
[ "$output" = "superjson: HTTP 500, ran: add,add,read; answer: Detected property constructor. $risk
plain: HTTP 500, ran: add,add,count; answer: Do not know how to serialize a BigInt" ]
