"""The control API gives tests in other languages every test control of the fake, and names the arguments of each."""

from __future__ import annotations

import gc
import json
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import RemoteDisconnected
from typing import TYPE_CHECKING, Any

import pytest
from requesting import KEY, NO_KEY, Reply, mutate, query, send_over_socket, send_to_application

from chatarmin_os import ChatarminOS, NotFoundError, RateLimitError
from chatarmin_os.fake import FakeTransport
from chatarmin_os.server import FakeService, control, serve_fake
from chatarmin_os.server.call_log import MAX_MESSAGE_CHARACTERS, CallLog
from chatarmin_os.server.products import Products

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUERIES = {
    "call_details": {"number": 1},
    "calls": {"after": 0},
    "company": {"company": "COMPANY", "since": 0, "before": 9, "limit": 1},
    "company_snapshot": {"company": "COMPANY"},
    "mrr": {"company_id": "COMPANY"},
    "products": None,
    "snapshot": None,
    "view": {
        "since": 0,
        "search": "acme",
        "skip": 0,
        "limit": 1,
        "call_search": "tiers",
        "calls_before": 9,
        "call_limit": 1,
        "stripe_limit": 1,
        "with_access": False,
    },
}
MUTATIONS: dict[str, Any] = {
    "add_company": {"name": "Wayne", "domain": "wayne.example", "created_at": "2026-01-01T00:00:00Z"},
    "add_feature": {"code": "x", "name": "X", "has_quantity": True, "config": {"a": 1}},
    "add_tier": {
        "code": "gold",
        "name": "Gold",
        "base_fee": 100,
        "currency": "usd",
        "features": {"seats": {"quantity_limit": None}},
    },
    "advance": {"days": 1, "hours": 2, "minutes": 0.5, "seconds": 3},
    "call": {"path": "tiers.list", "input": None},
    "forget": {},
    "fail": {"path": "onboard", "error": "TOO_MANY_REQUESTS", "times": 2, "after": True},
    "reset": {},
    "restore": {"snapshot": "SNAPSHOT"},
    "stripe.add_checkout_session": {"price_ids": ["price_pro_base"], "customer_name": "Ann", "complete": False},
    "stripe.add_subscription": {"price_ids": ["price_pro_base"], "customer_id": "cus_1"},
    "stripe.cancel": {"subscription_id": "SUBSCRIPTION"},
    "stripe.complete": {"session_id": "SESSION"},
    "stripe.renew": {"subscription_id": "SUBSCRIPTION"},
}
NEEDED = {
    "add_company": ["name"],
    "add_feature": ["code", "name"],
    "add_tier": ["code", "name"],
    "call": ["path"],
    "call_details": ["number"],
    "company": ["company"],
    "company_snapshot": ["company"],
    "fail": ["error"],
    "mrr": ["company_id"],
    "restore": ["snapshot"],
    "stripe.add_checkout_session": ["price_ids"],
    "stripe.add_subscription": ["price_ids"],
    "stripe.cancel": ["subscription_id"],
    "stripe.complete": ["session_id"],
    "stripe.renew": ["subscription_id"],
}
CONTROLS = [name for name in (*QUERIES, *MUTATIONS) if name != "products"]


