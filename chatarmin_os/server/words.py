"""Changes in words, for a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from chatarmin_os.fake.rules.usage import as_number, exact, quota_status
from chatarmin_os.server.changes import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os.fake.catalogue import Catalogue
    from chatarmin_os.fake.rows import Amount, Number
    from chatarmin_os.server.changes import AccessBounds, Change, FeatureChange

MAX_FACTS = 20
"""The most facts of one call; a last one counts the others."""


class Fact(NamedTuple):
    """A change or a refusal, in words; *kind* is one word such as `tier` or `refusal`."""

    kind: str
    text: str


_NOTHING = Fact("nothing", "Nothing changed")
_UNCOUNTED = Fact("nothing", "Nothing was counted: the idempotency key was counted before")
_CLAIMS = {
    "new": "The subscription {} belongs to the company{}",
    "changed": "The claim of {} was changed{}",
    "ended": "The subscription {} ended; access and usage stay",
}


def facts(change: Change, catalogue: Catalogue, path: str) -> list[Fact]:
    """Return the facts of a change, at most `MAX_FACTS` and one that counts the others.

    Example:
        >>> from chatarmin_os.fake import demo_catalogue
        >>> facts({"tier": (None, "pro")}, demo_catalogue(), "tiers.apply")
        [Fact(kind='tier', text='Tier: none → Pro')]
        >>> facts({}, demo_catalogue(), "links.create")
        [Fact(kind='nothing', text='Nothing changed')]
    """
    features = change.get("features", [])
    found = [
        *_company_facts(change, catalogue),
        *_tier_facts(change, catalogue),
        *(fact for feature in features for fact in _access_facts(feature, catalogue)),
        *(fact for feature in features for fact in _usage_facts(feature, catalogue)),
        *_other_facts(change, path),
    ]
    left_out = max(len(found) - MAX_FACTS, 0) + change.get("more_features", 0)
    if left_out:
        found[MAX_FACTS:] = [Fact("more", f"and {left_out} more changes")]
    return found or [_UNCOUNTED if path == "billing.trackUsage" else _NOTHING]


def _company_facts(change: Change, catalogue: Catalogue) -> Iterator[Fact]:
    if "created" in change:
        yield Fact("sign-up", f"The company was created as {change['created']}")
    if "created_at" in change:
        before, after = change["created_at"]
        yield Fact("company", f"Created at: {before} → {after}")
    if "link" in change:
        org, label, is_new = change["link"]
        text = f"Linked to {org}" if is_new else f"The link to {org} was changed"
        yield Fact("link", f"{text}, label {label}" if label else text)
    for subscription_id, what, tier in change.get("claims", ()):
        paid = f", tier {catalogue.tiers[tier]['name']}" if tier else ", which pays for no tier"
        yield Fact("stripe", _CLAIMS[what].format(subscription_id, paid))


def _tier_facts(change: Change, catalogue: Catalogue) -> Iterator[Fact]:
    def name(code: str | None) -> str:
        return "none" if code is None else catalogue.tiers[code]["name"]

    if "tier" in change:
        before, after = change["tier"]
        yield Fact("tier", f"Tier: {name(before)} → {name(after)}")
    if "applied" in change:
        yield Fact("tier", f"The tier {name(change['applied'])} was applied")


def _access_facts(feature: FeatureChange, catalogue: Catalogue) -> Iterator[Fact]:
    code, _, _, before, after, is_config = feature
    words = list(_access_words(before, after, has_quantity=catalogue.features[code]["hasQuantity"])) if after else []
    if is_config:
        words.append("other settings")
    if words:
        yield Fact("access", f"{_name(catalogue, code)}: {', '.join(words)}")


def _access_words(before: AccessBounds | None, after: AccessBounds, *, has_quantity: bool) -> Iterator[str]:
    """Yield the changes of an access; one that did not exist was off, and its limit was 0."""
    is_on, *bounds, until = after
    was_on, *old_bounds, was_until = before or (False, None, None, None)
    if is_on != was_on:
        yield "on" if is_on else "off"
    for name, old, new in zip(("limit", "included"), old_bounds, bounds, strict=True):
        if before is None and new is not None:
            yield f"{name} {quantity(new)}"
        elif before is None and has_quantity and name == "limit":
            yield "no limit"
        elif before is not None and old != new:
            yield f"{name} {_bound(old)} → {_bound(new)}"
    if until != was_until:
        yield f"until {until or 'further notice'}"


def _usage_facts(feature: FeatureChange, catalogue: Catalogue) -> Iterator[Fact]:
    code, was, now, _, access, _ = feature
    old, new, name = unpacked(was), unpacked(now), _name(catalogue, code)
    if new < old:
        yield Fact("stripe", f"A new billing period: usage of {name} {quantity(old)} → {quantity(new)}")
    elif new > old:
        limit, _, billable = _bounds(new, access)
        text = f"Used {quantity(new - old)} of {name}: {quantity(old)} → {quantity(new)}"
        if limit is not None:
            text += f" of {quantity(limit)}"
        yield Fact("usage", f"{text}, {quantity(billable)} billable" if billable else text)


def _other_facts(change: Change, path: str) -> Iterator[Fact]:
    for count, verb in zip(change.get("contacts", ()), ("added", "changed"), strict=False):
        if count:
            yield Fact("contacts", f"{count} contact{'s' if count > 1 else ''} {verb}")
    if "links_deleted" in change:
        links, contacts = change["links_deleted"]
        text = f"All links of the product were deleted: {links}"
        yield Fact("link", f"{text}, and all contacts: {contacts}" if contacts else text)
    if "refusal" in change:
        yield Fact("refusal", change["refusal"])
    if "denial" in change:
        name, usage, limit, why_off = change["denial"]
        why = f"{quantity(usage)} of {_bound(limit)} are used" if why_off is None else _off_words(why_off)
        yield Fact("refusal", f"Asked about {name}: no, {why}")
    if "moved" in change:
        parts = [f"{by} {unit.removesuffix('s') if by == 1 else unit}" for unit, by in change["moved"].items()]
        yield Fact("clock", f"The clock moved forward: {', '.join(parts)}")
    if "catalogue" in change:
        noun = path.removeprefix("add_")
        yield Fact("catalogue", f"The {noun} {change['catalogue']} was added to the catalogue, or replaced in it")
    if path == "stripe.renew" and "features" not in change:
        yield Fact("stripe", "A new billing period: there was no usage")


def _off_words(why: str) -> str:
    return {"off": "it is off", "missing": "there is no access"}.get(why, f"its access ended at {why}")


def _name(catalogue: Catalogue, code: str) -> str:
    return catalogue.features[code]["name"]


def _bound(value: Number | None) -> str:
    return "none" if value is None else quantity(value)


def quantity(value: Amount | Number) -> str:
    """Return a quantity for a reader.

    Example:
        >>> quantity(10_000), quantity(0.5)
        ('10,000', '0.5')
    """
    number = as_number(exact(value) if isinstance(value, float) else value)
    return f"{number:,}" if abs(number) < 10**15 else f"{number:.6g}" if abs(number) < 10**300 else "over 1e300"


def levels(change: Change, catalogue: Catalogue) -> Iterator[tuple[str, list[Number | None]]]:
    """Yield each feature whose usage or limits have changed: usage before, usage, limit, included and billable."""
    for code, was, now, before, after, _ in change.get("features", ()):
        old, new = unpacked(was), unpacked(now)
        if catalogue.features[code]["hasQuantity"] and (old, _bounds(old, before)) != (new, _bounds(new, after)):
            yield code, [as_number(old), *level(new, after)]


def level(usage: Amount, access: AccessBounds | None) -> list[Number | None]:
    """Return usage, limit, included and billable quantity; a company without an access has the limit 0."""
    limit, included, billable = _bounds(usage, access)
    return [as_number(usage), limit, included, as_number(billable)]


def _bounds(usage: Amount, access: AccessBounds | None) -> tuple[Number | None, Number | None, Amount]:
    _, limit, included, _ = access or (False, 0, None, None)
    return limit, included, quota_status(usage, limit, included).billable
