"""Companies, and linking them by hints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.fake import contacts, links, lookup
from chatarmin_os.fake.router import procedure
from chatarmin_os.fake.rules import matching
from chatarmin_os.fake.rules.addresses import business_domain, email_domain
from chatarmin_os.fake.rules.matching import DEFAULT_MIN_CONFIDENCE, MAX_CANDIDATES, Candidate, Outcome
from chatarmin_os.fake.rules.names import normalised
from chatarmin_os.fake.schema import (
    DOMAIN,
    EMAIL,
    FRACTION,
    TEXT,
    TIMESTAMP,
    Field,
    Input,
    list_of,
    object_of,
    optional,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os._json import JSON
    from chatarmin_os.fake.rows import Company
    from chatarmin_os.fake.state import State

HINTS = Field(
    object_of(companyName=optional(TEXT), domain=optional(DOMAIN), emails=optional(Field(list_of(EMAIL.check))))
)


@procedure("companies.getByProductLink", "query", externalOrgId=TEXT)
def get_by_product_link(state: State, input: Input) -> JSON:
    """Return the linked company, or null: an unlinked id is not an error."""
    link = state.links.get(input["externalOrgId"])
    return None if link is None else state.companies[link["companyId"]]


@procedure(
    "companies.create",
    "mutation",
    name=TEXT,
    externalOrgId=TEXT,
    domain=optional(DOMAIN),
    contactEmail=optional(EMAIL),
    contactName=optional(TEXT),
    createdAt=optional(TIMESTAMP),
)
def create(state: State, input: Input) -> JSON:
    """Create a company and its link, and a primary contact if an address is given."""
    links.ensure_unlinked(state, input["externalOrgId"])
    return add_linked(state, input, name=input["name"], domain=input.get("domain"))


def add_linked(state: State, input: Input, *, name: str, domain: str | None) -> Company:
    """Add a company with its link and contact; *input* is that of `companies.create` or of `onboard`."""
    company = state.add_company(name, domain, input.get("createdAt"))
    links.link(state, company["id"], input["externalOrgId"])
    contacts.upsert_from_input(state, company["id"], input)
    return company


@procedure("companies.update", "mutation", companyId=TEXT, createdAt=TIMESTAMP)
def update(state: State, input: Input) -> JSON:
    """Change the time of a company's creation."""
    company = lookup.company(state, input["companyId"])
    changed: Company = {**company, "createdAt": input["createdAt"]}
    state.companies[company["id"]] = changed
    return changed


@procedure(
    "companies.smartLink",
    "mutation",
    externalOrgId=TEXT,
    hints=optional(HINTS),
    minConfidence=optional(FRACTION),
)
def smart_link(state: State, input: Input) -> JSON:
    """Find the company that hints describe, and link it if that is safe."""
    linked = get_by_product_link(state, input)
    if linked:
        return _result("already_linked", linked, 100)
    outcome = HintMatcher(state, input.get("hints", {})).outcome(input.get("minConfidence", DEFAULT_MIN_CONFIDENCE))
    if outcome.link:
        company = company_of(state, outcome.link)
        links.link(state, company["id"], input["externalOrgId"])
        return _result("linked", company, outcome.link.confidence)
    suggestions = [
        {
            "companyId": company_of(state, candidate)["id"],
            "customerName": company_of(state, candidate)["name"],
            "confidence": candidate.confidence,
            "reason": candidate.reason,
        }
        for candidate in outcome.suggestions
    ]
    return _result("suggestions" if suggestions else "no_match", suggestions=suggestions)


def _result(
    status: str,
    company: Company | None = None,
    confidence: int | None = None,
    suggestions: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    return {
        "status": status,
        "companyId": company and company["id"],
        "customerName": company and company["name"],
        "confidence": confidence,
        "suggestions": suggestions or [],
    }


def company_of(state: State, candidate: Candidate) -> Company:
    """Return the company of a candidate."""
    return state.companies[state.order[candidate.order]]


class HintMatcher:
    """The hints of an input in the form that is compared, and the companies that they match."""

    def __init__(self, state: State, hints: Input) -> None:
        self._state = state
        self._domain = business_domain(hints.get("domain"))
        self._name = normalised(hints.get("companyName", ""))
        self._email_domains = {domain for email in hints.get("emails", ()) if (domain := email_domain(email))}

    def _certain(self) -> Iterator[Candidate]:
        """Yield the evidence that can link a company."""
        for place in self._state.places_with_domain(self._domain, MAX_CANDIDATES):
            yield Candidate(place, matching.DOMAIN, "domain")
        for place in self._state.names.equal(self._name, count=MAX_CANDIDATES):
            yield Candidate(place, matching.EQUAL_NAME, "name")
        for domain in self._email_domains:
            for place in self._state.places_with_domain(domain, MAX_CANDIDATES):
                yield Candidate(place, matching.EMAIL_DOMAIN, "email_domain")
            for place in self._state.places_with_contact_at(domain, MAX_CANDIDATES):
                yield Candidate(place, matching.EMAIL_DOMAIN, "email_domain")

    def _similar(self, min_confidence: float) -> Iterator[Candidate]:
        """Yield the companies whose names are similar to the hinted one."""
        minimum = matching.min_percent(min_confidence)
        for confidence, place in self._state.names.similar(self._name, min_percent=minimum, count=MAX_CANDIDATES):
            yield Candidate(place, confidence, "name")

    def _may_link(self, candidate: Candidate) -> bool:
        """Return whether the company may be linked, by any evidence."""
        company = company_of(self._state, candidate)
        return matching.may_link(
            hint_domain=self._domain,
            company_domain=business_domain(company["domain"]),
            names_equal=bool(self._name) and normalised(company["name"]) == self._name,
            email_domains=self._email_domains,
        )

    def to_link(self, min_confidence: float = DEFAULT_MIN_CONFIDENCE) -> Candidate | None:
        """Return the company to link; search similar names only if one of them could prevent the link."""
        certain = list(self._certain())
        linkable = [candidate.confidence for candidate in certain if self._may_link(candidate)]
        if not linkable:
            return None
        rivals = self._similar(max(min_confidence, (max(linkable) - matching.LEAD + 1) / 100))
        return matching.decide([*certain, *rivals], min_confidence, self._may_link).link

    def outcome(self, min_confidence: float) -> Outcome:
        """Return the company to link, or those to suggest."""
        return matching.decide([*self._certain(), *self._similar(min_confidence)], min_confidence, self._may_link)
