"""The app on the service in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from exporter import create_app

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue

if TYPE_CHECKING:
    from flask.testing import FlaskClient

SIGN_UP = {"name": "Acme Inc", "email": "ann@acme.example"}


@pytest.fixture
def fake() -> FakeTransport:
    """Return the service."""
    return FakeTransport(demo_catalogue())


@pytest.fixture
def browser(fake: FakeTransport) -> FlaskClient:
    """Return a browser that is not signed in."""
    return create_app({"TESTING": True, "CHATARMIN_OS": {"TRANSPORT": fake}}).test_client()


@pytest.fixture
def customer(browser: FlaskClient) -> FlaskClient:
    """Return the browser of a customer with the tier Free."""
    browser.post("/sign-up", data=SIGN_UP)
    return browser


def test_customer_signs_up(browser: FlaskClient) -> None:
    """A customer who signs up sees the credits of the tier Free."""
    response = browser.post("/sign-up", data=SIGN_UP, follow_redirects=True)

    assert "100 of 100 summaries" in response.text


def test_sign_up_without_name_names_the_field(browser: FlaskClient) -> None:
    """An invalid form is shown again with the problem."""
    response = browser.post("/sign-up", data={**SIGN_UP, "name": " "})

    assert response.status_code == 400
    assert "name: must not be blank" in response.text


def test_sign_up_can_be_repeated_after_an_outage(browser: FlaskClient, fake: FakeTransport) -> None:
    """A second attempt finds the company that the first one created."""
    fake.fail("companies.create", error="lost", after=True)

    assert browser.post("/sign-up", data=SIGN_UP).status_code == 503
    assert browser.post("/sign-up", data=SIGN_UP).status_code == 302
    assert len(fake.service.state.companies) == 1


def test_export_needs_a_plan(customer: FlaskClient) -> None:
    """The tier Free has no exports: a browser gets the page, a program JSON."""
    page = customer.get("/orders.csv", headers={"Accept": "text/html"})
    json = customer.get("/orders.csv")

    assert page.status_code == json.status_code == 403
    assert "Your plan does not include this feature" in page.text
    assert json.get_json()["reason"] == "disabled"


def test_visitor_exports_nothing(browser: FlaskClient) -> None:
    """A visitor who is not signed in belongs to no organisation."""
    assert browser.get("/orders.csv").get_json()["reason"] == "not_linked"


def test_paid_checkout_opens_the_export(customer: FlaskClient, fake: FakeTransport) -> None:
    """The customer comes back from Stripe, and exports at once; coming back twice is harmless."""
    prices = ChatarminOS(transport=fake).tiers.get("pro").stripe_price_ids
    checkout = fake.stripe.add_checkout_session(prices)

    for _ in range(2):
        response = customer.get("/billing/success", query_string={"session_id": checkout}, follow_redirects=True)
        assert "Your new plan is active" in response.text
    assert customer.get("/orders.csv").text.splitlines()[1] == "A-1,Ann,1900"


def test_visitor_claims_no_checkout(browser: FlaskClient) -> None:
    """A visitor who is not signed in has no company that a checkout could be for."""
    assert browser.get("/billing/success?session_id=cs_1").status_code == 403


def test_summary_costs_one_credit(customer: FlaskClient) -> None:
    """A summary is counted, and a request without a text is not."""
    assert customer.post("/summaries", data="one two three four five six").get_json() == {
        "summary": "one two three four five"
    }
    assert customer.post("/summaries").status_code == 400
    assert "99 of 100 summaries" in customer.get("/").text


def test_summaries_end_at_the_limit(customer: FlaskClient) -> None:
    """Without credits the endpoint answers 402 with the limit."""
    for _ in range(100):
        assert customer.post("/summaries", data="text").status_code == 200
    response = customer.post("/summaries", data="text")

    assert (response.status_code, response.get_json()["limit"]) == (402, 100)
    assert "No summaries are left" in customer.get("/").text


def test_pages_work_in_an_outage(customer: FlaskClient, fake: FakeTransport) -> None:
    """The app shows its page and its last known access while the service does not answer."""
    fake.fail(error="lost", times=100)

    assert customer.get("/").status_code == 200


def test_admin_sees_the_features_of_an_organisation(customer: FlaskClient) -> None:
    """The admin page needs the password, and lists features with reasons."""
    with customer.session_transaction() as session:
        organisation = session["organisation"]

    assert customer.get(f"/admin/{organisation}").status_code == 401
    page = customer.get(f"/admin/{organisation}", auth=("ops", "admin"))
    assert "api_access" in page.text
    assert "disabled" in page.text
