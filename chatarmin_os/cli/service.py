"""The commands that call the service: call, onboard, check, explain, track, status."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from chatarmin_os._json import document_of
from chatarmin_os.cli._connection import add_options, connect, resend_advice, run_command
from chatarmin_os.cli._output import complain, print_json, print_table
from chatarmin_os.cli._parser import add_json, command, did_you_mean
from chatarmin_os.errors import ApiError, BadRequestError, ChatarminError, InvalidInput, NotFoundError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Callable, Sequence

    from chatarmin_os import ChatarminOS, FeatureAccess
    from chatarmin_os.explanation import Explanation

_ORG = "org:"
_MAX_INPUT_LENGTH = 16 * 2**20
_EXIT_CODES = "0 success; 1 the service refused or failed; 2 wrong usage; 3 no response"
_COMPANY = "the id of a company, or org:ID with your id of the organisation"


def add_commands(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the commands to the command line."""
    call = _add(
        commands,
        "call",
        _call,
        "call any procedure by its path, and print the answer as JSON",
        'chatarmin-os call tiers.get \'{"tierCode": "pro"}\'',
        "chatarmin-os call companies.getByProductLink - < input.json",
        "chatarmin-os call some.newProcedure '{}' --mutation",
        has_table=False,
    )
    call.add_argument("path", metavar="PATH", help="such as tiers.list")
    call.add_argument("input", metavar="JSON", nargs="?", help="its input; - reads standard input")
    call.add_argument(
        "--mutation",
        action="store_true",
        help="the procedure is a mutation; needed only for procedures that this version does not know",
    )

    onboard = _add(
        commands,
        "onboard",
        _onboard,
        "match or create a company, link it, claim its checkout and apply a tier, all or nothing",
        "chatarmin-os onboard org_1 --name 'Acme Inc' --domain acme.com --tier free",
        "chatarmin-os onboard org_1 --checkout cs_test_123",
    )
    onboard.add_argument("org", metavar="ORG", help="your id of the organisation")
    onboard.add_argument("--name", help="the name to find the company by; pass only a verified one")
    onboard.add_argument("--domain", help="the domain to find the company by; pass only a verified one")
    onboard.add_argument("--tier", metavar="CODE", help="the tier to apply, which also replaces a higher one")
    onboard.add_argument("--email", help="a contact to create")
    onboard.add_argument("--checkout", metavar="ID", help="a completed Stripe checkout to claim")

    check = _add(
        commands,
        "check",
        _check,
        "show whether a company can use a feature now; exits with 0 also if it cannot",
        "chatarmin-os check org:org_1 ai_credit",
        "chatarmin-os check org:org_1 ai_credit --json | jq .can_use",
    )
    check.add_argument("company", metavar="COMPANY", help=_COMPANY)
    check.add_argument("feature", metavar="FEATURE", help="the code of the feature")

    explain = _add(
        commands,
        "explain",
        _explain,
        "say in words why an organisation can or cannot use a feature; exits with 0 also if it cannot",
        "chatarmin-os explain org_1 ai_credit",
        "chatarmin-os explain org_1 ai_credit --json | jq -r .text",
    )
    explain.add_argument(
        "org", metavar="ORG", help="your id of the organisation, also as org:ID; or the id of a company"
    )
    explain.add_argument("feature", metavar="FEATURE", help="the code of the feature")
    explain.set_defaults(names={"external_org_id": "ORG", "company_id": "ORG"})

    track = _add(
        commands,
        "track",
        _track,
        "count usage; an event with the same key counts once",
        "chatarmin-os track org:org_1 ai_credit 5 --key job-17",
    )
    track.add_argument("company", metavar="COMPANY", help=_COMPANY)
    track.add_argument("feature", metavar="FEATURE", help="the code of the feature")
    track.add_argument("quantity", metavar="QUANTITY", help="a number above 0")
    track.add_argument("--key", help="the idempotency key of the event; default: a new one, which is printed")

    status = _add(commands, "status", _status, "show a company's subscriptions", "chatarmin-os status org:org_1")
    status.add_argument("company", metavar="COMPANY", help=_COMPANY)


