"""The types of the public API; read by mypy and pyright, never run.

Each call has the type that is asserted. The calls at the end are refused: to ignore an error that is none is an error.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_type

from chatarmin_os import (
    PROCEDURES,
    UNSET,
    ApiError,
    ApplyTierResult,
    BadRequestError,
    BaseFee,
    BillingStatus,
    BulkUpsertInput,
    BulkUpsertResult,
    CassetteError,
    ChatarminError,
    ChatarminOS,
    ClaimResult,
    Company,
    Contact,
    ContactInput,
    CreateCompanyInput,
    CreateLinkInput,
    FeatureAccess,
    FeatureCheckInput,
    FeatureSetAccessInput,
    GetByProductLinkInput,
    GetStatusInput,
    GetTierInput,
    Hints,
    InvalidInput,
    InvalidResponse,
    Link,
    LinkSubscriptionResult,
    ListAccessInput,
    ListContactsInput,
    ListTiersInput,
    NotFoundError,
    OnboardBilling,
    OnboardInput,
    OnboardResult,
    OrgFeatures,
    RateLimitError,
    ResetResult,
    ServerError,
    SmartLinkInput,
    SmartLinkResult,
    StripePrice,
    Subscription,
    Suggestion,
    Tier,
    TierFeature,
    TierSummary,
    TimedOut,
    TrackUsageInput,
    TransportError,
    UsageResult,
)
from chatarmin_os.fake import FREE_MAIL_DOMAINS, Catalogue, FakeTransport, demo_catalogue
from chatarmin_os.transports import Call, HTTPTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID


# Accepted arguments and their results


def making_clients(transport: Transport, fake: FakeTransport) -> None:
    """A client is made of a key or of a transport, and is itself inside a with block."""
    assert_type(ChatarminOS("os_sk_1"), ChatarminOS)
    assert_type(ChatarminOS(api_key=None, base_url="https://os.example.com", timeout=5, max_retries=0), ChatarminOS)
    assert_type(ChatarminOS(transport=transport), ChatarminOS)
    assert_type(ChatarminOS(transport=fake), ChatarminOS)
    assert_type(ChatarminOS(allow_http=True), ChatarminOS)
    assert_type(ChatarminOS.lazy(), ChatarminOS)
    assert_type(ChatarminOS.lazy("os_sk_1", timeout=5, allow_http=True), ChatarminOS)
    assert_type(ChatarminOS.lazy(transport=transport), ChatarminOS)
    assert_type(ChatarminOS.lazy().with_options(timeout=1), ChatarminOS)
    assert_type(ChatarminOS().with_options(timeout=0.5, max_retries=0).tiers.list(), list[TierSummary])
    assert_type(ChatarminOS().transport, Transport)
    assert_type(transport.with_options(timeout=1).fingerprint(), str | None)
    assert_type(transport.name, str)
    assert_type(HTTPTransport("os_sk_1", verify="ca.pem", cert=("cert.pem", Path("key.pem"))).name, str)
    assert_type(ChatarminOS.in_memory(), ChatarminOS)
    with ChatarminOS(transport=transport) as client:
        assert_type(client, ChatarminOS)
        assert_type(client.transport, Transport)
    client.close()


def companies(client: ChatarminOS, uuid: UUID, moment: datetime) -> None:
    """Companies: ids may be UUIDs, instants text, hints a mapping."""
    assert_type(client.companies.get_by_product_link(external_org_id="o"), Company | None)
    assert_type(client.companies.create(name="n", external_org_id=uuid, domain=None, created_at=moment), Company)
    assert_type(client.companies.update(company_id=uuid, created_at="2024-01-15T10:30:00Z"), Company)
    assert_type(client.companies.smart_link(external_org_id="o"), SmartLinkResult)
    assert_type(
        client.companies.smart_link(external_org_id="o", hints=Hints(domain="acme.com"), min_confidence=1),
        SmartLinkResult,
    )
    assert_type(client.companies.smart_link(external_org_id="o", hints={"emails": ["a@b.c"]}), SmartLinkResult)


def contacts(client: ChatarminOS, metadata: Mapping[str, object]) -> None:
    """Contacts: many of them are any iterable of inputs and mappings."""
    assert_type(client.contacts.create(company_id="c", email="a@b.c", is_primary=True, metadata=metadata), Contact)
    assert_type(client.contacts.bulk_upsert(company_id="c", contacts=[{"email": "a@b.c"}]), BulkUpsertResult)
    assert_type(
        client.contacts.bulk_upsert(company_id="c", contacts=(ContactInput(email=one) for one in ("a@b.c", "d@e.f"))),
        BulkUpsertResult,
    )
    assert_type(client.contacts.list("c"), list[Contact])
    assert_type(client.contacts.list("c", primary_only=True), list[Contact])


def features(client: ChatarminOS, uuid: UUID) -> None:
    """Features: limits are numbers, None or UNSET, an expiry an instant, a day, None or UNSET."""
    assert_type(client.features.check(company_id=uuid, feature_code="f"), FeatureAccess)
    assert_type(client.features.list_access("c"), list[FeatureAccess])
    assert_type(client.features.set_access(company_id="c", feature_code="f", is_enabled=True), FeatureAccess)
    assert_type(
        client.features.set_access(
            external_org_id="o",
            feature_code="f",
            quantity_limit=None,
            included_quantity=UNSET,
            config={"max_rows": 5},
            source="manual",
            valid_until=date(2024, 1, 15),
        ),
        FeatureAccess,
    )
    assert_type(
        client.features.set_access(company_id="c", feature_code="f", quantity_limit=2.5, valid_until=None),
        FeatureAccess,
    )
    assert_type(client.features.get_access_by_external_org_id("o"), OrgFeatures)
    assert_type(client.features.check_by_external_org_id("o", "f"), FeatureAccess)
    assert_type(client.features.check_by_external_org_id(external_org_id=uuid, feature_code="f"), FeatureAccess)


def billing(client: ChatarminOS, uuid: UUID) -> None:
    """Billing: a quantity is any number, a key text or a UUID."""
    assert_type(client.billing.track_usage(company_id="c", feature_code="f", quantity=1), UsageResult)
    assert_type(
        client.billing.track_usage(company_id="c", feature_code="f", quantity=0.5, idempotency_key=uuid), UsageResult
    )
    assert_type(client.billing.claim_checkout(company_id="c", checkout_session_id="cs_1"), ClaimResult)
    assert_type(
        client.billing.link_subscription(company_id="c", stripe_subscription_id="sub_1", tier_code="pro"),
        LinkSubscriptionResult,
    )
    assert_type(client.billing.get_status("c"), BillingStatus)


def tiers_links_and_onboarding(client: ChatarminOS, overrides: Mapping[str, Mapping[str, int]]) -> None:
    """Tiers, subscriptions, links, and onboarding in one call."""
    assert_type(client.tiers.list(), list[TierSummary])
    assert_type(client.tiers.get("pro"), Tier)
    assert_type(client.tiers.apply("pro", company_id="c", features=overrides), ApplyTierResult)
    assert_type(client.subscriptions.create("pro", company_id="c"), ApplyTierResult)
    assert_type(client.links.create(company_id="c", external_org_id="o", label="Store"), Link)
    assert_type(client.links.reset(delete_contacts=True), ResetResult)
    assert_type(client.onboard(external_org_id="o", hints=Hints(), tier_code="free"), OnboardResult)
    assert_type(client.onboard(external_org_id="o", hints={"domain": "acme.com"}), OnboardResult)


def sending(client: ChatarminOS) -> None:
    """A request that is sent has the result that its class names."""
    assert_type(client.send(FeatureCheckInput(company_id="c", feature_code="f")), FeatureAccess)
    assert_type(client.send(GetByProductLinkInput(external_org_id="o")), Company | None)
    assert_type(client.send(CreateCompanyInput(name="n", external_org_id="o")), Company)
    assert_type(client.send(SmartLinkInput(external_org_id="o", hints={"domain": "acme.com"})), SmartLinkResult)
    assert_type(client.send(BulkUpsertInput(company_id="c", contacts=[{"email": "a@b.c"}])), BulkUpsertResult)
    assert_type(client.send(ListContactsInput(company_id="c")), list[Contact])
    assert_type(client.send(ListAccessInput(company_id="c")), list[FeatureAccess])
    assert_type(client.send(TrackUsageInput(company_id="c", feature_code="f", quantity=1)), UsageResult)
    assert_type(client.send(GetStatusInput(company_id="c")), BillingStatus)
    assert_type(client.send(ListTiersInput()), list[TierSummary])
    assert_type(client.send(CreateLinkInput(company_id="c", external_org_id="o")), Link)
    assert_type(client.send(OnboardInput(external_org_id="o", created_at="2024-01-15T10:30:00Z")), OnboardResult)


def batching(client: ChatarminOS) -> None:
    """A batch of one kind of request has its results or errors; of several kinds, `isinstance` distinguishes them."""
    answers = client.batch([GetTierInput(tier_code="free"), GetTierInput(tier_code="pro")])
    assert_type(answers, list[Tier | ChatarminError])
    for answer in answers:
        if isinstance(answer, ChatarminError):
            assert_type(answer, ChatarminError)
        else:
            assert_type(answer, Tier)
    for mixed in client.batch([GetTierInput(tier_code="free"), ListTiersInput()]):
        if isinstance(mixed, Tier):
            assert_type(mixed, Tier)
        elif isinstance(mixed, ChatarminError):
            assert_type(mixed, ChatarminError)
    assert_type(
        client.batch(FeatureCheckInput(company_id="c", feature_code=code) for code in ("seats", "sso")),
        list[FeatureAccess | ChatarminError],
    )


def calling(client: ChatarminOS) -> None:
    """A call by path has JSON in and out."""
    assert_type(client.call("tiers.list"), Any)
    assert_type(client.call("features.check", {"companyId": "c"}, kind="query"), Any)
    assert_type(client.call("reports.weekly", [1, None], kind="mutation"), Any)


def company_models(company: Company, result: SmartLinkResult, suggestion: Suggestion) -> None:
    """An id is always there, the rest may be None."""
    assert_type(company.id, str)
    assert_type(company.short_id, str | None)
    assert_type(company.domain, str | None)
    assert_type(company.created_at, datetime | None)
    assert_type(company.extra, dict[str, Any])
    assert_type(result.status, str)
    assert_type(result.confidence, int | float | None)
    assert_type(result.suggestions, tuple[Suggestion, ...])
    assert_type(suggestion.reason, str | None)


def access_models(access: FeatureAccess, org: OrgFeatures, usage: UsageResult) -> None:
    """Whether a feature is enabled is always there; quantities are ints or floats, None where unlimited."""
    assert_type(access.is_enabled, bool)
    assert_type(access.can_use, bool | None)
    assert_type(access.current_usage, int | float | None)
    assert_type(access.remaining, int | float | None)
    assert_type(access.config_values, dict[str, Any] | None)
    assert_type(access.source, str | None)
    assert_type(access.valid_until, datetime | None)
    assert_type(org.features, tuple[FeatureAccess, ...])
    assert_type(usage.current_usage, int | float)
    assert_type(usage.is_at_limit, bool | None)


def billing_models(
    status: BillingStatus, claim: ClaimResult, linked: LinkSubscriptionResult, subscription: Subscription
) -> None:
    """Subscriptions are a tuple, and each may have a tier."""
    assert_type(status.has_billing_profile, bool)
    assert_type(status.active_subscriptions, tuple[Subscription, ...])
    assert_type(status.enabled_features_count, int | None)
    assert_type(claim.already_claimed, bool)
    assert_type(linked.features_applied, int | None)
    assert_type(subscription.tier, TierSummary | None)


def tier_models(tier: Tier, feature: TierFeature, price: StripePrice) -> None:
    """A tier may have a base fee, and each of its features a price."""
    assert_type(tier.code, str)
    assert_type(tier.base_fee, BaseFee | None)
    assert_type(tier.features, tuple[TierFeature, ...])
    assert_type(tier.stripe_price_ids, tuple[str, ...])
    assert_type(feature.config_values, dict[str, Any] | None)
    assert_type(feature.stripe, StripePrice | None)
    assert_type(price.price_id, str)
    assert_type(price.unit_amount, int | float | None)


def other_models(contact: Contact, many: BulkUpsertResult, onboarded: OnboardResult, reset: ResetResult) -> None:
    """Counts are ints, a status is text, and billing is only there where it was asked for."""
    assert_type(contact.id, str)
    assert_type(contact.metadata, dict[str, Any] | None)
    assert_type(contact.is_new, bool | None)
    assert_type(many.created, int)
    assert_type(many.contacts, tuple[Contact, ...])
    assert_type(onboarded.link_status, str)
    assert_type(onboarded.billing_status, OnboardBilling | None)
    assert_type(reset.links_deleted, int)
    assert_type(reset.contacts_deleted, int | None)


def unset_narrows(request: FeatureSetAccessInput) -> None:
    """An identity check excludes UNSET, and leaves a limit."""
    if request.quantity_limit is UNSET:
        assert_type(bool(request.quantity_limit), bool)
    elif request.quantity_limit is None:
        assert_type(request.quantity_limit, None)
    else:
        assert_type(request.quantity_limit, float)
    if request.valid_until is not UNSET and request.valid_until is not None:
        when: datetime | date | str = request.valid_until
        assert_type(str(when), str)


def requests_and_their_table(event: TrackUsageInput) -> None:
    """A request has the types of its class attributes; an event always has its key."""
    assert_type(event.idempotency_key, str)
    assert_type(event.metadata, dict[str, Any] | None)
    assert_type(PROCEDURES["tiers.list"].path, str)
    assert_type(PROCEDURES["tiers.list"].kind, Literal["query", "mutation"])
    assert_type(FeatureCheckInput.safe_to_repeat, bool)


def errors(client: ChatarminOS) -> None:
    """Each error has its own attributes, and its request can be sent again."""
    try:
        client.tiers.list()
    except BadRequestError as error:
        assert_type(error.issues, list[tuple[str, str]])
    except (RateLimitError, ServerError, InvalidResponse) as error:
        assert_type(error.retry_after, float | None)
    except ApiError as error:
        assert_type(error.code, str)
        assert_type(error.http_status, int | None)
        assert_type(error.data, Any)
        assert_type(error.request_id, str | None)
    except TransportError as error:
        assert_type(error.outcome == "not_sent", bool)
        assert_type(error.attempts, int)
    except InvalidInput as error:
        assert_type(error.field, str | None)
        assert_type(error.problem, str)
        assert_type(error.hint, str | None)
    except CassetteError as error:
        if error.request is not None:
            assert_type(client.send(error.request), Any)
    assert_type(ApiError.from_code("NOT_FOUND", "no", path="tiers.get", retry_after=1.5), ApiError)
    assert_type(NotFoundError("no", code="NOT_FOUND").message, str)
    assert_type(NotFoundError("no", code="NOT_FOUND").is_missing_procedure, bool)
    assert_type(InvalidResponse("no", http_status=502).http_status, int | None)
    assert_type(TransportError("no").is_temporary, bool)
    assert_type(TimedOut("too late", outcome="not_sent", attempts=3).attempts, int)


class Recorded(Transport):
    """A transport of one's own needs `send`."""

    def send(self, call: Call) -> Any:
        """Answer with the attributes of the call."""
        assert_type(call.path, str)
        assert_type(call.kind, Literal["query", "mutation"])
        assert_type(call.safe_to_repeat, bool)
        return call.input


