"""Hints find a company; it is linked only if that is safe, because a link hands over entitlements and usage.

A domain gives 95 percent, a name up to 80, an e-mail domain 70 (README).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DOMAIN, EQUAL_NAME, EMAIL_DOMAIN = 95, 80, 70
DEFAULT_MIN_CONFIDENCE = 0.6
LEAD = 10
"""Points by which the best candidate must lead the next to be linked."""
MAX_SUGGESTIONS = 5
MAX_CANDIDATES = MAX_SUGGESTIONS + 1
"""The outcome depends on this many of the best candidates of each kind of evidence."""

Reason = Literal["domain", "name", "email_domain"]
_REASONS: tuple[Reason, ...] = ("domain", "name", "email_domain")
_FRACTIONS = [percent / 100 for percent in range(101)]


class Candidate(NamedTuple):
    """A company that some evidence points at; *order* is its place in order of creation."""

    order: int
    confidence: int
    reason: Reason


class Outcome(NamedTuple):
    """The company to link, or those to suggest, best first; neither if nothing matches."""

    link: Candidate | None
    suggestions: list[Candidate]


def min_percent(min_confidence: float) -> int:
    """Return the smallest percentage that is not below *min_confidence*, and at least 1.

    Example:
        >>> [min_percent(fraction) for fraction in (0.55, 0.29, 0.705, 0, 1)]
        [55, 29, 71, 1, 100]
    """
    return max(1, bisect_left(_FRACTIONS, min_confidence))


def may_link(
    *,
    hint_domain: str | None,
    company_domain: str | None,
    names_equal: bool,
    email_domains: Iterable[str],
) -> bool:
    """Return whether a company may be linked and not only suggested; domains of free mail providers are None here.

    A domain match, an equal name, or an e-mail domain that is the company's own may link; two different known domains
    never do.
    """
    if hint_domain and company_domain and hint_domain != company_domain:
        return False
    return (
        names_equal
        or (company_domain is not None and company_domain == hint_domain)
        or (company_domain is not None and company_domain in email_domains)
    )


def decide(evidence: Iterable[Candidate], min_confidence: float, may_link: Callable[[Candidate], bool]) -> Outcome:
    """Decide which company to link, or which to suggest.

    A company's confidence is the highest that any evidence gives it. The best is linked if it may be and leads the
    next by at least 10 points or is the only one; else up to five are suggested, ties in order of creation.
    """
    minimum = min_percent(min_confidence)
    best: dict[int, Candidate] = {}
    for candidate in evidence:
        known = best.get(candidate.order)
        if candidate.confidence >= minimum and (known is None or _rank(candidate) < _rank(known)):
            best[candidate.order] = candidate
    ranked = sorted(best.values(), key=_rank)
    if not ranked:
        return Outcome(None, [])
    leads = len(ranked) == 1 or ranked[0].confidence - ranked[1].confidence >= LEAD
    if leads and may_link(ranked[0]):
        return Outcome(ranked[0], [])
    return Outcome(None, ranked[:MAX_SUGGESTIONS])


def _rank(candidate: Candidate) -> tuple[int, int, int]:
    return -candidate.confidence, candidate.order, _REASONS.index(candidate.reason)