class ControlAPI:
    """The control API of a service, over a socket.

    Attributes:
        url: The base URL of the service.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._ask = partial(send_over_socket, url)

    def __call__(self, name: str, given: Any = None, **headers: Any) -> Reply:
        """Use a test control."""
        ask = query if name in QUERIES else mutate
        return ask(self._ask, name, given, base="/__fake__", **headers)

    def _linked_subscription(self) -> Any:
        """Return a subscription of a company."""
        subscription = self("stripe.add_subscription", {"price_ids": ["p"]}).data
        link = {"companyId": self("add_company", {"name": "Acme"}).data, "stripeSubscriptionId": subscription}
        self("call", {"path": "billing.linkSubscription", "input": link})
        return subscription

    def good(self, name: str) -> dict[str, Any]:
        """Return a valid input, with ids of data that is created for it."""
        known: dict[str, Callable[[], Any]] = {
            "COMPANY": lambda: self("add_company", {"name": "Acme"}).data,
            "SNAPSHOT": lambda: self("snapshot").data,
            "SESSION": lambda: self("stripe.add_checkout_session", {"price_ids": ["p"], "complete": False}).data,
            "SUBSCRIPTION": self._linked_subscription,
        }
        given: Any = {**QUERIES, **MUTATIONS}[name] or {}
        if name == "call_details":
            self("call", {"path": "tiers.list"})
        return {key: known[value]() if str(value) in known else value for key, value in given.items()}


@pytest.fixture
def api() -> Iterator[ControlAPI]:
    """Yield the control API of a new service."""
    with serve_fake() as url:
        yield ControlAPI(url)


@pytest.fixture(scope="module")
def shared_api() -> Iterator[ControlAPI]:
    """Yield a control API for invalid inputs, which must not change anything."""
    with serve_fake() as url:
        yield ControlAPI(url)


def test_all_test_controls_are_known() -> None:
    """The tests below cover each of them."""
    known = {"products", "forget", *control._QUERIES, *control._MUTATIONS}

    assert known == {*QUERIES, *MUTATIONS}
    assert all(control.procedure(Products(), {}, name) for name in known)


def test_control_api_has_the_test_controls_of_the_fake() -> None:
    """Except those that make no sense from outside of Python."""
    public = {name for name in dir(FakeTransport) if not name.startswith("_")}
    stripe = {f"stripe.{name}" for name in dir(FakeTransport().stripe) if not name.startswith("_")}

    assert (public | stripe) - {*QUERIES, *MUTATIONS} == {
        *("close", "fingerprint", "from_snapshot", "injected_failures", "monotonic", "name", "now", "replace", "send"),
        *("send_many", "with_options"),
    }


@pytest.mark.parametrize("name", CONTROLS)
def test_control_accepts_its_arguments(api: ControlAPI, name: str) -> None:
    """All of them, and the required ones alone."""
    good = api.good(name)
    whole, required = api(name, good), api(name, {key: good[key] for key in NEEDED.get(name, ())})

    assert whole.status == 200, whole.body
    assert required.status == 200 or "is cancelled" in required.error["message"]


@pytest.mark.parametrize("name", CONTROLS)
def test_unknown_argument_is_refused(shared_api: ControlAPI, name: str) -> None:
    """The message names the known ones."""
    reply = shared_api(name, {**dict.fromkeys(NEEDED.get(name, ()), "x"), "colour": "red"})

    assert reply.code == "BAD_REQUEST"
    known = {**QUERIES, **MUTATIONS}[name] or {}
    problem, _, arguments = reply.error["message"].partition("; it takes ")
    assert "'colour'" in problem
    assert {one.partition(" ")[0] for one in arguments.split(", ")} == (set(known) or {"no"})


@pytest.mark.parametrize("name", [name for name in CONTROLS if name in NEEDED])
def test_missing_argument_is_refused(shared_api: ControlAPI, name: str) -> None:
    """The message names it, and marks optional ones."""
    message = shared_api(name, {}).error["message"]

    assert f"missing argument: {NEEDED[name][0]!r}" in message
    for key in {**QUERIES, **MUTATIONS}[name] or {}:
        assert (f"{key} (optional)" in message) is (key not in NEEDED[name])


@pytest.mark.parametrize("given", [[], ["name"], "text", 0, 1, True, False, 0.5])
@pytest.mark.parametrize("name", CONTROLS)
def test_input_other_than_an_object_is_refused(shared_api: ControlAPI, name: str, given: Any) -> None:
    """Null and no input mean no arguments."""
    reply = shared_api(name, given)

    assert reply.code == "BAD_REQUEST"
    assert reply.error["message"].startswith("expected an object of arguments, got ")


WRONG: list[Any] = [None, True, False, -1, 0, 0.5, 1e308, "", " ", "x", "\ud800", [], [1], [[]], {}, {"a": 1}]
WRONG += [{"": {}}, {"seats": 1}, {"seats": {"x": 1}}, {"seats": {"quantity_limit": "x"}}, 2**53 - 1, 2**53, "9" * 5000]
# The valid ones: values for nothing, booleans, numbers, and text that may be a code or a name.
RIGHT: dict[str, Callable[[Any], bool]] = {
    "add_company.created_at": lambda it: it is None,
    "add_company.domain": lambda it: it is None,
    "add_company.name": lambda it: isinstance(it, str) and bool(it.strip()) and it.isascii(),
    "add_feature.code": lambda it: isinstance(it, str) and bool(it.strip()) and it.isascii(),
    "add_feature.config": lambda it: it is None or isinstance(it, dict),
    "add_feature.has_quantity": lambda it: isinstance(it, bool),
    "add_feature.name": lambda it: isinstance(it, str) and bool(it.strip()) and it.isascii(),
    "add_tier.base_fee": lambda it: it is None or (it in (0, 2**53 - 1) and not isinstance(it, bool)),
    "add_tier.code": lambda it: isinstance(it, str) and bool(it.strip()) and it.isascii(),
    "add_tier.currency": lambda it: isinstance(it, str) and bool(it.strip()) and it.isascii(),
    "add_tier.features": lambda it: it is None or it == {},
    "add_tier.name": lambda it: isinstance(it, str) and bool(it.strip()) and it.isascii(),
    "advance.days": lambda it: it in (0, 1, 0.5) and it is not None,
    "advance.hours": lambda it: it in (0, 1, 0.5),
    "advance.minutes": lambda it: it in (0, 1, 0.5),
    "advance.seconds": lambda it: it in (0, 1, 0.5),
    "call.path": lambda _: False,
    "call_details.number": lambda _: False,
    "calls.after": lambda it: it in (0, 2**53 - 1) and not isinstance(it, bool),
    "company.before": lambda it: it is None or (it in (0, 2**53 - 1) and not isinstance(it, bool)),
    "company.company": lambda it: isinstance(it, str),
    "company.limit": lambda it: it in (0, 2**53 - 1) and not isinstance(it, bool),
    "company.since": lambda it: it is None or (it in (0, 2**53 - 1) and not isinstance(it, bool)),
    "company_snapshot.company": lambda _: False,
    "fail.after": lambda it: isinstance(it, bool),
    "fail.error": lambda _: False,
    "fail.path": lambda it: it is None,
    "fail.times": lambda it: it == 2**53 - 1,
    "mrr.company_id": lambda _: False,
    "restore.snapshot": lambda _: False,
    "stripe.add_checkout_session.complete": lambda it: isinstance(it, bool),
    "stripe.add_checkout_session.customer_name": lambda it: (
        it is None or (isinstance(it, str) and bool(it.strip()) and it.isascii())
    ),
    "stripe.add_checkout_session.price_ids": lambda it: it == [],
    "stripe.add_subscription.customer_id": lambda it: (
        it is None or (isinstance(it, str) and bool(it.strip()) and it.isascii())
    ),
    "stripe.add_subscription.price_ids": lambda it: it == [],
    "stripe.cancel.subscription_id": lambda _: False,
    "stripe.complete.session_id": lambda _: False,
    "stripe.renew.subscription_id": lambda _: False,
    "view.call_limit": lambda it: it in (0, 2**53 - 1) and not isinstance(it, bool),
    "view.call_search": lambda it: isinstance(it, str),
    "view.calls_before": lambda it: it is None or (it in (0, 2**53 - 1) and not isinstance(it, bool)),
    "view.limit": lambda it: it in (0, 2**53 - 1) and not isinstance(it, bool),
    "view.search": lambda it: isinstance(it, str),
    "view.since": lambda it: it is None or (it in (0, 2**53 - 1) and not isinstance(it, bool)),
    "view.skip": lambda it: it in (0, 2**53 - 1) and not isinstance(it, bool),
    "view.stripe_limit": lambda it: it in (0, 2**53 - 1) and not isinstance(it, bool),
    "view.with_access": lambda it: isinstance(it, bool),
}


@pytest.mark.parametrize("place", RIGHT)
def test_argument_of_the_wrong_kind_is_refused(shared_api: ControlAPI, place: str) -> None:
    """The message has the expected kind; values that are valid by chance are accepted."""
    name, _, argument = place.rpartition(".")
    good = {key: value for key, value in shared_api.good(name).items() if key in NEEDED.get(name, ())}
    for value in WRONG:
        reply = shared_api(name, {**good, argument: value})
        expected = 200 if RIGHT[place](value) else 400
        assert reply.status == expected, (value, reply.body)
        assert expected == 200 or reply.code == "BAD_REQUEST"
        assert len(reply.body) < 10_000 or reply.status == 200


def test_unknown_control_and_wrong_method_are_refused(api: ControlAPI) -> None:
    """As those of any procedure."""
    assert query(partial(send_over_socket, api.url), "no.such", base="/__fake__").code == "NOT_FOUND"
    assert mutate(partial(send_over_socket, api.url), "snapshot", {}, base="/__fake__").code == "METHOD_NOT_SUPPORTED"
    assert query(partial(send_over_socket, api.url), "reset", {}, base="/__fake__").code == "METHOD_NOT_SUPPORTED"


def test_product_is_named_by_key_or_id(api: ControlAPI) -> None:
    """The page knows ids only; a header with an id takes precedence over a key."""
    api("add_company", {"name": "Acme"})
    api("add_company", {"name": "Wayne"}, x_api_key="os_sk_other_1234")
    first, second = api("products", None, **dict.fromkeys(NO_KEY)).data
    by_id = api("view", None, x_fake_product=second["id"], x_api_key=None).data

    assert [first["key"], second["key"]] == ["os_sk_…ests", "os_sk_…1234"]
    assert [first["companies"], second["companies"]] == [1, 1]
    assert [company["name"] for company in by_id["companies"]] == ["Wayne"]
    assert api("view", None, x_fake_product=second["id"]).data["companies"] == by_id["companies"]
    for unknown in ("0" * 16, "", KEY):
        assert api("view", None, x_fake_product=unknown).code == "NOT_FOUND"
    assert api("view", None, x_api_key=None).code == "UNAUTHORIZED"
    assert api("reset", {}, x_api_key="x").code == "UNAUTHORIZED"


def test_client_sees_the_effect_of_controls(api: ControlAPI) -> None:
    """Catalogue, companies, Stripe, the clock and injected failures, as with the test controls in Python."""
    api("add_feature", {"code": "reports", "name": "Reports", "has_quantity": True})
    features = {"reports": {"quantity_limit": 5, "unit_amount": 10}}
    api("add_tier", {"code": "gold", "name": "Gold", "base_fee": 2500, "features": features})
    company = api("add_company", {"name": "Acme Inc", "domain": "acme.example"}).data
    session = api(
        "stripe.add_checkout_session", {"price_ids": ["price_gold_base", "price_gold_reports"], "complete": False}
    ).data
    with ChatarminOS(KEY, base_url=api.url) as client:
        linked = client.companies.smart_link(external_org_id="org_1", hints={"domain": "acme.example"})
        assert linked.company_id == company
        api("stripe.complete", {"session_id": session})
        client.billing.claim_checkout(company_id=company, checkout_session_id=session)
        assert api("mrr", {"company_id": company}).data == 2500
        client.billing.track_usage(company_id=company, feature_code="reports", quantity=2)
        (row,) = api("view", {"search": "ACME.example"}).data["subscriptions"]
        assert row["company"] == {"id": company, "name": "Acme Inc"}
        api("stripe.renew", {"subscription_id": row["id"]})
        assert client.features.check(company_id=company, feature_code="reports").current_usage == 0
        api("stripe.cancel", {"subscription_id": row["id"]})
        assert api("mrr", {"company_id": company}).data == 0

        api("fail", {"path": "tiers.list", "error": "TOO_MANY_REQUESTS"})
        assert api("view").data["faults"] == [
            {"path": "tiers.list", "error": "TOO_MANY_REQUESTS", "times": 1, "after": False}
        ]
        answer = query(partial(send_over_socket, api.url), "tiers.list")
        assert answer.code == RateLimitError("", code="TOO_MANY_REQUESTS").code

        before = api("view").data["now"]
        api("advance", {"days": 31})
        view = api("view").data
        assert view["moved_by_seconds"] == 31 * 86400
        assert view["now"] > before

        api("reset")
        with pytest.raises(NotFoundError):
            client.features.list_access(company)
        assert "gold" in [tier.code for tier in client.tiers.list()]


def test_call_does_the_same_as_the_api(api: ControlAPI) -> None:
    """A page can apply a tier; refusals are those of the API, and the call is logged."""
    company = api("add_company", {"name": "Acme"}).data
    applied = api("call", {"path": "tiers.apply", "input": {"companyId": company, "tierCode": "pro"}})
    refused = api("call", {"path": "tiers.apply", "input": {"companyId": company, "tierCode": "none"}})
    null = api("call", {"path": "tiers.apply", "input": None})
    api("fail", {"error": "lost"})

    assert applied.status == 200
    assert (refused.code, refused.error["data"]["path"]) == ("NOT_FOUND", "tiers.apply")
    assert null.error["message"] == "input: expected an object, got null"
    assert api("call", {"path": "no.such"}).error["message"] == "path: no procedure str 'no.such'"
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        api("call", {"path": "tiers.list"})
    calls = api("calls").data
    assert [call["error"] and call["error"]["code"] for call in calls] == [None, "NOT_FOUND", "BAD_REQUEST", "LOST"]
    assert [call["kind"] for call in calls] == ["mutation", "mutation", "mutation", "query"]


def test_snapshot_can_be_restored(api: ControlAPI) -> None:
    """Into another product too; earlier data, injected failures and calls are gone."""
    company = api("add_company", {"name": "Acme", "domain": "acme.example"}).data
    api("call", {"path": "tiers.apply", "input": {"companyId": company, "tierCode": "pro"}})
    api("stripe.add_checkout_session", {"price_ids": ["price_pro_base"]})
    api("advance", {"hours": 1})
    snapshot = api("snapshot").data
    other = {"x_api_key": "os_sk_other"}
    api("add_company", {"name": "Gone"}, **other)
    api("fail", {"error": "lost"}, **other)

    assert api("restore", {"snapshot": snapshot}, **other).data is None
    assert api("snapshot", None, **other).data == snapshot
    view = api("view", None, **other).data
    assert (view["faults"], view["calls"], view["companies_total"]) == ([], [], 1)
    assert mutate(
        partial(send_over_socket, api.url), "companies.create", {"name": "a", "externalOrgId": "b"}, **other
    ).data


def test_broken_snapshot_changes_nothing(api: ControlAPI) -> None:
    """The message names the place."""
    api("add_company", {"name": "Acme"})
    snapshot = api("snapshot").data
    wrong: list[Any] = [{**snapshot, "mrr": {"none": 1}}, {**snapshot, "format": "x"}, {}, [], {**snapshot, "links": 1}]
    for broken in wrong:
        assert api("restore", {"snapshot": broken}).code == "BAD_REQUEST"
    assert api("snapshot").data == snapshot


@pytest.mark.parametrize("number", ["1e400", "-1e400"])
def test_snapshot_with_a_number_that_json_lacks_is_refused(api: ControlAPI, number: str) -> None:
    """Anywhere in it, as no response could be written with it. The message names the place."""
    company = api("add_company", {"name": "Acme"}).data
    api("add_feature", {"code": "x", "name": "X", "config": {"list": [0, {"most": "HERE"}]}})
    given = {"companyId": company, "featureCode": "x", "config": {"most": "THERE"}}
    api("call", {"path": "features.setAccess", "input": given})
    snapshot = api("snapshot").data
    text = json.dumps({"snapshot": snapshot})
    index = [row["code"] for row in snapshot["catalogue"]["features"]].index("x")
    for mark, place in (
        ('"HERE"', f"catalogue.features[{index}].config.list[1].most"),
        ('"THERE"', f"access.{company}.x.configValues.most"),
    ):
        headers = {"content-type": "application/json"}
        reply = send_over_socket(api.url, "POST", "/__fake__/restore", headers, text.replace(mark, number).encode())
        assert reply.code == "BAD_REQUEST"
        message = f"the snapshot is broken: {place}: expected a finite number, got float {float(number)}"
        assert reply.error["message"] == message
        broken = json.loads(text.replace(mark, "NaN"))["snapshot"]
        with pytest.raises(ValueError, match=r"expected a finite number, got float nan$"):
            FakeTransport.from_snapshot(broken)
    assert api("snapshot").data == snapshot
    assert (
        query(partial(send_over_socket, api.url), "features.check", {"companyId": company, "featureCode": "x"}).status
        == 200
    )


def test_snapshot_beyond_the_calendar_is_refused() -> None:
    """Its clock would make every later call fail."""
    later = FakeTransport(now=lambda: datetime(9990, 1, 1, tzinfo=UTC))
    ahead = FakeTransport()
    ahead.advance(timedelta(days=365 * 100))
    with serve_fake({KEY: later}) as url:
        api = ControlAPI(url)
        reply = api("restore", {"snapshot": ahead.snapshot()})
        assert (reply.code, reply.error["message"][:5]) == ("BAD_REQUEST", "now: ")
        assert query(partial(send_over_socket, url), "tiers.list").status == 200


def test_view_is_sent_once(api: ControlAPI) -> None:
    """A caller who knows the version gets no data until something happens."""
    version = api("view").data["version"]

    unchanged = api("view", {"since": version}).data
    assert set(unchanged) == {"version", "unchanged", "now", "real_now", "moved_by_seconds"}
    assert (unchanged["version"], unchanged["unchanged"]) == (version, True)
    query(partial(send_over_socket, api.url), "tiers.list")
    after_call = api("view", {"since": version}).data
    assert after_call["unchanged"] is False
    assert [call["path"] for call in after_call["calls"]] == ["tiers.list"]
    api("fail", {"error": "lost"})
    assert api("view", {"since": after_call["version"]}).data["faults"] == [
        {"path": None, "error": "lost", "times": 1, "after": False}
    ]


def test_expired_access_changes_the_view() -> None:
    """Once for each caller, at the moment of the expiry, without a call."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = [start]
    service = FakeService(now=lambda: clock[0])

    def api(name: str, given: Any = None) -> Reply:
        send = query if name in QUERIES else mutate
        return send(lambda *request: send_to_application(service, *request), name, given, base="/__fake__")

    company = api("add_company", {"name": "Acme"}).data
    for code, seconds in (("seats", 2), ("sso", 1), ("api_access", -1)):
        until = (start + timedelta(seconds=seconds)).isoformat()
        given = {"companyId": company, "featureCode": code, "isEnabled": True, "validUntil": until}
        api("call", {"path": "features.setAccess", "input": given})

    def enabled(view: Any) -> set[str]:
        return {one["featureCode"] for one in view["companies"][0]["access"] if one["isEnabled"]}

    view = api("view").data
    assert enabled(view) == {"seats", "sso"}
    for moment, left in ((1, {"seats"}), (2, set())):
        clock[0] = start + timedelta(seconds=moment, milliseconds=-1)
        assert api("view", {"since": view["version"]}).data["unchanged"]
        clock[0] = start + timedelta(seconds=moment)
        first, second = (api("view", {"since": view["version"]}).data for _ in range(2))
        assert enabled(first) == enabled(second) == left
        view = second
    assert api("view", {"since": view["version"]}).data["unchanged"]


