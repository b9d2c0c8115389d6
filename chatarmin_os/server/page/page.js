// The page of the local service: its data, live, and its test controls. Data is shown as text, never as HTML.

import { createCall, faultText } from "./calls.js";
import { showCatalogue } from "./catalogue.js";
import { forgetCompany, showCompany, showMissingCompany } from "./company.js";
import { act, addressOf, announce, ask, page, Refused } from "./control.js";
import { closeDialogs, open } from "./dialogs.js";
import { $, amount, clear, exactMoment, focusOn, keepingFocus, link, make, money, named, offer, show } from "./dom.js";
import "./export.js";
import { showStripe, stripeLimit } from "./stripe.js";

const POLL_MS = 1000;
const HIDDEN_POLL_MS = 3000;
const COMPANIES = 20; // of one page of the list
const CALLS = 25;

// Companies

function createCompany(company) {
  return link("a.card.company.row", addressOf(company.id));
}

function updateCompany(node, company) {
  const links = company.links.map((one) => one.externalOrgId).join(", ");
  node.replaceChildren(
    named("span.name", company.name),
    make("span.id", links || "not linked"),
    company.tier ? make("span.tag.good", company.tier.name) : make("span.tag", "no tier"),
    make("span.money", company.mrr ? `${money(company.mrr, company.currency)} a month` : ""),
  );
}

function showCompanies(view) {
  const { companies_found: found, companies_total: total, companies } = view;
  const range = companies.length < found ? `${companies.length ? page.skip + 1 : 0}–${page.skip + companies.length} of ${amount(found)}` : amount(found);
  $("companies-count").textContent = found < total ? `${range} (${amount(total)} in all)` : range;
  show($("company-list"), companies, (one) => one.id, createCompany, updateCompany);
  $("companies-none").hidden = total > 0;
  $("companies-unmatched").hidden = total === 0 || found > 0;
  $("companies-newer").hidden = page.skip === 0;
  $("companies-older").hidden = page.skip + companies.length >= found;
}

/** Show an earlier or a later page of companies. */
function turn(by) {
  page.skip = Math.max(0, page.skip + by);
  return refreshNow();
}

// Calls

function showCalls({ calls, has_more_calls: hasMore }) {
  show($("call-list"), calls, (call) => `${call.number} ${call.at}`, createCall, () => {});
  $("calls-none").hidden = calls.length > 0;
  $("calls-none").textContent = $("filter").value.trim() ? "No call matches, of those that the service keeps." : "No calls yet.";
  $("calls-older").hidden = !hasMore;
  $("calls-newest").hidden = page.callsBefore === null;
}

/** Show an earlier page of calls, or the newest one. */
function turnCalls(before) {
  page.callsBefore = before;
  return refreshNow();
}

/** Search the calls: by a company, or for a text. */
function searchCalls(text) {
  $("filter").value = text;
  $("calls").scrollIntoView();
  return turnCalls(null);
}

/** Show one call, opened, at the top of the list. */
async function openCall(number) {
  $("filter").value = "";
  await turnCalls(number + 1);
  const node = $("call-list").firstElementChild;
  if (page.view?.calls[0]?.number !== number) {
    announce(`The call ${number} is not kept any more: the service keeps the last calls only.`, true);
    return;
  }
  node.open = true;
  node.scrollIntoView({ block: "nearest" });
  node.querySelector("summary").focus();
}

// The whole page

function render(view) {
  page.view = view;
  $("main").hidden = false;
  showClock(view);
  if (page.company) drawCompany(); // it shows the tiers of the catalogue, and may have come first
  else {
    showCompanies(view);
    showCatalogue(view.catalogue);
    showStripe(view);
  }
  const faults = view.faults.map((fault, index) => ({ fault, index }));
  show($("fault-list"), faults, (one) => one.index, () => make("div.card.row.fault"), (node, { fault }) => node.replaceChildren(faultText(fault)));
  for (const call of view.calls) page.paths.add(call.path);
  if (page.isPaused) page.pausedAt ??= view.calls[0]?.number ?? 0;
  showCalls(view);
}

