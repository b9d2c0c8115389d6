"""The shop on the service in memory."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.test import TestCase

from chatarmin_os.django import get_client
from chatarmin_os.django.test import override_service
from chatarmin_os.fake import FakeTransport
from shop.models import Organisation, Report

SIGN_UP = {
    "username": "ann",
    "email": "ann@acme.example",
    "organisation": "Acme Inc",
    "password1": "correct horse battery",
    "password2": "correct horse battery",
}


class ShopTest(TestCase):
    """A customer with the tier Free."""

    def setUp(self) -> None:
        """Store the customer, and put a service behind the shop that knows it."""
        owner = User.objects.create_user("bea", "bea@bolt.example")
        self.organisation = Organisation.objects.create(owner=owner, name="Bolt Ltd")
        self.fake = self.enterContext(override_service("free", self.organisation.pk))
        self.client.force_login(owner)

    def remaining(self) -> float | None:
        """Return the credits that are left."""
        return get_client().features.check_by_external_org_id(self.organisation.pk, "ai_credit").remaining

    def test_sign_up_starts_with_the_free_tier(self) -> None:
        """A new customer sees the credits of the tier Free."""
        self.client.logout()

        response = self.client.post("/sign-up/", SIGN_UP, follow=True)

        self.assertContains(response, "100 of 100 credits left")

    def test_sign_up_in_an_outage_is_finished_later(self) -> None:
        """The account is there at once, and its company when the service answers."""
        self.client.logout()
        self.fake.fail("companies.create", error="lost", after=True)

        response = self.client.post("/sign-up/", SIGN_UP, follow=True)
        self.assertContains(response, "Your plan is not ready yet. Please try again")

        response = self.client.post("/link/", follow=True)
        self.assertContains(response, "100 of 100 credits left")

    def test_invalid_sign_up_names_the_field(self) -> None:
        """The form is shown again, and nothing is created."""
        self.client.logout()

        response = self.client.post("/sign-up/", {**SIGN_UP, "organisation": ""})

        self.assertContains(response, "This field is required.")
        self.assertEqual(Organisation.objects.count(), 1)

    def test_report_costs_a_credit_when_it_is_stored(self) -> None:
        """The usage follows the transaction."""
        with self.captureOnCommitCallbacks(execute=True):
            self.client.post("/reports/", {"topic": "Sales of the last year"})

        self.assertEqual(Report.objects.get().text, "Report about Sales of the last year")
        self.assertEqual(self.remaining(), 99)

    def test_reports_end_with_the_credits(self) -> None:
        """Without a credit there is no report."""
        access = {"external_org_id": self.organisation.pk, "feature_code": "ai_credit"}
        get_client().features.set_access(**access, quantity_limit=0)

        response = self.client.post("/reports/", {"topic": "Sales"})

        self.assertEqual((response.status_code, response.json()["reason"]), (402, "limit_reached"))
        self.assertFalse(Report.objects.exists())
        self.assertContains(self.client.get("/"), "You have no credits left.")

    def test_export_is_for_pro(self) -> None:
        """A browser sees the page of the package, a program gets JSON."""
        page = self.client.get("/reports.csv", headers={"Accept": "text/html"})

        self.assertContains(page, "Your plan does not include this feature", status_code=403)
        self.assertEqual(self.client.get("/reports.csv").json()["reason"], "disabled")

    def test_denied_page_of_the_shop(self) -> None:
        """A view may have a page of its own."""
        self.assertContains(self.client.get("/single-sign-on/"), "sso is a part of Enterprise", status_code=403)

    def test_checkout_opens_the_export(self) -> None:
        """The customer comes back from Stripe, and exports at once."""
        Report.objects.create(organisation=self.organisation, text="Report about Sales")

        response = self.client.post("/upgrade/", follow=True)

        self.assertContains(response, "Your new plan is active.")
        self.assertContains(self.client.get("/reports.csv"), "Report about Sales")

    @override_service("enterprise", "org_of_another_test")
    def test_visitor_may_nothing(self) -> None:
        """Pages are for those who are signed in."""
        self.client.logout()

        self.assertRedirects(self.client.get("/reports.csv"), "/sign-up/?next=/reports.csv")

    def test_outage_keeps_what_is_known(self) -> None:
        """Pages are shown with the last known access while the service does not answer."""
        self.client.get("/")
        self.fake.fail(error="lost", times=100)

        self.assertContains(self.client.get("/"), "100 of 100 credits left")

    def test_admin_shows_the_features(self) -> None:
        """The admin page of an organisation has a row for each feature."""
        self.client.force_login(User.objects.create_superuser("admin"))

        response = self.client.get(f"/admin/shop/organisation/{self.organisation.pk}/change/")

        row = "<tr><td>ai_credit</td><td>allowed</td><td>0</td><td>100</td></tr>"
        self.assertContains(response, row, html=True)
        self.assertContains(response, "<td>disabled</td>", html=True)

    def test_transport_is_the_fake(self) -> None:
        """No test calls a real service."""
        self.assertIsInstance(get_client().transport, FakeTransport)
