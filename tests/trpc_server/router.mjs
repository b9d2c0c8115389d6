// The router, for either major version of tRPC: it checks key and input, and passes calls on to the fake.

import { z } from "zod";

import { procedures } from "./procedures.mjs";

const TIMESTAMPS = new Set(["createdAt", "validUntil"]);
const FREE_FORM = new Set(["configValues", "metadata"]);

/** Return the router and its `createContext`; `ask` passes {key, path, kind, input} on to the fake. */
export function serviceOf({ initTRPC, TRPCError }, { superjson, ask }) {
  // isDev would put stacks into errors.
  const t = initTRPC.create({ transformer: superjson, isDev: false, errorFormatter });

  const procedure = t.procedure.use(({ ctx, next }) => {
    if (!ctx.key?.startsWith("os_sk_")) {
      throw new TRPCError({ code: "UNAUTHORIZED", message: "Invalid or missing API key" });
    }
    return next();
  });

  function forward(path, [kind, schema]) {
    const checked = schema ? procedure.input(schema) : procedure;
    return checked[kind](async ({ ctx, input }) => {
      const { result, error } = await ask({ key: ctx.key, path, kind, input });
      if (error) {
        const cause = Object.assign(new Error(error.message), { data: error.data });
        throw new TRPCError({ code: error.data.code, message: error.message, cause });
      }
      return superjson ? withDates(result.data) : result.data;
    });
  }

  // Flat, with whole paths as keys, which both versions accept: in version 11 a router called `tiers` cannot have the
  // key `apply`.
  const routes = probes(procedure, TRPCError, superjson);
  for (const [path, declared] of Object.entries(procedures({ isSuperjson: Boolean(superjson) }))) {
    routes[path] = forward(path, declared);
  }
  return { router: t.router(routes), createContext: ({ req }) => ({ key: keyOf(req.headers) }) };
}

/** Add the data of a refusal to its code and message. */
function errorFormatter({ shape, error }) {
  return { ...shape, data: { ...shape.data, ...error.cause?.data } };
}

function keyOf(headers) {
  return headers.authorization?.match(/^Bearer (.+)$/)?.[1] ?? headers["x-api-key"];
}

/** Return a response with the service's timestamps as Dates, as in TypeScript. */
function withDates(value, key) {
  if (TIMESTAMPS.has(key) && typeof value === "string") return new Date(value);
  if (FREE_FORM.has(key) || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => withDates(item));
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withDates(inner, name)]));
}

/** Return procedures that the service does not have: values, refusals and delays on the wire. */
function probes(procedure, TRPCError, superjson) {
  const at = new Date("2025-01-02T03:04:05.678Z");
  return {
    "probe.echo": procedure.input(z.unknown()).query(({ input }) => input),
    "probe.mEcho": procedure.input(z.unknown()).mutation(({ input }) => input),
    "probe.values": procedure.query(() => ({
      at,
      nothing: undefined,
      set: new Set(["x", at]),
      map: new Map([["a", 1], ["b", at]]),
      nested: { list: [1, at, undefined, null], "dotted.key": at },
      infinite: -Infinity,
      // Without superjson a bigint fails the whole response.
      ...(superjson && { big: 9007199254740993n }),
    })),
    "probe.void": procedure.mutation(() => undefined),
    "probe.throw": procedure
      .input(z.object({ code: z.string(), message: z.string().optional() }))
      .query(({ input }) => {
        throw new TRPCError(input);
      }),
    "probe.slow": procedure.input(z.object({ ms: z.number() })).query(async ({ input }) => {
      await new Promise((done) => setTimeout(done, input.ms));
      return input;
    }),
  };
}
