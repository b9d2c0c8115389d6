// The page of the local service: its data, live, and its test controls. Data is shown as text, never as HTML.

const POLL_MS = 1000;
const HIDDEN_POLL_MS = 3000;
const MAX_JSON_CHARACTERS = 20_000;
const $ = (id) => document.getElementById(id);

const page = { products: null, product: null, wanted: null, isMissing: false, version: null, view: null, isPaused: false, shownCalls: null, paths: new Set() };

// Building and updating nodes

/** Return a new element: `make("p.quiet", "text", node)`. */
function make(selector, ...children) {
  const [tag, ...classes] = selector.split(".");
  const node = document.createElement(tag);
  node.className = classes.join(" ");
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Return a button that runs an action; it is disabled while the action runs. */
function button(text, action, classes = "") {
  const node = make(`button.small${classes}`, text);
  node.type = "button";
  node.addEventListener("click", async () => {
    node.disabled = true;
    await action();
    node.disabled = false;
  });
  return node;
}

/** Show one node for each item, in their order; nodes that exist stay, with their focus and whether they are open. */
function show(list, items, keyOf, create, update) {
  list.shown ??= new Map();
  const keys = new Set(items.map(keyOf));
  for (const [key, { node }] of list.shown) {
    if (!keys.has(key)) {
      node.remove();
      list.shown.delete(key);
    }
  }
  let next = list.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let kept = list.shown.get(key);
    if (!kept) {
      kept = { node: create(item), content: null };
      list.shown.set(key, kept);
    }
    const content = JSON.stringify(item);
    if (content !== kept.content) {
      kept.content = content;
      update(kept.node, item);
    }
    if (kept.node === next) next = next.nextElementSibling;
    else list.insertBefore(kept.node, next);
  }
}

/** Offer these values in a select, and keep the chosen one. */
function offer(select, options) {
  const offered = JSON.stringify(options);
  if (select.offered === offered) return;
  select.offered = offered;
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, text]) => Object.assign(make("option", text), { value })));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

function announce(text, isBad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", isBad);
}

function json(value) {
  const text = JSON.stringify(value, null, 2) ?? "nothing";
  return text.length > MAX_JSON_CHARACTERS ? `${text.slice(0, MAX_JSON_CHARACTERS)}\n… and ${text.length - MAX_JSON_CHARACTERS} characters more` : text;
}

function money(minor, currency) {
  if (!currency) return String(minor);
  try {
    const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
    return format.format(minor / 10 ** format.resolvedOptions().maximumFractionDigits);
  } catch {
    return `${minor} ${currency}`;
  }
}

const amount = (number) => new Intl.NumberFormat(undefined, { maximumFractionDigits: 6 }).format(number);
const moment = (text) => new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

// The control API

class Refused extends Error {}

async function ask(name, input, { isMutation = false, product = page.product } = {}) {
  const headers = product ? { "x-fake-product": product } : {};
  const query = isMutation || input === undefined ? "" : `?input=${encodeURIComponent(JSON.stringify(input))}`;
  const body = isMutation ? JSON.stringify(input ?? {}) : undefined;
  if (isMutation) headers["content-type"] = "application/json";
  const response = await fetch(`/__fake__/${name}${query}`, { method: isMutation ? "POST" : "GET", headers, body });
  const answer = await response.json();
  if (answer.error) throw new Refused(answer.error.message);
  return answer.result.data;
}

/** Use a test control, announce the result, and refresh. */
async function act(name, input, done, product = page.product) {
  let message = done;
  let isBad = false;
  try {
    await ask(name, input, { isMutation: true, product });
  } catch (error) {
    message = error instanceof Refused ? error.message : "The service does not respond.";
    isBad = true;
  }
  announce(product === page.product ? message : `${keyOf(product)}: ${message}`, isBad);
  await refresh();
}

// Companies