function showClock({ now, real_now: real, moved_by_seconds: seconds }) {
  $("now").textContent = exactMoment(now);
  $("now").dateTime = now;
  $("real-now").textContent = exactMoment(real);
  $("real-now").dateTime = real;
  const days = seconds / 86400;
  $("moved").textContent = days ? `(${amount(Math.round(days * 100) / 100)} days ahead)` : "";
}

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
    if (page.product) await Promise.all([refreshView(), refreshCompany()]);
    $("gone").hidden = true;
  } catch (error) {
    page.version = page.companyVersion = null; // another service may answer next
    if (error instanceof Refused) announce(error.message, true);
    else $("gone").hidden = false;
  }
}

/** Return what the view is asked for: a page of companies and a page of calls. */
function wantedView() {
  const before = page.callsBefore ?? (page.isPaused && page.pausedAt !== null ? page.pausedAt + 1 : null);
  // While one company is shown, the lists are hidden and stay as they are.
  const lists = page.company ? { limit: 0, stripe_limit: 0 } : { search: $("search").value.trim(), skip: page.skip, limit: COMPANIES, stripe_limit: stripeLimit() };
  const wanted = { ...lists, with_access: false, call_search: $("filter").value.trim(), call_limit: CALLS };
  return before === null ? wanted : { ...wanted, calls_before: before };
}

async function refreshView() {
  const product = page.product;
  const wanted = wantedView();
  const view = await ask("view", page.version === null ? wanted : { ...wanted, since: page.version });
  if (product !== page.product || JSON.stringify(wanted) !== JSON.stringify(wantedView())) return;
  if (view.unchanged) showClock(view);
  else keepingFocus(() => render(view));
  page.version = view.version;
}

async function refreshCompany() {
  const { product, company } = page;
  if (!company) return;
  const wanted = { company };
  const view = await ask("company", page.companyVersion === null ? wanted : { ...wanted, since: page.companyVersion });
  if (product !== page.product || company !== page.company) return;
  page.companyVersion = view.version;
  if (view.unchanged) return;
  if (view.company) renderCompany(view);
  else {
    page.companyView = null;
    page.events = [];
    showMissingCompany(company);
  }
}

/** Show a company; older events that were asked for stay below the newest ones. */
function renderCompany(view) {
  const oldest = view.events.at(-1)?.id ?? 0;
  const older = page.events.length && view.has_more && page.events[0].id >= oldest ? page.events.filter((event) => event.id < oldest) : [];
  if (older.length === 0) page.hasMoreEvents = view.has_more;
  page.events = [...view.events, ...older];
  page.companyView = { ...view, events: page.events, has_more: page.hasMoreEvents };
  drawCompany();
}

function drawCompany() {
  if (page.companyView) keepingFocus(() => showCompany(page.companyView, page.view?.catalogue.tiers ?? [], { openCall }));
}

async function showOlderEvents() {
  const { company, product } = page;
  const view = await ask("company", { company, before: page.events.at(-1).id });
  if (company !== page.company || product !== page.product) return;
  page.events.push(...view.events);
  page.hasMoreEvents = view.has_more;
  page.companyView = { ...page.companyView, events: page.events, has_more: view.has_more };
  drawCompany();
}

/** Offer the products, and choose the one in the address, else the one that is shown, else the first. */
function choose(products) {
  page.products = products;
  const address = new URLSearchParams(location.hash.slice(1));
  const wanted = address.get("product") ?? page.wanted ?? products[0]?.id ?? null;
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
  chooseCompany(page.product ? address.get("company") || null : null);
  const isNew = products.length === 0 && !page.isMissing;
  $("welcome").hidden = !isNew;
  $("missing").hidden = !page.isMissing;
  document.body.classList.toggle("new", isNew);
  document.body.classList.toggle("idle", !page.product);
}

