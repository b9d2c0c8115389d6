"""The commands that call the service: call, onboard, check, track, status."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentTypeError
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from chatarmin_os.cli._connection import add_options, connected, guarded, sent_again
from chatarmin_os.cli._output import complain, document_of, print_json, print_table
from chatarmin_os.cli._parser import add_json, command, did_you_mean
from chatarmin_os.errors import ApiError, ChatarminError, InvalidInput, NotFoundError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Callable, Sequence

    from chatarmin_os import ChatarminOS, FeatureAccess

_ORG = "org:"
_MAX_INPUT = 16 * 2**20
_EXIT_CODES = "0 done; 1 the service refused or failed; 2 wrong usage; 3 no answer"
_COMPANY = "a company's id, or org:ID with your own id of the organisation"


def add_commands(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the commands to those of the command line."""
    call = _added(
        commands,
        "call",
        _call,
        "any procedure by its path on the wire; prints the answer as JSON",
        'chatarmin-os call tiers.get \'{"tierCode": "pro"}\'',
        "chatarmin-os call companies.getByProductLink - < input.json",
        "chatarmin-os call some.newProcedure '{}' --mutation",
        has_table=False,
    )
    call.add_argument("path", metavar="PATH", help="such as tiers.list")
    call.add_argument("input", metavar="JSON", nargs="?", help="its input; - reads it from standard input")
    call.add_argument("--mutation", action="store_true", help="for a mutation that this version does not know")

    onboard = _added(
        commands,
        "onboard",
        _onboard,
        "match or create a company, link it, claim its checkout, apply a tier: all or nothing",
        "chatarmin-os onboard org_1 --name 'Acme Inc' --domain acme.com --tier free",
        "chatarmin-os onboard org_1 --checkout cs_test_123",
    )
    onboard.add_argument("org", metavar="ORG", help="your own id of the organisation")
    onboard.add_argument("--name", help="the company's name, to find it by; only what is verified")
    onboard.add_argument("--domain", help="its domain, the same")
    onboard.add_argument("--tier", metavar="CODE", help="the tier to apply, also over a higher one")
    onboard.add_argument("--email", help="a contact to create")
    onboard.add_argument("--checkout", metavar="ID", help="a completed Stripe checkout to claim")

    check = _added(
        commands,
        "check",
        _check,
        "whether a company may use a feature now; exits 0 also where it may not",
        "chatarmin-os check org:org_1 ai_credit",
        "chatarmin-os check org:org_1 ai_credit --json | jq .can_use",
    )
    check.add_argument("company", metavar="COMPANY", help=_COMPANY)
    check.add_argument("feature", metavar="FEATURE", help="its code")

    track = _added(
        commands,
        "track",
        _track,
        "count usage; an event with the same key counts once",
        "chatarmin-os track org:org_1 ai_credit 5 --key job-17",
    )
    track.add_argument("company", metavar="COMPANY", help=_COMPANY)
    track.add_argument("feature", metavar="FEATURE", help="its code")
    track.add_argument("quantity", metavar="QUANTITY", type=_quantity, help="a number above 0")
    track.add_argument("--key", help="what the event is for; default: a new one, which is shown")

    status = _added(commands, "status", _status, "a company's subscriptions", "chatarmin-os status org:org_1")
    status.add_argument("company", metavar="COMPANY", help=_COMPANY)


def _added(
    commands: _SubParsersAction[ArgumentParser],
    name: str,
    run: Callable[[ChatarminOS, Namespace], None],
    what: str,
    *examples: str,
    has_table: bool = True,
) -> ArgumentParser:
    def with_a_client(given: Namespace) -> int:
        with connected(given) as client:
            try:
                run(client, given)
            except NotFoundError:
                given.hints = _hints(client, given)
                raise
        return 0

    parser = command(commands, name, what, *examples, codes=_EXIT_CODES, run=partial(guarded, with_a_client))
    parser.add_argument(
        "--base-url", metavar="URL", help="where the service is; default: OS_BASE_URL, or the public one"
    )
    add_options(parser)
    if has_table:
        add_json(parser)
    return parser