function createCompany(company) {
  const node = make("details.card.company");
  const summary = make("summary");
  const inside = make("div.inside");
  const select = make("select");
  const apply = button("Apply", () => {
    const tier = select.selectedOptions[0]?.textContent ?? "";
    return act("call", { path: "tiers.apply", input: { companyId: company.id, tierCode: select.value } }, `Applied the tier ${tier}.`);
  });
  const label = make("label", "Tier ");
  label.append(select);
  node.parts = { summary, access: make("div.access"), facts: make("dl.facts"), select };
  inside.append(node.parts.access, node.parts.facts, make("div.tier", label, apply));
  node.append(summary, inside);
  return node;
}

function updateCompany(node, { company, tiers, now }) {
  const { summary, access, facts, select } = node.parts;
  const links = company.links.map((link) => link.externalOrgId).join(", ");
  summary.replaceChildren(
    make("span.name", company.name),
    make("span.id", links || "not linked"),
    company.tier ? make("span.tag.good", company.tier.name) : make("span.tag", "no tier"),
    make("span.money", company.mrr ? `${money(company.mrr, company.currency)} a month` : ""),
  );
  access.replaceChildren(...company.access.map((feature) => featureLine(feature, now)));
  facts.replaceChildren(
    ...[
      ["Id", make("span.id", company.id)],
      ["Domain", company.domain],
      ["Created", company.createdAt && moment(company.createdAt)],
      ["Links", company.links.map((link) => (link.label ? `${link.externalOrgId} (${link.label})` : link.externalOrgId)).join(", ")],
      ["Contacts", company.contacts.map(contactText).join(", ")],
    ].flatMap(([name, value]) => (value ? [make("dt", name), make("dd", value)] : [])),
  );
  const isUntouched = !select.offered;
  offer(select, tiers.map((tier) => [tier.code, tier.name]));
  if (isUntouched && company.tier) select.value = company.tier.code;
}

function contactText(contact) {
  const details = [contact.name, contact.role, contact.isPrimary && "primary"].filter(Boolean).join(", ");
  return details ? `${contact.email} (${details})` : contact.email;
}

/** Return a company's access to a feature; each state has a word, not only a colour. */
function featureLine(feature, now) {
  const { currentUsage: usage, quantityLimit: limit } = feature;
  const isExpired = feature.validUntil && new Date(feature.validUntil) <= new Date(now);
  const bar = make("div.bar");
  let text = "included";
  let tag = null;
  if (!feature.isEnabled) {
    tag = isExpired ? make("span.tag.warn", "expired") : make("span.tag", "off");
    text = feature.hasQuantity && usage ? `${amount(usage)} used` : "";
    bar.classList.add("nothing");
  } else if (!feature.hasQuantity) {
    tag = make("span.tag.good", "on");
    bar.classList.add("nothing");
  } else if (limit === null) {
    text = `${amount(usage ?? 0)} used`;
    tag = make("span.tag.good", "unlimited");
    bar.classList.add("unlimited");
  } else {
    const share = limit > 0 ? Math.min(1, (usage ?? 0) / limit) : 1;
    text = `${amount(usage ?? 0)} of ${amount(limit)}`;
    bar.append(make("i"));
    bar.firstChild.style.width = `${share * 100}%`;
    if (share >= 1) {
      bar.classList.add("full");
      tag = make("span.tag.bad", "at its limit");
    } else if (share >= 0.8) bar.classList.add("near");
    for (const [name, value] of Object.entries({ valuemin: 0, valuemax: limit, valuenow: usage ?? 0, label: feature.featureName })) {
      bar.setAttribute(`aria-${name}`, value);
    }
    bar.setAttribute("role", "meter");
  }
  const line = make("div.feature", make("span.label", feature.featureName, " "), bar, make("span.amount", text, tag && text ? " " : "", tag));
  line.classList.toggle("off", !feature.isEnabled);
  const details = [feature.featureCode, feature.source && `from ${feature.source}`, feature.validUntil && `until ${moment(feature.validUntil)}`];
  line.title = details.filter(Boolean).join(", ");
  return line;
}

// Stripe

function createSession(session) {
  const complete = button("Complete", () => act("stripe.complete", { session_id: session.id }, "The checkout is complete."), ".primary");
  complete.setAttribute("aria-label", `Complete the checkout ${session.id}`);
  const node = make("div.card.row", make("div.grow"), complete);
  node.parts = { text: node.firstChild, complete };
  return node;
}

