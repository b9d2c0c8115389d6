// The calls of a client, step by step, and their expected results.

import assert from "node:assert/strict";

import { clientOf } from "./configurations.mjs";

const UNTIL = new Date("2031-05-06T07:08:09.123Z");
const CREATED = new Date("2024-01-15T10:30:00.000Z");
const BLANK = { isPrimary: false, name: null, role: null };

/** Clients of one configuration, with their requests and results. */
export class Scenario {
  constructor(url, configuration, connections) {
    this.url = url;
    this.controlUrl = new URL("/__fake__", url).href;
    this.configuration = configuration;
    this.connections = connections;
    this.requests = []; // {method, path, status}
    this.procedures = {}; // those that responded, with their kinds
    this.errors = {}; // {code, httpStatus, number} by the reason of the refusal
    const name = [configuration.is10 ? 10 : 11, configuration.link, configuration.isSuperjson ? "superjson" : "plain"];
    this.key = `os_sk_${name.join("_")}`;
    this.client = this.clientWith({ authorization: `Bearer ${this.key}` });
    // The control API speaks plain tRPC 11, whatever the endpoint speaks.
    const { is10, isStreamed } = configuration;
    const link = is10 && isStreamed ? "httpBatchLink" : configuration.link;
    this.control = clientOf(
      { ...configuration, link, isSuperjson: false },
      { url: this.controlUrl, headers: { authorization: `Bearer ${this.key}` } },
    );
  }

  /** Return a client with other headers; `after` gets each response before the client does. */
  clientWith(headers, after = (response) => response) {
    const fetched = async (url, options) => {
      const request = { method: options.method, path: decodeURIComponent(new URL(url).pathname).split("/").pop() };
      this.requests.push(request);
      const response = await fetch(url, options);
      request.status = response.status;
      return after(response);
    };
    return clientOf(this.configuration, { url: this.url, headers, fetch: fetched });
  }

  /** Return a timestamp as in a response: only superjson has dates. */
  timestamp(date) {
    return this.configuration.isSuperjson ? date : date.toISOString();
  }

  async query(path, input) {
    const response = await this.client.query(path, input);
    this.procedures[path] = "query";
    return response;
  }

  async mutate(path, input) {
    const response = await this.client.mutate(path, input);
    this.procedures[path] = "mutation";
    return response;
  }

  /** Check the refusal of a call as the client reports it, and store the report under `reason`. */
  async refused(reason, call, { code, httpStatus, message, path }) {
    const error = await call.then(
      (response) => assert.fail(`${reason}, but the response is: ${JSON.stringify(response)}`),
      (refusal) => refusal,
    );
    assert.match(error.message, message);
    const { name, data, shape } = error;
    const expected = { name: "TRPCClientError", code, httpStatus, path, message: error.message, number: "number" };
    const reported = { name, code: data?.code, httpStatus: data?.httpStatus, path: data?.path };
    assert.deepEqual({ ...reported, message: shape?.message, number: typeof shape?.code }, expected);
    this.errors[reason] = { code, httpStatus, number: error.shape.code };
    return error;
  }

  /** Return the requests that `calls` makes. */
  async during(calls) {
    const before = this.requests.length;
    await calls();
    return this.requests.slice(before);
  }

  async usage(companyId) {
    return (await this.query("features.check", { companyId, featureCode: "ai_credit" })).currentUsage;
  }
}