def test_view_can_be_searched_and_limited(api: ControlAPI) -> None:
    """By names, domains, ids and external ids, newest first."""
    companies = [
        api("add_company", {"name": f"Company {number}", "domain": f"d{number}.example"}).data for number in range(60)
    ]
    api("call", {"path": "links.create", "input": {"companyId": companies[7], "externalOrgId": "ORG_seven"}})

    def found(**given: Any) -> list[str]:
        view = api("view", given).data
        assert view["companies_total"] == 60
        assert view["companies_found"] >= len(view["companies"])
        return [company["name"] for company in view["companies"]]

    assert found() == [f"Company {number}" for number in range(59, 9, -1)]
    assert found(limit=2) == ["Company 59", "Company 58"]
    assert found(limit=0) == []
    assert len(found(limit=1000)) == 60
    assert found(search="cOMPANY 5", limit=2) == ["Company 59", "Company 58"]
    assert found(search="D7.EXAMPLE") == found(search=companies[7]) == found(search="org_SEVEN") == ["Company 7"]
    assert found(search="no such") == []


def test_view_shows_all_data_of_a_company(api: ControlAPI) -> None:
    """Its tier and fee, links, contacts and access; sessions and subscriptions with their companies."""
    onboarded = api(
        "call",
        {
            "path": "onboard",
            "input": {
                "externalOrgId": "org_1",
                "hints": {"companyName": "Acme"},
                "contactEmail": "ann@acme.example",
                "tierCode": "pro",
            },
        },
    ).data
    waiting = api("stripe.add_checkout_session", {"price_ids": ["price_pro_base"], "complete": False}).data
    prices = [f"price_pro_{part}" for part in ("base", "ai_credit", "seats")]
    paid = api("stripe.add_checkout_session", {"price_ids": prices, "customer_name": "Ann"}).data
    claim = {"companyId": onboarded["companyId"], "checkoutSessionId": paid}
    api("call", {"path": "billing.claimCheckout", "input": claim})
    view = api("view").data
    (company,) = view["companies"]
    owner = {"id": company["id"], "name": "Acme"}

    assert company["tier"] == {"code": "pro", "name": "Pro"}
    assert (company["mrr"], company["currency"]) == (4900, "eur")
    assert company["links"] == [{"externalOrgId": "org_1", "label": None}]
    assert [contact["email"] for contact in company["contacts"]] == ["ann@acme.example"]
    assert {one["featureCode"] for one in company["access"]} >= {"seats", "api_access"}
    assert [(one["id"], one["isComplete"], one["company"]) for one in view["sessions"]] == [
        (paid, True, owner),
        (waiting, False, None),
    ]
    (subscription,) = view["subscriptions"]
    assert (subscription["company"], subscription["tierCode"], subscription["monthlyFee"]) == (owner, "pro", 4900)
    tier = view["catalogue"]["tiers"][2]
    assert (tier["code"], tier["baseFee"], tier["currency"], tier["basePriceId"]) == (
        *("pro", 4900, "eur", "price_pro_base"),
    )
    assert tier["features"][0] == {
        "code": "ai_credit",
        "hasQuantity": True,
        "quantityLimit": 10000,
        "includedQuantity": 1000,
        "unitAmount": 2,
        "priceId": "price_pro_ai_credit",
    }


