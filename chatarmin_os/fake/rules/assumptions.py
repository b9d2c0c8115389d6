"""The assumptions: rules of the fake about which the README of the service's TypeScript SDK is silent or vague.

This table is the only list of them. The drift check looks for each in recordings, `chatarmin-os assumptions` prints
them, and the page *Assumptions* of the documentation is made of them.

Example:
    >>> [one.text for one in ASSUMPTIONS if one.name == "input-blank"]
    ['A blank text is BAD_REQUEST.']
"""

from __future__ import annotations

from typing import NamedTuple


class Assumption(NamedTuple):
    """A rule that this project assumes, for the less convenient of two possible services.

    Attributes:
        name: Its name in reports.
        topic: The noun that it concerns.
        text: The rule, as a sentence.
        readme: The nearest statement of the service's README: a section and a paraphrase. None: it says nothing.
        since: The first version of this package whose fake follows it.
        unobservable: The reason why no recording can confirm or contradict it. None: the drift check looks for it.
    """

    name: str
    topic: str
    text: str
    readme: str | None = None
    since: str = "0.1.0"
    unobservable: str | None = None


_BAD_REQUEST = "Common Error Codes: BAD_REQUEST means invalid input"
_FORBIDDEN = "Common Error Codes: FORBIDDEN means no access"
_LIMIT = "Common Error Codes: PRECONDITION_FAILED means that the usage limit is exceeded"
_NOT_FOUND = "Common Error Codes: NOT_FOUND means that a company or a feature does not exist"
_PRIORITY = "companies.smartLink: domain 95 %, name up to 80 %, e-mail domain 70 %"
_STATUSES = "companies.smartLink: the four statuses, of which suggestions means several matches"
_CREATE = "companies.create: creates a company and its link"
_SET_ACCESS = "features.setAccess: the configuration is merged, null means no expiry"
_ACCESS = "features.check: the fields from isEnabled to remaining"
_KEY = "billing.trackUsage: the key prevents that usage counts twice"
_APPLY = "tiers.apply: applies a tier's features, with other limits if given"
_CLAIM = "billing.claimCheckout: claims the subscription of a completed checkout"
_LINK = "billing.linkSubscription: links a subscription; a tierCode applies the tier's features"
_STATUS = "billing.getStatus: active subscriptions, their tiers, the number of enabled features"
_ONBOARD = "Onboarding: match or create, link, claim or link the subscription, apply the tier"
_RESET = "links.reset: deletes all links of the product, on request its contacts and revenue too"

_AT_STRIPE = "it follows a change at Stripe, which no call shows"