function updateSession(node, session) {
  const state = session.company ? ["tag.good", `claimed by ${session.company.name}`] : session.isComplete ? ["tag.warn", "complete, not claimed"] : ["tag", "open"];
  node.parts.text.replaceChildren(
    make("div", make("span.id", session.id), " ", make(`span.${state[0]}`, state[1])),
    make("div.none", [session.customerName, session.priceIds.join(", ")].filter(Boolean).join(": ")),
  );
  node.parts.complete.hidden = session.isComplete;
}

function createSubscription(subscription) {
  const given = { subscription_id: subscription.id };
  const buttons = [
    button("Renew", () => act("stripe.renew", given, "A new billing period: usage is 0 again.")),
    button("Cancel", () => act("stripe.cancel", given, "The subscription is cancelled."), ".danger"),
  ];
  for (const one of buttons) one.setAttribute("aria-label", `${one.textContent} the subscription ${subscription.id}`);
  const node = make("div.card.row", make("div.grow"), ...buttons);
  node.parts = { text: node.firstChild, buttons };
  return node;
}

function updateSubscription(node, subscription) {
  const { company, tierCode, isActive } = subscription;
  node.parts.text.replaceChildren(
    make("div", make("span.id", subscription.id), " ", isActive ? make("span.tag.good", "active") : make("span.tag.bad", "cancelled")),
    make("div.none", [company ? company.name : "of no company yet", tierCode, subscription.priceIds.join(", ")].filter(Boolean).join(" · ")),
  );
  const [renew, cancel] = node.parts.buttons;
  renew.hidden = !isActive || !company; // without a company there is no usage to reset
  cancel.hidden = !isActive;
}

// Calls

function createCall(call) {
  const node = make(`details.card.call${call.error ? ".bad" : ""}`);
  const brief = call.error ? `${call.error.code}: ${call.error.message}` : summarize(call.input);
  node.append(make("summary", make("span.number", `${call.number}`), make("span.path", call.path), make("span.brief", brief), make("span.ms", `${call.ms.toFixed(2)} ms`)));
  // The content may be large, so it is created when the call is opened.
  node.addEventListener("toggle", () => {
    if (!node.open || node.children.length > 1) return;
    const result = call.error ? ["Error", call.error] : ["Response", call.answer];
    const blocks = [["Input", call.input], result].flatMap(([name, value]) => [make("h3", name), make("pre", make("code", json(value)))]);
    node.append(make("div.inside", make("p.none", `${call.kind} at ${new Date(call.at).toLocaleString()}`), ...blocks));
  });
  return node;
}