def test_only_the_last_calls_are_logged(api: ControlAPI) -> None:
    """Five hundred; numbers continue, and a view shows a hundred of them, newest first."""
    batch = ",".join(["tiers.list"] * 50)
    for _ in range(11):
        send_over_socket(api.url, "GET", f"/api/v1/{batch}?batch=1")
    calls, view = api("calls").data, api("view").data

    assert [call["number"] for call in calls] == list(range(51, 551))
    assert [call["number"] for call in api("calls", {"after": 548}).data] == [549, 550]
    assert api("calls", {"after": 2**53 - 1}).data == []
    assert [call["number"] for call in view["calls"]] == list(range(550, 450, -1))
    assert api("products").data[0]["calls"] == 550
    assert set(calls[0]) == {
        *("number", "at", "real_at", "path", "kind", "company", "input", "answer", "error", "ms"),
    }
    api("reset")
    assert api("calls").data == []
    send_over_socket(api.url, "GET", "/api/v1/tiers.list")
    assert [call["number"] for call in api("calls").data] == [1]


def test_fake_that_was_passed_in_has_its_own_calls() -> None:
    """Those of other products are in the log only."""
    fake = FakeTransport()
    with serve_fake({KEY: fake}) as url:
        api = ControlAPI(url)
        query(partial(send_over_socket, url), "tiers.list")
        query(partial(send_over_socket, url), "tiers.list", x_api_key="os_sk_other")
        api("add_feature", {"code": "x", "name": "X"})

        assert [call["path"] for call in api("calls").data] == ["tiers.list"]
        assert [call.path for call in fake.calls] == ["tiers.list"]
        assert json.dumps(fake.snapshot()) == json.dumps(api("snapshot").data)
    product = Products().for_headers({"x-api-key": KEY})
    product.answer("tiers.list", "query", None)
    assert (product.fake.calls, product.count) == ([], 1)


