"""At the control door a test in another language finds every handle of the fake, and is told what each takes."""

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
from asking import KEY, UNSAID, Reply, asked, mutate, query, sent

from chatarmin_os import ChatarminOS, NotFoundError, RateLimitError
from chatarmin_os.fake import FakeTransport
from chatarmin_os.server import FakeService, control, serve_fake
from chatarmin_os.server.call_log import MAX_MESSAGE, CallLog
from chatarmin_os.server.products import Products

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUERIES = {
    "calls": {"after": 0},
    "mrr": {"company_id": "COMPANY"},
    "products": None,
    "snapshot": None,
    "view": {"since": 0, "search": "acme", "limit": 1},
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
    "fail": ["error"],
    "mrr": ["company_id"],
    "restore": ["snapshot"],
    "stripe.add_checkout_session": ["price_ids"],
    "stripe.add_subscription": ["price_ids"],
    "stripe.cancel": ["subscription_id"],
    "stripe.complete": ["session_id"],
    "stripe.renew": ["subscription_id"],
}
HANDLES = [name for name in (*QUERIES, *MUTATIONS) if name != "products"]


class Door:
    """The door of a service of its own, over a socket.

    Attributes:
        url: That of the service.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._ask = partial(sent, url)

    def __call__(self, name: str, given: Any = None, **headers: Any) -> Reply:
        """Call a handle."""
        ask = query if name in QUERIES else mutate
        return ask(self._ask, name, given, base="/__fake__", **headers)

    def _linked_subscription(self) -> Any:
        """Return a subscription of a company."""
        subscription = self("stripe.add_subscription", {"price_ids": ["p"]}).data
        link = {"companyId": self("add_company", {"name": "Acme"}).data, "stripeSubscriptionId": subscription}
        self("call", {"path": "billing.linkSubscription", "input": link})
        return subscription

    def good(self, name: str) -> dict[str, Any]:
        """Return a good input, of what is arranged for it."""
        known: dict[str, Callable[[], Any]] = {
            "COMPANY": lambda: self("add_company", {"name": "Acme"}).data,
            "SNAPSHOT": lambda: self("snapshot").data,
            "SESSION": lambda: self("stripe.add_checkout_session", {"price_ids": ["p"], "complete": False}).data,
            "SUBSCRIPTION": self._linked_subscription,
        }
        given = {**QUERIES, **MUTATIONS}[name] or {}
        return {key: known[value]() if str(value) in known else value for key, value in given.items()}


@pytest.fixture
def door() -> Iterator[Door]:
    """Yield the door of a new service."""
    with serve_fake() as url:
        yield Door(url)


@pytest.fixture(scope="module")
def shared_door() -> Iterator[Door]:
    """Yield a door for bad inputs, none of which may change what another sees."""
    with serve_fake() as url:
        yield Door(url)


def test_these_are_all_handles() -> None:
    """So the tests below are about each of them."""
    known = {"products", "forget", *control._QUERIES, *control._MUTATIONS}

    assert known == {*QUERIES, *MUTATIONS}
    assert all(control.procedure(Products(), {}, name) for name in known)


def test_its_handles_are_those_of_the_fake() -> None:
    """All that a test in Python has, but for what makes no sense from outside."""
    public = {name for name in dir(FakeTransport) if not name.startswith("_")}
    stripe = {f"stripe.{name}" for name in dir(FakeTransport().stripe) if not name.startswith("_")}

    assert (public | stripe) - {*QUERIES, *MUTATIONS} == {
        *("close", "fingerprint", "from_snapshot", "injected_failures", "name", "replace", "send", "send_many"),
        "with_options",
    }


@pytest.mark.parametrize("name", HANDLES)
def test_a_handle_takes_what_it_takes(door: Door, name: str) -> None:
    """All of its arguments, and only those that it needs."""
    good = door.good(name)
    whole, least = door(name, good), door(name, {key: good[key] for key in NEEDED.get(name, ())})

    assert whole.status == 200, whole.body
    assert least.status == 200 or "is cancelled" in least.error["message"]


@pytest.mark.parametrize("name", HANDLES)
def test_an_unknown_argument_is_refused(shared_door: Door, name: str) -> None:
    """With the names of those there are."""
    reply = shared_door(name, {**dict.fromkeys(NEEDED.get(name, ()), "x"), "colour": "red"})

    assert reply.code == "BAD_REQUEST"
    known = {**QUERIES, **MUTATIONS}[name] or {}
    told = reply.error["message"].partition("; it takes ")
    assert "'colour'" in told[0]
    assert {one.partition(" ")[0] for one in told[2].split(", ")} == (set(known) or {"no"})


@pytest.mark.parametrize("name", [name for name in HANDLES if name in NEEDED])
def test_a_missing_argument_is_refused(shared_door: Door, name: str) -> None:
    """By its name; those that may be left out are told as such."""
    message = shared_door(name, {}).error["message"]

    assert f"missing a required argument: {NEEDED[name][0]!r}" in message
    for key in {**QUERIES, **MUTATIONS}[name] or {}:
        assert (f"{key} (optional)" in message) is (key not in NEEDED[name])


@pytest.mark.parametrize("given", [[], ["name"], "text", 0, 1, True, False, 0.5])
@pytest.mark.parametrize("name", HANDLES)
def test_an_input_that_is_no_object_is_refused(shared_door: Door, name: str, given: Any) -> None:
    """Null and nothing are no arguments."""
    reply = shared_door(name, given)

    assert reply.code == "BAD_REQUEST"
    assert reply.error["message"].startswith("expected an object of arguments, got ")


WRONG: list[Any] = [None, True, False, -1, 0, 0.5, 1e308, "", " ", "x", "\ud800", [], [1], [[]], {}, {"a": 1}]
WRONG += [{"": {}}, {"seats": 1}, {"seats": {"x": 1}}, {"seats": {"quantity_limit": "x"}}, 2**53 - 1, 2**53, "9" * 5000]
# What stands for nothing, or is what it is named: a text that is a code, flags, numbers.
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
    "calls.after": lambda it: it in (0, 2**53 - 1) and not isinstance(it, bool),
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
    "view.limit": lambda it: it in (0, 2**53 - 1) and not isinstance(it, bool),
    "view.search": lambda it: isinstance(it, str),
    "view.since": lambda it: it is None or (it in (0, 2**53 - 1) and not isinstance(it, bool)),
}


@pytest.mark.parametrize("place", RIGHT)
def test_an_argument_of_the_wrong_kind_is_refused(shared_door: Door, place: str) -> None:
    """As wrong use, with a word on what was expected; what is right by chance is taken."""
    name, _, argument = place.rpartition(".")
    good = {key: value for key, value in shared_door.good(name).items() if key in NEEDED.get(name, ())}
    for value in WRONG:
        reply = shared_door(name, {**good, argument: value})
        expected = 200 if RIGHT[place](value) else 400
        assert reply.status == expected, (value, reply.body)
        assert expected == 200 or reply.code == "BAD_REQUEST"
        assert len(reply.body) < 10_000 or reply.status == 200


def test_unknown_handles_and_wrong_methods_are_refused(door: Door) -> None:
    """As of every procedure."""
    assert query(partial(sent, door.url), "no.such", base="/__fake__").code == "NOT_FOUND"
    assert mutate(partial(sent, door.url), "snapshot", {}, base="/__fake__").code == "METHOD_NOT_SUPPORTED"
    assert query(partial(sent, door.url), "reset", {}, base="/__fake__").code == "METHOD_NOT_SUPPORTED"


def test_a_product_is_named_by_key_or_id(door: Door) -> None:
    """The page knows ids only; the header with one counts more than a key."""
    door("add_company", {"name": "Acme"})
    door("add_company", {"name": "Wayne"}, x_api_key="os_sk_other_1234")
    first, second = door("products", None, **dict.fromkeys(UNSAID)).data
    by_id = door("view", None, x_fake_product=second["id"], x_api_key=None).data

    assert [first["key"], second["key"]] == ["os_sk_…ests", "os_sk_…1234"]
    assert [first["companies"], second["companies"]] == [1, 1]
    assert [company["name"] for company in by_id["companies"]] == ["Wayne"]
    assert door("view", None, x_fake_product=second["id"]).data["companies"] == by_id["companies"]
    for unknown in ("0" * 16, "", KEY):
        assert door("view", None, x_fake_product=unknown).code == "NOT_FOUND"
    assert door("view", None, x_api_key=None).code == "UNAUTHORIZED"
    assert door("reset", {}, x_api_key="x").code == "UNAUTHORIZED"


def test_what_is_arranged_is_seen_by_a_client(door: Door) -> None:
    """Catalogue, companies, Stripe, the clock and faults: as with the handles in Python."""
    door("add_feature", {"code": "reports", "name": "Reports", "has_quantity": True})
    features = {"reports": {"quantity_limit": 5, "unit_amount": 10}}
    door("add_tier", {"code": "gold", "name": "Gold", "base_fee": 2500, "features": features})
    company = door("add_company", {"name": "Acme Inc", "domain": "acme.example"}).data
    session = door(
        "stripe.add_checkout_session", {"price_ids": ["price_gold_base", "price_gold_reports"], "complete": False}
    ).data
    with ChatarminOS(KEY, base_url=door.url) as client:
        linked = client.companies.smart_link(external_org_id="org_1", hints={"domain": "acme.example"})
        assert linked.company_id == company
        door("stripe.complete", {"session_id": session})
        client.billing.claim_checkout(company_id=company, checkout_session_id=session)
        assert door("mrr", {"company_id": company}).data == 2500
        client.billing.track_usage(company_id=company, feature_code="reports", quantity=2)
        (row,) = door("view", {"search": "ACME.example"}).data["subscriptions"]
        assert row["company"] == {"id": company, "name": "Acme Inc"}
        door("stripe.renew", {"subscription_id": row["id"]})
        assert client.features.check(company_id=company, feature_code="reports").current_usage == 0
        door("stripe.cancel", {"subscription_id": row["id"]})
        assert door("mrr", {"company_id": company}).data == 0

        door("fail", {"path": "tiers.list", "error": "TOO_MANY_REQUESTS"})
        assert door("view").data["faults"] == [
            {"path": "tiers.list", "error": "TOO_MANY_REQUESTS", "times": 1, "after": False}
        ]
        answer = query(partial(sent, door.url), "tiers.list")
        assert answer.code == RateLimitError("", code="TOO_MANY_REQUESTS").code

        before = door("view").data["now"]
        door("advance", {"days": 31})
        view = door("view").data
        assert view["moved_by_seconds"] == 31 * 86400
        assert view["now"] > before

        door("reset")
        with pytest.raises(NotFoundError):
            client.features.list_access(company)
        assert "gold" in [tier.code for tier in client.tiers.list()]


def test_call_does_what_the_api_does(door: Door) -> None:
    """So a page can set a tier; its refusals are those of the API, and it stands among the calls."""
    company = door("add_company", {"name": "Acme"}).data
    applied = door("call", {"path": "tiers.apply", "input": {"companyId": company, "tierCode": "pro"}})
    refused = door("call", {"path": "tiers.apply", "input": {"companyId": company, "tierCode": "none"}})
    null = door("call", {"path": "tiers.apply", "input": None})
    door("fail", {"error": "lost"})

    assert applied.status == 200
    assert (refused.code, refused.error["data"]["path"]) == ("NOT_FOUND", "tiers.apply")
    assert null.error["message"] == "input: expected an object, got null"
    assert door("call", {"path": "no.such"}).error["message"] == "path: no procedure str 'no.such'"
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        door("call", {"path": "tiers.list"})
    calls = door("calls").data
    assert [call["error"] and call["error"]["code"] for call in calls] == [None, "NOT_FOUND", "BAD_REQUEST", "LOST"]
    assert [call["kind"] for call in calls] == ["mutation", "mutation", "mutation", "query"]


def test_a_snapshot_comes_back_as_it_was(door: Door) -> None:
    """Also into another product; what the fake knew before is gone, with faults and calls."""
    company = door("add_company", {"name": "Acme", "domain": "acme.example"}).data
    door("call", {"path": "tiers.apply", "input": {"companyId": company, "tierCode": "pro"}})
    door("stripe.add_checkout_session", {"price_ids": ["price_pro_base"]})
    door("advance", {"hours": 1})
    snapshot = door("snapshot").data
    other = {"x_api_key": "os_sk_other"}
    door("add_company", {"name": "Gone"}, **other)
    door("fail", {"error": "lost"}, **other)

    assert door("restore", {"snapshot": snapshot}, **other).data is None
    assert door("snapshot", None, **other).data == snapshot
    view = door("view", None, **other).data
    assert (view["faults"], view["calls"], view["companies_total"]) == ([], [], 1)
    assert mutate(partial(sent, door.url), "companies.create", {"name": "a", "externalOrgId": "b"}, **other).data


def test_a_broken_snapshot_changes_nothing(door: Door) -> None:
    """And the refusal says where it is broken."""
    door("add_company", {"name": "Acme"})
    snapshot = door("snapshot").data
    wrong: list[Any] = [{**snapshot, "mrr": {"none": 1}}, {**snapshot, "format": "x"}, {}, [], {**snapshot, "links": 1}]
    for broken in wrong:
        assert door("restore", {"snapshot": broken}).code == "BAD_REQUEST"
    assert door("snapshot").data == snapshot


@pytest.mark.parametrize("number", ["1e400", "-1e400"])
def test_a_snapshot_with_a_number_that_json_has_not_is_refused(door: Door, number: str) -> None:
    """Wherever it stands: an answer could not be written with it. The place is named."""
    company = door("add_company", {"name": "Acme"}).data
    door("add_feature", {"code": "x", "name": "X", "config": {"list": [0, {"most": "HERE"}]}})
    given = {"companyId": company, "featureCode": "x", "config": {"most": "THERE"}}
    door("call", {"path": "features.setAccess", "input": given})
    snapshot = door("snapshot").data
    text = json.dumps({"snapshot": snapshot})
    index = [row["code"] for row in snapshot["catalogue"]["features"]].index("x")
    for mark, place in (
        ('"HERE"', f"catalogue.features[{index}].config.list[1].most"),
        ('"THERE"', f"access.{company}.x.configValues.most"),
    ):
        headers = {"content-type": "application/json"}
        reply = sent(door.url, "POST", "/__fake__/restore", headers, text.replace(mark, number).encode())
        assert reply.code == "BAD_REQUEST"
        told = f"the snapshot is broken: {place}: JSON has no such number: float {float(number)}"
        assert reply.error["message"] == told
        broken = json.loads(text.replace(mark, "NaN"))["snapshot"]
        with pytest.raises(ValueError, match=r"JSON has no such number: float nan$"):
            FakeTransport.from_snapshot(broken)
    assert door("snapshot").data == snapshot
    assert query(partial(sent, door.url), "features.check", {"companyId": company, "featureCode": "x"}).status == 200


def test_a_snapshot_beyond_the_calendar_of_a_fake_is_refused() -> None:
    """By the fake's own clock, which every call would fail over later."""
    later = FakeTransport(now=lambda: datetime(9990, 1, 1, tzinfo=UTC))
    ahead = FakeTransport()
    ahead.advance(timedelta(days=365 * 100))
    with serve_fake({KEY: later}) as url:
        door = Door(url)
        reply = door("restore", {"snapshot": ahead.snapshot()})
        assert (reply.code, reply.error["message"][:5]) == ("BAD_REQUEST", "now: ")
        assert query(partial(sent, url), "tiers.list").status == 200


