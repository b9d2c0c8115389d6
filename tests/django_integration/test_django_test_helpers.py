"""`override_service`: a fake behind the project, for tests."""

from __future__ import annotations

import asyncio
import unittest
from typing import Any

import pytest
from django.test import Client, SimpleTestCase, TestCase, override_settings

from chatarmin_os import InvalidInput, NotFoundError
from chatarmin_os.django import get_client, get_gate
from chatarmin_os.django.test import override_service
from chatarmin_os.fake import FakeTransport

pytest_plugins = ["django_project.fixtures"]


def allows(feature: str, organisation: str = "org_1") -> bool:
    """Return whether the gate allows a feature."""
    return get_gate().check(external_org_id=organisation, feature_code=feature).allowed


def test_service_is_fresh_and_is_gone_afterwards() -> None:
    """The fake is behind the client, knows the organisation with the tier, and has seen no call."""
    before = get_client(), get_gate()
    with override_service() as fake:
        assert isinstance(fake, FakeTransport)
        assert get_client().transport is fake
        assert fake.calls == []
        assert (allows("api_access"), allows("sso")) == (True, False)
    assert (get_client(), get_gate()) == before


def test_arguments_name_organisation_and_tier() -> None:
    """Another id and another tier, or none."""
    with override_service(tier="enterprise", external_org_id="org_7"):
        assert (allows("sso", "org_7"), allows("sso")) == (True, False)
    with override_service(tier=None):
        assert not allows("seats")
        assert get_gate().check(external_org_id="org_1", feature_code="seats").reason == "disabled"


def test_features_are_switched_on_and_off() -> None:
    """A feature is a bool, or arguments of set_access; an unknown one is added, and True can be used."""
    features: dict[str, Any] = {
        "exports": True,
        "imports": False,
        "sso": True,
        "api_access": False,
        "pages": {"quantity_limit": 3},
        "team_seats": True,
    }
    with override_service(tier="free", features=features):
        assert {code: allows(code) for code in features} == {
            "exports": True,
            "imports": False,
            "sso": True,
            "api_access": False,
            "pages": True,
            "team_seats": True,
        }
        access = get_client().features.check_by_external_org_id("org_1", "pages")
        assert (access.quantity_limit, access.remaining) == (3, 3)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"tier": "gold"}, NotFoundError),
        ({"external_org_id": ""}, InvalidInput),
        ({"features": {"sso": "yes"}}, InvalidInput),
        ({"features": {"sso": {"is_enable": True}}}, TypeError),
    ],
    ids=["tier", "organisation", "feature", "argument"],
)
def test_wrong_arguments_change_nothing(arguments: Any, error: type[Exception]) -> None:
    """An error before the test leaves the services as they were."""
    before = get_client()

    with pytest.raises(error), override_service(**arguments):
        raise NotImplementedError

    assert get_client() is before


def test_services_nest() -> None:
    """The inner service ends first; one object may be entered again, also while it is."""
    service = override_service()
    with service as first:
        with service as second:
            assert get_client().transport is second
        with override_service() as third:
            assert get_client().transport is third
        assert get_client().transport is first
        assert len({id(first), id(second), id(third)}) == 3


def test_other_settings_stay() -> None:
    """The function of the organisation and the policies are those of the project."""
    options = {"TRANSPORT": "fake", "ORGANISATION": "django_project.views.organisation_of", "TIMEOUT": 5}
    with override_settings(CHATARMIN_OS=options), override_service() as fake:
        assert Client().get("/function", headers={"X-Organisation": "org_1"}).json()["reason"] == "disabled"
        assert len(fake.calls) == 1
    with override_settings(CHATARMIN_OS=None), override_service():
        assert allows("seats")


def test_settings_may_be_overridden_inside() -> None:
    """The fake is a part of the setting, so that a test can change the rest of it."""
    from django.conf import settings

    with (
        override_service() as fake,
        override_settings(CHATARMIN_OS={**settings.CHATARMIN_OS, "ON_DENIED": "django_project.views.teapot"}),
    ):
        assert get_client().transport is fake
        assert Client().get("/function", headers={"X-Organisation": "org_1"}).status_code == 418


def test_exception_restores() -> None:
    """A test that fails does not leave its service behind."""
    before = get_client()

    with pytest.raises(ZeroDivisionError), override_service():
        raise ZeroDivisionError

    assert get_client() is before


@override_service(tier="enterprise")
def test_function_is_decorated(tmp_path: Any) -> None:
    """A function of pytest keeps its fixtures."""
    assert tmp_path.exists()
    assert allows("sso")


def test_async_function_is_decorated() -> None:
    """The service lasts until an async test has ended."""

    @override_service(tier="enterprise")
    async def async_test() -> bool:
        await asyncio.sleep(0)
        return allows("sso")

    assert asyncio.run(async_test())


@override_service(tier="enterprise")
class TestOfPytest:
    """A class of pytest: each test has a service of its own."""

    seen: list[Any] = []  # noqa: RUF012 - shared by the tests on purpose

    def test_one(self) -> None:
        """A service."""
        self.seen.append(get_client().transport)
        assert allows("sso")
        assert self.helper() == 1

    def test_two(self) -> None:
        """Another one."""
        assert allows("sso")
        assert get_client().transport not in self.seen

    def helper(self) -> int:
        """Is no test, and not decorated."""
        return 1


@override_service(tier="enterprise")
class OfDjango(TestCase):
    """A class of Django: the service is there in setUp too."""

    def setUp(self) -> None:
        """Find the service."""
        self.fake = get_client().transport

    def test_sync(self) -> None:
        """A test."""
        assert isinstance(self.fake, FakeTransport)
        assert allows("sso")

    async def test_async(self) -> None:
        """An async test."""
        assert get_client().transport is self.fake
        assert allows("sso")

    @override_service(tier="free")
    def test_of_its_own(self) -> None:
        """A decorated test of a decorated class."""
        assert not allows("sso")


@override_service(tier="enterprise")
class Simple(SimpleTestCase):
    """A class without a database."""

    def test_sync(self) -> None:
        """A test."""
        assert allows("sso")


@override_service(tier="enterprise")
class Plain(unittest.IsolatedAsyncioTestCase):
    """A class of unittest with async tests."""

    async def test_async(self) -> None:
        """A test."""
        assert allows("sso")


class Methods(SimpleTestCase):
    """Decorated methods of a class."""

    @override_service(tier="enterprise")
    async def test_async(self) -> None:
        """An async test."""
        assert allows("sso")


def test_decorated_classes_restore() -> None:
    """After their tests the services are the project's."""
    before = get_client()
    for case in (OfDjango, Simple, Plain, Methods):
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
        assert (result.testsRun > 0, result.errors, result.failures) == (True, [], [])

    assert get_client() is before
