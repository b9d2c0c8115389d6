"""`typing`, pydantic and beartype can read the annotations of the public interface at run time."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import beartype
import pydantic
import pytest
from cases import check_each

import chatarmin_os.drift
import chatarmin_os.pytest
import chatarmin_os.resources
import chatarmin_os.transports.redactors
from chatarmin_os import UNSET, ChatarminOS, ContactInput, FeatureCheckInput, Hints, TrackUsageInput
from chatarmin_os.fake import FakeTransport, demo_catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PACKAGES: list[Any] = [
    chatarmin_os,
    chatarmin_os.drift,
    chatarmin_os.errors,
    chatarmin_os.fake,
    chatarmin_os.pytest,
    chatarmin_os.resources,
    chatarmin_os.transports,
    chatarmin_os.transports.redactors,
]


def _functions_of(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the constructor and the public methods and properties of a class, inherited ones included."""
    for name, member in inspect.getmembers_static(kind):
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(member, (classmethod, staticmethod)):
            yield f"{kind.__name__}.{name}", getattr(kind, name)
        # A property's or cached property's function, or a method itself.
        function = getattr(member, "fget", None) or getattr(member, "func", member)
        if inspect.isfunction(function) and function.__module__.startswith("chatarmin_os"):
            yield f"{kind.__name__}.{name}", function


def _public() -> dict[str, Any]:
    """Return the public classes and functions of the package, and the functions of these classes."""
    found: dict[str, Any] = {"FakeTransport.stripe": type(FakeTransport().stripe)}
    for package in PACKAGES:
        for name in getattr(package, "__all__", None) or vars(package):
            one = getattr(package, name)
            home = getattr(one, "__module__", None) or ""
            if not name.startswith("_") and callable(one) and home.startswith("chatarmin_os"):
                found[f"{package.__name__}.{name}"] = one if inspect.isclass(one) else inspect.unwrap(one)  # a fixture
    for one in list(found.values()):
        if inspect.isclass(one):
            found |= _functions_of(one)
    return found


PUBLIC = _public()
FUNCTIONS = {name: one for name, one in PUBLIC.items() if inspect.isroutine(one)}


@pytest.fixture(autouse=True)
def _restore_annotations() -> Iterator[None]:
    """Restore the annotations: beartype replaces those of the functions that it wraps."""
    functions: list[Any] = [getattr(one, "__func__", one) for one in FUNCTIONS.values()]
    before = [dict(function.__annotations__) for function in functions]
    yield
    for function, text in zip(functions, before, strict=True):
        function.__annotations__ = text


def test_public_interface_is_complete() -> None:
    """The tests below see methods, classes, exported functions, properties and lazy imports."""
    seen = {
        "ChatarminOS.onboard",
        "ChatarminOS.billing",
        "ChatarminOS.lazy",
        "ChatarminOS.with_options",
        "Billing.track_usage",
        "HTTPTransport.__init__",
        "FakeTransport.add_tier",
        "FeatureCheckInput.__init__",
        "OnboardInput.__init__",
        "Stripe.cancel",
        "chatarmin_os.Company",
        "chatarmin_os.ApiError",
        "chatarmin_os.errors.ChatarminError",
        "chatarmin_os.transports.redactors.personal_data",
    }

    assert seen <= set(PUBLIC)
    assert len(FUNCTIONS) > 150


def test_annotations_can_be_resolved() -> None:
    """`typing.get_type_hints` resolves each annotation without further imports."""

    def check(name: str) -> None:
        hints = typing.get_type_hints(PUBLIC[name])
        assert not any(isinstance(hint, (str, typing.ForwardRef)) for hint in hints.values())

    check_each(PUBLIC, check)


def test_pydantic_can_check_calls() -> None:
    """`validate_call` wraps every public function if arbitrary types are allowed."""

    def check(name: str) -> None:
        assert callable(pydantic.validate_call(config={"arbitrary_types_allowed": True})(FUNCTIONS[name]))

    check_each(FUNCTIONS, check)


def test_beartype_can_check_calls() -> None:
    """Beartype wraps every public function."""

    def check(name: str) -> None:
        assert callable(beartype.beartype(FUNCTIONS[name]))

    check_each(FUNCTIONS, check)