def test_input_that_cannot_be_written_is_replaced_in_the_log(api: ControlAPI) -> None:
    """An input that is nested too deep, or that JSON cannot hold, breaks no list of calls."""
    for body in (b"[" * 500 + b"]" * 500, b'{"quantity": 1e400}', b'{"companyId": "\\ud800"}'):
        headers = {"content-type": "application/json"}
        assert send_over_socket(api.url, "POST", "/api/v1/billing.trackUsage", headers, body).code == "BAD_REQUEST"

    for calls in (api("calls").data, api("view").data["calls"]):
        assert [call["error"]["code"] for call in calls] == ["BAD_REQUEST"] * 3
        assert "(not shown: the input cannot be written as JSON)" in [call["input"] for call in calls]


def test_injected_refusal_logs_no_input() -> None:
    """Nobody has read it, so it may be anything."""
    with serve_fake(fail_rate=1.0) as url:
        headers = {"content-type": "application/json"}
        for _ in range(20):
            with suppress(RemoteDisconnected, ConnectionError):
                send_over_socket(url, "POST", "/api/v1/billing.trackUsage", headers, b"[" * 500 + b"]" * 500)
        calls = ControlAPI(url)("calls").data

    assert len(calls) == 20
    assert {json.dumps(call["input"]) for call in calls} <= {
        "null",
        '"(not shown: the input cannot be written as JSON)"',
    }


