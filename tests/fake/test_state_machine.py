"""The fake, driven at random, against a small second implementation of the same rules."""

from __future__ import annotations

import copy
import json
import uuid
from datetime import datetime, timedelta
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from reference_rules import (
    BAD_EMAILS,
    BAD_REQUEST,
    DOMAINS,
    EMAILS,
    EPOCH,
    ERRORS,
    FEATURES,
    HOUR,
    NAMES,
    NOBODY,
    NOT_FOUND,
    ORG_IDS,
    PRICE_SETS,
    TIERS,
    Event,
    Firm,
    Onboarded,
    Person,
    Refusal,
    RefusedError,
    Session,
    Subscription,
    World,
    Wrong,
    exact,
    is_email,
    plain,
)

from chatarmin_os import (
    PROCEDURES,
    UNSET,
    ApiError,
    ChatarminOS,
    Hints,
    Link,
    SmartLinkResult,
    Suggestion,
    TimedOut,
)
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.fake import snapshot as snapshots
from chatarmin_os.transports import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chatarmin_os import Company, Contact, OnboardResult

pytestmark = pytest.mark.slow

# The values drawn. A place of 9 means an unknown record.
places = st.sampled_from([0, 1, 2, 3, 0, 1, 4, 5, 0, 1, 2, 3, 6, 7, 9])
org_ids = st.sampled_from(ORG_IDS)
feature_codes = st.sampled_from([*["ai_credit", "storage", "seats"] * 5, *FEATURES, "no_such_feature"])
tier_codes = st.sampled_from([*TIERS, "pro", "gold", *TIERS, "no_such_tier"])
quantities = st.one_of(
    st.integers(1, 40), st.sampled_from([0.1, 0.2, 0.3, 0.25, 1.5, 2.0, 10.01, 0.001, 33.3, 100.0, 1e-07])
)
limits = st.sampled_from([None, 0, 0.3, 3, 0, 5.0, 10, 33.3, 100])
configs = st.sampled_from([{}, {"unit": "PB"}, {"depth": 7, "maxDepth": None}, {"region": {"zone_id": 1}}])
instants = st.sampled_from([None, EPOCH, EPOCH - timedelta(days=400, milliseconds=1), EPOCH + HOUR])
emails = st.sampled_from([*EMAILS * 5, *BAD_EMAILS])
good_hints = st.builds(
    Hints,
    company_name=st.sampled_from([None, *NAMES]),
    domain=st.sampled_from([None, None, "acme.com", "gmail.com", "acme-labs.com"]),
    emails=st.lists(st.sampled_from(EMAILS), max_size=2, unique=True).map(tuple),
)
people = st.fixed_dictionaries(
    {"email": emails},
    optional={
        "name": st.sampled_from(["Ann", "Bob"]),
        "role": st.sampled_from(["CEO", "CTO"]),
        "is_primary": st.booleans(),
        "avatar_url": st.sampled_from(["https://acme.com/a.png", "data:image/png;base64,AA=="]),
        "metadata": st.sampled_from([{}, {"slackId": "U1"}, {"slackId": None, "a_b": [1, {"cD": 2}]}]),
    },
)
accesses = st.fixed_dictionaries(
    {
        "is_enabled": st.sampled_from([None, True, True, False]),
        "quantity_limit": st.one_of(limits, st.sampled_from([None, UNSET, UNSET])),
        "included_quantity": st.one_of(limits, st.just(UNSET)),
        "config": st.one_of(st.none(), configs),
        "source": st.sampled_from([None, "subscription", "manual", "trial", "api"]),
        "valid_until": st.sampled_from([UNSET, None, 1, 2, UNSET, None, 0, 4, -1]),
    }
)
overrides = st.dictionaries(
    st.sampled_from(["ai_credit", "seats", "storage", "api_access"]),
    st.fixed_dictionaries({}, optional={"max_quantity": limits, "included_quantity": limits}),
    max_size=2,
)