def test_a_view_is_told_once(door: Door) -> None:
    """Who knows the version of a state is told that it is the same, until something happens."""
    version = door("view").data["version"]

    assert door("view", {"since": version}).data == {"version": version, "unchanged": True}
    query(partial(sent, door.url), "tiers.list")
    after_call = door("view", {"since": version}).data
    assert after_call["unchanged"] is False
    assert [call["path"] for call in after_call["calls"]] == ["tiers.list"]
    door("fail", {"error": "lost"})
    assert door("view", {"since": after_call["version"]}).data["faults"] == [
        {"path": None, "error": "lost", "times": 1, "after": False}
    ]


def test_an_access_that_expires_is_told(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once each to everybody who looks, at its moment: nobody calls, and the view is another one."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = [start]
    monkeypatch.setattr("chatarmin_os.fake.service.real_clock", lambda: clock[0])
    company = door("add_company", {"name": "Acme"}).data
    for code, seconds in (("seats", 2), ("sso", 1), ("api_access", -1)):
        until = (start + timedelta(seconds=seconds)).isoformat()
        given = {"companyId": company, "featureCode": code, "isEnabled": True, "validUntil": until}
        door("call", {"path": "features.setAccess", "input": given})

    def enabled(view: Any) -> set[str]:
        return {one["featureCode"] for one in view["companies"][0]["access"] if one["isEnabled"]}

    view = door("view").data
    assert enabled(view) == {"seats", "sso"}
    for moment, left in ((1, {"seats"}), (2, set())):
        clock[0] = start + timedelta(seconds=moment, milliseconds=-1)
        assert door("view", {"since": view["version"]}).data["unchanged"]
        clock[0] = start + timedelta(seconds=moment)
        first, second = (door("view", {"since": view["version"]}).data for _ in range(2))
        assert enabled(first) == enabled(second) == left
        view = second
    assert door("view", {"since": view["version"]}).data["unchanged"]


def test_a_view_is_searched_and_limited(door: Door) -> None:
    """By names, domains, ids and external ids, newest first."""
    companies = [
        door("add_company", {"name": f"Company {number}", "domain": f"d{number}.example"}).data for number in range(60)
    ]
    door("call", {"path": "links.create", "input": {"companyId": companies[7], "externalOrgId": "ORG_seven"}})

    def found(**given: Any) -> list[str]:
        view = door("view", given).data
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


def test_a_view_shows_all_of_a_company(door: Door) -> None:
    """Its tier and fee, links, contacts and access; sessions and subscriptions with whom they belong to."""
    onboarded = door(
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
    waiting = door("stripe.add_checkout_session", {"price_ids": ["price_pro_base"], "complete": False}).data
    prices = [f"price_pro_{what}" for what in ("base", "ai_credit", "seats")]
    paid = door("stripe.add_checkout_session", {"price_ids": prices, "customer_name": "Ann"}).data
    claim = {"companyId": onboarded["companyId"], "checkoutSessionId": paid}
    door("call", {"path": "billing.claimCheckout", "input": claim})
    view = door("view").data
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
    assert view["catalogue"]["tiers"][2] == {"code": "pro", "name": "Pro", "baseFee": 4900, "currency": "eur"}


def test_only_the_last_calls_are_kept(door: Door) -> None:
    """Five hundred; their numbers go on, and a view shows a hundred of them, newest first."""
    batch = ",".join(["tiers.list"] * 50)
    for _ in range(11):
        sent(door.url, "GET", f"/api/v1/{batch}?batch=1")
    calls, view = door("calls").data, door("view").data

    assert [call["number"] for call in calls] == list(range(51, 551))
    assert [call["number"] for call in door("calls", {"after": 548}).data] == [549, 550]
    assert door("calls", {"after": 2**53 - 1}).data == []
    assert [call["number"] for call in view["calls"]] == list(range(550, 450, -1))
    assert door("products").data[0]["calls"] == 550
    assert set(calls[0]) == {"number", "at", "path", "kind", "input", "answer", "error", "ms"}
    door("reset")
    assert door("calls").data == []
    sent(door.url, "GET", "/api/v1/tiers.list")
    assert [call["number"] for call in door("calls").data] == [1]


def test_fakes_of_a_test_keep_their_own_calls() -> None:
    """And those of the service do not: they are in its log."""
    fake = FakeTransport()
    with serve_fake({KEY: fake}) as url:
        door = Door(url)
        query(partial(sent, url), "tiers.list")
        query(partial(sent, url), "tiers.list", x_api_key="os_sk_other")
        door("add_feature", {"code": "x", "name": "X"})

        assert [call["path"] for call in door("calls").data] == ["tiers.list"]
        assert [call.path for call in fake.calls] == ["tiers.list"]
        assert json.dumps(fake.snapshot()) == json.dumps(door("snapshot").data)
    product = Products().of({"x-api-key": KEY})
    product.answer("tiers.list", "query", None)
    assert (product.fake.calls, product.count) == ([], 1)


def test_an_input_without_end_is_written_down_as_such(door: Door) -> None:
    """What is refused for its depth, or because nobody could write it as JSON, spoils no list of calls."""
    for body in (b"[" * 500 + b"]" * 500, b'{"quantity": 1e400}', b'{"companyId": "\\ud800"}'):
        headers = {"content-type": "application/json"}
        assert sent(door.url, "POST", "/api/v1/billing.trackUsage", headers, body).code == "BAD_REQUEST"

    for calls in (door("calls").data, door("view").data["calls"]):
        assert [call["error"]["code"] for call in calls] == ["BAD_REQUEST"] * 3
        assert "(cannot be shown)" in [call["input"] for call in calls]


def test_a_refusal_on_purpose_keeps_no_input_that_nobody_looked_at() -> None:
    """It may be anything."""
    with serve_fake(fail_rate=1.0) as url:
        headers = {"content-type": "application/json"}
        for _ in range(20):
            with suppress(RemoteDisconnected, ConnectionError):
                sent(url, "POST", "/api/v1/billing.trackUsage", headers, b"[" * 500 + b"]" * 500)
        calls = Door(url)("calls").data

    assert len(calls) == 20
    assert {json.dumps(call["input"]) for call in calls} <= {"null", '"(cannot be shown)"'}


def test_what_a_test_arranges_in_python_is_seen(door: Door) -> None:
    """A fake that somebody else has too may be another at any time."""
    fake = FakeTransport()
    with serve_fake({KEY: fake}) as url:
        door = Door(url)
        version = door("view").data["version"]
        fake.add_company("Acme")

        assert len(door("view", {"since": version}).data["companies"]) == 1


def test_versions_do_not_begin_again(door: Door) -> None:
    """After a restart a page that knows an old one is told what is there now."""
    first = door("view").data["version"]
    with serve_fake() as url:
        assert Door(url)("view", {"since": first}).data["unchanged"] is False


def test_a_forgotten_product_begins_anew(door: Door) -> None:
    """By its key or its id; others stay, and so does a fake that a test has in Python."""
    for key in (KEY, "os_sk_other"):
        door("add_company", {"name": "Acme"}, x_api_key=key)
    first, second = door("products").data

    assert door("forget").data is None
    assert [row["id"] for row in door("products").data] == [second["id"]]
    assert door("forget", None, x_api_key=None, x_fake_product=second["id"]).data is None
    assert door("forget", None, x_fake_product=first["id"]).code == "NOT_FOUND"
    assert door("view").data["companies_total"] == 0
    with serve_fake({KEY: FakeTransport()}) as url:
        reply = Door(url)("forget")
        assert reply.code == "BAD_REQUEST"
        assert reply.error["message"].startswith("this product was given in Python")
        assert len(Door(url)("products").data) == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("TOO_MANY_REQUEST", "did you mean TOO_MANY_REQUESTS?"),
        ("too_many_requests", "did you mean TOO_MANY_REQUESTS?"),
        ("SERVICE_UNAVAILIBLE", "did you mean SERVICE_UNAVAILABLE?"),
        ("x", "the codes are PARSE_ERROR, BAD_REQUEST"),
        (429, "the codes are PARSE_ERROR, BAD_REQUEST"),
        ("x" * 100_000, "the codes are PARSE_ERROR, BAD_REQUEST"),
    ],
)
def test_a_failure_needs_a_code_that_there_is(door: Door, error: Any, told: str) -> None:
    """A typo would otherwise be an error that no client knows; the nearest code is suggested."""
    reply = door("fail", {"error": error})

    assert reply.code == "BAD_REQUEST"
    assert told in reply.error["message"]
    assert len(reply.body) < 2_000
    assert door("view").data["faults"] == []