def _hints(client: ChatarminOS, given: Namespace) -> list[str]:
    """Return suggestions for an id or code that does not exist; the look-ups change nothing."""
    company, feature = getattr(given, "company", None), getattr(given, "feature", None)
    with suppress(ChatarminError):
        if getattr(given, "tier", None):
            return [did_you_mean(given.tier, (tier.code for tier in client.tiers.list()))]
        if feature and company:
            codes = _feature_codes(client, company)
            return [] if feature in codes else [did_you_mean(feature, codes) or f"its features: {', '.join(codes)}"]
    if company and not company.startswith(_ORG):
        return [f"for your own id of the organisation write {_ORG}{company}"]
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
        content = None if text is None else json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"no JSON: {error}").at("input") from None
    print_json(client.call(given.path, content, kind="mutation" if given.mutation else None))


def _standard_input() -> str:
    text = sys.stdin.read(_MAX_INPUT + 1)
    if len(text) > _MAX_INPUT:
        raise ValueError(f"more than {_MAX_INPUT:,} characters")
    return text


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


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
    _tell(given, document_of(result), row)


def _check(client: ChatarminOS, given: Namespace) -> None:
    if given.company.startswith(_ORG):
        access = client.features.check_by_external_org_id(given.company.removeprefix(_ORG), given.feature)
    else:
        access = client.features.check(company_id=given.company, feature_code=given.feature)
    row = {
        "feature": access.feature_name or access.feature_code or given.feature,
        "can_use": access.can_use,
        "used": access.current_usage,
        "limit": "unlimited" if access.has_quantity and access.quantity_limit is None else access.quantity_limit,
        "remaining": access.remaining,
        "source": access.source,
        "valid_until": access.valid_until,
    }
    _tell(given, document_of(access), row)


def _track(client: ChatarminOS, given: Namespace) -> None:
    import attrs

    from chatarmin_os import TrackUsageInput

    event = TrackUsageInput(
        company_id=given.company,
        feature_code=given.feature,
        quantity=given.quantity,
        idempotency_key=given.key,
    )
    event = attrs.evolve(event, company_id=_company_id(client, given.company))  # looked up when all else is checked
    if given.key is None:  # before anything can end this process, or keep the result from being written
        complain(f"if this ends without an answer, {sent_again(event.idempotency_key)}")
    try:
        result = client.send(event)
    except KeyboardInterrupt:
        complain("interrupted, it may have run", *([sent_again(given.key)] if given.key else []))
        raise
    row = {
        "used": result.current_usage,
        "remaining": result.remaining,
        "billable": result.billable_quantity,
        "at_limit": result.is_at_limit,
        "key": event.idempotency_key,
    }
    _tell(given, {**document_of(result), "idempotency_key": event.idempotency_key}, row)


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
    _tell(given, {"company_id": company_id, **document_of(status)}, *rows)
    if not given.json:
        profile = "has a billing profile" if status.has_billing_profile else "has no billing profile"
        count = status.enabled_features_count
        features = "" if count is None else f", {count} feature{'' if count == 1 else 's'} enabled"
        print(f"{'' if rows else 'No active subscriptions. '}The company {profile}{features}.")


def _tell(given: Namespace, document: Any, *rows: dict[str, Any]) -> None:
    if given.json:
        print_json(document)
    elif rows:
        print_table(rows)


def _company_id(client: ChatarminOS, company: str) -> str:
    """Return a company's id, looked up where it was named by an external org id.

    Raises:
        NotFoundError: It is not linked.
    """
    if not company.startswith(_ORG):
        return company
    found = client.companies.get_by_product_link(external_org_id=company.removeprefix(_ORG))
    if found is None:
        told = f"{company} is not linked to a company; `chatarmin-os onboard` links it"
        raise ApiError.from_code("NOT_FOUND", told)
    return found.id


def _quantity(text: str) -> float:
    try:
        return int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        raise ArgumentTypeError(f"expected a number, got {text!r}") from None