# Wrong calls on the wire; `$company` is the id of a company, `$new` an external org id that is not linked.
CHECK, SET_ACCESS, TRACK, CREATE = "features.check", "features.setAccess", "billing.trackUsage", "companies.create"
SEATS = {"companyId": "$company", "featureCode": "seats"}
SSO = {"companyId": "$company", "featureCode": "sso"}
NEW = {"externalOrgId": "$new"}
PRO = {"tierCode": "pro", "companyId": "$company"}
WRONG_CALLS = (
    Wrong("features.chek", SSO, NOT_FOUND),
    Wrong(CHECK, SSO, "METHOD_NOT_SUPPORTED", kind="mutation"),
    Wrong("links.reset", {}, "METHOD_NOT_SUPPORTED", kind="query"),
    Wrong(CHECK, {**SSO, "feature": "sso"}),
    Wrong(CHECK, {"companyId": "$company"}),
    Wrong(CHECK, {**SSO, "featureCode": None}),
    Wrong(CHECK, {**SSO, "featureCode": " "}),
    Wrong(CHECK, {**SSO, "companyId": "nobody"}, NOT_FOUND),
    Wrong(CHECK, None),
    Wrong(SET_ACCESS, {"featureCode": "sso", "isEnabled": True}),
    Wrong(SET_ACCESS, {**SSO, **NEW}),
    Wrong(SET_ACCESS, {**NEW, "featureCode": "sso", "isEnabled": True}, NOT_FOUND),
    Wrong(SET_ACCESS, {**SSO, "source": "gift"}),
    Wrong(SET_ACCESS, {**SEATS, "quantityLimit": -1}),
    Wrong(SET_ACCESS, {**SEATS, "config": []}),
    Wrong(SET_ACCESS, {**SSO, "validUntil": "soon"}),
    Wrong(TRACK, {**SEATS, "quantity": 0}),
    Wrong(TRACK, {**SEATS, "quantity": -0.5}),
    Wrong(TRACK, {**SEATS, "quantity": True}),
    Wrong(TRACK, {**SEATS, "quantity": "5"}),
    Wrong("companies.update", {"companyId": "$company", "createdAt": "soon"}),
    Wrong(CREATE, {**NEW, "name": " "}),
    Wrong(CREATE, {**NEW, "name": "Acme", "domain": "acme"}),
    Wrong(CREATE, {**NEW, "name": "Acme", "contactEmail": "ann"}),
    Wrong(CREATE, {**NEW, "name": "Ac\0me"}),
    Wrong(CREATE, {**NEW, "name": "Acme", "domain": "acme.com#.globex.io"}),
    Wrong(CHECK, {**SSO, "featureCode": "sso\0"}),
    Wrong(SET_ACCESS, {**SSO, "config": {"unit": [{"a\0b": 1}]}}),
    Wrong(SET_ACCESS, {**SSO, "config": {"unit": {"__proto__": {}}}}),
    Wrong(TRACK, {**SEATS, "quantity": 1, "metadata": {"constructor": 1}}),
    Wrong("tiers.apply", {**PRO, "features": {"prototype": {}}}),
    Wrong("contacts.create", {"companyId": "$company", "email": "new@acme.com", "avatarUrl": "example.com"}),
    Wrong("contacts.create", {"companyId": "$company", "email": "new@acme.com", "avatarUrl": "/avatars/1.png"}),
    Wrong("companies.smartLink", {**NEW, "minConfidence": 1.5}),
    Wrong("contacts.list", {"companyId": "$company", "primaryOnly": "yes"}),
    Wrong("contacts.bulkUpsert", {"companyId": "$company", "contacts": {"email": "ann@acme.com"}}),
    Wrong("contacts.bulkUpsert", {"companyId": "$company", "contacts": [{"email": "new@acme.com"}, {}]}),
    Wrong("tiers.apply", {**PRO, "features": {"seats": {"max": 1}}}),
    Wrong("tiers.apply", {**PRO, "features": {"seats": {"max_quantity": -1}}}),
    Wrong("tiers.apply", {**PRO, "features": {"sso": {"max_quantity": 1}}}),
    Wrong("onboard", {**NEW, "hints": {"company_name": "Acme"}}),
    Wrong("onboard", {**NEW, "hints": {"domain": "acme"}}),
    Wrong("onboard", {**NEW, "hints": {"emails": ["ann"]}}),
    Wrong("onboard", {**NEW, "tierCode": "no_such_tier"}, NOT_FOUND),
    Wrong("onboard", {**NEW, "stripeCustomerId": "cus_1"}),
    Wrong("onboard", {**NEW, "checkoutSessionId": "cs_test_1", "stripeSubscriptionId": "sub_1"}),
)


numbers_of = attrgetter("current_usage", "quantity_limit", "included_quantity", "remaining")


