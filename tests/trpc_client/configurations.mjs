// The official client in each configuration that a user of it may have: `v11-httpBatchLink-superjson`.

import superjson from "superjson";
import * as v10 from "trpc-client-10";
import * as v11 from "trpc-client-11";

const LINKS = {
  10: ["httpLink", "httpBatchLink", "unstable_httpBatchStreamLink"],
  11: ["httpLink", "httpBatchLink", "httpBatchStreamLink"],
};
const METHODS = { query: "query", mutation: "mutate" };

/** Return a configuration by its name. */
export function configurationOf(name) {
  const [version, link, transformer] = name.split("-");
  const known = { v10, v11 }[version];
  if (!LINKS[version.slice(1)]?.includes(link) || !["plain", "superjson"].includes(transformer)) {
    throw new Error(`no configuration ${name}`);
  }
  return {
    trpc: known,
    is10: known === v10,
    link,
    isBatched: link !== "httpLink",
    isStreamed: link.endsWith("StreamLink"),
    isSuperjson: transformer === "superjson",
  };
}

/**
 * Return {query, mutate}, each of (path, input, options), on a client of that configuration; `fetch` sees its requests.
 *
 * They call as application code does, `client.tiers.get.query(...)`. Version 10 cannot do so below `links`, a property of
 * its client, so those procedures are called by path.
 */
export function clientOf({ trpc, is10, link, isSuperjson }, { url, headers, fetch }) {
  const transformer = isSuperjson ? superjson : undefined;
  const links = [trpc[link]({ url, headers, fetch, ...(is10 ? {} : { transformer }) })];
  const byPath = trpc.createTRPCUntypedClient({ links, ...(is10 ? { transformer } : {}) });
  const proxy = trpc.createTRPCClientProxy(byPath);

  const caller = (kind) => (path, input, options) => {
    if (is10 && path.startsWith("links.")) return byPath[kind](path, input, options);
    return path.split(".").reduce((router, name) => router[name], proxy)[METHODS[kind]](input, options);
  };
  return { query: caller("query"), mutate: caller("mutation") };
}
