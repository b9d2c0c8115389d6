"""An app whose organisation is that of a header, on a service in memory that knows one organisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask, request

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.flask import Chatarmin

if TYPE_CHECKING:
    from flask.testing import FlaskClient

ACME = {"X-Org": "org_1"}
HTML = {"Accept": "text/html"}


class Shop:
    """An app, its extension, its service, and a client that looks at the service without the app."""

    def __init__(self, tier: str = "free", **settings: Any) -> None:
        self.fake = FakeTransport(demo_catalogue())
        self.client = ChatarminOS(transport=self.fake)
        self.company_id = self.client.onboard(external_org_id="org_1", tier_code=tier).company_id
        self.app = Flask("shop")
        self.app.config["CHATARMIN_OS"] = {"TRANSPORT": self.fake, **settings}
        self.chatarmin = Chatarmin()
        self.chatarmin.init_app(self.app)
        self.chatarmin.organisation_loader(organisation)
        self.fake.calls.clear()

    @property
    def browser(self) -> FlaskClient:
        """A new browser."""
        return self.app.test_client()

    @property
    def paths(self) -> list[str]:
        """The paths of the calls that the service received."""
        return [call.path for call in self.fake.calls]

    def used(self, feature_code: str = "ai_credit") -> Any:
        """Return the usage that was counted."""
        return self.client.features.check(company_id=self.company_id, feature_code=feature_code).current_usage


def organisation() -> str | None:
    """Return the organisation of the request."""
    return request.headers.get("X-Org")
