"""The steps of a row: which one is next, and the request that it sends; pure functions."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

from attrs import frozen

from chatarmin_os._request import Request
from chatarmin_os.backfill.row import Row
from chatarmin_os.procedures.billing import GetStatusInput, LinkSubscriptionInput
from chatarmin_os.procedures.companies import CreateCompanyInput, GetByProductLinkInput, Hints
from chatarmin_os.procedures.contacts import BulkUpsertInput, ContactInput
from chatarmin_os.procedures.links import CreateLinkInput
from chatarmin_os.procedures.onboarding import OnboardInput
from chatarmin_os.procedures.tiers import ApplyTierInput

Mode: TypeAlias = Literal["create", "onboard"]
Step: TypeAlias = Literal["look_up", "create", "onboard", "subscription", "status", "tier", "label", "contacts"]

STEPS: tuple[Step, ...] = ("look_up", "create", "onboard", "subscription", "status", "tier", "label", "contacts")
"""All steps, in their order; a row needs some of them."""


@frozen
class Settings:
    """How rows are applied.

    Attributes:
        mode: `"create"`: an unlinked organisation becomes a new company. `"onboard"`: smart linking by name and domain.
        is_tier_forced: Whether the tier is applied to companies that have features already.
    """

    mode: Mode = "create"
    is_tier_forced: bool = False


class State(NamedTuple):
    """How far a row is.

    Attributes:
        done: The steps that are done in this attempt.
        company: The company that the organisation is linked to; None if it is not linked, or not looked up.
        is_created: Whether the company was made for this row, in this attempt or an earlier one.
        tier: The tier that an earlier attempt applied.
        enabled: How many features the company has enabled; None if that is unknown.
    """

    done: frozenset[Step] = frozenset()
    company: str | None = None
    is_created: bool = False
    tier: str | None = None
    enabled: int | None = None


def next_step(row: Row, state: State, settings: Settings) -> Step | None:
    """Return the next step of a row, None if it has none left.

    Example:
        >>> row = Row(external_org_id="org_1", name="Acme Inc", tier_code="free")
        >>> new = State(frozenset({"look_up"}))
        >>> next_step(row, State(), Settings())
        'look_up'
        >>> next_step(row, new, Settings()), next_step(row, new, Settings("onboard"))
        ('create', 'onboard')

        The tier is applied to a company that was made for this row, or has no features.

        >>> linked = State(frozenset({"look_up"}), "comp_1")
        >>> next_step(row, linked._replace(is_created=True), Settings()), next_step(row, linked, Settings())
        ('tier', 'status')
        >>> known = linked._replace(done=linked.done | {"status"})
        >>> [next_step(row, known._replace(enabled=enabled), Settings()) for enabled in (0, 1, None)]
        ['tier', None, None]
        >>> next_step(row, linked, Settings(is_tier_forced=True))
        'tier'

        A tier that an earlier attempt applied is not applied again: another one may have been set by hand since.

        >>> next_step(row, linked._replace(is_created=True, tier="free"), Settings()) is None
        True
        >>> next_step(row, linked._replace(is_created=True, tier="pro"), Settings())  # the row was corrected
        'tier'
    """
    if "look_up" not in state.done:
        return "look_up"
    if state.company is None:
        return settings.mode
    is_forced = settings.is_tier_forced
    has_tier = row.tier_code is not None and (is_forced or row.tier_code != state.tier)
    needed: tuple[tuple[Step, bool], ...] = (
        ("subscription", row.stripe_subscription_id is not None),
        ("status", has_tier and not (state.is_created or is_forced)),
        ("tier", has_tier and (state.is_created or is_forced or state.enabled == 0)),
        ("label", row.label is not None),
        ("contacts", bool(_contacts(row, state))),
    )
    for step, is_needed in needed:
        if is_needed and step not in state.done:
            return step
    return None


def request_of(step: Step, row: Row, state: State) -> Request[Any]:
    """Return the request of a step.

    Example:
        >>> row = Row(external_org_id="org_1", name="Acme Inc", contact_email="ann@acme.com")
        >>> request_of("look_up", row, State()).to_json()["input"]
        {'externalOrgId': 'org_1'}
        >>> request_of("contacts", row, State(company="comp_1")).to_json()["input"]["contacts"]
        [{'email': 'ann@acme.com'}]
    """
    match step:
        case "look_up":
            return GetByProductLinkInput(external_org_id=row.external_org_id)
        case "create":
            return CreateCompanyInput(
                name=row.name or row.domain or row.external_org_id,
                external_org_id=row.external_org_id,
                domain=row.domain,
                contact_email=row.contact_email,
                contact_name=row.contact_name if row.contact_email else None,
                created_at=row.created_at,
            )
        case "onboard":
            return OnboardInput(
                external_org_id=row.external_org_id,
                hints=Hints(company_name=row.name, domain=row.domain) if row.name or row.domain else None,
                contact_email=row.contact_email,
                contact_name=row.contact_name if row.contact_email else None,
                created_at=row.created_at,
            )
    return _of_company(step, row, state)


def _of_company(step: Step, row: Row, state: State) -> Request[Any]:
    company = state.company or ""
    match step:
        case "subscription":
            return LinkSubscriptionInput(company_id=company, stripe_subscription_id=row.stripe_subscription_id or "")
        case "status":
            return GetStatusInput(company_id=company)
        case "tier":
            return ApplyTierInput(tier_code=row.tier_code or "", company_id=company)
        case "label":
            return CreateLinkInput(company_id=company, external_org_id=row.external_org_id, label=row.label)
    return BulkUpsertInput(company_id=company, contacts=_contacts(row, state))


def _contacts(row: Row, state: State) -> tuple[ContactInput, ...]:
    """Return the contacts that are left to upsert: a call that makes the company carries *contact_email* along."""
    if row.contact_email is None or state.done & {"create", "onboard"}:
        return row.contacts
    return ContactInput(email=row.contact_email, name=row.contact_name), *row.contacts


def after(step: Step, state: State, answer: Any) -> State:
    """Return the state of a row after a step was answered with a result.

    Example:
        >>> from chatarmin_os import Company, OnboardResult
        >>> after("look_up", State(), None).company
        >>> after("create", State(), Company(id="comp_1")).is_created
        True
        >>> after("onboard", State(), OnboardResult(company_id="comp_1", link_status="linked")).is_created
        False
    """
    done = state.done | {step}
    match step:
        case "look_up":
            return state._replace(done=done, company=None if answer is None else answer.id)
        case "create":
            return state._replace(done=done, company=answer.id, is_created=True)
        case "onboard":
            return state._replace(done=done, company=answer.company_id, is_created=answer.link_status == "created")
        case "status":
            return state._replace(done=done, enabled=answer.enabled_features_count)
    return state._replace(done=done)


def assumed(step: Step, state: State) -> State:
    """Return the state after a step that a rehearsal does not send.

    Example:
        >>> assumed("create", State()).is_created
        True
    """
    done = state.done | {step}
    if step in {"create", "onboard"}:
        return state._replace(done=done, company="-", is_created=True)
    return state._replace(done=done)
