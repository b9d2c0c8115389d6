// The inputs of the service's procedures, as schemas of zod. The fake checks all that goes beyond types (not blank,
// above 0, known); objects pass unknown keys on, so that it can refuse those too.

import { z } from "zod";

const text = z.string();
const email = z.email();
const url = z.url();
const flag = z.boolean();
const number = z.number();
const limit = number.nullable(); // null: no limit
const mapping = z.record(z.string(), z.unknown()); // the customer's own keys
const isoText = z.iso.datetime({ offset: true });
const object = z.looseObject;

const hints = object({ companyName: text.optional(), domain: text.optional(), emails: z.array(email).optional() });
const contact = {
  email,
  name: text.optional(),
  role: text.optional(),
  isPrimary: flag.optional(),
  avatarUrl: url.optional(),
  metadata: mapping.optional(),
};
const overrides = z.record(
  z.string(),
  object({ included_quantity: limit.optional(), max_quantity: limit.optional() }),
);

/** Return the procedures by path: [kind, schema of the input, if there is any]. */
export function procedures({ isSuperjson }) {
  const timestamp = isSuperjson ? z.date() : isoText; // here the TypeScript SDK accepts a `new Date(...)`, elsewhere text
  return {
    "companies.getByProductLink": ["query", object({ externalOrgId: text })],
    "companies.create": [
      "mutation",
      object({
        name: text,
        externalOrgId: text,
        domain: text.optional(),
        contactEmail: email.optional(),
        contactName: text.optional(),
        createdAt: isoText.optional(),
      }),
    ],
    "companies.update": ["mutation", object({ companyId: text, createdAt: isoText })],
    "companies.smartLink": [
      "mutation",
      object({ externalOrgId: text, hints: hints.optional(), minConfidence: number.optional() }),
    ],
    "contacts.create": ["mutation", object({ companyId: text, ...contact })],
    "contacts.bulkUpsert": ["mutation", object({ companyId: text, contacts: z.array(object(contact)) })],
    "contacts.list": ["query", object({ companyId: text, primaryOnly: flag.optional() })],
    "features.check": ["query", object({ companyId: text, featureCode: text })],
    "features.listAccess": ["query", object({ companyId: text })],
    "features.setAccess": [
      "mutation",
      object({
        companyId: text.optional(),
        externalOrgId: text.optional(),
        featureCode: text,
        isEnabled: flag.optional(),
        quantityLimit: limit.optional(),
        includedQuantity: limit.optional(),
        config: mapping.optional(),
        source: z.enum(["subscription", "manual", "trial", "api"]).optional(),
        validUntil: timestamp.nullable().optional(), // null: no expiry
      }),
    ],
    "features.getAccessByExternalOrgId": ["query", object({ externalOrgId: text })],
    "features.checkByExternalOrgId": ["query", object({ externalOrgId: text, featureCode: text })],
    "billing.trackUsage": [
      "mutation",
      object({
        companyId: text,
        featureCode: text,
        quantity: number,
        idempotencyKey: text.optional(),
        metadata: mapping.optional(),
      }),
    ],
    "billing.claimCheckout": ["mutation", object({ companyId: text, checkoutSessionId: text })],
    "billing.linkSubscription": [
      "mutation",
      object({
        companyId: text,
        stripeSubscriptionId: text,
        stripeCustomerId: text.optional(),
        tierCode: text.optional(),
        displayName: text.optional(),
      }),
    ],
    "billing.getStatus": ["query", object({ companyId: text })],
    "tiers.list": ["query"],
    "tiers.get": ["query", object({ tierCode: text })],
    "tiers.apply": ["mutation", object({ tierCode: text, companyId: text, features: overrides.optional() })],
    "links.create": [
      "mutation",
      object({
        companyId: text,
        externalOrgId: text,
        label: text.optional(),
        externalUserId: text.optional(),
      }),
    ],
    "links.reset": ["mutation", object({ deleteContacts: flag.optional(), resetMrr: flag.optional() }).optional()],
    onboard: [
      "mutation",
      object({
        externalOrgId: text,
        hints: hints.optional(),
        tierCode: text.optional(),
        contactEmail: email.optional(),
        contactName: text.optional(),
        createdAt: isoText.optional(),
        checkoutSessionId: text.optional(),
        stripeSubscriptionId: text.optional(),
        stripeCustomerId: text.optional(),
      }),
    ],
  };
}
