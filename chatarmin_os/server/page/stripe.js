// Stripe: checkout sessions and subscriptions, with their controls.

import { act, addressOf, page } from "./control.js";
import { $, button, link, make, offer, show } from "./dom.js";

const ROWS = 10; // until more are asked for
const MAX_ROWS = 50;

/** Return how many rows are needed: with one more than are shown, it is known whether there are more. */
export const stripeLimit = () => (page.isWhole ? MAX_ROWS : ROWS + 1);

function createSession(session) {
  const complete = button("Complete", () => act("stripe.complete", { session_id: session.id }, "The checkout is complete."), ".primary");
  complete.setAttribute("aria-label", `Complete the checkout ${session.id}`);
  const node = make("div.card.row", make("div.grow"), complete);
  node.parts = { text: node.firstChild, complete };
  return node;
}

function updateSession(node, session) {
  const state = session.company ? ["tag.good", "claimed by ", link("a", addressOf(session.company.id), session.company.name)] : session.isComplete ? ["tag.warn", "complete, not claimed"] : ["tag", "open"];
  node.parts.text.replaceChildren(
    make("div", make("span.id", session.id), " ", make(`span.${state[0]}`, ...state.slice(1))),
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
    make("div.none", company ? link("a", addressOf(company.id), company.name) : "of no company yet", ...[tierCode, subscription.priceIds.join(", ")].filter(Boolean).flatMap((text) => [" · ", text])),
  );
  const [renew, cancel] = node.parts.buttons;
  renew.hidden = !isActive || !company; // without a company there is no usage to reset
  cancel.hidden = !isActive;
}

export function showStripe(view) {
  const count = page.isWhole ? MAX_ROWS : ROWS;
  show($("session-list"), view.sessions.slice(0, count), (one) => one.id, createSession, updateSession);
  $("sessions-none").hidden = view.sessions.length > 0;
  show($("subscription-list"), view.subscriptions.slice(0, count), (one) => one.id, createSubscription, updateSubscription);
  $("subscriptions-none").hidden = view.subscriptions.length > 0;
  $("stripe-more").hidden = Math.max(view.sessions.length, view.subscriptions.length) <= count;
  const paid = view.catalogue.tiers.filter((tier) => tier.baseFee !== null);
  offer($("checkout-tier"), paid.map((tier) => [tier.code, tier.name]));
  $("checkout").hidden = paid.length === 0;
}