def test_the_number_of_waiting_failures_is_limited(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that arranges failures does not fill the memory; a reset makes space."""
    monkeypatch.setattr(control, "_MOST_FAULTS", 3)

    assert [door("fail", {"error": "CONFLICT"}).status for _ in range(4)] == [200, 200, 200, 400]
    assert "`reset` forgets them" in door("fail", {"error": "CONFLICT"}).error["message"]
    door("reset")
    assert door("fail", {"error": "CONFLICT"}).status == 200


def _objects() -> int:
    gc.collect()
    return len(gc.get_objects())


def test_kept_calls_are_bounded_in_bytes() -> None:
    """A dozen refused requests leave next to nothing, where their JSON would be a million objects."""
    body = b"[" + b",".join([b"[]"] * 90_000) + b"]"
    service = FakeService()
    headers = {"content-type": "application/json"}
    asked(service, "POST", "/api/v1/billing.trackUsage", headers, b"[]")
    before = _objects()
    for number in range(12):
        key = {"x-api-key": f"os_sk_{number % 3}"}
        assert asked(service, "POST", "/api/v1/billing.trackUsage", {**headers, **key}, body).code == "BAD_REQUEST"
    kept = _objects() - before

    assert kept < 5_000
    inputs = [call["input"] for product in service.products for call in product.calls()]
    assert inputs == [[], *[f"({len(body) + 89_999:,} bytes of JSON, not kept)"] * 12]


@pytest.mark.parametrize("place", ["input", "answer", "error"])
def test_the_log_drops_the_oldest_call_of_all(place: str) -> None:
    """What all products keep together has one bound; large inputs, answers and messages count as what they are."""
    log = CallLog(max_bytes=200_000)
    owners: list[deque[int]] = [deque() for _ in range(3)]
    text = "x" * 60_000
    for number in range(1, 31):
        error = {"code": "BAD_REQUEST", "message": text} if place == "error" else None
        values: dict[str, Any] = {"input": None, "answer": None, **({} if error else {place: text})}
        log.append(
            owners[number % 3],
            {"number": number, "at": "", "path": "p", "kind": "query", "error": error, "ms": 0.0, **values},  # type: ignore[typeddict-item]
        )
    kept = sorted(call["number"] for owner in owners for call in log.read(owner))

    assert log.bytes <= 200_000
    assert kept == list(range(1 if place == "error" else 28, 31))
    if place == "error":
        (first, *_) = log.read(owners[0])
        assert first["error"] == {"code": "BAD_REQUEST", "message": "x" * MAX_MESSAGE}
    for owner in owners:
        log.clear(owner)
    assert log.bytes == 0
    assert [log.read(owner) for owner in owners] == [[], [], []]