function summarize(input) {
  if (input === null || typeof input !== "object") return "";
  const text = Object.entries(input).map(([name, value]) => `${name}: ${typeof value === "object" ? "…" : value}`).join(", ");
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function showCalls() {
  const wanted = $("filter").value.trim().toLowerCase();
  const calls = (page.shownCalls ?? []).filter((call) => !wanted || JSON.stringify(call).toLowerCase().includes(wanted));
  show($("call-list"), calls, (call) => `${call.number} ${call.at}`, createCall, () => {});
  $("calls-none").hidden = calls.length > 0;
}

function faultText(fault) {
  const subject = fault.times === 1 ? "The next call" : `The next ${fault.times} calls`;
  const effect = fault.error === "lost" ? "gets no response" : `fails with ${fault.error}`;
  return `${subject}${fault.path ? ` of ${fault.path}` : ""} ${fault.times === 1 ? effect : effect.replace("gets", "get").replace("fails", "fail")}${fault.after ? ", after it was carried out" : ""}.`;
}

// The whole page

function render(view) {
  page.view = view;
  $("main").hidden = false;
  const { companies_found: found, companies_total: total, catalogue } = view;
  $("now").textContent = moment(view.now);
  $("now").dateTime = view.now;
  const days = view.moved_by_seconds / 86400;
  $("moved").textContent = days ? `(${amount(Math.round(days * 100) / 100)} days ahead)` : "";
  $("companies-count").textContent = found > view.companies.length ? `${view.companies.length} of ${found}` : `${found}${found < total ? ` of ${total}` : ""}`;
  const rows = view.companies.map((company) => ({ company, tiers: catalogue.tiers, now: minute(view.now) }));
  show($("company-list"), rows, (row) => row.company.id, (row) => createCompany(row.company), updateCompany);
  const list = $("company-list");
  if (rows.length === 1 && list.dataset.opened !== page.product) {
    list.firstElementChild.open = true; // with one company there is nothing to choose
    list.dataset.opened = page.product;
  }
  $("companies-none").hidden = total > 0;
  show($("session-list"), view.sessions, (one) => one.id, createSession, updateSession);
  $("sessions-none").hidden = view.sessions.length > 0;
  show($("subscription-list"), view.subscriptions, (one) => one.id, createSubscription, updateSubscription);
  $("subscriptions-none").hidden = view.subscriptions.length > 0;
  offer($("checkout-tier"), catalogue.tiers.filter((tier) => tier.baseFee !== null).map((tier) => [tier.code, tier.name]));
  $("checkout").hidden = !catalogue.tiers.some((tier) => tier.baseFee !== null);
  const faults = view.faults.map((fault, index) => ({ fault, index }));
  show($("fault-list"), faults, (one) => one.index, () => make("div.card.row.fault"), (node, { fault }) => node.replaceChildren(faultText(fault)));
  for (const call of view.calls) page.paths.add(call.path);
  if (!page.isPaused || page.shownCalls === null) {
    page.shownCalls = view.calls;
    showCalls();
  }
}

/** Return a timestamp rounded to its minute, so that a card is not drawn again each second. */
const minute = (text) => `${text.slice(0, 16)}:59.999Z`;

let refreshing = null;
let timer = null;

/** Refresh the page; one refresh at a time. */
function refresh() {
  refreshing ??= refreshOnce().finally(() => {
    refreshing = null;
    clearTimeout(timer);
    timer = setTimeout(refresh, document.hidden ? HIDDEN_POLL_MS : POLL_MS);
  });
  return refreshing;
}

async function refreshOnce() {
  try {
    choose(await ask("products"));
    const product = page.product;
    if (product) {
      const search = $("search").value.trim();
      const view = await ask("view", page.version === null ? { search } : { search, since: page.version });
      if (!view.unchanged && search === $("search").value.trim() && product === page.product) {
        render(view);
        page.version = view.version;
      }
    }
    $("gone").hidden = true;
  } catch (error) {
    page.version = null; // another service may answer next
    if (error instanceof Refused) announce(error.message, true);
    else $("gone").hidden = false;
  }
}

/** Offer the products, and choose the one in the address, else the one that is shown, else the first. */
function choose(products) {
  page.products = products;
  const wanted = new URLSearchParams(location.hash.slice(1)).get("product") ?? page.wanted ?? products[0]?.id ?? null;
  page.wanted = wanted;
  const chosen = products.find((product) => product.id === wanted);
  // If the product that was shown is missing, no other one is chosen: a click must not change it.
  page.isMissing = wanted !== null && !chosen;
  const options = products.map((product) => [product.id, product.key]);
  offer($("product"), page.isMissing ? [["", "choose one"], ...options] : options);
  $("product").disabled = !page.isMissing && products.length < 2;
  if ((chosen?.id ?? null) !== page.product || page.isMissing) closeDialogs();
  if ((chosen?.id ?? null) !== page.product) {
    page.product = chosen?.id ?? null;
    forget();
  }
  if (page.product) $("product").value = page.product;
  const isNew = products.length === 0 && !page.isMissing;
  $("welcome").hidden = !isNew;
  $("missing").hidden = !page.isMissing;
  document.body.classList.toggle("new", isNew);
  document.body.classList.toggle("idle", !page.product);
}

/** Remove the data of a product until the data of the next one is there. */
function forget() {
  page.version = page.view = page.shownCalls = null;
  page.paths.clear();
  $("main").hidden = true;
  $("now").textContent = "–";
  $("moved").textContent = "";
  for (const id of ["company-list", "session-list", "subscription-list", "fault-list", "call-list"]) {
    $(id).replaceChildren();
    $(id).shown = new Map();
  }
}

/** Return the name of a product. */
function keyOf(id) {
  return page.products.find((product) => product.id === id)?.key ?? "another product";
}

// Controls

/** Refresh at once, for another product or search. */
async function refreshNow() {
  await refreshing;
  page.version = null;
  await refresh();
}

$("product").addEventListener("change", () => {
  location.hash = new URLSearchParams({ product: $("product").value });
  choose(page.products); // at once: from now on, a click is about the chosen product
});
window.addEventListener("hashchange", () => {
  if (page.products) choose(page.products);
  refreshNow();
});
document.addEventListener("visibilitychange", refresh);
$("search").addEventListener("input", refreshNow);
$("filter").addEventListener("input", showCalls);

$("pause").addEventListener("click", () => {
  page.isPaused = !page.isPaused;
  $("pause").setAttribute("aria-pressed", page.isPaused);
  if (!page.isPaused && page.view) {
    page.shownCalls = page.view.calls;
    showCalls();
  }
});

for (const node of document.querySelectorAll("[data-advance]")) {
  const days = Number(node.dataset.advance);
  node.addEventListener("click", () => act("advance", { days }, `The clock moved forward by ${days === 1 ? "a day" : `${days} days`}.`));
}

$("checkout").addEventListener("submit", async (event) => {
  event.preventDefault();
  const product = page.product; // another one may be chosen during the request
  const code = $("checkout-tier").value;
  try {
    const tier = await ask("call", { path: "tiers.get", input: { tierCode: code } }, { isMutation: true, product });
    await act("stripe.add_checkout_session", { price_ids: tier.stripePriceIds, complete: false }, `A checkout of ${tier.name} is open.`, product);
  } catch (error) {
    announce(error.message, true);
  }
});

/** Open a dialog about the product that is shown now; its buttons are about this one, whichever is chosen later. */
function open(dialog) {
  dialog.product = page.product;
  for (const node of dialog.querySelectorAll(".which")) node.textContent = keyOf(page.product);
  dialog.showModal();
}

function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
}

