// The catalogue: features, tiers and their prices.

import { $, amount, bound, make, money } from "./dom.js";

export function showCatalogue({ features, tiers }) {
  const content = JSON.stringify([features, tiers]);
  const list = $("catalogue-content");
  if (!$("catalogue").open || list.content === content) return; // drawn when it is opened
  list.content = content;
  const names = new Map(features.map((feature) => [feature.code, feature.name]));
  list.replaceChildren(
    make("h3", "Features"),
    make("ul.plain", ...features.map((one) => make("li", one.name, " ", make("span.id", one.code), one.hasQuantity ? " counts a quantity" : " is on or off"))),
    make("h3", "Tiers"),
    ...tiers.map((tier) => tierCard(tier, names)),
  );
}

function tierCard(tier, names) {
  const fee = tier.baseFee === null ? "no base fee" : `${money(tier.baseFee, tier.currency)} a billing period`;
  const granted = tier.features.map((one) => make("li", names.get(one.code), ": ", grantText(one, tier.currency), one.priceId ? make("span.id", ` ${one.priceId}`) : null));
  return make(
    "div.card.tier-card",
    make("div.row", make("span.name", tier.name), make("span.id", tier.code), make("span.money", fee), tier.basePriceId ? make("span.id", tier.basePriceId) : null),
    make("ul.plain", ...(granted.length ? granted : [make("li", "no features")])),
  );
}

function grantText(granted, currency) {
  const parts = [];
  if (granted.hasQuantity) parts.push(granted.quantityLimit === null ? "unlimited" : `limit ${amount(granted.quantityLimit)}`);
  if (granted.includedQuantity !== null) parts.push(`${bound(granted.includedQuantity)} included`);
  if (granted.unitAmount !== null) parts.push(`then ${money(granted.unitAmount, currency)} each`);
  return parts.join(", ") || "on";
}
