"""A company's timeline: each event with its call, also in a busy product."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import ChatarminError, ChatarminOS
from chatarmin_os._unset import UNSET
from chatarmin_os.errors import ApiError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import control
from chatarmin_os.server.call_log import MAX_KEPT_CALLS
from chatarmin_os.server.company_view import MAX_POINTS
from chatarmin_os.server.product import Product
from chatarmin_os.server.timeline import MAX_OTHER_EVENTS, MAX_USAGE_BYTES, MAX_USAGE_EVENTS, Logs
from chatarmin_os.server.view import view
from chatarmin_os.server.words import MAX_FACTS
from chatarmin_os.transports import FunctionTransport

if TYPE_CHECKING:
    from chatarmin_os._json import JSON
    from chatarmin_os.transports import Call

PRO = [f"price_pro_{part}" for part in ("base", "ai_credit", "seats")]


class Service:
    """A product as the local service has it, with a client and the test controls.

    Attributes:
        client: Its calls are answered and logged as those of an application.
    """

    def __init__(self, logs: Logs | None = None) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self.fake = FakeTransport(demo_catalogue(), now=self._tick)
        self.product = Product("0" * 16, "os_sk_…test", self.fake, timelines=logs)
        self.client = ChatarminOS(transport=FunctionTransport(self._answer))

    def _tick(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now

    def _answer(self, call: Call) -> JSON:
        return self.product.answer(call.path, call.kind, call.input)

    def use(self, name: str, /, **given: Any) -> Any:
        """Use a test control, as over HTTP."""
        run = control._run_and_touch if name in control._MUTATIONS else control._run
        return run(name if name in control._MUTATIONS else control._QUERIES[name], self.product, given)  # type: ignore[arg-type]

    def onboard(self, org: str = "org_1", **given: Any) -> str:
        """Sign a company up, and return its id."""
        return self.client.onboard(external_org_id=org, **given).company_id

    def events(self, company: str, **given: Any) -> list[Any]:
        """Return the events of a company, newest first."""
        events: list[Any] = self.use("company", company=company, **given)["events"]
        return events

    def texts(self, company: str) -> list[list[str]]:
        """Return the kind and the text of each fact of the newest event."""
        return [[fact["kind"], fact["text"]] for fact in self.events(company)[0]["facts"]]


@pytest.fixture
def service() -> Service:
    return Service()


def test_sign_up_is_one_event_of_its_call(service: Service) -> None:
    """With the company, the link, the tier, its features and the contact; with path, time and outcome."""
    company = service.onboard(tier_code="free", contact_email="ann@acme.example")
    (event,) = service.events(company)

    assert {key: event[key] for key in ("number", "path", "outcome")} == {
        "number": 1,
        "path": "onboard",
        "outcome": "ok",
    }
    assert event["at"].startswith("2026-01-01T00:00:00.")
    assert service.texts(company) == [
        ["sign-up", "The company was created as org_1"],
        ["link", "Linked to org_1"],
        ["tier", "Tier: none → Free"],
        ["access", "AI credits: on, limit 100, included 100"],
        ["access", "Seats: on, limit 3, included 3"],
        ["contacts", "1 contact added"],
    ]


def test_each_change_is_in_words(service: Service) -> None:
    """Links, tiers, access set by hand, usage, contacts and the time of creation."""
    company = service.onboard(tier_code="free")
    client = service.client

    def after(action: object) -> list[list[str]]:
        assert action is not ...
        return service.texts(company)

    assert after(client.links.create(company_id=company, external_org_id="org_2", label="EU")) == [
        ["link", "Linked to org_2, label EU"]
    ]
    assert after(client.links.create(company_id=company, external_org_id="org_2", label="US")) == [
        ["link", "The link to org_2 was changed, label US"]
    ]
    assert after(client.links.create(company_id=company, external_org_id="org_2")) == [["nothing", "Nothing changed"]]
    assert after(client.tiers.apply(company_id=company, tier_code="pro"))[:2] == [
        ["tier", "Tier: Free → Pro"],
        ["access", "AI credits: limit 100 → 10,000, included 100 → 1,000"],
    ]
    assert after(client.tiers.apply(company_id=company, tier_code="pro")) == [["tier", "The tier Pro was applied"]]
    assert after(client.features.set_access(company_id=company, feature_code="seats", quantity_limit=None)) == [
        ["access", "Seats: limit 25 → none"]
    ]
    assert after(
        client.features.set_access(
            external_org_id="org_1", feature_code="sso", is_enabled=True, valid_until="2027-01-01T00:00:00Z"
        )
    ) == [["access", "Single sign-on: on, until 2027-01-01T00:00:00.000Z"]]
    assert after(
        client.features.set_access(company_id=company, feature_code="sso", valid_until=None, config={"idp": "x"})
    ) == [["access", "Single sign-on: until further notice, other settings"]]
    assert after(client.features.set_access(company_id=company, feature_code="sso", is_enabled=False)) == [
        ["access", "Single sign-on: off"]
    ]
    assert after(client.billing.track_usage(company_id=company, feature_code="ai_credit", quantity=1200)) == [
        ["usage", "Used 1,200 of AI credits: 0 → 1,200 of 10,000, 200 billable"]
    ]
    assert after(client.billing.track_usage(company_id=company, feature_code="seats", quantity=0.5)) == [
        ["usage", "Used 0.5 of Seats: 0 → 0.5"]
    ]
    assert after(client.companies.update(company_id=company, created_at="2020-01-01T00:00:00Z"))[0][1].endswith(
        "→ 2020-01-01T00:00:00.000Z"
    )
    assert after(
        client.contacts.bulk_upsert(company_id=company, contacts=[{"email": f"{n}@acme.example"} for n in range(2)])
    ) == [["contacts", "2 contacts added"]]
    assert after(
        client.contacts.bulk_upsert(company_id=company, contacts=[{"email": "1@acme.example", "name": "One"}])
    ) == [["contacts", "1 contact changed"]]


def test_check_that_answers_no_has_the_true_reason(service: Service) -> None:
    """An access that has expired, one that is off, and one that was never given are three reasons."""
    company = service.onboard(tier_code="free")

    def reason(**access: Any) -> str:
        if access:
            service.client.features.set_access(company_id=company, feature_code="sso", **access)
        service.client.features.check(company_id=company, feature_code="sso")
        ((kind, text),) = service.texts(company)
        assert kind == "refusal"
        return text

    assert reason() == "Asked about Single sign-on: no, there is no access"
    assert reason(is_enabled=False, source="trial") == "Asked about Single sign-on: no, it is off"
    later = "2026-02-01T00:00:00Z"
    assert reason(is_enabled=False, valid_until=later) == "Asked about Single sign-on: no, it is off"
    service.client.features.set_access(company_id=company, feature_code="sso", is_enabled=True)
    service.use("advance", days=40)
    assert reason() == "Asked about Single sign-on: no, its access ended at 2026-02-01T00:00:00.000Z"
    service.client.features.set_access(company_id=company, feature_code="ai_credit", is_enabled=False)
    service.client.features.check(company_id=company, feature_code="ai_credit")
    assert service.texts(company) == [["refusal", "Asked about AI credits: no, it is off"]]


def test_events_of_the_product_stay_with_a_company_that_was_there(service: Service) -> None:
    """Of a restored company, whose sign-up is not in the timeline: also those before its first own event."""
    company = service.onboard(tier_code="free")
    service.use("restore", snapshot=service.use("snapshot"))
    service.use("advance", days=1)
    service.client.billing.track_usage(company_id=company, feature_code="seats", quantity=1)
    assert [event["path"] for event in service.events(company)] == ["billing.trackUsage", "advance"]
    later = service.onboard("org_2")
    service.use("advance", days=1)
    assert [event["path"] for event in service.events(later)] == ["advance", "onboard"]


def test_view_leaves_out_what_is_not_asked_for(service: Service) -> None:
    """Access and contacts of companies, which are most of a view, and rows of Stripe."""
    company = service.onboard(tier_code="pro", contact_email="ann@acme.example")
    for _ in range(3):
        service.fake.stripe.add_subscription(PRO)
        service.fake.stripe.add_checkout_session(PRO)
    whole: Any = service.use("view")
    brief: Any = service.use("view", with_access=False, stripe_limit=2)

    assert whole["companies"][0]["contacts"][0]["email"] == "ann@acme.example"
    assert [one["featureCode"] for one in whole["companies"][0]["access"]] == list(demo_catalogue().features)
    rest = {name: value for name, value in whole["companies"][0].items() if name not in {"access", "contacts"}}
    assert brief["companies"] == [rest]
    assert rest["id"] == company
    for name in ("subscriptions", "sessions"):
        assert len(whole[name]) >= 3
        assert brief[name] == whole[name][:2]


def test_unlimited_access_says_so(service: Service) -> None:
    """A new access without a limit differs from one to a feature without a quantity."""
    company = service.onboard(tier_code="enterprise")
    texts = [text for kind, text in service.texts(company) if kind == "access"]
    assert texts[0] == "AI credits: on, no limit, included 10,000"
    assert "API access: on" in texts


def test_subscription_has_its_tier_by_name(service: Service) -> None:
    """As every other tier of the timeline."""
    company = service.onboard(stripe_subscription_id=service.fake.stripe.add_subscription(PRO), tier_code="pro")
    (text,) = [text for kind, text in service.texts(company) if kind == "stripe"]
    assert text.endswith("belongs to the company, tier Pro")


def test_reason_knows_the_tier_that_was_applied(service: Service) -> None:
    """It does not infer it from limits, which may equal those of another tier."""
    company = service.onboard(tier_code="free")
    overrides = {"ai_credit": {"max_quantity": None}}  # as in another tier
    service.client.tiers.apply(company_id=company, tier_code="pro", features=overrides)
    reasons = {one["featureCode"]: one for one in service.use("company", company=company)["reasons"]}

    assert all(["tier", "Pro"] in one["facts"] for one in reasons.values())
    assert reasons["ai_credit"]["text"].endswith("the limit was most likely changed: it is 10000 in its tier Pro")
    assert reasons["sso"]["text"].endswith("its tier is Pro, which does not include it")
    service.client.features.set_access(company_id=company, feature_code="sso", is_enabled=False)
    service.client.tiers.apply(company_id=company, tier_code="enterprise")
    reasons = {one["featureCode"]: one for one in service.use("company", company=company)["reasons"]}
    assert reasons["ai_credit"]["text"].endswith("; the limit is that of its tier Enterprise")


def test_repeated_idempotency_key_counts_nothing(service: Service) -> None:
    """The timeline says so, and the usage stays."""
    company = service.onboard(tier_code="free")
    for _ in range(2):
        service.client.billing.track_usage(
            company_id=company, feature_code="seats", quantity=1, idempotency_key="key_1"
        )

    assert service.texts(company) == [["nothing", "Nothing was counted: the idempotency key was counted before"]]


def test_refusals_have_their_code(service: Service) -> None:
    """Of usage beyond the limit, of a call that fails on purpose, and of a check that answers no."""
    company = service.onboard(tier_code="free")
    with suppress(ApiError):
        service.client.billing.track_usage(company_id=company, feature_code="seats", quantity=4)
    assert service.texts(company) == [["refusal", "Usage limit of 'seats': 4 would exceed 3"]]
    assert service.events(company)[0]["outcome"] == "PRECONDITION_FAILED"

    service.client.features.check(company_id=company, feature_code="sso")
    assert service.texts(company) == [["refusal", "Asked about Single sign-on: no, there is no access"]]
    service.client.billing.track_usage(company_id=company, feature_code="seats", quantity=3)
    service.client.features.check_by_external_org_id(external_org_id="org_1", feature_code="seats")
    assert service.texts(company) == [["refusal", "Asked about Seats: no, 3 of 3 are used"]]
    before = len(service.events(company))
    service.client.features.check(company_id=company, feature_code="ai_credit")
    assert len(service.events(company)) == before

    with suppress(ApiError):
        service.client.features.check(company_id=company, feature_code="no_such")
    assert service.events(company)[0]["outcome"] == "NOT_FOUND"
    service.use("fail", error="TOO_MANY_REQUESTS")
    with suppress(ApiError):
        service.client.tiers.apply(company_id=company, tier_code="pro")
    assert service.events(company)[0]["outcome"] == "TOO_MANY_REQUESTS"


def test_lost_response_shows_what_was_carried_out(service: Service) -> None:
    """A call that was carried out, and whose response was lost, has its changes and the outcome LOST."""
    service.use("fail", error="lost", after=True)
    with suppress(ChatarminError):
        service.onboard(tier_code="pro")
    company = service.client.companies.get_by_product_link(external_org_id="org_1")
    assert company
    (event,) = service.events(company.id)

    assert event["outcome"] == "LOST"
    assert [fact["kind"] for fact in event["facts"]][:3] == ["sign-up", "link", "tier"]


def test_stripe_is_in_the_timeline(service: Service) -> None:
    """The claim of a checkout, its repetition, another tier, the end, and a new period; also by test controls."""
    company = service.onboard(tier_code="free")
    session = service.use("stripe.add_checkout_session", price_ids=PRO, complete=False)
    service.use("stripe.complete", session_id=session)
    subscription = service.client.billing.claim_checkout(
        company_id=company, checkout_session_id=session
    ).subscription_id
    assert subscription
    assert service.texts(company)[:2] == [
        ["stripe", f"The subscription {subscription} belongs to the company, tier Pro"],
        ["tier", "Tier: Free → Pro"],
    ]
    service.client.billing.claim_checkout(company_id=company, checkout_session_id=session)
    assert service.texts(company) == [["nothing", "Nothing changed"]]
    service.client.billing.link_subscription(
        company_id=company, stripe_subscription_id=subscription, tier_code="enterprise"
    )
    assert service.texts(company)[0] == ["stripe", f"The claim of {subscription} was changed, tier Enterprise"]

    service.use("stripe.renew", subscription_id=subscription)
    assert service.texts(company) == [["stripe", "A new billing period: there was no usage"]]
    service.client.billing.track_usage(company_id=company, feature_code="seats", quantity=2)
    service.use("stripe.renew", subscription_id=subscription)
    assert service.texts(company) == [["stripe", "A new billing period: usage of Seats 2 → 0"]]
    service.use("stripe.cancel", subscription_id=subscription)
    assert service.texts(company) == [["stripe", f"The subscription {subscription} ended; access and usage stay"]]
    assert service.events(company)[0]["number"] is None
    assert service.events(company)[0]["path"] == "stripe.cancel"

    other = service.use("stripe.add_subscription", price_ids=["price_x"])
    service.client.billing.link_subscription(company_id=company, stripe_subscription_id=other)
    assert service.texts(company) == [
        ["stripe", f"The subscription {other} belongs to the company, which pays for no tier"]
    ]


def test_sign_up_that_finds_a_company_invents_nothing(service: Service) -> None:
    """A company that a hint has found keeps its rows: only the link, the claim and the tier are new."""
    company = service.use("add_company", name="Acme", domain="acme.com")
    assert service.texts(company) == [["sign-up", "The company was created as Acme"]]
    session = service.use("stripe.add_checkout_session", price_ids=PRO)
    assert service.onboard(hints={"domain": "acme.com"}, checkout_session_id=session) == company
    (subscription,) = service.client.billing.get_status(company).active_subscriptions
    assert service.texts(company) == [
        ["link", "Linked to org_1"],
        ["stripe", f"The subscription {subscription.stripe_subscription_id} belongs to the company, tier Pro"],
        ["tier", "The tier Pro was applied"],
    ]
    assert service.onboard(org="org_2", hints={"domain": "acme.com"}) == company
    assert service.texts(company) == [["link", "Linked to org_2"]]
    service.onboard(org="org_2")
    assert service.texts(company) == [["nothing", "Nothing changed"]]


def test_events_of_the_whole_product_are_in_each_timeline(service: Service) -> None:
    """The clock, the catalogue and deleted links; not those from before the company."""
    service.use("advance", days=1)
    first = service.onboard()
    service.use("advance", days=2, hours=1)
    service.use("add_feature", code="x", name="X")
    second = service.onboard("org_2")
    service.use("add_tier", code="gold", name="Gold")
    service.client.links.reset()

    texts = [event["facts"][0]["text"] for event in service.events(first)]
    assert texts == [
        "All links of the product were deleted: 2",
        "The tier gold was added to the catalogue, or replaced in it",
        "The feature x was added to the catalogue, or replaced in it",
        "The clock moved forward: 2 days, 1 hour",
        "The company was created as org_1",
    ]
    assert len(service.events(second)) == 3


def test_deleted_links_and_contacts_are_counted(service: Service) -> None:
    """A reset that is refused has deleted nothing, and one that finds nothing neither."""
    company = service.onboard(contact_email="ann@acme.example")
    service.use("fail", error="FORBIDDEN", path="links.reset")
    with suppress(ApiError):
        service.client.links.reset()
    assert service.events(company)[0]["outcome"] == "FORBIDDEN"
    assert [kind for kind, _ in service.texts(company)] == ["refusal"]
    service.client.links.reset(delete_contacts=True)
    assert service.texts(company) == [["link", "All links of the product were deleted: 1, and all contacts: 1"]]
    service.client.links.reset()
    assert service.texts(company) == [["nothing", "Nothing changed"]]


def test_state_that_python_replaces_has_another_past(service: Service) -> None:
    """The old events go with the old tables, whose features the new ones may not have."""
    company = service.onboard(tier_code="free")
    snapshot = service.fake.snapshot()
    service.client.billing.track_usage(company_id=company, feature_code="seats", quantity=1)
    service.fake.replace(service.fake.service.load(snapshot))
    assert service.events(company) == []
    assert [point["usage"] for one in service.use("company", company=company)["usage"] for point in one["points"]] == [
        *(0, 0),
    ]
    service.client.billing.track_usage(company_id=company, feature_code="seats", quantity=2)
    assert service.texts(company) == [["usage", "Used 2 of Seats: 0 → 2 of 3"]]


def test_change_of_a_company_that_says_the_same_is_none(service: Service) -> None:
    """The same time of creation, the same contact, the same access."""
    company = service.onboard(tier_code="free")
    for _ in range(2):
        service.client.companies.update(company_id=company, created_at="2020-01-01T00:00:00Z")
    assert service.texts(company) == [["nothing", "Nothing changed"]]
    for _ in range(2):
        service.client.features.set_access(company_id=company, feature_code="seats", quantity_limit=7)
    assert service.texts(company) == [["nothing", "Nothing changed"]]
    for _ in range(2):
        service.client.contacts.bulk_upsert(company_id=company, contacts=[{"email": "a@acme.example", "name": "A"}])
    assert service.texts(company) == [["nothing", "Nothing changed"]]
    other = {"email": "b@acme.example"}
    service.client.contacts.bulk_upsert(company_id=company, contacts=[{"email": "a@acme.example", "name": "A"}, other])
    assert service.texts(company) == [["contacts", "1 contact added"]]


def test_events_show_what_was_true_at_their_call(service: Service) -> None:
    """Whenever they are read: also after many calls that changed the same rows again."""
    company = service.onboard(tier_code="enterprise")
    for _ in range(100):
        service.client.billing.track_usage(company_id=company, feature_code="team_seats", quantity=0.1)
    texts = [event["facts"][0]["text"] for event in service.events(company, limit=200)]

    assert texts[0] == "Used 0.1 of Team seats: 9.9 → 10"
    assert texts[69] == "Used 0.1 of Team seats: 3 → 3.1"
    assert texts[99] == "Used 0.1 of Team seats: 0 → 0.1"


def test_control_that_fails_or_changes_nothing_is_no_event(service: Service) -> None:
    """A refused control, an injected failure, and a checkout that belongs to nobody."""
    company = service.onboard()
    service.use("fail", error="lost", path="tiers.list")
    service.use("stripe.add_checkout_session", price_ids=["x"])
    with pytest.raises(ApiError, match="no subscription"):
        service.use("stripe.cancel", subscription_id="sub_none")
    with pytest.raises(ApiError, match="expected an object"):
        control._run_and_touch("advance", service.product, [])
    control._run_and_touch("advance", service.product, UNSET)
    service.use("advance")
    assert len(service.events(company)) == 1


def test_reset_and_restore_delete_the_timeline(service: Service) -> None:
    """The new state has another past."""
    company = service.onboard()
    service.use("restore", snapshot=service.use("snapshot"))
    assert service.events(company) == []
    service.use("reset")
    assert service.use("company", company=company)["company"] is None
    with pytest.raises(ApiError, match="company: no company has the id"):
        service.use("company_snapshot", company=company)
    assert service.events(service.onboard())[0]["number"] == 1


def test_timeline_has_pages(service: Service) -> None:
    """The newest events first; each page ends where the next begins."""
    company = service.onboard()
    for number in range(7):
        service.client.links.create(company_id=company, external_org_id=f"org_more_{number}")

    found: list[int] = []
    page = service.use("company", company="org_1", limit=3)
    while True:
        found += [event["number"] for event in page["events"]]
        if not page["has_more"]:
            break
        page = service.use("company", company=company, limit=3, before=page["events"][-1]["id"])
    assert found == list(range(8, 0, -1))


def test_usage_does_not_crowd_out_a_sign_up(service: Service) -> None:
    """The last thousand events of usage stay, and each of the other events up to five hundred."""
    company, other = service.onboard(tier_code="enterprise"), service.onboard("org_2")
    for _ in range(MAX_USAGE_EVENTS + 10):
        service.client.billing.track_usage(company_id=company, feature_code="seats", quantity=1)
    events = service.events(company, limit=2**53)

    assert len(events) == MAX_USAGE_EVENTS + 1
    assert events[-1]["path"] == "onboard"
    for number in range(MAX_OTHER_EVENTS):
        service.client.links.create(company_id=company, external_org_id=f"org_more_{number}")
    assert len(service.events(company, limit=2**53)) == MAX_USAGE_EVENTS + MAX_OTHER_EVENTS
    assert [event["path"] for event in service.events(other)] == ["onboard"]


def test_timelines_are_bounded_in_bytes() -> None:
    """Of all companies together; the oldest event is dropped first."""
    logs = Logs(other_bytes=20_000)
    service = Service(logs)
    companies = [service.onboard(f"org_{number}") for number in range(100)]

    assert logs.other.bytes <= 20_000
    assert service.events(companies[0]) == []
    assert len(service.events(companies[-1])) == 1
    service.product.clear_calls()
    assert (logs.usage.bytes, logs.other.bytes) == (0, 0)


def test_long_event_is_cut(service: Service) -> None:
    """A name of any length, and a catalogue of any size."""
    for number in range(60):
        service.use("add_feature", code=f"f{number}", name="N" * 3000, has_quantity=True)
    service.use("add_tier", code="all", name="All", features={f"f{number}": {} for number in range(60)})
    company = service.onboard(hints={"company_name": "A" * 100_000}, tier_code="all")
    (event,) = service.events(company)

    assert len(event["facts"]) == MAX_FACTS + 1
    assert event["facts"][-1]["text"] == f"and {63 - MAX_FACTS} more changes"
    assert len(json.dumps(event)) < 15_000

    for number in range(60, 120):
        service.use("add_feature", code=f"f{number}", name=f"F{number}", has_quantity=True)
    service.use("add_tier", code="more", name="More", features={f"f{number}": {} for number in range(120)})
    service.client.tiers.apply(company_id=service.onboard("org_2"), tier_code="more")
    assert service.texts("org_2")[-1] == ["more", f"and {121 - MAX_FACTS} more changes"]


def test_usage_over_time_has_limits_and_bills(service: Service) -> None:
    """Each change of usage or limits until now; usage beyond the included quantity is billable."""
    company = service.onboard(tier_code="free")
    track = service.client.billing.track_usage
    track(company_id=company, feature_code="ai_credit", quantity=60)
    service.client.tiers.apply(company_id=company, tier_code="pro")
    track(company_id=company, feature_code="ai_credit", quantity=1000)
    usage = {one["code"]: one for one in service.use("company", company=company)["usage"]}

    names = ("before", "usage", "limit", "included", "billable")
    points = usage["ai_credit"]["points"]
    assert [tuple(point[name] for name in names) for point in points] == [
        (0, 0, 100, 100, 0),
        (0, 60, 100, 100, 0),
        (60, 60, 10000, 1000, 0),
        (60, 1060, 10000, 1000, 60),
        (1060, 1060, 10000, 1000, 60),
    ]
    assert [point["at"] for point in points] == sorted(point["at"] for point in points)
    assert set(usage) == {"ai_credit", "seats", "team_seats"}
    assert set(service.use("company", company=service.onboard("org_2"))["usage"]) == set()


def test_long_usage_is_thinned(service: Service) -> None:
    """Each change of a limit and each new period stays."""
    company = service.onboard(tier_code="enterprise")
    subscription = service.use("stripe.add_subscription", price_ids=["p"])
    service.client.billing.link_subscription(company_id=company, stripe_subscription_id=subscription)
    for number in range(900):
        service.client.billing.track_usage(company_id=company, feature_code="ai_credit", quantity=1)
        if number == 301:
            service.client.features.set_access(company_id=company, feature_code="ai_credit", quantity_limit=5000)
        if number == 602:
            service.use("stripe.renew", subscription_id=subscription)
    (points,) = [
        one["points"] for one in service.use("company", company=company)["usage"] if one["code"] == "ai_credit"
    ]

    assert len(points) <= MAX_POINTS + 4
    assert [point["usage"] for point in points if point["usage"] < point["before"]] == [0]
    assert points[-1]["usage"] == 297
    first = next(point for point in points if point["limit"] == 5000)
    assert first["usage"] == 302


def test_reasons_are_in_words(service: Service) -> None:
    """For each feature; the questions are no calls of the application, and injected failures do not answer them."""
    company = service.onboard(tier_code="free")
    service.use("fail", error="SERVICE_UNAVAILABLE")
    reasons = {reason["featureCode"]: reason for reason in service.use("company", company=company)["reasons"]}

    assert reasons["ai_credit"]["canUse"] is True
    assert (reasons["sso"]["canUse"], reasons["sso"]["rule"]) == (False, "no_access")
    assert reasons["sso"]["text"].startswith("org_1 (org_1) cannot use sso")
    assert reasons["sso"]["whatToDo"]
    assert ["enabled", "no"] in reasons["sso"]["facts"]
    assert [call["path"] for call in service.product.calls()] == ["onboard"]
    assert len(service.fake.injected_failures) == 1
    unlinked = service.use("add_company", name="Wayne")
    reasons = {one["featureCode"]: one for one in service.use("company", company=unlinked)["reasons"]}
    assert reasons["seats"]["rule"] == "no_access"


def test_company_is_sent_once(service: Service) -> None:
    """A caller who knows the version gets the clock alone, until something happens."""
    company = service.onboard()
    version = service.use("company", company=company)["version"]

    unchanged = service.use("company", company=company, since=version)
    assert set(unchanged) == {"version", "unchanged", "now", "real_now", "moved_by_seconds"}
    service.onboard("org_2")
    assert service.use("company", company=company, since=version)["unchanged"] is False


def test_calls_have_their_company(service: Service) -> None:
    """By its id, by a link, by a checkout, and by the answer of a sign-up; other calls have none."""
    company = service.onboard(hints={"company_name": "Acme GmbH"})
    service.client.companies.get_by_product_link(external_org_id="org_1")
    service.client.billing.get_status(company)
    service.client.tiers.list()
    with suppress(ApiError):
        service.client.features.list_access("no such company")
    calls = service.product.calls()

    owner = {"id": company, "name": "Acme GmbH"}
    assert [call["company"] for call in calls] == [owner, owner, owner, None, None]


def test_calls_are_found_and_paged(service: Service) -> None:
    """By path, company, external id, error code and content, in any case, and beyond ASCII."""
    service.onboard(hints={"company_name": "Söhne"}, tier_code="free")
    service.onboard("org_2", hints={"company_name": "Acme"})
    with suppress(ApiError):
        service.client.tiers.get("platinum")
    company = service.client.companies.get_by_product_link(external_org_id="org_2")
    assert company
    service.client.features.list_access(company.id)

    def found(search: str, **given: Any) -> list[int]:
        page = view(service.product, call_search=search, **given)
        return [call["number"] for call in page["calls"]]

    assert found("") == [5, 4, 3, 2, 1]
    assert found("TIERS.get") == found("not_found") == found("Platinum") == [3]
    assert found("SÖHNE") == [1]
    assert found("acme") == found(company.id) == found("org_2") == [5, 4, 2]
    assert found("", call_limit=2, calls_before=4) == [3, 2]
    assert view(service.product, call_limit=2, calls_before=4)["has_more_calls"]
    assert not view(service.product, call_limit=2, calls_before=3)["has_more_calls"]
    assert found("no such") == []


def test_large_values_are_sent_when_they_are_asked_for(service: Service) -> None:
    """A list of calls has a note instead; the details have the input whole."""
    service.onboard(hints={"company_name": "A" * 5000})
    (call,) = view(service.product)["calls"]

    assert call["input"].endswith("bytes of JSON)")
    assert call["isCut"]
    details = service.use("call_details", number=1)
    assert details["input"]["hints"]["companyName"] == "A" * 5000
    with pytest.raises(ApiError, match="number: the call 2 is not kept"):
        service.use("call_details", number=2)


@pytest.mark.slow
def test_busy_product_keeps_its_bounds() -> None:
    """A hundred thousand calls leave the last two thousand, and the timelines within their bytes."""
    service = Service()
    companies = [service.onboard(f"org_{number}", tier_code="enterprise") for number in range(100)]
    for number in range(100_000):
        given = {"companyId": companies[number % 100], "featureCode": "seats", "quantity": 1}
        service.product.answer("billing.trackUsage", "mutation", given)

    assert service.product.page_of_calls(limit=10**6)[0][-1]["number"] == 100_101 - MAX_KEPT_CALLS
    logs = service.product._timeline._logs
    assert logs.usage.bytes <= MAX_USAGE_BYTES
    for company in companies:
        assert service.events(company, limit=2**53)[-1]["path"] == "onboard"


def test_company_alone_becomes_the_start_of_a_test(service: Service) -> None:
    """Its snapshot has the catalogue and the clock, and nothing of other companies."""
    session = service.use("stripe.add_checkout_session", price_ids=PRO)
    company = service.onboard(checkout_session_id=session, contact_email="ann@acme.example")
    service.client.billing.track_usage(company_id=company, feature_code="seats", quantity=2, idempotency_key="key_1")
    other = service.onboard("org_2", hints={"company_name": "Other"}, contact_email="bob@other.example")
    service.client.billing.track_usage(
        company_id=service.onboard("org_3", tier_code="pro"), feature_code="seats", quantity=1, idempotency_key="key_3"
    )
    service.use("stripe.add_checkout_session", price_ids=["price_of_others"], customer_name="Others")
    service.use("advance", days=30)

    snapshot = service.use("company_snapshot", company="org_1")
    assert snapshot == service.use("company_snapshot", company=company)
    text = json.dumps(snapshot)
    for foreign in (other, "org_2", "org_3", "bob@", "Other", "key_3", "price_of_others"):
        assert foreign not in text
    fake = FakeTransport.from_snapshot(json.loads(text), now=lambda: service._now)
    client = ChatarminOS(transport=fake)
    access = client.features.check(company_id=company, feature_code="seats")
    assert (access.current_usage, access.quantity_limit) == (2, 25)
    assert fake.mrr(company) == 4900
    assert client.contacts.list(company)[0].email == "ann@acme.example"
    assert fake.now() - service._now >= timedelta(days=29)
    replayed = client.billing.track_usage(company_id=company, feature_code="seats", quantity=2, idempotency_key="key_1")
    assert replayed.current_usage == 2
    assert client.billing.claim_checkout(company_id=company, checkout_session_id=session).already_claimed
    bare = service.use("add_company", name="Bare")
    assert service.use("company_snapshot", company=bare)["access"] == {}


def test_concurrent_calls_have_their_own_changes() -> None:
    """Each event of usage has the change of its own call, however many threads report."""
    from concurrent.futures import ThreadPoolExecutor

    service = Service()
    company = service.onboard(tier_code="enterprise")
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(
            lambda _: service.client.billing.track_usage(company_id=company, feature_code="seats", quantity=1),
            range(200),
        ):
            pass
    texts = [event["facts"][0]["text"] for event in service.events(company, limit=200)]

    assert texts == [
        f"Used 1 of Seats: {number - 1} → {number}" + (f", {number - 100} billable" if number > 100 else "")
        for number in range(200, 0, -1)
    ]
