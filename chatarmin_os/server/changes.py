"""What a call has changed for a company: the difference of its rows before and after.

Rows are replaced and never changed, so the rows of a moment stay those of that moment, and a row that is the same
object is unchanged. A change is found at each call, so it is put into words only when somebody reads it.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from chatarmin_os._json import JSON
    from chatarmin_os.fake.rows import Access, Amount, Claim, Company, Contact, Link, Number, StripeSubscription
    from chatarmin_os.fake.state import State

MAX_FEATURES = 100
"""The most features of one change; the others are counted."""
_MAX_TEXT = 500  # characters of a name or a message
_WITH_CONTACTS = ("contacts.", "onboard")  # beginnings of the paths that may change contacts
CHECKS = ("features.check", "features.checkByExternalOrgId")
RESET = "links.reset"
_USAGE = {"features", "refusal", "denial"}  # the parts of a change that says no more

AccessBounds: TypeAlias = "tuple[bool, Number | None, Number | None, str | None]"
"""An access: whether it is on, limit, included quantity, time of expiry."""
PackedAmount: TypeAlias = int | str
FeatureChange: TypeAlias = "tuple[str, PackedAmount, PackedAmount, AccessBounds | None, AccessBounds | None, bool]"
"""A feature's code, usage before and after, access before and after, and whether its other settings changed."""


class Change(TypedDict, total=False):
    """The difference that a call has made, or why it was refused; empty: none.

    It is JSON, except for tuples. Quantities that are no integers are text, so that they stay exact.
    """

    created: str  # the name
    created_at: tuple[str | None, str | None]  # before, after
    link: tuple[str, str | None, bool]  # external org id, label, whether it is new
    claims: list[tuple[str, str, str | None]]  # subscription, what has happened, tier
    tier: tuple[str | None, str | None]  # before, after
    applied: str  # a tier that the company had already
    features: list[FeatureChange]
    more_features: int  # that are left out
    contacts: tuple[int, int]  # added, changed
    links_deleted: tuple[int, int]  # and the contacts that were deleted with them
    refusal: str  # the message
    denial: tuple[str, Number, Number | None, str | None]  # a check's feature, usage, limit, why it is off
    moved: dict[str, Number]  # the clock, by days, hours and so on
    catalogue: str  # the code of a feature or a tier that was added or replaced


Accesses: TypeAlias = "Mapping[str, Access]"
Usage: TypeAlias = "Mapping[str, Amount]"
Claims: TypeAlias = "tuple[tuple[Claim, StripeSubscription], ...]"
Contacts: TypeAlias = "Mapping[str, Contact]"
Rows: TypeAlias = "tuple[Company | None, Link | None, str | None, Accesses, Usage, Claims, Contacts]"
"""The rows of one company: itself, the link that a call names, tier, access, usage, claims, contacts."""

_NONE: dict[str, Any] = {}
_NO_ROWS: Rows = (None, None, None, _NONE, _NONE, (), _NONE)


def _rows(state: State, company_id: str | None, external_org_id: object, path: str) -> Rows:
    """Return the present rows of a company, or only the link if the company is None."""
    link = state.links.get(external_org_id) if isinstance(external_org_id, str) else None
    if company_id is None:
        return (None, link, *_NO_ROWS[2:])
    claims = state.claims_of(company_id)
    return (
        state.companies[company_id],
        link,
        state.tiers.get(company_id),
        state.access.get(company_id, _NONE),
        state.usage.get(company_id, _NONE),
        tuple([(claim, state.subscriptions[claim["stripeSubscriptionId"]]) for claim in claims]) if claims else (),
        dict(state.contacts.get(company_id, _NONE)) if path.startswith(_WITH_CONTACTS) else _NONE,
    )


