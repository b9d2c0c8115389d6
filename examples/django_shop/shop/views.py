"""The views."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from chatarmin_os import RateLimitError, ServerError, TransportError
from chatarmin_os.django import get_client, metered, requires_feature
from shop.forms import SignUpForm
from shop.models import Organisation, Report
from shop.payments import start_checkout

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase


@transaction.non_atomic_requests  # the organisation is stored before ChatarminOS is asked
def sign_up(request: HttpRequest) -> HttpResponseBase:
    """Create a user and an organisation, and link the organisation to a company with the free tier."""
    form = SignUpForm(request.POST or None)
    if not form.is_valid():
        return render(request, "shop/sign_up.html", {"form": form})
    with transaction.atomic():
        user = form.save()
        organisation = Organisation.objects.create(owner=user, name=form.cleaned_data["organisation"])
    login(request, user)
    _link(request, organisation)
    return redirect("home")


@require_POST
@login_required
def link(request: HttpRequest) -> HttpResponseBase:
    """Do what was not done at the sign-up, because the service did not answer."""
    _link(request, _organisation(request))
    return redirect("home")


def _link(request: HttpRequest, organisation: Organisation) -> None:
    details = {"name": organisation.name, "contact_email": organisation.owner.email or None}
    try:
        get_client().sign_up(external_org_id=organisation.pk, starting_tier="free", **details)
    except (RateLimitError, ServerError, TransportError):
        messages.warning(request, "Your plan is not ready yet. Please try again in a moment.")


def _organisation(request: Any) -> Organisation:
    organisation: Organisation = request.user.organisation
    return organisation


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Show the reports and the plan."""
    return render(request, "shop/home.html", {"reports": Report.objects.filter(organisation=_organisation(request))})


@require_POST
@login_required
@requires_feature("ai_credit")
def write_report(request: HttpRequest) -> HttpResponseBase:
    """Write a report for one credit, which is counted only if the report is stored."""
    with metered(request, "ai_credit"):
        words = request.POST.get("topic", "").split() or ["Everything"]
        Report.objects.create(organisation=_organisation(request), text=f"Report about {' '.join(words[:5])}")
    return redirect("home")


@login_required
@requires_feature("api_access")
def export(request: HttpRequest) -> HttpResponse:
    """Export the reports, if the tier has the feature; else there is the page of the package."""
    response = HttpResponse(content_type="text/csv")
    csv.writer(response).writerows(
        [report.text] for report in Report.objects.filter(organisation=_organisation(request))
    )
    return response


@login_required
@requires_feature("sso", on_denied="shop/upgrade.html")
def single_sign_on(request: HttpRequest) -> HttpResponse:
    """Show a page that has a page of its own for those without it."""
    return render(request, "shop/single_sign_on.html")


@require_POST
@login_required
def upgrade(request: HttpRequest) -> HttpResponseBase:
    """Send the customer to Stripe, to buy the tier "pro"."""
    return redirect(start_checkout(request, "pro"))


@login_required
def checkout_succeeded(request: Any) -> HttpResponseBase:
    """Claim the checkout with which the customer comes back from Stripe; a decision names the customer's company."""
    company_id = request.features.ai_credit.company_id
    get_client().billing.claim_checkout(company_id=company_id, checkout_session_id=request.GET["session_id"])
    messages.success(request, "Thank you! Your new plan is active.")
    return redirect("home")