def test_change_in_python_changes_the_view(api: ControlAPI) -> None:
    """A fake that was passed in may change at any time."""
    fake = FakeTransport()
    with serve_fake({KEY: fake}) as url:
        api = ControlAPI(url)
        version = api("view").data["version"]
        fake.add_company("Acme")

        assert len(api("view", {"since": version}).data["companies"]) == 1


def test_versions_differ_after_a_restart(api: ControlAPI) -> None:
    """A page with an old version gets the new data."""
    first = api("view").data["version"]
    with serve_fake() as url:
        assert ControlAPI(url)("view", {"since": first}).data["unchanged"] is False


def test_forgotten_product_is_created_again(api: ControlAPI) -> None:
    """It is forgotten by key or id; other products stay, and so does a fake that was passed in."""
    for key in (KEY, "os_sk_other"):
        api("add_company", {"name": "Acme"}, x_api_key=key)
    first, second = api("products").data

    assert api("forget").data is None
    assert [row["id"] for row in api("products").data] == [second["id"]]
    assert api("forget", None, x_api_key=None, x_fake_product=second["id"]).data is None
    assert api("forget", None, x_fake_product=first["id"]).code == "NOT_FOUND"
    assert api("view").data["companies_total"] == 0
    with serve_fake({KEY: FakeTransport()}) as url:
        reply = ControlAPI(url)("forget")
        assert reply.code == "BAD_REQUEST"
        assert reply.error["message"].startswith("the fake of this product was passed in from Python")
        assert len(ControlAPI(url)("products").data) == 1


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("TOO_MANY_REQUEST", "did you mean TOO_MANY_REQUESTS?"),
        ("too_many_requests", "did you mean TOO_MANY_REQUESTS?"),
        ("SERVICE_UNAVAILIBLE", "did you mean SERVICE_UNAVAILABLE?"),
        ("x", "the codes are PARSE_ERROR, BAD_REQUEST"),
        (429, "the codes are PARSE_ERROR, BAD_REQUEST"),
        ("x" * 100_000, "the codes are PARSE_ERROR, BAD_REQUEST"),
    ],
)
def test_failure_needs_a_known_code(api: ControlAPI, error: Any, hint: str) -> None:
    """A typo would be an error that no client knows; the message suggests the nearest code."""
    reply = api("fail", {"error": error})

    assert reply.code == "BAD_REQUEST"
    assert hint in reply.error["message"]
    assert len(reply.body) < 2_000
    assert api("view").data["faults"] == []