class Watch:
    """The rows of the company that a call is about, before and after the call.

    The caller holds the lock of the service from the beginning until `end`. What has changed can be asked later.

    Attributes:
        company_id: The company, after `end`; None: the call was about none.
    """

    _after = _NO_ROWS
    _applied = False  # whether the call has applied a tier
    _error: str | None = None
    _deletable: tuple[int, int] | None = None
    _is_claimed = False

    def __init__(self, state: State, path: str, input: JSON) -> None:
        self.state, self._path, self._input = state, path, input
        self._org = input.get("externalOrgId") if isinstance(input, dict) else None
        self._companies = len(state.companies)
        self.company_id = company_of(state, input)
        self._before = _rows(state, self.company_id, self._org, self._path)
        if self.company_id is None:
            self._is_claimed = subscription_of(state, input) in state.claims
            if path == RESET:
                self._deletable = _deletable(state)

    def end(self, answer: JSON, error: str | None = None) -> None:
        """Look at the rows after the call.

        Args:
            answer: The response; None: there was none, or it was lost.
            error: The message of a call that failed.
        """
        state, self._error = self.state, error
        if self.company_id is None:
            self._find(state)
        self._after = _rows(state, self.company_id, self._org, self._path)
        self._applied = _applies_tier(self._path, answer)
        self._input = None  # it may be large

    def _find(self, state: State) -> None:
        """Find the company that the call has created, or has found by its hints."""
        if self._deletable:
            before, after = self._deletable, _deletable(state)
            self._deletable = before[0] - after[0], before[1] - after[1]
        elif len(state.companies) > self._companies:
            self.company_id = state.order[-1]
        elif company_id := company_of(state, self._input):  # only link and claim can be new
            paid = subscription_of(state, self._input)
            company, _, tier, access, usage, claims, contacts = _rows(state, company_id, self._org, self._path)
            claims = tuple(row for row in claims if row[0]["stripeSubscriptionId"] != paid or self._is_claimed)
            self._before = company, self._before[1], tier, access, usage, claims, contacts
            self.company_id = company_id

    def change(self) -> Change:
        """Return what has changed, or why the call has failed."""
        change = difference(self._before, self._after)
        if self._deletable and any(self._deletable):
            change["links_deleted"] = self._deletable
        tier = self._after[2]
        if self._applied and tier and "tier" not in change:
            change["applied"] = tier
        return refusal(self._error) if self._error is not None and not change else change


def _deletable(state: State) -> tuple[int, int]:
    return len(state.links), sum(map(len, state.contacts.values()))


def _applies_tier(path: str, answer: JSON) -> bool:
    """Return whether a call that succeeded has applied a tier, maybe the same again."""
    if not isinstance(answer, dict):
        return False
    return path == "tiers.apply" or bool((answer.get("billingStatus") or {}).get("tierApplied"))


def difference(before: Rows, after: Rows) -> Change:
    """Return the changes from *before* to *after*.

    Example:
        >>> company = {"id": "1", "name": "Acme", "createdAt": None}
        >>> difference((company, None, None, {}, {}, (), {}), (company, None, "pro", {}, {"seats": 2}, (), {}))
        {'tier': (None, 'pro'), 'features': [('seats', 0, 2, None, None, False)]}
    """
    old_company, old_link, old_tier, old_access, old_usage, old_claims, old_contacts = before
    company, link, tier, access, usage, claims, contacts = after
    change: Change = {}
    if company is not old_company:
        _add_company(change, old_company, company)
    if link is not old_link and link and link != old_link:
        label = link["label"]
        change["link"] = _cut(link["externalOrgId"]), label and _cut(label), old_link is None
    if claims != old_claims:
        change["claims"] = list(_claim_changes(old_claims, claims))
    if tier != old_tier:
        change["tier"] = old_tier, tier
    if access is not old_access:
        _add_features(change, {**access, **old_usage, **usage}, before, after)
    elif usage is not old_usage:
        _add_features(change, usage if len(usage) >= len(old_usage) else old_usage, before, after)
    if contacts != old_contacts:
        changed = [
            address for address, row in contacts.items() if (old := old_contacts.get(address)) is not row and old != row
        ]
        added = [address for address in changed if address not in old_contacts]
        change["contacts"] = len(added), len(changed) - len(added)
    return change


def _add_company(change: Change, before: Company | None, after: Company | None) -> None:
    if after and before is None:
        change["created"] = _cut(after["name"])
    elif after and before and after["createdAt"] != before["createdAt"]:
        change["created_at"] = before["createdAt"], after["createdAt"]


def _claim_changes(before: Claims, after: Claims) -> Iterator[tuple[str, str, str | None]]:
    known = {claim["stripeSubscriptionId"]: (claim, subscription) for claim, subscription in before}
    for claim, subscription in after:
        old_claim, old = known.get(subscription["id"], (None, subscription))
        if old_claim is None:
            yield subscription["id"], "new", claim["tierCode"]
        elif old["isActive"] and not subscription["isActive"]:
            yield subscription["id"], "ended", claim["tierCode"]
        elif old_claim != claim:
            yield subscription["id"], "changed", claim["tierCode"]