def _add(
    commands: _SubParsersAction[ArgumentParser],
    name: str,
    run: Callable[[ChatarminOS, Namespace], None],
    purpose: str,
    *examples: str,
    has_table: bool = True,
) -> ArgumentParser:
    """Add a command that calls the service, with the options of a connection, and return its parser."""

    def run_with_client(given: Namespace) -> int:
        with connect(given) as client:
            try:
                run(client, given)
            except NotFoundError:
                given.hints = _hints(client, given)
                raise
        return 0

    parser = command(commands, name, purpose, *examples, codes=_EXIT_CODES, run=partial(run_command, run_with_client))
    parser.add_argument(
        "--base-url", metavar="URL", help="the URL of the service; default: OS_BASE_URL, or the public one"
    )
    add_options(parser)
    if has_table:
        add_json(parser)
    return parser


def _hints(client: ChatarminOS, given: Namespace) -> list[str]:
    """Return suggestions for an id or code that does not exist, found by queries."""
    company, feature = getattr(given, "company", None), getattr(given, "feature", None)
    with suppress(ChatarminError):
        if getattr(given, "tier", None):
            return [did_you_mean(given.tier, (tier.code for tier in client.tiers.list()))]
        if feature and company:
            codes = _feature_codes(client, company)
            return (
                [] if feature in codes else [did_you_mean(feature, codes) or f"available features: {', '.join(codes)}"]
            )
    if company and not company.startswith(_ORG):
        return [f"if this is your id of the organisation, write {_ORG}{company}"]
    return []


def _feature_codes(client: ChatarminOS, company: str) -> list[str]:
    if company.startswith(_ORG):
        features: Sequence[FeatureAccess] = client.features.get_access_by_external_org_id(
            company.removeprefix(_ORG)
        ).features
    else:
        features = client.features.list_access(company)
    return [access.feature_code for access in features if access.feature_code]


def _call(client: ChatarminOS, given: Namespace) -> None:
    try:
        text = _standard_input() if given.input == "-" else given.input
        content = None if text is None else json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not valid JSON: {error}").at("input") from None
    print_json(client.call(given.path, content, kind="mutation" if given.mutation else None))


def _standard_input() -> str:
    text = sys.stdin.read(_MAX_INPUT_LENGTH + 1)
    if len(text) > _MAX_INPUT_LENGTH:
        raise ValueError(f"more than {_MAX_INPUT_LENGTH:,} characters")
    return text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _onboard(client: ChatarminOS, given: Namespace) -> None:
    hints = {name: value for name, value in (("company_name", given.name), ("domain", given.domain)) if value}
    result = client.onboard(
        external_org_id=given.org,
        hints=hints or None,
        tier_code=given.tier,
        contact_email=given.email,
        checkout_session_id=given.checkout,
    )
    billing = result.billing_status
    row = {
        "company": result.company_name,
        "id": result.company_id,
        "link": result.link_status,
        "subscription": billing and billing.subscription_id,
        "tier_applied": billing and billing.tier_applied,
    }
    _print(given, document_of(result), row)


def _check(client: ChatarminOS, given: Namespace) -> None:
    if given.company.startswith(_ORG):
        access = client.features.check_by_external_org_id(given.company.removeprefix(_ORG), given.feature)
    else:
        access = client.features.check(company_id=given.company, feature_code=given.feature)
    row = {
        "feature": access.feature_name or access.feature_code or given.feature,
        "enabled": access.is_enabled,
        "can_use": access.can_use,
        "used": access.current_usage,
        "limit": "unlimited" if access.has_quantity and access.quantity_limit is None else access.quantity_limit,
        "remaining": access.remaining,
        "source": access.source,
        "valid_until": access.valid_until,
    }
    _print(given, document_of(access), row)