def test_number_of_waiting_failures_is_limited() -> None:
    """A loop that injects failures does not fill the memory; a reset removes them."""
    fake = FakeTransport()
    for _ in range(control.MAX_INJECTED_FAILURES - 1):
        fake.fail(error="CONFLICT")
    with serve_fake({KEY: fake}) as url:
        api = ControlAPI(url)
        assert [api("fail", {"error": "CONFLICT"}).status for _ in range(2)] == [200, 400]
        assert "`reset` deletes them" in api("fail", {"error": "CONFLICT"}).error["message"]
        api("reset")
        assert api("fail", {"error": "CONFLICT"}).status == 200


def _objects() -> int:
    gc.collect()
    return len(gc.get_objects())


def test_log_notes_what_is_nested_too_deep() -> None:
    """A later Python reads deeper JSON than the log keeps."""
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    log, owner, now = CallLog(), deque[int](), datetime.now(UTC)
    call: Any = {"number": 1, "at": now, "real_at": now, "path": "p", "kind": "query", "company": None, "error": None}
    call |= {"input": deep, "answer": [], "ms": 0.0}
    log.append(owner, call)

    (logged,) = log.read(owner)
    assert (logged["input"], logged["answer"]) == ("(nested too deep, not logged)", [])


@pytest.mark.slow
def test_logged_calls_are_bounded_in_bytes() -> None:
    """A dozen refused requests leave almost nothing, where their JSON would be a million objects."""
    body = b"[" + b",".join([b"[]"] * 90_000) + b"]"
    service = FakeService()
    headers = {"content-type": "application/json"}
    send_to_application(service, "POST", "/api/v1/billing.trackUsage", headers, b"[]")
    before = _objects()
    for number in range(12):
        key = {"x-api-key": f"os_sk_{number % 3}"}
        assert (
            send_to_application(service, "POST", "/api/v1/billing.trackUsage", {**headers, **key}, body).code
            == "BAD_REQUEST"
        )
    kept = _objects() - before

    assert kept < 5_000
    inputs = [call["input"] for product in service.products for call in product.calls()]
    assert inputs == [[], *[f"({len(body) + 89_999:,} bytes of JSON, not logged)"] * 12]