ASSUMPTIONS = (
    Assumption("input-unknown-key", "inputs", "An unknown key in an input is BAD_REQUEST.", _BAD_REQUEST),
    Assumption("input-blank", "inputs", "A blank text is BAD_REQUEST.", _BAD_REQUEST),
    Assumption(
        "input-null",
        "inputs",
        "null for an optional key is BAD_REQUEST, except for limits and validUntil.",
        _BAD_REQUEST,
    ),
    Assumption(
        "input-date", "inputs", "A date that is not an ISO 8601 instant with an offset is BAD_REQUEST.", _BAD_REQUEST
    ),
    Assumption(
        "input-email",
        "inputs",
        "An e-mail address that zod's email() rejects is BAD_REQUEST, also in hints.",
        _BAD_REQUEST,
        since="0.2.0",
    ),
    Assumption(
        "input-avatar", "inputs", "An avatarUrl that new URL() rejects is BAD_REQUEST.", _BAD_REQUEST, since="0.2.0"
    ),
    Assumption(
        "input-domain",
        "inputs",
        "A domain without a dot, with a space or an empty label, or that two programs could read as two hosts, is "
        "BAD_REQUEST.",
        _BAD_REQUEST,
        since="0.2.0",
    ),
    Assumption(
        "input-unstorable",
        "inputs",
        "U+0000 in any text or key, and the keys __proto__, constructor and prototype at any depth, are BAD_REQUEST.",
        _BAD_REQUEST,
        since="0.2.0",
        unobservable="the client refuses such an input before it is sent",
    ),
    Assumption(
        "input-field-named",
        "inputs",
        "The message of a BAD_REQUEST names the field.",
        "Error Handling: the message is for people",
        unobservable="messages are not compared",
    ),
    Assumption(
        "input-company",
        "inputs",
        "The id of a company that does not exist is NOT_FOUND, a malformed one too.",
        _NOT_FOUND,
    ),
    Assumption("input-feature", "inputs", "A feature that the catalogue lacks is NOT_FOUND.", _NOT_FOUND),
    Assumption("input-unlinked", "inputs", "An external org id that is not linked is NOT_FOUND.", _NOT_FOUND),
    Assumption(
        "input-order",
        "inputs",
        "A call with several faults gets the code of the first: the input's form, an unknown id, a mismatch such as "
        "usage of a feature without a quantity, a used key, the state, the limit.",
        unobservable="an answer shows one fault, and not the others",
    ),
    Assumption(
        "refusal-changes-nothing",
        "inputs",
        "A refused call changes nothing.",
        unobservable="contact-bulk-refused, usage-refused and onboard-whole cover the calls that an answer shows",
    ),
    # Companies
    Assumption(
        "company-fields",
        "companies",
        "A company has domain and createdAt, each null if unknown.",
        "companies.create: a company has id, shortId and name",
    ),
    Assumption(
        "company-short-id",
        "companies",
        "The shortId is the name in lower-case ASCII letters and digits, with one - for anything between them and at "
        "most 50 characters; if it is taken, -2, -3 and so on follow.",
        "companies.create: an example, acme-inc",
    ),
    Assumption(
        "company-domain",
        "companies",
        "Domains are stored and answered in one form: lower case, ASCII, without scheme, www, port and path.",
    ),
    Assumption(
        "company-created-at",
        "companies",
        "A given createdAt is kept, as an instant in UTC to the millisecond.",
        "companies.create: createdAt is an optional historical date",
    ),
    Assumption(
        "company-linked-already",
        "companies",
        "companies.create for an external org id that is linked is CONFLICT.",
        _CREATE,
    ),
    Assumption(
        "company-duplicate",
        "companies",
        "companies.create creates a company also if another one has the same domain.",
        _CREATE,
    ),
    Assumption(
        "company-contact",
        "companies",
        "The contactEmail of companies.create becomes the primary contact; a contactName without it is ignored.",
        "companies.create: takes contactEmail and contactName",
    ),
    Assumption(
        "company-update",
        "companies",
        "companies.update answers with the company.",
        "companies.update: an example that ignores the answer",
    ),
    Assumption(
        "link-already",
        "companies",
        "companies.smartLink of a linked external org id is already_linked at 100, whatever the hints say.",
        "companies.smartLink: already_linked is a status",
    ),
    Assumption(
        "link-free-mail", "companies", "The domain of a free mail provider is not evidence of a company.", _PRIORITY
    ),
    Assumption("link-no-hint", "companies", "companies.smartLink without a hint is no_match.", _STATUSES),
    Assumption(
        "link-equal-name",
        "companies",
        "Names that are equal except for case, accents, punctuation and legal form give 80 and may link.",
        _PRIORITY,
    ),
    Assumption(
        "link-similar-name",
        "companies",
        "Similar names, by shared trigrams, give up to 79 and are only suggested.",
        _PRIORITY,
    ),
    Assumption(
        "link-email-domain",
        "companies",
        "An e-mail hint links the company that has its domain, and suggests a company that has a contact there.",
        _PRIORITY,
    ),
    Assumption(
        "link-exact-confidence",
        "companies",
        "A match at exactly minConfidence counts, a match below it does not.",
        "companies.smartLink: minConfidence is a fraction, 0.6 by default",
    ),
    Assumption(
        "link-any-evidence",
        "companies",
        "Any evidence may link a company, also if other evidence gives the higher confidence.",
        _PRIORITY,
        unobservable="an answer names only the evidence that gives the confidence",
    ),
    Assumption(
        "link-suggestions",
        "companies",
        "A match that leads by less than 10 points, or whose known domain differs from the hinted one, is only "
        "suggested; suggestions have the best first and are at most 5.",
        _STATUSES,
    ),
    Assumption(
        "link-result", "companies", "The fields of other statuses are null, and suggestions is empty.", _STATUSES
    ),
    Assumption(
        "link-min-confidence",
        "companies",
        "A minConfidence outside 0 to 1 is BAD_REQUEST.",
        "companies.smartLink: minConfidence is a fraction, 0.6 by default",
    ),
    # Contacts
    Assumption(
        "contact-key",
        "contacts",
        "A company has one contact per e-mail address, whatever its case; the address stays as it was first given.",
        "contacts.create: creates or updates one contact, isNew says which",
    ),
    Assumption(
        "contact-update",
        "contacts",
        "An update changes only the given fields, and merges metadata key by key.",
        "contacts.create: creates or updates one contact, isNew says which",
    ),
    Assumption(
        "contact-bulk",
        "contacts",
        "contacts.bulkUpsert answers as its contacts.create calls in order would.",
        "contacts.bulkUpsert: created, updated, and each contact with its id",
    ),
    Assumption("contact-bulk-empty", "contacts", "contacts.bulkUpsert of no contacts answers with 0 and 0."),
    Assumption("contact-bulk-refused", "contacts", "One invalid contact refuses the whole contacts.bulkUpsert."),
    Assumption(
        "contact-list",
        "contacts",
        "contacts.list is in order of creation, without isNew.",
        "contacts.list: all contacts, or only the primary one",
    ),
    Assumption(
        "contact-primary",
        "contacts",
        "A company has at most one primary contact: a new one replaces it.",
        "contacts.list: primaryOnly gives one contact",
    ),
    # Features
    Assumption(
        "access-fields",
        "features",
        "An access has featureCode, featureName, configValues, source and validUntil too; features.setAccess answers "
        "with it.",
        _ACCESS,
    ),
    Assumption(
        "access-none",
        "features",
        "Without an access a feature is disabled, with limit 0, no source and the default configuration.",
    ),
    Assumption(
        "access-can-use",
        "features",
        "A feature can be used if it is enabled, not expired, and its usage is below its limit.",
        "features.check: canUse means usable now, not at the limit",
    ),
    Assumption(
        "access-no-quantity",
        "features",
        "A feature without a quantity has null for limits and remaining, and usage 0.",
        "features.check: hasQuantity marks features with a quantity",
    ),
    Assumption("access-remaining", "features", "remaining is never below 0.", "features.check: null means unlimited"),
    Assumption(
        "access-order",
        "features",
        "All features are listed, each once, in the order of the catalogue.",
        "features.listAccess: all features with their status",
    ),
    Assumption("access-expired", "features", "An access is disabled from its validUntil on.", _SET_ACCESS),
    Assumption(
        "access-set-whom",
        "features",
        "features.setAccess with both or neither of companyId and externalOrgId is BAD_REQUEST.",
        "features.setAccess: an example with each of them",
    ),
    Assumption(
        "access-set-new",
        "features",
        "A new access is disabled, with limit 0 and source api, unless features.setAccess says otherwise.",
        _SET_ACCESS,
    ),
    Assumption(
        "access-set-absent",
        "features",
        "A field that features.setAccess leaves out stays, and null is a value.",
        _SET_ACCESS,
    ),
    Assumption("access-set-config", "features", "A configuration is merged by its top-level keys.", _SET_ACCESS),
    Assumption("access-set-expired", "features", "isEnabled: true leaves an expired access expired.", _SET_ACCESS),
    Assumption(
        "access-set-limits",
        "features",
        "A negative limit, and any limit of a feature without a quantity, is BAD_REQUEST; null is accepted.",
        _BAD_REQUEST,
    ),
    Assumption("access-set-below", "features", "A limit below the current usage is accepted."),
    # Usage
    Assumption("usage-quantity", "usage", "A quantity that is not a number above 0 is BAD_REQUEST.", _BAD_REQUEST),
    Assumption("usage-fraction", "usage", "A quantity may be a fraction, and is counted exactly.", since="0.2.0"),
    Assumption("usage-no-quantity", "usage", "Usage of a feature without a quantity is BAD_REQUEST.", _BAD_REQUEST),
    Assumption(
        "usage-billable",
        "usage",
        "billableQuantity is the usage so far beyond the included quantity, and 0 if that is null.",
        "billing.trackUsage: the amount beyond what the tier includes",
    ),
    Assumption("usage-at-limit", "usage", "Usage may reach the limit exactly, and isAtLimit is true then.", _LIMIT),
    Assumption(
        "usage-disabled",
        "usage",
        "Usage of a feature that is disabled, expired or was never granted is FORBIDDEN.",
        _FORBIDDEN,
    ),
    Assumption("usage-refused", "usage", "Refused usage counts nothing.", _LIMIT),
    Assumption(
        "usage-again",
        "usage",
        "A used key with the same company, feature and quantity gives the first answer again and counts nothing; "
        "metadata is not compared.",
        _KEY,
    ),
    Assumption("usage-key", "usage", "A used key with another company, feature or quantity is CONFLICT.", _KEY),
    Assumption(
        "usage-again-disabled",
        "usage",
        "A used key is answered also if the feature has since been disabled or used up.",
        _KEY,
    ),
    Assumption("usage-key-free", "usage", "Refused usage does not use up its key.", _KEY),
    Assumption(
        "usage-key-kept",
        "usage",
        "A key stays used for ever, also after a renewal.",
        _KEY,
        unobservable="no recording is long enough, and a renewal is not a call",
    ),
    Assumption("usage-stays", "usage", "Another tier or another access changes no usage.", _APPLY),
    Assumption(
        "usage-period",
        "usage",
        "Usage starts again at 0 when a subscription of the company renews, and at no other time.",
        unobservable=_AT_STRIPE,
    ),
    # Tiers
    Assumption(
        "tier-config-values",
        "tiers",
        "A tier shows its limits in configValues, as included_quantity and max_quantity, next to the configuration.",
        "tiers.get: each feature has configValues",
    ),
    Assumption(
        "tier-feature-price",
        "tiers",
        "A feature of a tier has its own price under stripe, null if it has none; a price has a currency.",
        "tiers.get: stripePriceIds has the prices of features too",
    ),
    Assumption("tier-unknown", "tiers", "An unknown tier is NOT_FOUND.", _NOT_FOUND),
    Assumption(
        "tier-overrides",
        "tiers",
        "An override has the keys included_quantity and max_quantity; any other is BAD_REQUEST.",
        "tiers.apply: an example with each of the two keys",
    ),
    Assumption(
        "tier-override-limits",
        "tiers",
        "A negative override, and any for a feature without a quantity, is BAD_REQUEST; null means no limit.",
        _BAD_REQUEST,
    ),
    Assumption(
        "tier-override-outside", "tiers", "An override for a feature that the tier lacks is BAD_REQUEST.", _BAD_REQUEST
    ),
    Assumption(
        "tier-applied",
        "tiers",
        "tiers.apply answers with the tier and the number of its features.",
        "tiers.apply: an example that ignores the answer",
    ),
    Assumption(
        "tier-grants", "tiers", "A tier replaces the access to each of its features, whatever its source was.", _APPLY
    ),
    Assumption(
        "tier-withdraws", "tiers", "A feature that the new tier lacks is disabled if a subscription gave it.", _APPLY
    ),
    Assumption("tier-leaves", "tiers", "A feature that the new tier lacks stays if another source gave it.", _APPLY),
    # Billing
    Assumption("claim-unknown", "billing", "An unknown checkout session is NOT_FOUND.", _CLAIM),
    Assumption("claim-incomplete", "billing", "A checkout session that is not complete is BAD_REQUEST.", _CLAIM),
    Assumption("claim-foreign", "billing", "A checkout that another company has claimed is CONFLICT.", _CLAIM),
    Assumption(
        "claim-again",
        "billing",
        "Claiming a checkout again changes nothing: alreadyClaimed is true.",
        "billing.claimCheckout: alreadyClaimed means that it was claimed before",
    ),
    Assumption(
        "claim-tier",
        "billing",
        "A claimed checkout applies the tier with the most prices of which the subscription has all.",
        _CLAIM,
    ),
    Assumption("subscription-unknown", "billing", "An unknown subscription is NOT_FOUND.", _LINK),
    Assumption("subscription-foreign", "billing", "A subscription of another company is CONFLICT.", _LINK),
    Assumption(
        "subscription-customer",
        "billing",
        "A customer that is not the subscription's is BAD_REQUEST.",
        "billing.linkSubscription: a missing customer is read from the subscription",
    ),
    Assumption(
        "subscription-cancelled", "billing", "A cancelled subscription can be neither claimed nor linked: BAD_REQUEST."
    ),
    Assumption(
        "subscription-linked",
        "billing",
        "Linking a subscription applies the named tier, else none; featuresApplied is a number.",
        _LINK,
    ),
    Assumption(
        "subscription-again",
        "billing",
        "Linking a subscription again updates its displayName and applies the named tier again; alreadyLinked is true.",
        _LINK,
    ),
    Assumption(
        "subscription-ids",
        "billing",
        "subscriptionId is Stripe's id in every answer; the id of a subscription in billing.getStatus is another one.",
        "billing.claimCheckout: a subscriptionId, without saying whose",
    ),
    Assumption(
        "status-subscriptions",
        "billing",
        "billing.getStatus lists active subscriptions in the order of claiming, each with its tier or null.",
        _STATUS,
    ),
    Assumption("status-count", "billing", "enabledFeaturesCount counts the features that are enabled now.", _STATUS),
    Assumption(
        "status-cancelled",
        "billing",
        "billing.getStatus leaves out cancelled subscriptions.",
        _STATUS,
        unobservable=_AT_STRIPE,
    ),
    Assumption("cancel-access", "billing", "Cancelling a subscription changes no access.", unobservable=_AT_STRIPE),
    Assumption(
        "monthly-revenue",
        "billing",
        "A company's monthly revenue rises by the tier's base fee when a subscription becomes active, and falls by the "
        "same fee when it is cancelled.",
        _RESET,
        unobservable="no answer shows the revenue",
    ),
    # Links
    Assumption(
        "link-fields",
        "links",
        "links.create answers with the link: companyId, externalOrgId, label and externalUserId.",
        "links.create: an example that ignores the answer",
    ),
    Assumption(
        "link-many",
        "links",
        "A company may have links from several external org ids.",
        "links.create: an optional label, such as that of a store",
    ),
    Assumption("link-again", "links", "The same link again updates its label and user."),
    Assumption("link-foreign", "links", "Linking an external org id that is linked to another company is CONFLICT."),
    Assumption(
        "link-reset", "links", "links.reset leaves companies, accesses, usage and subscriptions unchanged.", _RESET
    ),
    Assumption(
        "link-reset-contacts",
        "links",
        "links.reset deletes the contacts of all companies with deleteContacts, and none without it.",
        _RESET,
    ),
    # Onboarding
    Assumption(
        "onboard-created",
        "onboarding",
        "onboard creates a company unless companies.smartLink with its default would link one; suggestions are not "
        "enough.",
        _ONBOARD,
    ),
    Assumption("onboard-evidence", "onboarding", "Only hints find a company: contactEmail does not.", _ONBOARD),
    Assumption(
        "onboard-name",
        "onboarding",
        "A new company without a companyName gets the name of the checkout's customer, else its domain, else its "
        "external org id.",
    ),
    Assumption(
        "onboard-created-at",
        "onboarding",
        "createdAt counts for a new company only.",
        "Onboarding: createdAt is an optional historical date",
    ),
    Assumption(
        "onboard-again",
        "onboarding",
        "Onboarding again is already_linked and creates no duplicate.",
        "Handling Existing Customers: already_linked is a status",
    ),
    Assumption(
        "onboard-no-billing",
        "onboarding",
        "Without a checkout, a subscription and a tier, billingStatus is absent.",
        "Onboarding: billingStatus is read as optional",
    ),
    Assumption(
        "onboard-billing",
        "onboarding",
        "claimed, linked and tierApplied of billingStatus are true if that is so now, also if it was so before.",
        "Onboarding: the scenarios in which each of them is true",
    ),
    Assumption(
        "onboard-tier",
        "onboarding",
        "The tierCode is applied last, as by tiers.apply: over a checkout's tier, a higher one and manual access.",
        _ONBOARD,
    ),
    Assumption(
        "onboard-both",
        "onboarding",
        "A checkout with a subscription, and a customer without a subscription, are BAD_REQUEST.",
        "Onboarding: a scenario for each of them",
    ),
    Assumption(
        "onboard-contact",
        "onboarding",
        "The contactEmail becomes the primary contact if the company has none; a contactName without it is ignored.",
        "Onboarding: takes contactEmail and contactName",
    ),
    Assumption("onboard-whole", "onboarding", "A refused onboarding leaves no company and no link behind.", _ONBOARD),
    # Answers
    Assumption(
        "answer-numbers", "answers", "Quantities, counts, confidences and amounts are numbers, not text.", since="0.2.0"
    ),
    Assumption(
        "answer-instants",
        "answers",
        "Instants have a time, an offset and a year of four digits.",
        "companies.create: an example with a time and Z",
        since="0.2.0",
    ),
    Assumption(
        "answer-far-years",
        "answers",
        "An instant beyond the year 9999 means never, one before the year 1 long ago.",
        since="0.2.0",
        unobservable="an answer does not say what the service means by it",
    ),
)
"""All assumptions, in the order of the nouns."""