def _explain(client: ChatarminOS, given: Namespace) -> None:
    explanation = _explanation(client, given)
    if given.json:
        print_json(document_of(explanation))
        return
    print(f"{explanation.text}.\n")
    print_table([{"fact": label, "value": value} for label, value in explanation.facts])
    if explanation.what_to_do:
        print("\n".join(["\nAny of these calls changes that:", *(f"  {call}" for call in explanation.what_to_do)]))


def _explanation(client: ChatarminOS, given: Namespace) -> Explanation:
    """Return the explanation for an organisation, or for a company if there is no such organisation.

    Raises:
        NotFoundError: There is neither, or the feature does not exist.
    """
    from chatarmin_os.explanation import explain

    org = given.org.removeprefix(_ORG)
    given.company = f"{_ORG}{org}"  # for the suggestions of features
    explanation = explain(client, given.feature, external_org_id=org)
    if explanation.rule == "not_linked" and not given.org.startswith(_ORG):
        given.company = org
        with suppress(BadRequestError):  # a service may refuse ids that do not look like those of its companies
            explanation = explain(client, given.feature, company_id=org)
    if explanation.access is None:
        given.company = f"{_ORG}{org}"
        raise ApiError.from_code("NOT_FOUND", f"{org} is not linked to a company; link it with chatarmin-os onboard")
    return explanation


def _track(client: ChatarminOS, given: Namespace) -> None:
    import attrs

    from chatarmin_os import TrackUsageInput

    event = TrackUsageInput(
        company_id=given.company,
        feature_code=given.feature,
        quantity=_quantity(given.quantity),
        idempotency_key=given.key,
    )
    event = attrs.evolve(
        event, company_id=_company_id(client, given.company)
    )  # a look-up, once the arguments are valid
    if given.key is None:  # printed first: a signal or a full disk must not lose it
        key = event.idempotency_key
        complain(f"key of this event: {key}; if no result follows, {resend_advice(key)}")
    try:
        result = client.send(event)
    except KeyboardInterrupt:
        complain("interrupted; the event may have been counted", *([resend_advice(given.key)] if given.key else []))
        raise
    row = {
        "used": result.current_usage,
        "remaining": result.remaining,
        "billable": result.billable_quantity,
        "at_limit": result.is_at_limit,
        "key": event.idempotency_key,
    }
    _print(given, {**document_of(result), "idempotency_key": event.idempotency_key}, row)


def _status(client: ChatarminOS, given: Namespace) -> None:
    company_id = _company_id(client, given.company)
    status = client.billing.get_status(company_id)
    rows: list[dict[str, Any]] = [
        {
            "subscription": subscription.display_name or subscription.id,
            "tier": subscription.tier and (subscription.tier.name or subscription.tier.code),
            "stripe": subscription.stripe_subscription_id,
        }
        for subscription in status.active_subscriptions
    ]
    _print(given, {"company_id": company_id, **document_of(status)}, *rows)
    if not given.json:
        billing = "" if rows else "No active subscriptions."
        if not status.has_billing_profile:
            billing = "No billing profile."
        count = status.enabled_features_count
        features = "" if count is None else f"{count} feature{' is' if count == 1 else 's are'} enabled."
        print(" ".join(filter(None, [billing, features])))


def _print(given: Namespace, document: Any, *rows: dict[str, Any]) -> None:
    if given.json:
        print_json(document)
    elif rows:
        print_table(rows)


def _company_id(client: ChatarminOS, company: str) -> str:
    """Return the id of a company that is given by its id or its external org id.

    Raises:
        NotFoundError: The external org id is not linked.
    """
    if not company.startswith(_ORG):
        return company
    found = client.companies.get_by_product_link(external_org_id=company.removeprefix(_ORG))
    if found is None:
        raise ApiError.from_code(
            "NOT_FOUND", f"{company} is not linked to a company; link it with chatarmin-os onboard"
        )
    return found.id


def _quantity(text: str) -> float:
    try:
        quantity = int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        raise InvalidInput(f"expected a number, got {text!r}").at("quantity") from None
    if not 0 < quantity < float("inf"):
        raise InvalidInput(f"expected a finite number above 0, got {text!r}").at("quantity")
    return quantity
