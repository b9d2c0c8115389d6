"""A browser for all tests of the page, and the page of a product with two companies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from browsing import emulated, running_chromium
from local_page import KEY, Page

from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import serve_fake

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Run a browser for all tests of the page."""
    with running_chromium() as driver:
        yield driver


@pytest.fixture
def clock() -> list[datetime]:
    """Return the time of products that the page itself creates, to be changed by a test."""
    return [datetime(2026, 1, 1, tzinfo=UTC)]


@pytest.fixture
def page(chromium: Any, clock: list[datetime]) -> Iterator[Page]:
    """Open the page of a product with two companies; no test may cause a warning of the browser."""
    fake = FakeTransport(demo_catalogue())
    with serve_fake({KEY: fake}, now=lambda: clock[0]) as url:
        page = Page(chromium, url, fake)
        page.client.onboard(external_org_id="org_bolt", hints={"company_name": "Bolt Ltd"}, tier_code="free")
        page.client.onboard(external_org_id="org_acme", hints={"company_name": "Acme GmbH"}, tier_code="pro")
        with emulated(chromium):
            page.open()
            page.wait_for_text(".company .name", "Bolt Ltd")
            yield page
        assert page.problems() == []
        chromium.get("about:blank")  # it sends no requests to the service that ends
