"""Sign-up in several calls, each after a look-up: calling it again completes an interrupted run."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from chatarmin_os._input import at_field, optional_text
from chatarmin_os._json import describe
from chatarmin_os._request import Request, Sender
from chatarmin_os.errors import ChatarminError, ConflictError, InvalidInput
from chatarmin_os.fake.rules import addresses
from chatarmin_os.models.onboarding import SignUpResult
from chatarmin_os.procedures.billing import GetStatusInput
from chatarmin_os.procedures.companies import CreateCompanyInput, GetByProductLinkInput, Hints, SmartLinkInput
from chatarmin_os.procedures.contacts import CreateContactInput, ListContactsInput
from chatarmin_os.procedures.features import ListAccessInput
from chatarmin_os.procedures.tiers import ApplyTierInput, GetTierInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatarmin_os.models.billing import BillingStatus
    from chatarmin_os.models.features import FeatureAccess

DOMAIN_CONFIDENCE = 0.9
"""A domain match has 95 percent, a name match at most 80: names never match, whatever the service compares."""


class Client(Sender, Protocol):
    """The part of a client that sign-up needs."""

    @abstractmethod
    def batch(self, requests: list[Request[Any]]) -> list[Any]:
        """Send many requests and return their results, or errors."""


def sign_up(
    client: Client, *, verified_domain: str | None, starting_tier: str | None, **new_company: Any
) -> SignUpResult:
    """Find, link or create a company; see `ChatarminOS.sign_up`. *new_company* goes to `CreateCompanyInput`."""
    starting_tier = at_field("starting_tier", optional_text)(starting_tier)
    domain = at_field("verified_domain", _business_domain)(verified_domain)
    creation = CreateCompanyInput(**new_company, domain=domain)
    at_field("contact_email", _check_email)(creation.contact_email)

    company_id, company_name, status = _ensure_linked(client, creation, starting_tier)
    return SignUpResult(
        company_id=company_id,
        company_name=company_name,
        link_status=status,
        tier_applied=_ensure_contact_and_tier(client, company_id, status, creation, starting_tier),
    )


def _business_domain(given: str | None) -> str | None:
    """Return a normalized domain; None if it is a free mail provider's, where anyone can get an address."""
    given = optional_text(given)
    if given is None:
        return None
    normalized = addresses.domain(given)
    if normalized is None:
        raise InvalidInput(
            f"expected a domain such as acme.com, got {describe(given)}", "omit it if you have not verified one"
        )
    return addresses.business_domain(normalized)


def _check_email(given: str | None) -> None:
    """Reject an address that the service would reject after it has created the company."""
    if given is not None and addresses.email(given) is None:
        raise InvalidInput("expected an e-mail address such as ann@acme.com", "omit it if you have none")


def _ensure_linked(
    client: Client, creation: CreateCompanyInput, starting_tier: str | None
) -> tuple[str, str | None, str]:
    """Link or create the company of an organisation if necessary; return its id, name and link status."""
    find = GetByProductLinkInput(external_org_id=creation.external_org_id)
    # The tier is looked up first: an unknown one fails before a company is created.
    company = _query_all(client, [find, *([GetTierInput(tier_code=starting_tier)] if starting_tier else [])])[0]
    if company is None and creation.domain:
        hints = Hints(domain=creation.domain)
        match = client.send(
            SmartLinkInput(external_org_id=creation.external_org_id, hints=hints, min_confidence=DOMAIN_CONFIDENCE)
        )
        if match.status in {"linked", "already_linked"}:
            if match.company_id:
                return match.company_id, match.customer_name, match.status
            company = client.send(find)  # the answer may lack the id, and creating would make a second company
            if company:
                return company.id, company.name, match.status
    if company is None:
        try:
            company = client.send(creation)
        except ConflictError:  # the same organisation is signing up in another process
            company = client.send(find)
            if company is None:
                raise
        else:
            return company.id, company.name or creation.name, "created"
    return company.id, company.name, "already_linked"


def _ensure_contact_and_tier(
    client: Client, company_id: str, status: str, creation: CreateCompanyInput, starting_tier: str | None
) -> bool:
    """Add the contact and apply the tier if they are missing; return whether the tier was applied."""
    email = None if status == "created" else creation.contact_email  # a new company has its contact already
    queries: list[Request[Any]] = [ListContactsInput(company_id=company_id)] if email else []
    if starting_tier:
        queries += [GetStatusInput(company_id=company_id), ListAccessInput(company_id=company_id)]
    answers = _query_all(client, queries)
    if email:
        contacts = answers.pop(0)
        if email.lower() not in {(contact.email or "").lower() for contact in contacts}:
            client.send(
                CreateContactInput(
                    company_id=company_id,
                    email=email,
                    name=creation.contact_name,
                    is_primary=None if contacts else True,
                )
            )
    if not starting_tier or has_plan(*answers, is_new=status == "created"):
        return False
    client.send(ApplyTierInput(tier_code=starting_tier, company_id=company_id))
    return True


def has_plan(billing: BillingStatus, accesses: Sequence[FeatureAccess], *, is_new: bool) -> bool:
    """Return whether a company has an access or a subscription that a starting tier would replace.

    For a company that is not new, a disabled or expired access counts too: signing up again grants neither a second
    trial nor an access that was withdrawn.

    Example:
        >>> from chatarmin_os import BillingStatus, FeatureAccess
        >>> nothing, expired = BillingStatus(has_billing_profile=False), FeatureAccess(is_enabled=False, source="trial")
        >>> has_plan(nothing, [FeatureAccess(is_enabled=False)], is_new=False)
        False
        >>> has_plan(nothing, [expired], is_new=False)
        True
    """
    return bool(
        billing.enabled_features_count
        or billing.active_subscriptions
        or any(access.is_enabled or (access.source and not is_new) for access in accesses)
    )


def _query_all(client: Client, requests: list[Request[Any]]) -> list[Any]:
    """Send queries in one round trip and return their answers; raise the first error among them."""
    answers: list[Any] = client.batch(requests)
    for answer in answers:
        if isinstance(answer, ChatarminError):
            raise answer
    return answers