$("fail").addEventListener("click", () => {
  offer($("fail-path"), [["", "any procedure"], ...[...page.paths].sort().map((path) => [path, path])]);
  open($("fail-dialog"));
});
$("fail-form").addEventListener("submit", () => {
  const path = $("fail-path").value;
  const given = { error: $("fail-error").value, times: Number($("fail-times").value), after: $("fail-after").checked };
  act("fail", path ? { ...given, path } : given, "The next calls will fail.", $("fail-dialog").product);
});

$("reset").addEventListener("click", () => {
  $("reset-id").textContent = page.product;
  open($("reset-dialog"));
});
$("reset-form").addEventListener("submit", (event) => {
  const product = $("reset-dialog").product;
  if (event.submitter?.value !== "forget") {
    act("reset", {}, "Deleted everything but features and tiers.", product);
    return;
  }
  page.wanted = null;
  history.replaceState(null, "", location.pathname);
  act("forget", {}, "Forgot the product.", product);
});

for (const node of document.querySelectorAll("[data-close]")) {
  node.addEventListener("click", () => node.closest("dialog").close());
}

const base = `${location.origin}/api/v1`;
$("base").textContent = base;
$("example-curl").textContent = `curl '${base}/tiers.list' -H 'x-api-key: os_sk_test'`;
$("example-python").textContent = `from chatarmin_os import ChatarminOS

client = ChatarminOS("os_sk_test", base_url="${base}")
client.onboard(external_org_id="org_1", tier_code="free")`;
$("example-typescript").textContent = `const links = [httpBatchLink({ url: "${base}", headers: { authorization: "Bearer os_sk_test" } })];
await createTRPCUntypedClient({ links }).mutation("onboard", { externalOrgId: "org_1", tierCode: "free" });`;

refresh();