def test_annotations_can_be_resolved_in_fresh_interpreter() -> None:
    """Resolving an annotation of the client imports its types, and nothing imports them earlier."""
    code = (
        "import sys, typing, chatarmin_os; from chatarmin_os import ChatarminOS\n"
        "late = 'chatarmin_os.models', 'chatarmin_os.resources.'\n"
        "before = [name for name in sys.modules if name.startswith(late)]\n"
        "print(before, typing.get_type_hints(ChatarminOS.onboard)['return'].__name__)\n"
        "print(typing.get_type_hints(ChatarminOS.billing.func)['return'].__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603

    assert (done.stdout, done.stderr) == ("[] OnboardResult\nBilling\n", "")


# Checked calls

CHECKS = pytest.mark.parametrize("check", [pydantic.validate_call, beartype.beartype], ids=["pydantic", "beartype"])


@CHECKS
def test_checked_calls_behave_as_calls(check: Callable[[Any], Any]) -> None:
    """Arguments of every accepted kind pass both checks, and reach the method unchanged."""
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS(transport=fake)
    acme = check(client.onboard)(
        external_org_id="org_1", hints=Hints(company_name="Acme"), created_at="2024-01-15T10:30Z"
    )
    company = UUID(acme.company_id)
    now = datetime.now(UTC)

    check(client.onboard)(external_org_id="org_2", hints={"company_name": "Umbrella"}, created_at=now, tier_code="free")
    check(client.companies.get_by_product_link)(external_org_id="org_1")
    check(client.companies.update)(company_id=company, created_at=now)
    check(client.companies.smart_link)(external_org_id="org_3", hints=None, min_confidence=1)
    check(client.companies.create)(name="Initech", external_org_id="org_4")
    check(client.contacts.create)(company_id=company, email="ann@acme.com", metadata={"since": 2024})
    contacts: list[Any] = [ContactInput(email="bob@acme.com"), {"email": "eve@acme.com"}]
    assert check(client.contacts.bulk_upsert)(company_id=company, contacts=contacts).created == 2
    assert len(check(client.contacts.list)(acme.company_id, primary_only=False)) == 3
    check(client.tiers.list)()
    check(client.tiers.get)("pro")
    check(client.tiers.apply)("free", company_id=company, features={"seats": {"max_quantity": 10}})
    check(client.subscriptions.create)("free", company_id=company)
    check(client.features.check)(company_id=company, feature_code="seats")
    check(client.features.list_access)(company)
    check(client.features.get_access_by_external_org_id)("org_1")
    check(client.features.check_by_external_org_id)("org_1", "seats")
    for until in (now.replace(year=2100), "2100-01-01", date(2100, 1, 1), None, UNSET):
        access = check(client.features.set_access)(
            company_id=company, feature_code="ai_credit", quantity_limit=100, included_quantity=None, valid_until=until
        )
    assert access.quantity_limit == 100
    for quantity in (1, 1.5):
        check(client.billing.track_usage)(company_id=company, feature_code="ai_credit", quantity=quantity)
    assert [call.input["quantity"] for call in fake.calls[-2:]] == [1, 1.5]
    assert type(fake.calls[-2].input["quantity"]) is int
    check(client.billing.get_status)(company)
    session = fake.stripe.add_checkout_session(["price_pro_base"])
    check(client.billing.claim_checkout)(company_id=company, checkout_session_id=session)
    subscription = fake.stripe.add_subscription(["price_pro_base"])
    check(client.billing.link_subscription)(company_id=company, stripe_subscription_id=subscription)
    check(client.links.create)(company_id=company, external_org_id="org_5")
    request = FeatureCheckInput(company_id=company, feature_code="seats")
    assert check(client.send)(request).feature_code == "seats"
    event = TrackUsageInput(company_id=company, feature_code="seats", quantity=1)
    assert len(check(client.batch)([request, event])) == 2
    check(client.call)("tiers.get", {"tierCode": "pro"}, kind="query")
    assert check(client.with_options)(timeout=1, max_retries=0).transport is fake
    check(client.links.reset)()
    assert isinstance(check(ChatarminOS.lazy)(transport=fake), ChatarminOS)
    assert isinstance(check(ChatarminOS.in_memory)(), ChatarminOS)


@CHECKS
@pytest.mark.parametrize(
    "arguments",
    [{"company_id": 5, "feature_code": "seats"}, {"company_id": "c", "feature_code": None}],
    ids=["number-for-text", "none-for-text"],
)
def test_checked_calls_refuse_wrong_types(check: Callable[[Any], Any], arguments: dict[str, Any]) -> None:
    """Both checks refuse a value that the annotation does not allow, before the method runs."""
    fake = FakeTransport()
    method = check(ChatarminOS(transport=fake).features.check)

    with pytest.raises((pydantic.ValidationError, beartype.roar.BeartypeCallHintParamViolation)):
        method(**arguments)

    assert fake.calls == []


@CHECKS
def test_checked_calls_refuse_invalid_hints(check: Callable[[Any], Any]) -> None:
    """Hints are an instance of `Hints` or a mapping."""
    client = ChatarminOS.in_memory()

    with pytest.raises((pydantic.ValidationError, beartype.roar.BeartypeCallHintParamViolation)):
        check(client.onboard)(external_org_id="org_1", hints="Acme")
