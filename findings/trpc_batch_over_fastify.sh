#!/bin/sh
# @trpc/client 11.25.2 and @trpc/server 11.25.2 on Fastify: calls work one at a time, and all of them fail as soon as
# a page makes a few more in the same tick.
#
# httpBatchLink joins the paths of calls made in one tick; tRPC's Fastify plugin reads them as one route parameter,
# and Fastify refuses a parameter of more than 100 characters: nine calls of "seats.left" fit, ten do not. The handler
# never runs, so tRPC's onError is silent. Fastify 5.8.5 answers 404 "Route GET:... not found",
# 5.9.0 and later 414; with both the client reports "Unable to transform response from server" for every call, with
# no status and no code. One expects the batch to be split, or an error that names the limit. `maxParamLength` on the
# server (in newer releases under `routerOptions`) or `maxURLLength` on the link avoids it.
#
# Seen (Node 20.20.2):
#   fastify 5.8.5: 9 calls: 9 ok; 10 calls: 10 x "Unable to transform response from server" (HTTP 404)
#   fastify 5.12.8: 9 calls: 9 ok; 10 calls: 10 x "Unable to transform response from server" (HTTP 414)
#
# Exits with 0 if the two lines are as above, else with 1.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
printf '{"private":true,"type":"module"}' >package.json
npm install --loglevel=error --ignore-scripts --legacy-peer-deps --no-audit --no-fund --save-exact @trpc/server@11.25.2 \
  @trpc/client@11.25.2 older@npm:fastify@5.8.5 newer@npm:fastify@5.12.8 >&2
cat >batch.mjs <<'JS'
import { createTRPCClient, httpBatchLink } from "@trpc/client";
import { initTRPC } from "@trpc/server";
import { fastifyTRPCPlugin } from "@trpc/server/adapters/fastify";
import { readFileSync } from "node:fs";

const t = initTRPC.create();
const router = t.router({ seats: t.router({ left: t.procedure.query(() => 3) }) });
for (const name of ["older", "newer"]) {
  const { version } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  const server = (await import(name)).default();
  await server.register(fastifyTRPCPlugin, { prefix: "/trpc", trpcOptions: { router } });
  const url = (await server.listen({ port: 0, host: "127.0.0.1" })) + "/trpc";
  let status;
  const client = createTRPCClient({
    links: [
      httpBatchLink({
        url,
        fetch: async (...call) => {
          const response = await fetch(...call);
          status = response.status;
          return response;
        },
      }),
    ],
  });
  const parts = [];
  for (const count of [9, 10]) {
    const answers = await Promise.allSettled(Array.from({ length: count }, () => client.seats.left.query()));
    const messages = new Set(answers.map((answer) => answer.reason?.message));
    parts.push(
      `${count} calls: ` + (status === 200 ? `${count} ok` : `${count} x "${[...messages].join()}" (HTTP ${status})`),
    );
  }
  console.log(`fastify ${version}: ${parts.join("; ")}`);
}
process.exit();
JS
output=$(node batch.mjs)
echo "$output"
failed='9 calls: 9 ok; 10 calls: 10 x "Unable to transform response from server" (HTTP'
[ "$output" = "fastify 5.8.5: $failed 404)
fastify 5.12.8: $failed 414)" ]
