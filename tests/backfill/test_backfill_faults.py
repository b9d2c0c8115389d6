"""One fault at each call and at each request of a run, then the same run again: everything is there once."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from backfill_world import Hooked, World

from chatarmin_os import ApiError, ChatarminError, ChatarminOS, ConnectionFailed, InvalidResponse, TimedOut
from chatarmin_os.fake import FakeTransport, demo_catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from chatarmin_os._json import JSON
    from chatarmin_os.backfill.steps import Mode
    from chatarmin_os.transports import Call

_TIERS = ("pro", "free", "trial")


def _refusal(code: str) -> Callable[[], ChatarminError]:
    return lambda: ApiError.from_code(code)


FAULTS: dict[str, tuple[str, Callable[[], BaseException]]] = {
    "lost-before": ("before", lambda: ConnectionFailed("reset", outcome="unknown")),
    "lost-after": ("after", lambda: ConnectionFailed("reset", outcome="unknown")),
    "hangs-after": ("after", lambda: TimedOut("no response", outcome="unknown")),
    "odd-after": ("after", lambda: InvalidResponse("not JSON", outcome="unknown")),
    "busy": ("before", _refusal("TOO_MANY_REQUESTS")),
    "unavailable": ("before", _refusal("SERVICE_UNAVAILABLE")),
    "unavailable-after": ("after", _refusal("SERVICE_UNAVAILABLE")),
    "error-after": ("after", _refusal("INTERNAL_SERVER_ERROR")),
    "conflict": ("before", _refusal("CONFLICT")),
    "conflict-after": ("after", _refusal("CONFLICT")),
    "forbidden": ("before", _refusal("FORBIDDEN")),
    "key-refused": ("before", _refusal("UNAUTHORIZED")),
    "key-refused-after": ("after", _refusal("UNAUTHORIZED")),
    "bug": ("before", lambda: RuntimeError("a bug of a transport")),
    "bug-after": ("after", lambda: RuntimeError("a bug of a transport")),
    "interrupted": ("before", KeyboardInterrupt),
    "interrupted-after": ("after", KeyboardInterrupt),
    "exit": ("before", SystemExit),
    "exit-after": ("after", SystemExit),
}
"""The moment and the fault: an error that is returned is the answer of one call, another one is raised."""


_UNTRUE = {"conflict-after", "key-refused-after"}
"""A refusal says that the call did not run; it is no excuse for making things twice."""
_FAST = {"lost-after", "forbidden", "exit-after"}


def _case(fault: str) -> Any:
    return pytest.param(fault, marks=() if fault in _FAST else pytest.mark.slow)


class Faulty(Hooked):
    """Passes calls on; that with one number fails, or all those of the request with one number.

    Args:
        at: The number of the call or request.
        is_of_request: Whether *at* is the number of a request.
    """

    def __init__(self, inner: FakeTransport, fault: str, at: int, *, is_of_request: bool) -> None:
        super().__init__(inner)
        self._moment, self._make = FAULTS[fault]
        self._at, self._is_of_request = at, is_of_request
        self._numbers = count()
        self.is_over = False
        setattr(self, self._moment, self._fail)

    def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
        """Send calls; the errors of a request are raised after all of them."""
        if not self._is_of_request:
            return super().send_many(calls)
        is_hit = next(self._numbers) == self._at
        self.before = self.after = lambda _: None
        if not is_hit or self._moment == "after":
            answers = super().send_many(calls)
        if not is_hit:
            return answers
        self.is_over = True
        return [_raised(self._make()) for _ in calls]

    def _fail(self, _: Call) -> object:
        if next(self._numbers) != self._at:
            return None
        self.is_over = True
        return _raised(self._make())


def _raised(error: BaseException) -> ChatarminError:
    if not isinstance(error, ChatarminError):
        raise error
    return error


def _rows(number: int) -> list[dict[str, Any]]:
    """Return rows that need each step."""
    return [
        {
            "external_org_id": f"org_{place}",
            "name": f"Company {place}",
            "domain": f"company-{place}.example",
            "tier_code": _TIERS[place % 3],
            "contact_email": f"boss@company-{place}.example",
            "contact_name": "Boss",
            "created_at": "2024-01-01T00:00:00Z",
            "contacts": [f"a{place}@x.example", {"email": f"b{place}@x.example", "role": "Developer"}],
            "label": f"Store {place}",
            "stripe_subscription_id": f"sub_{place}",
        }
        for place in range(number)
    ]


def _customers(number: int) -> JSON:
    """Return a service that knows some of the customers: with a tier, without, and not linked."""
    fake = FakeTransport.from_snapshot(_with_subscriptions(FakeTransport(demo_catalogue()).snapshot(), number))
    client = ChatarminOS(transport=fake)
    for place in range(1, number, 4):
        client.onboard(external_org_id=f"org_{place}", tier_code="enterprise", contact_email=f"old{place}@x.example")
    for place in range(2, number, 4):
        client.onboard(external_org_id=f"org_{place}")
    for place in range(3, number, 4):
        fake.add_company(f"Other {place}", domain=f"company-{place}.example")
    return fake.snapshot()


def _with_subscriptions(snapshot: JSON, number: int) -> JSON:
    one = {"customerId": "cus_1", "priceIds": ["price_pro_base"], "isActive": True}
    snapshot["stripe"]["subscriptions"] = [{"id": f"sub_{place}", **one} for place in range(number)]
    return snapshot


def _state(snapshot: JSON) -> dict[str, Any]:
    """Return everything that the service has of each organisation, without the ids that it gave; and all companies."""
    companies = {one["id"]: one for one in snapshot["companies"]}
    found: dict[str, Any] = {"companies": sorted(one["name"] for one in companies.values())}
    for link in snapshot["links"]:
        company = link["companyId"]
        claims = [one for one in snapshot["claims"] if one["companyId"] == company]
        found[link["externalOrgId"]] = {
            **{name: companies[company][name] for name in ("name", "domain", "createdAt")},
            "label": link["label"],
            "tier": snapshot["tiers"].get(company),
            "access": snapshot["access"].get(company),
            "subscriptions": sorted(one["stripeSubscriptionId"] for one in claims),
            "contacts": sorted(
                (one["email"], one["name"] or "", one["role"] or "", one["isPrimary"])
                for one in snapshot["contacts"].get(company, [])
            ),
        }
    return found


class Found(NamedTuple):
    """The result of two runs, of which the first one had a fault.

    Attributes:
        at: The number of the call or request that failed.
        failed: How many rows failed in the second run.
        state: The state of the service.
        upgraded: The organisations that got a better tier between the runs.
    """

    at: int
    failed: int
    state: dict[str, Any]
    upgraded: set[str]


class Walk:
    """Runs of the same rows on the same service, with one fault each.

    Args:
        folder: Where the runs write.
        number: How many rows there are.
        mode: That of the runs.
        rate: The maximum of rows a second, and so of rows in a chunk; None: chunks are full.

    Attributes:
        expected: The state of the service after a run without a fault.
    """

    def __init__(self, folder: Path, number: int, mode: Mode, rate: float | None = None) -> None:
        self._folder, self._rows, self._mode, self._rate = folder, _rows(number), mode, rate
        self._snapshot = _customers(number)
        _, self.expected = self._run(self._world("expected"))

    def faults(self, fault: str, *, is_of_request: bool, has_upgrades: bool = False) -> Iterator[Found]:
        """Yield the result of two runs, of which a call or request of the first one failed: each in turn.

        Args:
            fault: The name of the fault.
            is_of_request: Whether whole requests fail.
            has_upgrades: Whether somebody gives a better tier to all companies that have features, between the runs.
        """
        for at in count():
            world = self._world(f"{fault}-{at}")
            faulty = Faulty(world.fake, fault, at, is_of_request=is_of_request)
            world.client = ChatarminOS(transport=faulty)
            try:
                self._run(world)
            except (ChatarminError, KeyboardInterrupt, SystemExit):
                assert faulty.is_over
            if not faulty.is_over:
                return
            upgraded = _upgrade(world) if has_upgrades else set()
            world.client = world.direct
            failed, state = self._run(world)
            yield Found(at, failed, state, upgraded)

    def _world(self, name: str) -> World:
        folder = self._folder / name
        folder.mkdir()
        world = World(folder)
        world.serve(FakeTransport.from_snapshot(self._snapshot))
        return world

    def _run(self, world: World) -> tuple[int, dict[str, Any]]:
        report = world.run(self._rows, mode=self._mode, rate=self._rate)
        return report.failed, _state(world.fake.snapshot())


def _upgrade(world: World) -> set[str]:
    """Give the best tier to all companies that have features, and return their organisations."""
    snapshot = world.fake.snapshot()
    companies = {company for company, access in snapshot["access"].items() if access}
    for company in companies:
        world.direct.tiers.apply("enterprise", company_id=company)
    return {link["externalOrgId"] for link in snapshot["links"] if link["companyId"] in companies}


def assert_as_expected(walk: Walk, fault: str, *, is_of_request: bool) -> None:
    """After each fault, the second run ends with the result of a run without faults."""
    found = list(walk.faults(fault, is_of_request=is_of_request))
    assert len(found) > 20
    assert [one.at for one in found if one.failed or one.state != walk.expected] == []


@pytest.mark.parametrize("mode", ["create", "onboard"])
@pytest.mark.parametrize("fault", [_case(name) for name in FAULTS])
def test_fault_of_any_call_costs_nothing(tmp_path: Path, fault: str, mode: Mode) -> None:
    """Nothing is there twice, and nothing is missing."""
    assert_as_expected(Walk(tmp_path, 4, mode), fault, is_of_request=False)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_any_request_costs_nothing(tmp_path: Path, fault: str) -> None:
    """The same for a fault of all calls of a request, and three chunks that have each kind of row and customer."""
    assert_as_expected(Walk(tmp_path, 36, "create", rate=12), fault, is_of_request=True)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["lost-after", "busy"])
def test_fault_of_any_full_request_costs_nothing(tmp_path: Path, fault: str) -> None:
    """The same for chunks as large as a request can be."""
    assert_as_expected(Walk(tmp_path, 120, "create"), fault, is_of_request=True)


@pytest.mark.parametrize("fault", [_case(name) for name in FAULTS if name not in _UNTRUE])
def test_tier_set_by_hand_after_any_fault_is_kept(tmp_path: Path, fault: str) -> None:
    """Whatever became of the first run: who got a better tier since keeps it."""
    found = list(Walk(tmp_path, 4, "create").faults(fault, is_of_request=False, has_upgrades=True))

    assert all(one.upgraded for one in found)
    lowered = {one.at: {name for name in one.upgraded if one.state[name]["tier"] != "enterprise"} for one in found}
    assert {at: names for at, names in lowered.items() if names} == {}