def given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are not None."""
    return {key: value for key, value in arguments.items() if value is not None}


def seen(contact: Contact) -> tuple[object, ...]:
    """Return the fields of a contact, except its id."""
    metadata = dict(contact.metadata or {})
    return (
        contact.email,
        contact.name,
        contact.role,
        bool(contact.is_primary),
        contact.avatar_url,
        metadata,
        contact.is_new,
    )


class ServiceMachine(RuleBasedStateMachine):
    """Each step runs on the fake and on the model, which predicts its outcome; both must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.time = EPOCH
        self.fake = FakeTransport(demo_catalogue(), now=lambda: self.time)
        self.fake.add_feature("storage", name="Storage", has_quantity=True, config=FEATURES["storage"].config)
        self.fake.add_feature("reports", name="Reports", config=FEATURES["reports"].config)
        self.fake.add_tier(
            "gold",
            name="Gold",
            base_fee=1000,
            features={
                "storage": {
                    "quantity_limit": 50,
                    "included_quantity": 5,
                    "config": {"unit": "TB", "copies": 2},
                    "unit_amount": 3,
                },
                "reports": {"config": {"depth": 3}},
            },
        )
        self.client = ChatarminOS(transport=self.fake)
        self.world = World()
        self.numbers, self.turn = count(), 0
        self.company_ids: list[str] = []
        self.seen_ids: set[str] = set()
        self.tables: Any = None
        self.text = "null"

    # Helpers

    def both(self, predict: Callable[[World], Any], call: Callable[[], Any]) -> tuple[Any, Any] | None:
        """Predict a call and make it; None if both refuse it in the same way and nothing changed."""
        draft = copy.deepcopy(self.world)
        before = json.dumps(self.fake.snapshot())
        expected: Any
        try:
            expected = predict(draft)
        except RefusedError as refused:
            expected = Refusal(refused.code, ERRORS[refused.code])
        actual: Any
        try:
            actual = call()
        except ApiError as error:
            actual = Refusal(error.code, type(error))
        if isinstance(expected, Refusal) or isinstance(actual, Refusal):
            assert expected == actual
            assert before == json.dumps(self.fake.snapshot())
            return None
        self.world = draft
        return expected, actual

    def new_id(self, value: str | None) -> str:
        """Return an id that must not have been seen before."""
        assert value
        assert value not in self.seen_ids
        self.seen_ids.add(value)
        return value

    def new_company(self, company_id: str | None) -> None:
        """Store the id of the company that was added last."""
        self.company_ids.append(self.new_id(company_id))
        assert str(uuid.UUID(company_id)) == company_id
        assert len(self.world.firms) == len(self.company_ids)

    def pick(self, place: int) -> int | None:
        """Return a company of the model, or None for an unknown one."""
        return None if place == 9 or not self.world.firms else place % len(self.world.firms)

    def id_of(self, place: int | None) -> str:
        """Return the id of a company."""
        return NOBODY if place is None else self.company_ids[place]

    def pick_session(self, place: int) -> int | None:
        """Return a checkout session whose claim the model predicts, or None for an unknown one."""
        sessions = [
            number
            for number, session in enumerate(self.world.sessions)
            if not self.world.subscriptions[session.subscription].cancelled
            or self.world.subscriptions[session.subscription].firm is None
        ]
        return None if place == 9 or not sessions else sessions[place % len(sessions)]

    def pick_subscription(self, place: int) -> int | None:
        """Return a subscription whose id is known and whose link the model predicts, or None for an unknown one."""
        numbers = [
            number
            for number, subscription in enumerate(self.world.subscriptions)
            if subscription.id is not None and not (subscription.cancelled and subscription.firm is not None)
        ]
        return None if place == 9 or not numbers else numbers[place % len(numbers)]

    def learn_person(self, person: Person, contact: Contact) -> None:
        """Store the id of a new contact, and compare the id of a known one."""
        if person.id is None:
            person.id = self.new_id(contact.id)
        assert person.id == contact.id

    def learn_subscription(self, number: int, subscription_id: str | None) -> None:
        """Store the id of a new subscription, and compare the id of a known one."""
        subscription = self.world.subscriptions[number]
        if subscription.id is None:
            subscription.id = self.new_id(subscription_id)
            assert subscription.id.startswith("sub_")
        assert subscription.id == subscription_id

    def same_company(self, place: int, company: Company | None) -> None:
        """Compare a company with the model's."""
        firm = self.world.firms[place]
        assert company is not None
        assert (self.company_ids[place], firm.slug, firm.name, firm.domain) == (
            company.id,
            company.short_id,
            company.name,
            company.domain,
        )
        assert firm.created_at in (None, company.created_at)

    # Companies and links

    @initialize()
    def begin(self) -> None:
        """Begin with three companies: one on the free tier, one with two subscriptions, one without anything."""
        self.create_company("org_1", "Acme", "acme.com", "zoe@acme-labs.com", "Zoe", EPOCH)
        self.add_company("Globex Europe", "Globex.io.", None)
        self.add_company("Northwind Traders International", None, None)
        self.apply_tier(0, "free", {}, alias=False)
        self.set_access(1, "storage", [{"is_enabled": True, "quantity_limit": None, "included_quantity": 5}], None)
        self.add_subscription(TIERS["pro"].prices, "cus_1")
        self.add_subscription(TIERS["enterprise"].prices, "cus_2")
        self.add_checkout(TIERS["gold"].prices + TIERS["pro"].prices, "Initech", complete=True)
        self.claim_checkout(1, 0, again=False)
        self.link_subscription(1, 0, None, None, None, again=False)

    @rule(
        org_id=org_ids,
        name=st.sampled_from(NAMES),
        domain=st.sampled_from(list(DOMAINS)),
        email=st.one_of(st.none(), emails),
        contact_name=st.sampled_from([None, "Ann"]),
        created_at=instants,
    )
    def create_company(  # noqa: PLR0917
        self,
        org_id: str,
        name: str,
        domain: str | None,
        email: str | None,
        contact_name: str | None,
        created_at: datetime | None,
    ) -> None:
        """Create a company with its link; a linked external org id is a conflict."""
        optional = given({"domain": domain, "contact_email": email, "contact_name": contact_name})
        both = self.both(
            lambda world: world.create_company(org_id, name, domain, email, contact_name, created_at),
            lambda: self.client.companies.create(external_org_id=org_id, name=name, created_at=created_at, **optional),
        )
        if both is not None:
            place, company = both
            self.new_company(company.id)
            self.same_company(place, company)

    @precondition(lambda self: len(self.world.firms) < 8)
    @rule(name=st.sampled_from(NAMES), domain=st.sampled_from(list(DOMAINS)), created_at=instants)
    def add_company(self, name: str, domain: str | None, created_at: datetime | None) -> None:
        """Add a company that no external org id leads to."""
        self.world.add_firm(name, domain, created_at)
        self.new_company(self.fake.add_company(name, domain=domain, created_at=created_at))

    @rule(place=places, created_at=instants.filter(bool))
    def update_company(self, place: int, created_at: datetime) -> None:
        """Change when a company was created."""
        target = self.pick(place)

        def predict(world: World) -> int | None:
            world.firm(target).created_at = created_at
            return target

        both = self.both(
            predict, lambda: self.client.companies.update(company_id=self.id_of(target), created_at=created_at)
        )
        if both is not None:
            self.same_company(*both)

    @rule(place=places, org_id=org_ids, label=st.sampled_from(["Vienna", "Graz"]))
    def create_link(self, place: int, org_id: str, label: str) -> None:
        """Link by hand; a link is never moved to another company."""
        target = self.pick(place)
        both = self.both(
            lambda world: world.create_link(target, org_id),
            lambda: self.client.links.create(
                company_id=self.id_of(target), external_org_id=org_id, label=label, external_user_id="user_1"
            ),
        )
        if both is not None:
            company_id = self.id_of(target)
            expected = Link(company_id=company_id, external_org_id=org_id, label=label, external_user_id="user_1")
            assert expected == both[1]

    @rule(
        org_id=org_ids,
        hints=good_hints,
        domain=st.sampled_from([None, None, "https://www.Acme.com/about"]),
        like=st.sampled_from([None, "name", "emails", "both"]),
        place=places,
        min_confidence=st.sampled_from([None, None, None, 0, 0.3, 0.62, 0.63, 0.7, 0.701, 0.79, 0.95, 1]),
    )
    def smart_link(  # noqa: PLR0917
        self,
        org_id: str,
        hints: Hints,
        domain: str | None,
        like: str | None,
        place: int,
        min_confidence: float | None,
    ) -> None:
        """Link by hints, often by those of a known company, if one stands out, else suggest."""
        name, emails = hints.company_name, hints.emails
        target = self.pick(place)
        if target is not None and like in {"name", "both"}:
            name = self.world.firms[target].name
        if target is not None and like in {"emails", "both"}:
            emails = tuple(person.email for person in self.world.firms[target].people)
        hints = Hints(company_name=name, domain=domain or hints.domain, emails=emails)
        minimum = 0.6 if min_confidence is None else min_confidence
        both = self.both(
            lambda world: world.smart_link(org_id, hints, minimum),
            lambda: self.client.companies.smart_link(
                external_org_id=org_id, hints=hints, min_confidence=min_confidence
            ),
        )
        if both is not None:
            (status, place, confidence, suggestions), result = both
            expected = SmartLinkResult(
                status=status,
                company_id=None if place is None else self.id_of(place),
                customer_name=None if place is None else self.world.firms[place].name,
                confidence=confidence,
                suggestions=tuple(
                    Suggestion(
                        company_id=self.id_of(found),
                        customer_name=self.world.firms[found].name,
                        confidence=percent,
                        reason=reason,
                    )
                    for found, percent, reason in suggestions
                ),
            )
            assert expected == result

    @precondition(lambda self: len(self.world.links) > 1)
    @rule(delete_contacts=st.booleans(), reset_mrr=st.booleans())
    def reset_links(self, *, delete_contacts: bool, reset_mrr: bool) -> None:
        """Delete all links; contacts are deleted only if all of them belong to linked companies."""
        linked = set(self.world.links.values())
        if any(firm.people for place, firm in enumerate(self.world.firms) if place not in linked):
            delete_contacts = False

        def predict(world: World) -> tuple[int, int]:
            links, contacts = len(world.links), 0
            world.links.clear()
            for firm in world.firms:
                if delete_contacts:
                    contacts += len(firm.people)
                    firm.people.clear()
                if reset_mrr:
                    firm.mrr = 0
            return links, contacts

        both = self.both(predict, lambda: self.client.links.reset(delete_contacts=delete_contacts, reset_mrr=reset_mrr))
        assert both is not None
        expected, result = both
        assert expected == (result.links_deleted, result.contacts_deleted or 0)

    # Onboarding

    @rule(
        org_id=org_ids,
        hints=good_hints,
        as_mapping=st.booleans(),
        tier=st.one_of(st.none(), tier_codes),
        email=st.one_of(st.none(), emails),
        contact_name=st.sampled_from([None, "Zoe"]),
        created_at=instants,
        wanted=st.sampled_from([None, None, "checkout", "checkout", "subscription"]),
        place=places,
        customer=st.sampled_from([None, "right", "wrong"]),
    )
    def onboard(  # noqa: PLR0917
        self,
        org_id: str,
        hints: Hints,
        as_mapping: bool,  # noqa: FBT001
        tier: str | None,
        email: str | None,
        contact_name: str | None,
        created_at: datetime | None,
        wanted: str | None,
        place: int,
        customer: str | None,
    ) -> None:
        """Onboard with and without hints, tier, contact, checkout and subscription: all of it or nothing."""
        session = self.pick_session(place) if wanted == "checkout" else None
        subscription = self.pick_subscription(place) if wanted == "subscription" else None
        arguments: dict[str, Any] = given(
            {"tier_code": tier, "contact_email": email, "contact_name": contact_name, "created_at": created_at}
        )
        customer_id = self.customer_of(subscription, customer) if wanted == "subscription" else None
        if wanted == "checkout":
            arguments["checkout_session_id"] = "cs_test_nothing" if session is None else self.world.sessions[session].id
        if wanted == "subscription":
            arguments["stripe_subscription_id"] = self.subscription_id(subscription)
            arguments["stripe_customer_id"] = customer_id
        received = {"company_name": hints.company_name, "domain": hints.domain, "emails": list(hints.emails)}
        both = self.both(
            lambda world: world.onboard(
                org_id,
                hints,
                tier=tier,
                email=email,
                contact_name=contact_name,
                created_at=created_at,
                session=session,
                subscription=subscription,
                wanted=wanted,
                customer=customer_id,
            ),
            lambda: self.client.onboard(external_org_id=org_id, hints=received if as_mapping else hints, **arguments),
        )
        if both is not None:
            self.same_onboarding(*both)

    def same_onboarding(self, expected: Onboarded, result: OnboardResult) -> None:
        """Compare the result of onboarding with the model's."""
        if expected.status == "created":
            self.new_company(result.company_id)
        name = self.world.firms[expected.firm].name
        assert (self.id_of(expected.firm), name, expected.status) == (
            result.company_id,
            result.company_name,
            result.link_status,
        )
        assert (expected.billing is None) == (result.billing_status is None)
        if expected.billing is not None and result.billing_status is not None:
            claimed, linked, number = expected.billing
            if number is not None:
                self.learn_subscription(number, result.billing_status.subscription_id)
            subscription_id = None if number is None else self.world.subscriptions[number].id
            assert (claimed, linked, subscription_id) == (
                result.billing_status.claimed,
                result.billing_status.linked,
                result.billing_status.subscription_id,
            )
            assert expected.tier_applied in (None, result.billing_status.tier_applied)

    # Contacts

    @rule(place=places, person=people)
    def create_contact(self, place: int, person: dict[str, Any]) -> None:
        """Create or update one contact."""
        target = self.pick(place)
        both = self.both(
            lambda world: world.upsert(target, person),
            lambda: self.client.contacts.create(company_id=self.id_of(target), **person),
        )
        if both is not None:
            (expected, is_new), contact = both
            self.learn_person(expected, contact)
            assert expected.shown(is_new) == seen(contact)

    @rule(place=places, entries=st.lists(people, max_size=4))
    def bulk_upsert(self, place: int, entries: list[dict[str, Any]]) -> None:
        """Create or update many contacts, in order, or none of them."""
        target = self.pick(place)

        def predict(world: World) -> list[tuple[Person, bool, tuple[object, ...]]]:
            if not all(is_email(entry["email"]) for entry in entries):
                raise RefusedError(BAD_REQUEST)
            world.firm(target)
            steps = []
            for entry in entries:
                person, is_new = world.upsert(target, entry)
                steps.append((person, is_new, person.shown(is_new)))
            return steps

        both = self.both(
            predict, lambda: self.client.contacts.bulk_upsert(company_id=self.id_of(target), contacts=entries)
        )
        if both is not None:
            steps, result = both
            created = sum(is_new for _, is_new, _ in steps)
            assert (created, len(steps) - created) == (result.created, result.updated)
            assert [looks for _, _, looks in steps] == [seen(contact) for contact in result.contacts]
            for (person, _, _), contact in zip(steps, result.contacts, strict=True):
                self.learn_person(person, contact)

    # Access and usage

    @rule(
        place=places,
        code=st.sampled_from([*FEATURES, *FEATURES, *FEATURES, "no_such_feature"]),
        changes=st.lists(accesses, min_size=1, max_size=3),
        org_id=st.sampled_from([None, None, *ORG_IDS]),
    )
    def set_access(self, place: int, code: str, changes: list[dict[str, Any]], org_id: str | None) -> None:
        """Change the given fields of an access, by company or by external org id."""
        for change in changes:
            self.set_access_once(self.pick(place), code, change, org_id)

    def set_access_once(self, target: int | None, code: str, change: dict[str, Any], org_id: str | None) -> None:
        """Change an access on both sides and compare."""
        change = dict(change)
        if isinstance(change.get("valid_until"), int):
            change["valid_until"] = self.world.now + change["valid_until"] * HOUR
        nullable = {"quantity_limit", "included_quantity", "valid_until"}
        fields = {
            key: value for key, value in change.items() if value is not UNSET and (value is not None or key in nullable)
        }
        whom: dict[str, Any] = {"company_id": self.id_of(target)} if org_id is None else {"external_org_id": org_id}
        both = self.both(
            lambda world: world.set_access(target if org_id is None else world.linked(org_id), code, fields),
            lambda: self.client.features.set_access(**whom, feature_code=code, **change),
        )
        if both is not None:
            expected, access = both
            assert expected == access

    @rule(place=places, code=feature_codes, org_id=st.one_of(st.none(), org_ids))
    def check(self, place: int, code: str, org_id: str | None) -> None:
        """Check one feature, by company or by external org id."""
        target = self.pick(place)
        both = self.both(
            lambda world: world.check(target if org_id is None else world.linked(org_id), code),
            lambda: (
                self.client.features.check(company_id=self.id_of(target), feature_code=code)
                if org_id is None
                else self.client.features.check_by_external_org_id(org_id, code)
            ),
        )
        if both is not None:
            expected, access = both
            assert expected == access
            assert repr(numbers_of(expected)) == repr(numbers_of(access))

    @rule(org_id=org_ids)
    def all_access_of_an_org(self, org_id: str) -> None:
        """List every feature by external org id."""
        both = self.both(
            lambda world: world.linked(org_id),
            lambda: self.client.features.get_access_by_external_org_id(org_id),
        )
        if both is not None:
            place, result = both
            assert self.id_of(place) == result.company_id
            assert [self.world.check(place, code) for code in FEATURES] == list(result.features)

    @rule(
        place=places,
        code=feature_codes,
        amounts=st.lists(quantities, min_size=1, max_size=4),
        metadata=st.sampled_from([None, {"model": "m"}]),
        with_key=st.booleans(),
    )
    def track(
        self, place: int, code: str, amounts: list[float], metadata: dict[str, Any] | None, *, with_key: bool
    ) -> None:
        """Count new events, as long as the limit allows."""
        for quantity in amounts:
            key = f"key {next(self.numbers)}" if with_key else None
            self.track_once(self.pick(place), code, quantity, key, metadata)

    @rule(place=places, code=feature_codes, more=st.sampled_from([0, 1, 0.1, 1e-07]))
    def use_up(self, place: int, code: str, more: float) -> None:
        """Use all that remains, and then more than that."""
        target = self.pick(place)
        if target is not None and code in FEATURES:
            left = self.world.check(target, code).remaining
            if left and more:
                self.track_once(target, code, plain(exact(left) + exact(more)), None, None)
            if left:
                self.track_once(target, code, left, f"all {next(self.numbers)}", None)
            self.track_once(target, code, more or 1, None, None)

    @precondition(lambda self: self.world.events)
    @rule(number=st.integers(0, 100), swap=st.booleans(), metadata=st.sampled_from([None, {"again": True}]))
    def replay(self, number: int, metadata: dict[str, Any] | None, *, swap: bool) -> None:
        """Send an event again: it gets the first response and counts nothing."""
        key, event = self.event(number)
        quantity = plain(event.quantity)
        self.track_once(event.firm, event.feature, float(quantity) if swap else quantity, key, metadata)

    @precondition(lambda self: self.world.events)
    @rule(number=st.integers(0, 100), place=places, code=feature_codes, quantity=quantities)
    def reuse(self, number: int, place: int, code: str, quantity: float) -> None:
        """Use a key a second time for another event: mostly a conflict."""
        key, event = self.event(number)
        self.track_once(self.pick(place), code, quantity, key, None)
        self.track_once(event.firm, event.feature, quantity, key, None)
        self.track_once(self.pick(place), event.feature, plain(event.quantity), key, None)

    @rule(place=places, code=feature_codes, quantity=quantities)
    def lose_a_response(self, place: int, code: str, quantity: float) -> None:
        """Lose the response of an event that was counted; sending it again returns that response."""
        target, key = self.pick(place), f"lost {next(self.numbers)}"
        draft = copy.deepcopy(self.world)
        try:
            expected = draft.track(target, code, quantity, key)
        except RefusedError:
            return
        self.fake.fail("billing.trackUsage", error=TimedOut("lost"), after=True)
        arguments: dict[str, Any] = {"company_id": self.id_of(target), "feature_code": code, "quantity": quantity}
        with pytest.raises(TimedOut):
            self.client.billing.track_usage(**arguments, idempotency_key=key)
        self.world = draft
        assert expected == self.client.billing.track_usage(**arguments, idempotency_key=key)

    def event(self, number: int) -> tuple[str, Event]:
        """Return one of the events that had a key."""
        return list(self.world.events.items())[number % len(self.world.events)]

    def track_once(
        self, target: int | None, code: str, quantity: float, key: str | None, metadata: dict[str, Any] | None
    ) -> None:
        """Track usage on both sides and compare."""
        both = self.both(
            lambda world: world.track(target, code, quantity, key),
            lambda: self.client.billing.track_usage(
                company_id=self.id_of(target),
                feature_code=code,
                quantity=quantity,
                idempotency_key=key,
                metadata=metadata,
            ),
        )
        if both is not None:
            expected, result = both
            assert repr(expected) == repr(result)
            assert result.remaining is None or result.remaining >= 0

    # Tiers and Stripe

    @rule(place=places, code=tier_codes, features=overrides, alias=st.booleans())
    def apply_tier(self, place: int, code: str, features: dict[str, Any], *, alias: bool) -> None:
        """Apply a tier with its overrides."""
        target = self.pick(place)
        apply = self.client.subscriptions.create if alias else self.client.tiers.apply
        both = self.both(
            lambda world: world.apply_tier(target, code, features),
            lambda: apply(code, company_id=self.id_of(target), features=features or None),
        )
        if both is not None:
            expected, result = both
            assert expected == result

    @rule(prices=st.sampled_from(PRICE_SETS), customer=st.sampled_from([None, "cus_1", "cus_2"]))
    def add_subscription(self, prices: tuple[str, ...], customer: str | None) -> None:
        """Add a subscription that the caller made on Stripe."""
        subscription_id = self.fake.stripe.add_subscription(list(prices), customer_id=customer)
        assert subscription_id.startswith("sub_")
        self.world.subscriptions.append(Subscription(prices, id=self.new_id(subscription_id), customer=customer))

    @rule(
        prices=st.sampled_from(PRICE_SETS),
        customer_name=st.sampled_from([None, "Northwind Traders International", "Initech"]),
        complete=st.sampled_from([True, True, False]),
    )
    def add_checkout(self, prices: tuple[str, ...], customer_name: str | None, *, complete: bool) -> None:
        """Add a checkout session, complete or not yet."""
        session_id = self.fake.stripe.add_checkout_session(list(prices), customer_name=customer_name, complete=complete)
        assert session_id.startswith("cs_test_")
        self.world.subscriptions.append(Subscription(prices))
        self.world.sessions.append(
            Session(self.new_id(session_id), len(self.world.subscriptions) - 1, customer_name, complete)
        )

    @rule(number=st.integers(0, 9))
    def complete_checkout(self, number: int) -> None:
        """Let the customer pay."""
        waiting = [session for session in self.world.sessions if not session.complete]
        if waiting:
            session = waiting[number % len(waiting)]
            self.fake.stripe.complete(session.id)
            session.complete = True

    @rule(place=places, number=places, again=st.booleans())
    def claim_checkout(self, place: int, number: int, *, again: bool) -> None:
        """Claim the subscription of a checkout, mostly once more for the company that has it."""
        target, session = self.pick(place), self.pick_session(number)
        if again and session is not None:
            target = self.owner(self.world.sessions[session].subscription, target)
        session_id = "cs_test_nothing" if session is None else self.world.sessions[session].id
        both = self.both(
            lambda world: world.claim(target, session),
            lambda: self.client.billing.claim_checkout(company_id=self.id_of(target), checkout_session_id=session_id),
        )
        if both is not None:
            (already, subscription), result = both
            assert already == result.already_claimed
            self.learn_subscription(subscription, result.subscription_id)

    @rule(
        place=places,
        number=places,
        customer=st.sampled_from([None, "right", None, "right", "wrong"]),
        tier=st.one_of(st.none(), tier_codes),
        display_name=st.sampled_from([None, "Plan A", "Plan B"]),
        again=st.booleans(),
    )
    def link_subscription(
        self,
        place: int,
        number: int,
        customer: str | None,
        tier: str | None,
        display_name: str | None,
        *,
        again: bool,
    ) -> None:
        """Link a subscription that the caller made, mostly once more for the company that has it."""
        target, subscription = self.pick(place), self.pick_subscription(number)
        if again and subscription is not None:
            target = self.owner(subscription, target)
        customer_id = self.customer_of(subscription, customer)
        both = self.both(
            lambda world: world.link_subscription(target, subscription, customer_id, tier, display_name),
            lambda: self.client.billing.link_subscription(
                company_id=self.id_of(target),
                stripe_subscription_id=self.subscription_id(subscription),
                stripe_customer_id=customer_id,
                tier_code=tier,
                display_name=display_name,
            ),
        )
        if both is not None:
            (already, applied), result = both
            assert (self.subscription_id(subscription), already, applied) == (
                result.subscription_id,
                result.already_linked,
                result.features_applied,
            )

    def owner(self, number: int, other: int | None) -> int | None:
        """Return the company that has a subscription, or another company if none has it."""
        owner = self.world.subscriptions[number].firm
        return other if owner is None else owner

    def customer_of(self, number: int | None, kind: str | None) -> str | None:
        """Return a subscription's customer or a wrong one; None if it is not known or not needed."""
        if kind == "right":
            return None if number is None else self.world.subscriptions[number].customer
        return "cus_of_somebody_else" if kind == "wrong" else None

    def subscription_id(self, number: int | None) -> str:
        """Return the id of a subscription."""
        if number is None:
            return "sub_nothing"
        known = self.world.subscriptions[number].id
        assert known is not None
        return known

    @rule(number=st.integers(0, 8))
    def cancel(self, number: int) -> None:
        """Cancel a subscription; its accesses stay."""
        active = [
            number
            for number, subscription in enumerate(self.world.subscriptions)
            if subscription.id is not None and not subscription.cancelled
        ]
        if active:
            chosen = active[number % len(active)]
            self.fake.stripe.cancel(self.subscription_id(chosen))
            self.world.cancel(chosen)

    @rule(number=st.integers(0, 8))
    def renew(self, number: int) -> None:
        """Renew a subscription, which resets the usage of its company; only an active one of a company renews."""
        known = [subscription for subscription in self.world.subscriptions if subscription.id is not None]
        if known:
            subscription = known[number % len(known)]
            assert subscription.id is not None
            if subscription.cancelled or subscription.firm is None:
                before = json.dumps(self.fake.snapshot())
                with pytest.raises(ValueError, match=r"."):
                    self.fake.stripe.renew(subscription.id)
                assert before == json.dumps(self.fake.snapshot())
            else:
                self.fake.stripe.renew(subscription.id)
                self.world.firms[subscription.firm].usage.clear()

    # Time, wrong calls, and a new fake

    @rule(hours=st.integers(0, 3), by_handle=st.booleans())
    def pass_time(self, hours: int, *, by_handle: bool) -> None:
        """Let time pass, by the test control or by the clock itself."""
        if by_handle:
            self.fake.advance(hours * HOUR)
        else:
            self.time += hours * HOUR
        self.world.now += hours * HOUR

    @rule(wrong=st.sampled_from(WRONG_CALLS))
    def call_wrongly(self, wrong: Wrong) -> None:
        """Make a wrong call, which is refused with its code and changes nothing."""
        received = json.loads(
            json.dumps(wrong.received).replace("$company", self.company_ids[0]).replace("$new", "org_never_linked")
        )
        before = json.dumps(self.fake.snapshot())
        known = PROCEDURES.get(wrong.path)
        kind: Any = wrong.kind or (known.kind if known else "query")
        with pytest.raises(ApiError) as caught:
            self.fake.send(Call(wrong.path, kind, received))  # the client itself refuses some of them
        assert (wrong.code, ERRORS.get(wrong.code, ApiError)) == (caught.value.code, type(caught.value))
        assert before == json.dumps(self.fake.snapshot())

    @rule()
    def start_from_a_snapshot(self) -> None:
        """Replace the fake by one made from its snapshot, which is the same."""
        snapshot = self.fake.snapshot()
        self.fake = FakeTransport.from_snapshot(json.loads(json.dumps(snapshot)), now=lambda: self.time)
        self.client = ChatarminOS(transport=self.fake)
        assert snapshot == self.fake.snapshot()

    @invariant()
    def one_thing_looks_the_same(self) -> None:
        """After each step one link and one company are the model's; each has its turn."""
        self.turn += 1
        self.link_looks_the_same(ORG_IDS[self.turn % len(ORG_IDS)])
        if self.world.firms:
            self.company_looks_the_same(self.turn % len(self.world.firms))

    @invariant()
    def tables_of_an_earlier_step_stay(self) -> None:
        """Tables that were copied before a step are those of that moment: rows are replaced, never changed."""
        assert json.dumps(self.tables) == self.text
        self.tables = snapshots.tables(self.fake.service.state)
        self.text = json.dumps(self.tables)

    @rule()
    def everything_looks_the_same(self) -> None:
        """All links and all companies are the model's."""
        for org_id in ORG_IDS:
            self.link_looks_the_same(org_id)
        for place in range(len(self.world.firms)):
            self.company_looks_the_same(place)

    def link_looks_the_same(self, org_id: str) -> None:
        """An external org id leads to its company, or to none."""
        company = self.client.companies.get_by_product_link(external_org_id=org_id)
        if org_id in self.world.links:
            self.same_company(self.world.links[org_id], company)
        else:
            assert company is None

    def company_looks_the_same(self, place: int) -> None:
        """Accesses, usage, contacts, subscriptions and revenue of a company are the model's."""
        firm, company_id = self.world.firms[place], self.company_ids[place]
        expected = [self.world.check(place, code) for code in FEATURES]
        assert expected == self.client.features.list_access(company_id)
        assert firm.mrr == self.fake.mrr(company_id)
        self.contacts_look_the_same(place, firm)
        self.billing_looks_the_same(place, firm)

    def contacts_look_the_same(self, place: int, firm: Firm) -> None:
        """Contacts are the model's, in order of creation, at most one of them primary."""
        contacts = self.client.contacts.list(self.company_ids[place])
        assert [person.shown(None) for person in firm.people] == [seen(contact) for contact in contacts]
        for person, contact in zip(firm.people, contacts, strict=True):
            self.learn_person(person, contact)
        primary = [contact for contact in contacts if contact.is_primary]
        assert len(primary) <= 1
        assert primary == self.client.contacts.list(self.company_ids[place], primary_only=True)

    def billing_looks_the_same(self, place: int, firm: Firm) -> None:
        """The billing status is the model's, subscriptions in claiming order."""
        status = self.client.billing.get_status(self.company_ids[place])
        enabled = sum(self.world.check(place, code).is_enabled for code in FEATURES)
        assert (firm.has_profile, enabled) == (status.has_billing_profile, status.enabled_features_count)
        own = [self.world.subscriptions[number] for number in firm.subscriptions]
        active = [subscription for subscription in own if not subscription.cancelled]
        assert [(one.id, None if one.tier is None else TIERS[one.tier].name) for one in active] == [
            (one.stripe_subscription_id, one.tier and one.tier.name) for one in status.active_subscriptions
        ]
        for subscription, shown in zip(active, status.active_subscriptions, strict=True):
            if subscription.display_name_known:
                assert subscription.display_name == shown.display_name


def test_the_fake_follows_the_rules_in_any_order() -> None:
    """Calls in any order get the responses and refusals that the rules predict."""
    run_state_machine_as_test(
        ServiceMachine,
        settings=settings(max_examples=200, stateful_step_count=50, deadline=None, derandomize=True, database=None),
    )
