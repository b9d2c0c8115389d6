"""Turns the answers about an organisation into a decision about a feature."""

from __future__ import annotations

from collections.abc import Collection

from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.answers import Answer, Listing, Unlinked
from chatarmin_os.gate.clock import Clock
from chatarmin_os.gate.decision import Decision, Reason, Source, reason_of
from chatarmin_os.gate.entry import Entry
from chatarmin_os.gate.expected_usage import ExpectedUsage
from chatarmin_os.gate.failures import is_outage, without_traceback
from chatarmin_os.gate.fences import Key
from chatarmin_os.gate.policy import Freshness, freshness
from chatarmin_os.gate.settings import Settings
from chatarmin_os.gate.store import Store
from chatarmin_os.gate.usage import subtract


class Evaluator:
    """Decides; it neither asks nor stores. Its owner has a lock.

    Args:
        settings: The policies.
        store: The entries, for the organisations of a company.
        expected: The usage that is not counted yet.
        clock: The gate's clock.
    """

    def __init__(self, settings: Settings, store: Store, expected: ExpectedUsage, clock: Clock) -> None:
        self._settings, self._store, self._expected, self._clock = settings, store, expected, clock

    def states(self, entry: Entry, now: float) -> set[Freshness]:
        """Return the freshness of the answers about all features; `{"gone"}` if nothing is known."""
        listing = entry.listing
        if not isinstance(listing, Listing):
            return {self.freshness(listing, "", now)}
        answers = [(code, one) for code in listing.accesses if (one := listing.about(code))]
        if not answers:
            found = freshness(
                now - listing.fetched.seconds, self._settings.default.max_age_of(None), self._settings.max_stale
            )
            return {"stale" if found == "fresh" and listing.is_invalidated else found}
        return {self.freshness(one, code, now) for code, one in answers}

    def features(self, entry: Entry, listing: Listing | Unlinked | None) -> list[str]:
        """Return the codes of the features to decide about, in the order of the service."""
        if not isinstance(listing, Listing):
            return list(self._settings.policies)
        return list(dict.fromkeys([*listing.accesses, *entry.answers]))

    def freshness(self, known: Answer | Unlinked | None, feature: str, now: float) -> Freshness:
        """Return the freshness of an answer; that an organisation is not linked is never too old."""
        if known is None:
            return "gone"
        age = now - known.fetched.seconds
        if isinstance(known, Unlinked):
            return "fresh" if age < self._settings.unlinked_max_age and not known.is_invalidated else "stale"
        policy = self._settings.policy(feature)
        found = freshness(age, policy.max_age_of(known.access), policy.max_stale)
        return "stale" if found == "fresh" and known.is_invalidated else found

    def decide(
        self, entry: Entry, feature: str, known: Answer | Unlinked, source: Source, now: float
    ) -> tuple[float, Decision]:
        """Return the decision on an answer, and the instant until which it stays the same and fresh."""
        seconds, at = known.fetched.seconds, known.fetched.at
        organisation, company = _ids(entry)
        error = _error(entry, feature, since=seconds)
        reason: Reason
        if isinstance(known, Unlinked):
            company = company if organisation is None else None
            until, allowed, reason, access = seconds + self._settings.unlinked_max_age, False, "not_linked", None
        else:
            quantity, until_counted = self._expected.total(self._usage_keys(entry, feature), feature, now)
            access = subtract(known.access, quantity) if quantity else known.access
            expiry = known.fetched.expiry_of(access)
            reason = reason_of(access, is_expired=now >= expiry)
            allowed = reason == "allowed"
            until = min(
                seconds + self._settings.policy(feature).max_age_of(known.access),
                until_counted,
                expiry if now < expiry else float("inf"),
            )
        return until, Decision(
            allowed,
            reason,
            source,
            feature,
            organisation,
            company,
            access,
            error,
            at,
            fetched=seconds,
            clock=self._clock.seconds,
        )

    def by_policy(self, entry: Entry, feature: str, error: ChatarminError) -> Decision | ChatarminError:
        """Return the decision if nothing is known, or the error to raise: a policy does not cover mistakes."""
        on_outage = self._settings.policy(feature).on_outage if is_outage(error) else "raise"
        if on_outage == "raise":
            return without_traceback(error)
        organisation, company = _ids(entry)
        return Decision(
            on_outage == "allow",
            "outage",
            "policy",
            feature,
            organisation,
            company,
            error=without_traceback(error),
        )

    def _usage_keys(self, entry: Entry, feature: str) -> Collection[Key]:
        """Return the keys under which usage of this entry is expected; a company may have many organisations."""
        company = entry.company_id
        if company is None:
            return [entry.key]
        return {entry.key, ("company", company)} | (
            self._expected.keys(feature) & self._store.organisations_of(company)
        )


def _error(entry: Entry, feature: str, since: float) -> ChatarminError | None:
    """Return the error of the last refresh, if that ended after the answer was asked for."""
    errors = (one.error for one in entry.backoffs_of(feature) if one.error is not None and one.failed_at >= since)
    return next(map(without_traceback, errors), None)


def _ids(entry: Entry) -> tuple[str | None, str | None]:
    return (entry.key[1] if entry.key[0] == "organisation" else None), entry.company_id
