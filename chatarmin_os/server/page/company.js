// One company: its facts, why it may use each feature, its usage over time, its timeline.

import { usageFigure } from "./chart.js";
import { $, amount, button, clear, make, moment, money, offer, show, terms, time, visible } from "./dom.js";

/** Show a company. `actions` are `apply(company, tier)` and `openCall(number)`. */
export function showCompany(view, tiers, actions) {
  const { company } = view;
  $("company-name").textContent = $("company-name").title = visible(company.name);
  $("company-missing").hidden = true;
  $("company-content").hidden = false;
  $("company-facts").replaceChildren(
    ...terms([
      ["Id", make("span.id", company.id)],
      ["Domain", company.domain],
      ["Created", company.createdAt && moment(company.createdAt)],
      ["Links", company.links.map((one) => (one.label ? `${one.externalOrgId} (${one.label})` : one.externalOrgId)).join(", ") || "not linked"],
      ["Tier", company.tier ? company.tier.name : "no tier"],
      ["Revenue", company.mrr ? `${money(company.mrr, company.currency)} a month` : null],
      ["Contacts", company.contacts.map(contactText).join(", ")],
    ]),
  );
  const select = $("company-tier");
  const isUntouched = select.company !== company.id;
  offer(select, tiers.map((tier) => [tier.code, tier.name]));
  if (isUntouched && company.tier) select.value = company.tier.code;
  if (tiers.length) select.company = company.id;
  const reasons = new Map(view.reasons.map((reason) => [reason.featureCode, reason]));
  const features = company.access.map((access) => ({ access, reason: reasons.get(access.featureCode), now: minute(view.now) }));
  show($("company-access"), features, (one) => `${company.id} ${one.access.featureCode}`, createFeature, updateFeature);
  showUsage(view, tiers);
  show($("event-list"), view.events, (event) => `${company.id} ${event.id}`, (event) => createEvent(event, actions), () => {});
  $("events-none").hidden = view.events.length > 0;
  $("events-older").hidden = !view.has_more;
}

/** Say that a company does not exist. */
export function showMissingCompany(id) {
  $("company-name").textContent = visible(id);
  $("company-missing").hidden = false;
  $("company-content").hidden = true;
}

export function forgetCompany() {
  $("company-name").textContent = "–";
  $("company-content").hidden = true;
  $("company-missing").hidden = true;
  $("usage-figure").shown = null;
  $("company-tier").company = null;
  for (const id of ["company-facts", "company-access", "usage-figure", "event-list"]) clear($(id));
}

/** Return a timestamp rounded to its minute, so that a feature is not drawn again each second. */
const minute = (text) => `${text.slice(0, 16)}:59.999Z`;

function contactText(contact) {
  const details = [contact.name, contact.role, contact.isPrimary && "primary"].filter(Boolean).join(", ");
  return details ? `${contact.email} (${details})` : contact.email;
}

// Features

function createFeature() {
  const node = make("li.reason");
  const more = make("details", make("summary", "Facts"), make("dl.facts"), make("div.remedy"));
  node.parts = { line: make("div"), text: make("p.why"), more };
  node.append(node.parts.line, node.parts.text, more);
  return node;
}

function updateFeature(node, { access, reason, now }) {
  const { line, text, more } = node.parts;
  line.replaceChildren(featureLine(access, now));
  const verdict = access.canUse ? make("span.tag.good", "allowed") : make("span.tag.bad", "refused");
  text.replaceChildren(verdict, " ", reason ? `${reason.text}.` : `Run chatarmin-os explain to learn why.`);
  more.hidden = !reason;
  if (!reason) return;
  more.querySelector("summary").textContent = `Facts${reason.whatToDo.length ? " and what to do" : ""}`;
  more.querySelector("dl").replaceChildren(...terms(reason.facts));
  const remedy = reason.whatToDo.length ? [make("h4", "What to do"), make("pre", make("code", reason.whatToDo.join("\n")))] : [];
  more.querySelector(".remedy").replaceChildren(...remedy);
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

// Usage over time

function showUsage(view, tiers) {
  const select = $("usage-feature");
  const busiest = [...view.usage].sort((one, other) => other.points.length - one.points.length)[0];
  const isUntouched = select.company !== view.company.id;
  offer(select, view.usage.map((one) => [one.code, one.name]));
  if (isUntouched && busiest) select.value = busiest.code;
  select.company = view.company.id;
  select.redraw = () => drawUsage(view, tiers);
  select.redraw();
  $("usage-none").hidden = view.usage.length > 0;
  $("usage-choice").hidden = view.usage.length < 2;
}

function drawUsage(view, tiers) {
  const feature = view.usage.find((one) => one.code === $("usage-feature").value);
  const figure = $("usage-figure");
  // The last point is now: it alone is no reason to draw again, and to close the table, before a minute has passed.
  const content = JSON.stringify([feature?.code, feature?.points.slice(0, -1), { ...feature?.points.at(-1), before: 0, at: minute(view.now) }, view.company.id, view.company.tier, tiers]);
  if (figure.shown === content) return;
  figure.shown = content;
  const isOpen = figure.querySelector(".numbers")?.open ?? false;
  figure.replaceChildren(...(feature ? [usageFigure(feature), billText(feature, view.company, tiers)] : []));
  if (feature) figure.querySelector(".numbers").open = isOpen;
}

/** Return the price of the billable quantity, if the tier has one. */
function billText(feature, company, tiers) {
  const tier = tiers.find((one) => one.code === company.tier?.code);
  const price = tier?.features.find((one) => one.code === feature.code)?.unitAmount ?? null;
  const { billable } = feature.points.at(-1);
  if (price === null || !billable) return make("p.bill");
  return make("p.bill", `${amount(billable)} billable × ${money(price, tier.currency)} = ${money(price * billable, tier.currency)}, by the price of the tier ${tier.name}.`);
}

// The timeline

function createEvent(event, { openCall }) {
  const isBad = event.outcome !== "ok";
  const call = event.number === null ? make("span.path", `test control ${event.path}`) : button(`${event.path} #${event.number}`, () => openCall(event.number), ".path");
  if (event.number !== null) call.setAttribute("aria-label", `Show call ${event.number}, ${event.path}`);
  const how = make("p.how", time(event.at), " ", call, " ", make(`span.tag.${isBad ? "bad" : "good"}`, event.outcome));
  const facts = event.facts.map((fact) => make("li", make(`span.tag.kind${fact.kind === "refusal" ? ".bad" : ""}`, fact.kind === "nothing" ? "no change" : fact.kind), " ", fact.text));
  return make(`li.event${isBad ? ".bad" : ""}`, how, make("ul", ...facts));
}
