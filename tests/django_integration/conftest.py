"""The project is configured before the modules of the tests are imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import django_project
import pytest

django_project.set_up()

from chatarmin_os.django.test import override_service  # noqa: E402 - as said above

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os.fake import FakeTransport


@pytest.fixture
def fake() -> Iterator[FakeTransport]:
    """Put a fake behind the project: org_1 has the tier "pro", so that it has API access and no single sign-on."""
    with override_service() as fake:
        yield fake


@pytest.fixture
def rows() -> Iterator[None]:
    """Delete the rows of a test, in both databases."""
    from django_project.models import Membership

    yield
    for alias in ("default", "other"):
        Membership.objects.using(alias).all().delete()
