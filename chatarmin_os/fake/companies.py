"""Companies, and linking them by hints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.fake import contacts, links, lookup
from chatarmin_os.fake.router import (
    DOMAIN,
    EMAIL,
    FRACTION,
    INSTANT,
    TEXT,
    Field,
    Given,
    list_of,
    object_of,
    optional,
    procedure,
)
from chatarmin_os.fake.rules import matching
from chatarmin_os.fake.rules.addresses import email_domain, telling
from chatarmin_os.fake.rules.matching import DECISIVE, DEFAULT_MIN_CONFIDENCE, Candidate, Outcome
from chatarmin_os.fake.rules.names import normalised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os._json import JSON
    from chatarmin_os.fake.state import Company, State

HINTS = Field(
    object_of(companyName=optional(TEXT), domain=optional(DOMAIN), emails=optional(Field(list_of(EMAIL.check))))
)


@procedure("companies.getByProductLink", "query", externalOrgId=TEXT)
def get_by_product_link(state: State, given: Given) -> JSON:
    """Answer the company, or null: never an error for an unlinked id."""
    link = state.links.get(given["externalOrgId"])
    return None if link is None else state.companies[link["companyId"]]


@procedure(
    "companies.create",
    "mutation",
    name=TEXT,
    externalOrgId=TEXT,
    domain=optional(DOMAIN),
    contactEmail=optional(EMAIL),
    contactName=optional(TEXT),
    createdAt=optional(INSTANT),
)
def create(state: State, given: Given) -> JSON:
    """Create a company and its link, and a primary contact where there is an address."""
    links.refuse_taken(state, given["externalOrgId"])
    return added(state, given, name=given["name"], domain=given.get("domain"))


def added(state: State, given: Given, *, name: str, domain: str | None) -> Company:
    """Add a company with its link and contact; *given* is the input of `companies.create` or of `onboard`."""
    company = state.add_company(name, domain, given.get("createdAt"))
    links.link(state, company["id"], given["externalOrgId"])
    contacts.upsert_from_input(state, company["id"], given)
    return company


@procedure("companies.update", "mutation", companyId=TEXT, createdAt=INSTANT)
def update(state: State, given: Given) -> JSON:
    """Change when a company came into being."""
    company = lookup.company(state, given["companyId"])
    company["createdAt"] = given["createdAt"]
    return company


@procedure(
    "companies.smartLink",
    "mutation",
    externalOrgId=TEXT,
    hints=optional(HINTS),
    minConfidence=optional(FRACTION),
)
def smart_link(state: State, given: Given) -> JSON:
    """Find the company that hints describe, and link it where that is safe."""
    linked = get_by_product_link(state, given)
    if linked:
        return _result("already_linked", linked, 100)
    outcome = Hinted(state, given.get("hints", {})).outcome(given.get("minConfidence", DEFAULT_MIN_CONFIDENCE))
    if outcome.link:
        company = at(state, outcome.link)
        links.link(state, company["id"], given["externalOrgId"])
        return _result("linked", company, outcome.link.confidence)
    suggestions = [
        {
            "companyId": at(state, candidate)["id"],
            "customerName": at(state, candidate)["name"],
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


def at(state: State, candidate: Candidate) -> Company:
    """Return the company of a candidate."""
    return state.companies[state.order[candidate.order]]


class Hinted:
    """What hints say, as it is compared."""

    def __init__(self, state: State, hints: Given) -> None:
        self._state = state
        self._domain = telling(hints.get("domain"))
        self._name = normalised(hints.get("companyName", ""))
        self._email_domains = {domain for email in hints.get("emails", ()) if (domain := email_domain(email))}

    def certain(self) -> Iterator[Candidate]:
        """Yield the evidence without which nothing can be linked."""
        for place in self._state.with_domain(self._domain, DECISIVE):
            yield Candidate(place, matching.DOMAIN, "domain")
        for place in self._state.names.equal(self._name, count=DECISIVE):
            yield Candidate(place, matching.EQUAL_NAME, "name")
        for domain in self._email_domains:
            for place in self._state.with_domain(domain, DECISIVE) + self._state.with_contact_at(domain, DECISIVE):
                yield Candidate(place, matching.EMAIL_DOMAIN, "email_domain")

    def similar(self, min_confidence: float) -> Iterator[Candidate]:
        """Yield the names that are like the hinted one."""
        least = matching.least_percent(min_confidence)
        for confidence, place in self._state.names.similar(self._name, least=least, count=DECISIVE):
            yield Candidate(place, confidence, "name")

    def may_link(self, candidate: Candidate) -> bool:
        """Return whether any evidence for the company may link it."""
        company = at(self._state, candidate)
        return matching.may_link(
            hint_domain=self._domain,
            company_domain=telling(company["domain"]),
            names_equal=bool(self._name) and normalised(company["name"]) == self._name,
            email_domains=self._email_domains,
        )

    def to_link(self, min_confidence: float = DEFAULT_MIN_CONFIDENCE) -> Candidate | None:
        """Return the company to link; similar names are looked for only where they could stand in its way."""
        certain = list(self.certain())
        linkable = [candidate.confidence for candidate in certain if self.may_link(candidate)]
        if not linkable:
            return None
        in_the_way = self.similar(max(min_confidence, (max(linkable) - matching.LEAD + 1) / 100))
        return matching.decide([*certain, *in_the_way], min_confidence, self.may_link).link

    def outcome(self, min_confidence: float) -> Outcome:
        """Return the company to link, or those to suggest."""
        return matching.decide([*self.certain(), *self.similar(min_confidence)], min_confidence, self.may_link)