/** Show the company of the address, or the list of companies without one. */
function chooseCompany(company) {
  $("overview").hidden = company !== null;
  $("company").hidden = company === null;
  if (company === page.company) return;
  page.company = company;
  page.companyVersion = page.companyView = null;
  page.events = [];
  forgetCompany();
  document.title = company ? `${company} – ChatarminOS (fake)` : "ChatarminOS (fake)";
  $("company-back").href = addressOf(null);
}

/** Remove the data of a product until the data of the next one is there. */
function forget() {
  page.version = page.view = page.pausedAt = page.callsBefore = null;
  page.skip = 0;
  page.company = undefined; // so that the next one is chosen, also if it has the same id
  page.paths.clear();
  $("main").hidden = true;
  for (const id of ["now", "real-now"]) $(id).textContent = "–";
  $("moved").textContent = "";
  $("catalogue-content").content = null;
  for (const id of ["company-list", "session-list", "subscription-list", "fault-list", "call-list"]) clear($(id));
}

// Controls

/** Refresh at once, for another product, page or search. */
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
  const before = page.company;
  if (page.products) choose(page.products);
  if (page.company !== before && page.product) {
    focusOn($(page.company ? "company-name" : "companies-title"));
    window.scrollTo(0, 0);
  }
  refreshNow();
});
document.addEventListener("visibilitychange", refresh);
$("search").addEventListener("input", () => {
  page.skip = 0;
  refreshNow();
});
$("filter").addEventListener("input", () => turnCalls(null));
$("companies-older").addEventListener("click", () => turn(COMPANIES));
$("companies-newer").addEventListener("click", () => turn(-COMPANIES));
for (const [id, before] of [["calls-older", () => page.view.calls.at(-1).number], ["calls-newest", () => null]]) {
  $(id).addEventListener("click", async () => {
    await turnCalls(before());
    $("calls").scrollIntoView();
  });
}
$("events-older").addEventListener("click", showOlderEvents);
$("usage-feature").addEventListener("change", () => $("usage-feature").redraw());
$("company-calls").addEventListener("click", () => searchCalls(page.companyView.company.id));
$("catalogue").addEventListener("toggle", () => page.view && showCatalogue(page.view.catalogue));
$("stripe-more").addEventListener("click", () => {
  page.isWhole = true;
  refreshNow();
});
$("company-apply").addEventListener("click", () => {
  const select = $("company-tier");
  const input = { companyId: page.companyView.company.id, tierCode: select.value };
  act("call", { path: "tiers.apply", input }, `Applied the tier ${select.selectedOptions[0]?.textContent ?? ""}.`);
});

$("pause").addEventListener("click", () => {
  page.isPaused = !page.isPaused;
  page.pausedAt = page.isPaused ? (page.view?.calls[0]?.number ?? 0) : null;
  $("pause").setAttribute("aria-pressed", page.isPaused);
  refreshNow();
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
  chooseCompany(null);
  act("forget", {}, "Forgot the product.", product);
});

$("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the product and the company
  $("main").focus();
});

const base = `${location.origin}/api/v1`;
$("base").textContent = base;
$("example-curl").textContent = `curl '${base}/tiers.list' -H 'x-api-key: os_sk_test'`;
$("example-python").textContent = `from chatarmin_os import ChatarminOS

client = ChatarminOS("os_sk_test", base_url="${base}")
client.onboard(external_org_id="org_1", tier_code="free")`;
$("example-typescript").textContent = `const links = [httpBatchLink({ url: "${base}", headers: { authorization: "Bearer os_sk_test" } })];
await createTRPCUntypedClient({ links }).mutation("onboard", { externalOrgId: "org_1", tierCode: "free" });`;

page.refresh = refresh;
refresh();