def transports_and_the_fake(fake: FakeTransport) -> None:
    """A fake is a transport with test controls."""
    assert_type(Recorded().send_many([Call("tiers.list", "query")]), list[Any | ChatarminError])
    assert_type(FakeTransport(demo_catalogue()).calls, list[Call])
    assert_type(demo_catalogue(), Catalogue)
    assert_type(fake.add_company("Acme"), str)
    assert_type(fake.stripe.add_subscription(["price_1"]), str)
    assert_type(fake.stripe.add_checkout_session(["price_1"], complete=False), str)
    assert_type(fake.mrr("c"), int)
    assert_type(FakeTransport.from_snapshot(fake.snapshot()), FakeTransport)
    assert_type(FREE_MAIL_DOMAINS, frozenset[str])


# Rejected arguments


def wrong_arguments(client: ChatarminOS) -> None:
    """A value of another type, a missing argument and one by place are refused."""
    client.features.check(company_id=5, feature_code="f")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.features.check(company_id=None, feature_code="f")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.features.check(feature_code="f")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.features.check("c", "f")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.features.check(companyId="c", featureCode="f")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.features.set_access(company_id="c", feature_code="f", quantity_limit="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.features.set_access(company_id="c", feature_code="f", is_enabled=UNSET)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.features.set_access(company_id="c", feature_code="f", config=UNSET)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.billing.track_usage(company_id="c", feature_code="f", quantity="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.companies.update(company_id="c", created_at=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.companies.smart_link(external_org_id="o", hints="acme.com")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.contacts.bulk_upsert(company_id="c", contacts="ann@acme.com")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.tiers.apply("pro", company_id="c", features={"seats": 3})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    client.links.reset(True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.call("tiers.list", kind="subscription")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def wrong_requests(client: ChatarminOS) -> None:
    """A class, a mapping, nothing, and one request where many are meant are refused."""
    client.send(ListTiersInput)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.send({"tierCode": "pro"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.send(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.send(ContactInput(email="a@b.c"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.batch(ListTiersInput())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    FeatureCheckInput(company_id="c")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    FeatureCheckInput("c", "f")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    TrackUsageInput(company_id="c", feature_code="f", quantity="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def wrong_clients() -> None:
    """A transport is not text, settings are given by name, and a transport can send."""
    ChatarminOS(transport="https://os.example.com")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ChatarminOS("os_sk_1", "https://os.example.com")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ChatarminOS("os_sk_1", max_retries="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ChatarminOS.lazy(tmeout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ChatarminOS.lazy("os_sk_1", max_retries="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ChatarminOS().with_options(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    HTTPTransport("os_sk_1", verify=False)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Transport()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]


def wrong_use_of_models(client: ChatarminOS, company: Company, access: FeatureAccess) -> None:
    """Models are frozen, have no wire names, and optional fields must be checked for None."""
    company.id = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    company.shortId  # type: ignore[attr-defined]  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
    client.companies.get_by_product_link(external_org_id="o").id  # type: ignore[union-attr]  # noqa: B018  # pyright: ignore[reportOptionalMemberAccess]
    access.remaining + 1  # type: ignore[operator]  # pyright: ignore[reportOptionalOperand]
    PROCEDURES["tiers.list"] = ListTiersInput  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    ApiError("no")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    TransportError("no answer", outcome="maybe")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
