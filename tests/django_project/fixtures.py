"""Fixtures of the tests of Django; a test module names this one as its plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import django_project
from chatarmin_os.django.test import override_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os.fake import FakeTransport

assert django_project.SETTINGS, "importing the project configures Django"


@pytest.fixture
def fake() -> Iterator[FakeTransport]:
    """Put a fake behind the project: org_1 has the tier "pro", so that it has API access and no single sign-on."""
    with override_service() as fake:
        yield fake


@pytest.fixture
def rows() -> Iterator[None]:
    """Delete the rows of a test."""
    from django_project.models import Membership

    yield
    Membership.objects.all().delete()
