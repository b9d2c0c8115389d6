"""The effects of mutations: one table from paths to effects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from attrs import evolve, frozen

from chatarmin_os._json import JSON
from chatarmin_os.errors import ApiError, ChatarminError, ServerError, TransportError

Kind = Literal["nothing", "usage", "access"]


@frozen
class Effect:
    """The effect of a mutation on the answers that a gate keeps.

    Attributes:
        kind: Nothing that a gate knows, the usage of a feature, or any access.
        company: The company that the call names.
        organisation: The organisation that the call names.
        is_everything: Whether the call may concern any company.
        answer_names: The field of the answer that names the company; "" if none does.
    """

    kind: Kind = "access"
    company: str | None = None
    organisation: str | None = None
    is_everything: bool = False
    answer_names: str = ""

    def after(self, answer: JSON) -> Effect:
        """Return the effect with the company that the answer names.

        Example:
            >>> Effect(organisation="org_1", answer_names="companyId").after({"companyId": "comp_1"}).company
            'comp_1'
        """
        return evolve(self, company=self.company or text_at(answer, self.answer_names))


_NAMED_BY_THE_CALL = (
    "features.setAccess",
    "tiers.apply",
    "subscriptions.create",
    "billing.claimCheckout",
    "billing.linkSubscription",
)
_NAMED_BY_THE_ANSWER = {
    "onboard": "companyId",
    "companies.smartLink": "companyId",
    "companies.create": "id",
    "links.create": "companyId",
}
_PREFIXES = ("companies.", "links.")


def _of_ids(call: JSON, answer_names: str = "") -> Effect:
    company, organisation = text_at(call, "companyId"), text_at(call, "externalOrgId")
    return Effect(
        company=company,
        organisation=organisation,
        is_everything=company is None and organisation is None,
        answer_names=answer_names,
    )


def effect_of(path: str, given: JSON) -> Effect:
    """Return the effect of the mutation at *path* with the input *given*.

    Example:
        >>> effect_of("tiers.apply", {"companyId": "comp_1", "tierCode": "pro"}).company
        'comp_1'
        >>> effect_of("contacts.create", {"companyId": "comp_1"}).kind
        'nothing'
        >>> effect_of("links.reset", {}).is_everything, effect_of("companies.merge", {}).is_everything
        (True, True)
        >>> effect_of("seats.assign", {"companyId": "comp_1"}).is_everything  # not listed: it may do anything
        True
    """
    return _effects.get(path, _by_prefix)(path, given)


def _by_prefix(path: str, given: JSON) -> Effect:
    if path.startswith("contacts."):
        return Effect("nothing")
    return _of_ids(given) if path.startswith(_PREFIXES) else Effect(is_everything=True)


def _usage(_: str, given: JSON) -> Effect:
    company = text_at(given, "companyId")
    return Effect("usage", company=company, organisation=text_at(given, "externalOrgId"), is_everything=company is None)


_effects: dict[str, Callable[[str, JSON], Effect]] = {
    "billing.trackUsage": _usage,
    **{path: lambda _, given: _of_ids(given) for path in _NAMED_BY_THE_CALL},
    **{path: lambda path, given: _of_ids(given, _NAMED_BY_THE_ANSWER[path]) for path in _NAMED_BY_THE_ANSWER},
    "links.reset": lambda _path, _given: Effect(is_everything=True),
}


def text_at(value: JSON, key: str) -> str | None:
    """Return the text at a key of JSON; None if it has no text."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) and found else None


def is_refusal(error: BaseException) -> bool:
    """Return whether a failed mutation certainly changed nothing.

    Example:
        >>> from chatarmin_os import ConflictError, TimedOut
        >>> is_refusal(ConflictError("taken", code="CONFLICT")), is_refusal(TimedOut("slow"))
        (True, False)
    """
    if isinstance(error, TransportError):
        return error.outcome == "not_sent"
    return isinstance(error, ApiError) and not isinstance(error, ServerError)


def was_not_sent(error: BaseException) -> bool:
    """Return whether a mutation certainly did not reach the service."""
    return isinstance(error, TransportError) and error.outcome == "not_sent"


def is_final(error: BaseException) -> bool:
    """Return whether nobody sends a mutation that failed so again: the service refused it."""
    return isinstance(error, ChatarminError) and not error.is_temporary
