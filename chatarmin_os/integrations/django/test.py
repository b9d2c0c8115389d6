"""Tests of a project: a fake service behind `get_client`; documented as `chatarmin_os.django.test`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast
from unittest import TestCase
from uuid import UUID

from django import conf  # its settings are read late
from django.test.utils import TestContextDecorator, override_settings

from chatarmin_os.client import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.web.settings import NAME

C = TypeVar("C", bound=type[Any])


class override_service(TestContextDecorator):  # noqa: N801 - named as override_settings is
    """Puts a new fake behind `get_client` and `get_gate`, with one organisation: for tests, and decorates them too.

    Each test of a decorated class gets a fake of its own. The other settings of CHATARMIN_OS stay.

    Args:
        tier: The tier of the organisation; None for none.
        external_org_id: Your id of the organisation.
        features: By feature code, whether the organisation can use the feature, or arguments of `features.set_access`
            (`is_enabled` is True unless given). A feature that the demo catalogue does not have is added to it.

    Example:
        >>> from chatarmin_os.django import get_client
        >>> with override_service(tier="free", features={"exports": True, "ai_credit": {"quantity_limit": 5}}) as fake:
        ...     client = get_client()
        ...     client.features.check_by_external_org_id("org_1", "exports").can_use
        True
        >>> fake.calls[-1].path
        'features.checkByExternalOrgId'
    """

    def __init__(
        self,
        tier: str | None = "pro",
        external_org_id: str | UUID = "org_1",
        features: Mapping[str, bool | Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self._tier, self._external_org_id = tier, external_org_id
        self._features = dict(features or {})
        self._overrides: list[override_settings] = []  # one for each `with` that is open

    if TYPE_CHECKING:  # the stubs of Django say that every context is a registry of applications

        def __enter__(self) -> FakeTransport: ...  # type: ignore[override]

    def enable(self) -> FakeTransport:
        """Return the fake, which answers from now on."""
        fake = self._make_fake()
        override = override_settings(**{NAME: {**(getattr(conf.settings, NAME, None) or {}), "TRANSPORT": fake}})
        override.enable()
        self._overrides.append(override)
        return fake

    def disable(self) -> None:
        """Restore the client and the gate from before."""
        self._overrides.pop().disable()

    def _make_fake(self) -> FakeTransport:
        catalogue = demo_catalogue()
        for code, given in self._features.items():
            if code not in catalogue.features:
                has_quantity = isinstance(given, Mapping) and not {"quantity_limit", "included_quantity"}.isdisjoint(
                    given
                )
                catalogue.add_feature(code, name=code, has_quantity=has_quantity)
        fake = FakeTransport(catalogue)
        client = ChatarminOS(transport=fake)
        client.onboard(external_org_id=self._external_org_id, tier_code=self._tier)
        for code, given in self._features.items():
            access = partial(client.features.set_access, external_org_id=str(self._external_org_id), feature_code=code)
            if isinstance(given, Mapping):
                access(**{"is_enabled": True, **given})
            elif not access(is_enabled=given) and given:  # its limit is 0
                access(quantity_limit=None)
        fake.calls.clear()  # a test sees those that it causes
        return fake

    def decorate_class(self, cls: C) -> C:
        """Decorate each test of a class, whether it is one of unittest or of pytest."""
        if issubclass(cls, TestCase):
            return cast("C", super().decorate_class(cls))  # type: ignore[arg-type]
        for name, test in inspect.getmembers_static(cls, inspect.isfunction):
            if name.startswith("test"):
                setattr(cls, name, self.decorate_callable(test))
        return cls