export const steps = [
  async function catalogue(scenario) {
    const tiers = await scenario.query("tiers.list"); // no input at all
    assert.deepEqual(tiers.map((tier) => tier.code), ["free", "trial", "pro", "enterprise"]);
    assert.deepEqual(await scenario.query("tiers.list", undefined), tiers);

    const pro = await scenario.query("tiers.get", { tierCode: "pro" });
    assert.deepEqual(pro.baseFee.stripe, { priceId: "price_pro_base", unitAmount: 4900, currency: "eur" });
    assert.deepEqual(pro.stripePriceIds, ["price_pro_base", "price_pro_ai_credit", "price_pro_seats"]);
    const free = await scenario.query("tiers.get", { tierCode: "free" });
    assert.equal(free.baseFee, null);
  },

  async function companies(scenario) {
    assert.equal(await scenario.query("companies.getByProductLink", { externalOrgId: "org_1" }), null);

    const optional = { domain: undefined, contactEmail: undefined, contactName: undefined, createdAt: undefined };
    const name = "Zoë & Söhne 🏗";
    const created = await scenario.mutate("companies.create", { name, externalOrgId: "org_1", ...optional });
    assert.equal(created.name, name);
    assert.equal(created.domain, null);
    assert.deepEqual(await scenario.query("companies.getByProductLink", { externalOrgId: "org_1" }), created);

    const updated = await scenario.mutate("companies.update", { companyId: created.id, createdAt: CREATED });
    assert.deepEqual(updated.createdAt, scenario.timestamp(CREATED));
    scenario.first = created.id;

    const known = await scenario.control.mutate("add_company", { name: "Acme Inc", domain: "acme.com" });
    const hints = { companyName: undefined, domain: "acme.com", emails: undefined };
    const linked = await scenario.mutate("companies.smartLink", { externalOrgId: "org 2/ü?&+#%", hints });
    assert.deepEqual([linked.status, linked.companyId], ["linked", known]);
    const nobody = { externalOrgId: "org_3", hints: { companyName: "Nobody" } };
    const none = await scenario.mutate("companies.smartLink", nobody);
    assert.deepEqual([none.status, none.companyId, none.suggestions], ["no_match", null, []]);
    const found = await scenario.query("companies.getByProductLink", { externalOrgId: "org 2/ü?&+#%" });
    assert.equal(found.id, known);
    scenario.second = known;
  },

  async function contacts(scenario) {
    const companyId = scenario.first;
    const metadata = { "a.b": [1, { c: null }], json: "text" };
    const created = await scenario.mutate("contacts.create", { companyId, email: "ann@zoe.de", name: "Ann", metadata });
    assert.deepEqual([created.isNew, created.name, created.metadata], [true, "Ann", metadata]);

    const people = [{ email: "ANN@zoe.de", role: "cto", isPrimary: true }, { email: "bob@zoe.de", name: undefined }];
    const both = await scenario.mutate("contacts.bulkUpsert", { companyId, contacts: people });
    assert.deepEqual([both.created, both.updated], [1, 1]);
    assert.deepEqual({ ...both.contacts[1], ...BLANK }, both.contacts[1]);

    assert.equal((await scenario.query("contacts.list", { companyId })).length, 2);
    const primary = await scenario.query("contacts.list", { companyId, primaryOnly: true });
    assert.deepEqual(primary.map(({ name, role }) => [name, role]), [["Ann", "cto"]]);
  },

  async function features(scenario) {
    const [companyId, externalOrgId] = [scenario.first, "org_1"];
    const applied = await scenario.mutate("tiers.apply", {
      tierCode: "free",
      companyId,
      features: { seats: { max_quantity: null, included_quantity: undefined } },
    });
    assert.deepEqual(applied, { tierCode: "free", featuresApplied: 2 });
    const seats = await scenario.query("features.check", { companyId, featureCode: "seats" });
    assert.deepEqual([seats.isEnabled, seats.canUse, seats.quantityLimit], [true, true, null]);

    const given = { externalOrgId, featureCode: "sso", isEnabled: true, source: "trial", validUntil: UNTIL };
    const access = await scenario.mutate("features.setAccess", { ...given, companyId: undefined, config: undefined });
    assert.deepEqual(access.validUntil, scenario.timestamp(UNTIL));
    const forever = { companyId, featureCode: "sso", validUntil: null, config: { idp: "okta" } };
    assert.equal((await scenario.mutate("features.setAccess", forever)).validUntil, null);
    const sso = await scenario.query("features.checkByExternalOrgId", { externalOrgId, featureCode: "sso" });
    assert.deepEqual([sso.isEnabled, sso.source, sso.validUntil], [true, "trial", null]);
    assert.deepEqual(sso.configValues, { idp: "okta" });

    const all = await scenario.query("features.listAccess", { companyId });
    assert.deepEqual(all.map((one) => one.featureCode), ["ai_credit", "seats", "team_seats", "api_access", "sso"]);
    const behind = await scenario.query("features.getAccessByExternalOrgId", { externalOrgId });
    assert.deepEqual(behind, { companyId, features: all });
  },

  async function billing(scenario) {
    const event = { companyId: scenario.first, featureCode: "ai_credit", quantity: 40, idempotencyKey: "event 1" };
    const used = await scenario.mutate("billing.trackUsage", { ...event, metadata: undefined });
    assert.deepEqual(used, { currentUsage: 40, remaining: 60, billableQuantity: 0, isAtLimit: false });
    assert.deepEqual(await scenario.mutate("billing.trackUsage", event), used); // counted once

    const { stripePriceIds: prices } = await scenario.query("tiers.get", { tierCode: "pro" });
    const checkout = await scenario.control.mutate("stripe.add_checkout_session", { price_ids: prices });
    const claim = { companyId: scenario.second, checkoutSessionId: checkout };
    const claimed = await scenario.mutate("billing.claimCheckout", claim);
    assert.equal(claimed.alreadyClaimed, false);

    const subscription = await scenario.control.mutate("stripe.add_subscription", { price_ids: ["price_of_their_own"] });
    const linked = await scenario.mutate("billing.linkSubscription", {
      companyId: scenario.second,
      stripeSubscriptionId: subscription,
      stripeCustomerId: undefined,
      displayName: "Yearly",
    });
    assert.deepEqual(linked, { subscriptionId: subscription, alreadyLinked: false, featuresApplied: 0 });

    const status = await scenario.query("billing.getStatus", { companyId: scenario.second });
    assert.deepEqual(
      status.activeSubscriptions.map((one) => [one.stripeSubscriptionId, one.displayName, one.tier]),
      [
        [claimed.subscriptionId, null, { code: "pro", name: "Pro" }],
        [subscription, "Yearly", null],
      ],
    );
    scenario.claimed = claimed.subscriptionId;
  },

  async function onboarding(scenario) {
    const optional = { checkoutSessionId: undefined, stripeSubscriptionId: undefined, createdAt: CREATED };
    const hints = { companyName: "Big Corp", domain: "big.example", emails: [] };
    const customer = { externalOrgId: "org_big", hints, tierCode: "enterprise" };
    const result = await scenario.mutate("onboard", { ...customer, ...optional });
    assert.deepEqual([result.companyName, result.linkStatus], ["Big Corp", "created"]);
    assert.deepEqual([result.billingStatus.claimed, result.billingStatus.tierApplied], [false, true]);
    scenario.big = result.companyId;

    const link = { companyId: scenario.big, externalOrgId: "org_big_2", label: "Test", externalUserId: undefined };
    assert.deepEqual(await scenario.mutate("links.create", link), { ...link, externalUserId: null });
  },

  async function refusals(scenario) {
    const { client, configuration } = scenario;
    const companyId = scenario.first;
    await scenario.refused("no such tier", client.query("tiers.get", { tierCode: "gold" }), {
      code: "NOT_FOUND",
      httpStatus: 404,
      message: /gold/,
      path: "tiers.get",
    });
    const tooMuch = { companyId, featureCode: "ai_credit", quantity: 61 };
    await scenario.refused("over the limit", client.mutate("billing.trackUsage", tooMuch), {
      code: "PRECONDITION_FAILED",
      httpStatus: 412,
      message: /101 would exceed 100/,
      path: "billing.trackUsage",
    });
    await scenario.refused("linked already", client.mutate("companies.create", { name: "X", externalOrgId: "org_1" }), {
      code: "CONFLICT",
      httpStatus: 409,
      message: /org_1/,
      path: "companies.create",
    });
    await scenario.refused("disabled", client.mutate("billing.trackUsage", { ...tooMuch, featureCode: "team_seats" }), {
      code: "FORBIDDEN",
      httpStatus: 403,
      message: /team_seats/,
      path: "billing.trackUsage",
    });
    const blank = await scenario.refused("blank text", client.query("features.check", { companyId, featureCode: " " }), {
      code: "BAD_REQUEST",
      httpStatus: 400,
      message: /featureCode: must not be blank/,
      path: "features.check",
    });
    assert.deepEqual(blank.data.zodError.fieldErrors, { featureCode: ["must not be blank"] });
    await scenario.refused("no input", client.query("tiers.get"), {
      code: "BAD_REQUEST",
      httpStatus: 400,
      message: /tierCode: is missing/,
      path: "tiers.get",
    });
    await scenario.refused("null for an input", client.query("tiers.get", null), {
      code: "BAD_REQUEST",
      httpStatus: 400,
      message: /expected an object, got null/,
      path: "tiers.get",
    });
    await scenario.refused("null for an optional field", client.query("contacts.list", { companyId, primaryOnly: null }), {
      code: "BAD_REQUEST",
      httpStatus: 400,
      message: /primaryOnly/,
      path: "contacts.list",
    });
    await scenario.refused("unknown procedure", client.query("tiers.gte", {}), {
      code: "NOT_FOUND",
      httpStatus: 404,
      message: configuration.is10 ? /^No "query"-procedure on path "tiers.gte"$/ : /^No procedure found on path/,
      path: "tiers.gte",
    });
    const wrong = configuration.is10
      ? { code: "NOT_FOUND", httpStatus: 404, message: /^No "mutation"-procedure on path "tiers.list"$/ }
      : { code: "METHOD_NOT_SUPPORTED", httpStatus: 405, message: /^Unsupported POST-request to query procedure/ };
    await scenario.refused("a query called as a mutation", client.mutate("tiers.list"), { ...wrong, path: "tiers.list" });
  },

  async function keys(scenario) {
    const unauthorized = { code: "UNAUTHORIZED", httpStatus: 401, path: "tiers.list" };
    const without = scenario.clientWith({}).query("tiers.list");
    await scenario.refused("no key", without, { ...unauthorized, message: /Missing API key/ });
    const wrong = scenario.clientWith({ authorization: "Bearer sk_other" }).query("tiers.list");
    await scenario.refused("another service's key", wrong, { ...unauthorized, message: /Invalid API key/ });

    const other = scenario.clientWith({ "x-api-key": scenario.key });
    assert.equal((await other.query("companies.getByProductLink", { externalOrgId: "org_1" })).id, scenario.first);
    const stranger = scenario.clientWith({ "x-api-key": `${scenario.key}_of_another_product` });
    assert.equal(await stranger.query("companies.getByProductLink", { externalOrgId: "org_1" }), null);
  },

  async function batches(scenario) {
    const { client, configuration } = scenario;
    const companyId = scenario.first;
    const event = { companyId, featureCode: "ai_credit", quantity: 1, idempotencyKey: "in a batch" };
    const calls = () => [
      client.query("tiers.list"),
      client.mutate("billing.trackUsage", event),
      client.query("tiers.get", { tierCode: "gold" }),
      client.query("no.such.procedure"),
      client.mutate("billing.trackUsage", { ...event, quantity: 2 }),
      client.query("features.check", { companyId, featureCode: "" }),
      client.mutate("links.create", { companyId: scenario.big, externalOrgId: "org_1" }),
      client.query("contacts.list", { companyId, primaryOnly: undefined }),
      client.mutate("contacts.bulkUpsert", { companyId, contacts: [] }),
    ];
    let outcomes;
    const requests = await scenario.during(async () => (outcomes = await Promise.allSettled(calls())));

    const codes = outcomes.map(({ value, reason }) => (value === undefined ? reason.data?.code : "ok"));
    const rest = codes.filter((_, index) => ![1, 4].includes(index));
    assert.deepEqual(rest, ["ok", "NOT_FOUND", "NOT_FOUND", "BAD_REQUEST", "CONFLICT", "ok", "ok"]);
    assert.deepEqual([codes[1], codes[4]].sort(), ["CONFLICT", "ok"]); // whichever came first has the key
    if (!configuration.isBatched) {
      assert.equal(requests.length, outcomes.length);
      return;
    }
    const status = configuration.isStreamed ? 200 : 207;
    assert.deepEqual(
      requests.sort((a, b) => (a.method < b.method ? -1 : 1)),
      [
        { method: "GET", path: "tiers.list,tiers.get,no.such.procedure,features.check,contacts.list", status },
        {
          method: "POST",
          path: "billing.trackUsage,billing.trackUsage,links.create,contacts.bulkUpsert",
          status,
        },
      ],
    );
    const gone = () => client.query("tiers.get", { tierCode: "gold" });
    const [same] = await scenario.during(() => Promise.allSettled([gone(), gone()]));
    assert.deepEqual([same.path, same.status], ["tiers.get,tiers.get", configuration.isStreamed ? 200 : 404]);
  },

  async function keylessBatch(scenario) {
    const client = scenario.clientWith({});
    const outcomes = await Promise.allSettled([client.query("tiers.list"), client.query("tiers.get", {})]);
    assert.deepEqual(outcomes.map(({ reason }) => reason?.data?.code), ["UNAUTHORIZED", "UNAUTHORIZED"]);
  },

  async function parallelMutations(scenario) {
    const event = (companyId) => ({ companyId, featureCode: "ai_credit", quantity: 1 });
    const many = (companyId) =>
      Array.from({ length: 200 }, () => scenario.client.mutate("billing.trackUsage", event(companyId)));

    const requests = await scenario.during(async () => {
      const answers = await Promise.all(many(scenario.big));
      const counts = answers.map((answer) => answer.currentUsage).sort((a, b) => a - b);
      assert.deepEqual(counts, Array.from({ length: 200 }, (_, index) => index + 1)); // each was counted by itself
    });
    assert.equal(requests.length, scenario.configuration.isBatched ? 1 : 200);
    assert.equal(await scenario.usage(scenario.big), 200);

    const left = 100 - (await scenario.usage(scenario.first));
    const outcomes = await Promise.allSettled(many(scenario.first));
    const refused = outcomes.filter(({ reason }) => reason?.data?.code === "PRECONDITION_FAILED");
    assert.equal(refused.length, 200 - left); // and everybody else got in
    assert.equal(await scenario.usage(scenario.first), 100);
  },

  async function connectionsAreKept(scenario) {
    await scenario.query("tiers.list");
    const before = scenario.connections();
    for (let count = 0; count < 25; count += 1) {
      await scenario.query("tiers.list");
      await scenario.client.query("tiers.get", { tierCode: "gold" }).catch(() => {}); // a refusal costs no connection
      await scenario.mutate("contacts.bulkUpsert", { companyId: scenario.first, contacts: [] });
    }
    const opened = scenario.connections() - before;
    assert.ok(opened < 5, `${opened} connections were opened for 75 calls`); // fetch ends what is idle for seconds
  },

  async function abortedRequests(scenario) {
    const event = { companyId: scenario.big, featureCode: "ai_credit", quantity: 1, idempotencyKey: "aborted" };

    const never = new AbortController();
    const unsent = scenario.client.mutate("billing.trackUsage", event, { signal: never.signal });
    never.abort();
    await assert.rejects(unsent, { name: "TRPCClientError", message: /abort/i });
    assert.equal(await scenario.usage(scenario.big), 200);

    const late = new AbortController();
    const abort = (response) => {
      late.abort(); // it has run by now, and the answer is not read any more
      return response;
    };
    const client = scenario.clientWith({ authorization: `Bearer ${scenario.key}` }, abort);
    const lost = client.mutate("billing.trackUsage", event, { signal: late.signal });
    await assert.rejects(lost, { name: "TRPCClientError", message: /abort/i });
    assert.equal(await scenario.usage(scenario.big), 201);
    assert.equal((await scenario.mutate("billing.trackUsage", event)).currentUsage, 201); // again, and still counted once
  },

  async function largeInputs(scenario) {
    const companyId = scenario.first;
    const metadata = { text: "ä".repeat(100_000) };
    const created = await scenario.mutate("contacts.create", { companyId, email: "long@zoe.de", metadata });
    assert.deepEqual(created.metadata, metadata);
    const unknown = scenario.client.query("tiers.get", { tierCode: "ü".repeat(1_000) }); // 6,000 characters of a URL
    assert.equal((await unknown.catch((error) => error)).data?.code, "NOT_FOUND");
  },

  async function control(scenario) {
    const { control, client } = scenario;
    await control.mutate("fail", { path: "tiers.list", error: "TOO_MANY_REQUESTS" });
    await scenario.refused("a failure that was asked for", client.query("tiers.list"), {
      code: "TOO_MANY_REQUESTS",
      httpStatus: 429,
      message: /^injected by fake\.fail\(\)$/,
      path: "tiers.list",
    });

    await control.mutate("fail", { path: "tiers.list", error: "lost" });
    const lost = await client.query("tiers.list").catch((error) => error);
    assert.equal(lost.name, "TRPCClientError", "the connection is cut");
    assert.equal(lost.data, undefined);

    const event = { companyId: scenario.big, featureCode: "ai_credit", quantity: 1, idempotencyKey: "lost" };
    await control.mutate("fail", { path: "billing.trackUsage", error: "lost", after: true });
    await assert.rejects(client.mutate("billing.trackUsage", event), { name: "TRPCClientError" });
    assert.equal(await scenario.usage(scenario.big), 202); // it ran
    assert.equal((await scenario.mutate("billing.trackUsage", event)).currentUsage, 202);

    const status = () => scenario.query("billing.getStatus", { companyId: scenario.second });
    const fees = await control.query("mrr", { company_id: scenario.second });
    assert.equal(fees, 4900);
    await control.mutate("stripe.cancel", { subscription_id: scenario.claimed });
    assert.equal((await status()).activeSubscriptions.length, 1);

    await control.mutate("add_feature", { code: "extra", name: "Extra", has_quantity: true });
    const granted = { extra: { quantity_limit: 7 } };
    await control.mutate("add_tier", { code: "plus", name: "Plus", base_fee: 100, features: granted });
    await scenario.mutate("tiers.apply", { tierCode: "plus", companyId: scenario.second });
    const extra = await scenario.query("features.check", { companyId: scenario.second, featureCode: "extra" });
    assert.equal(extra.quantityLimit, 7);

    const until = new Date(Date.now() + 3_600_000);
    const access = { companyId: scenario.second, featureCode: "extra", validUntil: until };
    await scenario.mutate("features.setAccess", access);
    await control.mutate("advance", { hours: 2 });
    const expired = await scenario.query("features.check", { companyId: scenario.second, featureCode: "extra" });
    assert.equal(expired.isEnabled, false);

    await assert.rejects(control.mutate("add_tier", { code: "x", name: "X", features: { nothing: {} } }), (error) => {
      assert.deepEqual([error.data?.code, error.shape?.code], ["BAD_REQUEST", -32600]);
      return true;
    });
    await assert.rejects(control.query("no_such_handle"), { message: /No procedure found|No "query"-procedure/ });

    const calls = await control.query("calls");
    const last = calls.at(-1);
    assert.deepEqual([last.path, last.kind, last.error], ["features.check", "query", null]);
    assert.deepEqual(last.input, { companyId: scenario.second, featureCode: "extra" });
    assert.deepEqual(await control.query("calls", { after: last.number }), []);

    const called = await control.mutate("call", { path: "tiers.get", input: { tierCode: "plus" } });
    assert.equal(called.name, "Plus");
    const products = await control.query("products");
    assert.ok(products.some((product) => product.companies >= 3 && !product.key.includes(scenario.key)));
  },

  async function snapshots(scenario) {
    const { control } = scenario;
    const before = await control.query("snapshot");
    await scenario.mutate("companies.create", { name: "Brief", externalOrgId: "org_brief" });
    await control.mutate("restore", { snapshot: before });
    assert.equal(await scenario.query("companies.getByProductLink", { externalOrgId: "org_brief" }), null);
    assert.deepEqual(await control.query("snapshot"), before);
  },

  async function resetting(scenario) {
    const { control } = scenario;
    assert.deepEqual(await scenario.mutate("links.reset"), { linksDeleted: 4, contactsDeleted: 0 }); // no input at all
    const contacts = { linksDeleted: 0, contactsDeleted: 3 };
    assert.deepEqual(await scenario.mutate("links.reset", { deleteContacts: true, resetMrr: undefined }), contacts);
    assert.deepEqual(await scenario.mutate("links.reset", {}), { linksDeleted: 0, contactsDeleted: 0 });

    await control.mutate("reset");
    assert.deepEqual(await control.query("calls"), []);
    assert.equal((await control.query("view")).companies_total, 0);
  },
];
