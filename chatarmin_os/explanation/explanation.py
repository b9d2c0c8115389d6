"""Why a company can or cannot use a feature."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from attrs import frozen

from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.client import ChatarminOS, ensure_client
from chatarmin_os.explanation.evidence import Evidence, collect
from chatarmin_os.explanation.facts import facts_of
from chatarmin_os.explanation.remedies import remedies_of
from chatarmin_os.explanation.rules import rule_of
from chatarmin_os.explanation.sentence import sentence_of
from chatarmin_os.explanation.tiers import CompanyTier, tiers_of
from chatarmin_os.models.features import FeatureAccess


@frozen(unsafe_hash=False)  # its access holds a mapping
class Explanation(AcrossVersions):
    """Why a company can or cannot use a feature, at one moment.

    Attributes:
        can_use: `can_use` of `features.check`; None if the company is unknown, or the service did not say.
        rule: The rule that decides. Usable: `"enabled"` (it has no quantity), `"within_limit"`, `"unlimited"`,
            `"beyond_included"` (a part of the usage is billable). Refused: `"no_access"`, `"disabled"`, `"expired"`,
            `"zero_limit"` (enabled, and no limit was set), `"limit_reached"`, `"over_limit"` (the limit is below the
            usage). The company is unknown: `"not_linked"`, `"unknown_company"`. `"unexplained"`: the other fields of
            the answer suggest the opposite. `"not_stated"`: the answer lacks `can_use`.
        text: One sentence without a full stop. A cause that the service does not state is "most likely".
        facts: Pairs of a label and a text, in the order in which people read them.
        what_to_do: Lines of Python that would change `can_use`, with names in capitals for your values.
        feature_code: The feature.
        external_org_id: The organisation that was asked about; None if a company was.
        company_id: The company, also one that does not exist; None if the organisation is not linked.
        access: The answer of `features.check`; None if the company is unknown.
        asked_at: The time at which the service was asked, on its own clock as far as the transport knows it. A gate may
            decide otherwise until its older answer reaches its `max_age`.
    """

    can_use: bool | None = None
    rule: str = "not_stated"
    text: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    what_to_do: tuple[str, ...] = ()
    feature_code: str | None = None
    external_org_id: str | None = None
    company_id: str | None = None
    access: FeatureAccess | None = None
    asked_at: datetime | None = None


def explain(
    client: ChatarminOS,
    feature_code: str,
    *,
    external_org_id: str | UUID | None = None,
    company_id: str | UUID | None = None,
) -> Explanation:
    """Return why a company can or cannot use a feature, from queries only: two round trips.

    Args:
        client: The client.
        feature_code: The feature.
        external_org_id: Your id of the organisation; either this or *company_id*.
        company_id: The company. The service does not name a company by its id, so the sentence has no name then.

    Raises:
        InvalidInput: An invalid argument, or not exactly one of *external_org_id* and *company_id*; nothing was sent.
        NotFoundError: The feature does not exist. An organisation that is not linked, and an unknown company, are
            explained instead; then an unknown feature is not found out.
        ApiError: The service refused for another reason, or failed.
        TransportError: No usable response was received about the access.
        TypeError: *client* is not a client.

    If only an answer about subscriptions, tiers or the name fails, the facts say what is unknown.

    The README of the service states `canUse`, and names no reason: the rules are those that
    `chatarmin_os.fake.rules.assumptions` lists under "features" and "usage".

    Example:
        >>> company = client.sign_up(external_org_id="org_1", name="Acme Inc", starting_tier="free").company_id
        >>> usage = client.billing.track_usage(company_id=company, feature_code="seats", quantity=3)
        >>> explanation = explain(client, "seats", external_org_id="org_1")
        >>> explanation.can_use, explanation.rule
        (False, 'limit_reached')
        >>> print(explanation.text)
        Acme Inc (org_1) cannot use seats: it has used 3 of 3 in this period; the limit is most likely that of its tier
        Free; it has no active subscription, so most likely its usage does not start again at 0
    """
    evidence = collect(ensure_client(client), feature_code, external_org_id, company_id)
    return explanation_of(evidence, tiers_of(evidence))


def explanation_of(evidence: Evidence, tiers: list[CompanyTier]) -> Explanation:
    """Return the explanation of evidence, of a company with these tiers."""
    access = evidence.access
    if access is not None:
        rule = rule_of(access, evidence.asked_at)
    else:
        rule = "unknown_company" if evidence.external_org_id is None else "not_linked"
    return Explanation(
        can_use=None if access is None else access.can_use,
        rule=rule,
        text=sentence_of(evidence, rule, tiers),
        facts=facts_of(evidence, tiers),
        what_to_do=remedies_of(evidence, rule),
        feature_code=evidence.feature_code,
        external_org_id=evidence.external_org_id,
        company_id=evidence.company_id,
        access=access,
        asked_at=evidence.asked_at,
    )