def _add_features(change: Change, codes: Iterable[str], before: Rows, after: Rows) -> None:
    """Add those of some features whose usage or access has changed."""
    _, _, _, old_access, old_usage, *_ = before
    _, _, _, access, usage, *_ = after
    features: list[FeatureChange] = []
    for code in codes:
        old, new = old_access.get(code), access.get(code)
        was, now = old_usage.get(code, 0), usage.get(code, 0)
        if old is new and was == now:
            continue
        new_bounds = new and access_bounds(new)
        old_bounds = new_bounds if old is new else old and access_bounds(old)
        is_config = old is not None and new is not None and old["configValues"] != new["configValues"]
        if was != now or old_bounds != new_bounds or is_config:
            features.append((code, _amount(was), _amount(now), old_bounds, new_bounds, is_config))
    if features:
        change["features"] = features[:MAX_FEATURES]
    if len(features) > MAX_FEATURES:
        change["more_features"] = len(features) - MAX_FEATURES


def access_bounds(access: Access) -> AccessBounds:
    """Return what a change keeps of an access."""
    return access["isEnabled"], access["quantityLimit"], access["includedQuantity"], access["validUntil"]


def _amount(amount: Amount) -> PackedAmount:
    return amount if type(amount) is int else str(amount)


def unpacked(amount: PackedAmount) -> Amount:
    """Return a quantity of a change."""
    return amount if isinstance(amount, int) else Decimal(amount)


def is_usage(change: Change) -> bool:
    """Return whether a change is mere usage or a refusal, of which there are many.

    Example:
        >>> is_usage({"features": [("seats", 2, 3, None, None, False)]}), is_usage({"tier": (None, "pro")})
        (True, False)
        >>> is_usage({"features": [("seats", 2, 0, None, None, False)]})
        False
    """
    for _, old_used, used, old_access, access, is_config in change.get("features", ()):
        if is_config or access != old_access or unpacked(used) <= unpacked(old_used):
            return False
    return change.keys() <= _USAGE


def denial(answer: JSON, now: datetime) -> Change | None:
    """Return the change of a check that has answered no; None for any other answer.

    Example:
        >>> answer = {"canUse": False, "isEnabled": True, "featureName": "Seats", "currentUsage": 3, "quantityLimit": 3}
        >>> denial(answer, datetime.fromisoformat("2026-01-01T00:00:00Z"))
        {'denial': ('Seats', 3, 3, None)}
    """
    if not isinstance(answer, dict) or answer["canUse"]:
        return None
    why_off = None if answer["isEnabled"] else _why_off(answer, now)
    return {"denial": (_cut(answer["featureName"]), answer["currentUsage"], answer["quantityLimit"], why_off)}


def _why_off(answer: Mapping[str, Any], now: datetime) -> str:
    """Return `missing` without an access, the time at which it has expired, or `off`."""
    if answer["source"] is None:
        return "missing"
    until = answer["validUntil"]
    return until if until and datetime.fromisoformat(until) <= now else "off"


def refusal(message: str) -> Change:
    """Return the change of a call that was refused."""
    return {"refusal": _cut(message)}


def of_product(name: str, given: Any) -> Change:
    """Return what a test control has done to the whole product, by its name and arguments; empty: nothing.

    Example:
        >>> of_product("advance", {"days": 30}), of_product("fail", {"error": "lost"})
        ({'moved': {'days': 30}}, {})
    """
    if name == "advance" and given:
        return {"moved": given}
    return {"catalogue": _cut(given["code"])} if name in {"add_feature", "add_tier"} else {}


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT // 2 - 2]}...{text[2 - _MAX_TEXT // 2 :]}"


def company_of(state: State, input: JSON) -> str | None:
    """Return the id of the company that an input names: by id, link, subscription or checkout; None without one."""
    if not isinstance(input, dict):
        return None
    for name in ("companyId", "company_id"):
        company_id = input.get(name)
        if isinstance(company_id, str) and company_id in state.companies:
            return company_id
    org = input.get("externalOrgId")
    if isinstance(org, str) and org in state.links:
        return state.links[org]["companyId"]
    claim = state.claims.get(subscription_of(state, input) or "")
    return claim["companyId"] if claim else None


def subscription_of(state: State, input: JSON) -> str | None:
    """Return the id of the Stripe subscription that an input names, by itself or by its checkout."""
    if not isinstance(input, dict):
        return None
    session_id = input.get("checkoutSessionId") or input.get("session_id")
    session = state.sessions.get(session_id) if isinstance(session_id, str) else None
    subscription_id = input.get("stripeSubscriptionId") or input.get("subscription_id")
    return session["subscriptionId"] if session else subscription_id if isinstance(subscription_id, str) else None