@pytest.mark.parametrize("place", ["input", "answer", "error"])
def test_log_drops_the_oldest_call(place: str) -> None:
    """All products share one limit; large inputs, responses and messages count with their size."""
    log = CallLog(max_bytes=200_000)
    owners: list[deque[int]] = [deque() for _ in range(3)]
    text = "x" * 60_000
    for number in range(1, 31):
        error = {"code": "BAD_REQUEST", "message": text} if place == "error" else None
        values: dict[str, Any] = {"input": None, "answer": None, **({} if error else {place: text})}
        now = datetime.now(UTC)
        call: Any = {"number": number, "at": now, "real_at": now, "path": "p", "kind": "query", "company": None}
        call |= {"error": error, "ms": 0.0, **values}
        log.append(owners[number % 3], call)
    kept = sorted(call["number"] for owner in owners for call in log.read(owner))

    assert log.bytes <= 200_000
    assert kept == list(range(1 if place == "error" else 28, 31))
    if place == "error":
        (first, *_) = log.read(owners[0])
        assert first["error"] == {"code": "BAD_REQUEST", "message": "x" * MAX_MESSAGE_CHARACTERS}
    for owner in owners:
        log.clear(owner)
    assert log.bytes == 0
    assert [log.read(owner) for owner in owners] == [[], [], []]
