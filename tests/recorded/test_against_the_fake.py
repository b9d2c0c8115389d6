"""The committed recordings against the fake: it answers as recorded, and wrong behaviour is found."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from changed_values import RECORDINGS, check_changed_values
from prepare import prepared_fake

from chatarmin_os import ApiError, InvalidInput, UnauthorizedError
from chatarmin_os._json import copy_json
from chatarmin_os.drift import assumptions_of, check_recording
from chatarmin_os.fake import billing, contacts, features
from chatarmin_os.fake.router import ROUTES
from chatarmin_os.fake.rules import addresses, matching
from chatarmin_os.fake.rules import tiers as tier_rules
from chatarmin_os.fake.rules.usage import QuotaStatus
from chatarmin_os.fake.schema import TEXT, optional
from chatarmin_os.integrations.pytest import assert_no_drift
from chatarmin_os.recording import file
from chatarmin_os.transports import Call, HTTPTransport, ReplayTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving import FakeServer

    from chatarmin_os._json import JSON

WITHOUT_PROLOGUE = sorted((Path(__file__).parent / "format_1").glob("*.jsonl"))


def test_fake_answers_as_recorded() -> None:
    """Every scenario that was recorded from tRPC has the same outcomes on the fake, and every call is checked."""
    assert len(RECORDINGS) == 11
    assert_no_drift(*RECORDINGS)
    assert [call.unknown for path in RECORDINGS for call in check_recording(path).calls if call.unknown] == []


@pytest.mark.parametrize("path", WITHOUT_PROLOGUE, ids=lambda path: path.stem)
def test_recording_of_format_1_has_no_false_drift(path: Path) -> None:
    """It is checked as far as its calls show the state, and it still replays."""
    report = check_recording(path)

    assert not report.is_drift, str(report)
    assert "not checked" in str(report) or path.stem == "tiers"  # which shows all that its calls depend on
    assert sum(call.unknown is None for call in report.calls) > 0
    replay = ReplayTransport(path)
    for recorded in file.load(path).calls:
        call = Call(recorded.path, "mutation" if recorded.kind == "mutation" else "query", recorded.input)
        with suppress(ApiError):
            replay.send(call)
    replay.close()


UNSHOWN = {"claim-incomplete", "subscription-cancelled"}
"""No answer shows that a checkout is incomplete, or a subscription cancelled, when it is refused."""

COVERED_BY_UNIT_TESTS = {
    "access-set-expired",
    "company-duplicate",
    "contact-bulk-empty",
    "input-date",
    "input-null",
    "link-exact-confidence",
    "link-reset-contacts",
    "onboard-created-at",
    "onboard-evidence",
    "onboard-tier",
    "tier-override-limits",
}


def test_recordings_confirm_the_assumptions() -> None:
    """The scenarios exercise and confirm every observable assumption, except for those that unit tests exercise."""
    verdicts = {one.name: one.verdict for one in assumptions_of(map(check_recording, RECORDINGS))}

    assert {name for name, verdict in verdicts.items() if verdict == "untouched"} == UNSHOWN | COVERED_BY_UNIT_TESTS
    assert {name for name, verdict in verdicts.items() if verdict == "contradicted"} == set()
    assert len(verdicts) > 100


def _change_answer(path: str, change: Callable[[Any], Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """Change the answer of a procedure of the fake."""
    route = ROUTES[path]

    def apply(patch: pytest.MonkeyPatch) -> None:
        def handler(state: Any, given: Any) -> JSON:
            return change(copy_json(route.handler(state, given)))

        patch.setitem(ROUTES, path, route._replace(handler=handler))

    return apply


def _accept(path: str, key: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Let the fake accept any text for a key of a procedure's input."""
    route = ROUTES[path]
    return lambda patch: patch.setitem(ROUTES, path, route._replace(schema={**route.schema, key: optional(TEXT)}))


def _replace(module: Any, name: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(module, name, value)


def _without(*keys: str) -> Callable[[Any], Any]:
    return lambda answer: {key: value for key, value in answer.items() if key not in keys}


def _refuse(*_: Any, **__: Any) -> Any:
    raise ApiError.from_code("CONFLICT", "wrong")


def _unlimited(current: Any, *_: Any, **__: Any) -> QuotaStatus:
    return QuotaStatus(None, current, is_at_limit=False)


GRANTED = tier_rules.granted_access
WRONG_BEHAVIOURS = {
    "everything may be linked": ("link-suggestions", _replace(matching, "may_link", lambda **_: True)),
    "equal names give 90": ("link-equal-name", _replace(matching, "EQUAL_NAME", 90)),
    "free mail is evidence": ("link-free-mail", _replace(addresses, "is_free_mail", lambda _: False)),
    "domains stay as they are written": (
        "company-domain",
        _change_answer(
            "companies.create",
            lambda answer: {**answer, "domain": "HTTPS://www.Suess.example/"} if answer["domain"] else answer,
        ),
    ),
    "no domain is answered": (
        "company-fields",
        _change_answer("companies.getByProductLink", lambda answer: answer and _without("domain")(answer)),
    ),
    "an update answers nothing": ("company-update", _change_answer("companies.update", lambda _: None)),
    "contacts are case-sensitive": (
        "contact-key",
        _change_answer("contacts.create", lambda answer: {**answer, "isNew": True}),
    ),
    "metadata is replaced": (
        "contact-update",
        _change_answer(
            "contacts.create", lambda answer: {**answer, "metadata": {"floor": 2}} if answer["metadata"] else answer
        ),
    ),
    "lists have isNew": (
        "contact-list",
        _change_answer("contacts.list", lambda answer: [{**row, "isNew": False} for row in answer]),
    ),
    "new contacts come first": ("contact-list", _change_answer("contacts.list", lambda answer: answer[::-1])),
    "a new access is enabled": (
        "access-set-new",
        _change_answer("features.setAccess", lambda answer: {**answer, "isEnabled": True}),
    ),
    "limits are not checked": ("access-set-limits", _replace(features, "check_limit", lambda *_: None)),
    "an expired access is enabled": (
        "access-expired",
        _change_answer("features.check", lambda answer: {**answer, "isEnabled": True}),
    ),
    "remaining may be negative": (
        "access-remaining",
        _change_answer(
            "features.setAccess",
            lambda answer: {**answer, "remaining": -1 if answer["remaining"] == 0 else answer["remaining"]},
        ),
    ),
    "any text is an address": ("input-email", _accept("contacts.create", "email")),
    "any text is an avatar": ("input-avatar", _accept("contacts.create", "avatarUrl")),
    "numbers are answered as text": (
        "answer-numbers",
        _change_answer("features.check", lambda answer: {**answer, "currentUsage": f"{answer['currentUsage']}.0"}),
    ),
    "instants are answered as days": (
        "answer-instants",
        _change_answer(
            "companies.update", lambda answer: {**answer, "createdAt": answer["createdAt"].partition("T00:00:00")[0]}
        ),
    ),
    "fractions are cut": (
        "usage-fraction",
        _change_answer("billing.trackUsage", lambda answer: {**answer, "currentUsage": int(answer["currentUsage"])}),
    ),
    "the limit may not be reached": (
        "usage-at-limit",
        _replace(billing, "exceeds", lambda current, limit: limit is not None and current >= limit),
    ),
    "all usage is billable": ("usage-billable", _replace(billing, "quota_status", _unlimited)),
    "a key used again is refused": ("usage-again", _replace(billing, "_replay", _refuse)),
    "disabled features can be used": ("usage-disabled", _replace(billing, "is_enabled", lambda *_: True)),
    "a lower tier takes nothing away": ("tier-withdraws", _replace(tier_rules, "is_withdrawn", lambda _: False)),
    "a lower tier takes everything away": ("tier-leaves", _replace(tier_rules, "is_withdrawn", lambda _: True)),
    "overrides have no effect": (
        "tier-grants",
        _replace(tier_rules, "granted_access", lambda feature, granted, _: GRANTED(feature, granted, {})),
    ),
    "tiers show no limits": (
        "tier-config-values",
        _change_answer(
            "tiers.get",
            lambda answer: {**answer, "features": [{**row, "configValues": {}} for row in answer["features"]]},
        ),
    ),
    "a foreign checkout can be claimed": ("claim-foreign", _replace(billing, "ensure_owned_by", lambda *_: None)),
    "claims apply no tier": ("claim-tier", _replace(billing, "tier_of_prices", lambda *_: None)),
    "cancelled subscriptions can be linked": (
        "subscription-cancelled",
        _replace(billing, "_ensure_active", lambda *_: None),
    ),
    "onboarding again answers no billing": ("onboard-billing", _change_answer("onboard", _without("billingStatus"))),
    "contacts of an onboarding are not primary": (
        "onboard-contact",
        _replace(contacts, "upsert_from_input", lambda *_: None),
    ),
}


@pytest.mark.parametrize(
    ("rule", "change"), WRONG_BEHAVIOURS.values(), ids=[name.replace(" ", "-") for name in WRONG_BEHAVIOURS]
)
def test_wrong_behaviour_of_the_fake_is_found(
    rule: str, change: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is drift, and contradicts the assumption that it breaks."""
    change(monkeypatch)

    reports = [check_recording(path) for path in RECORDINGS]

    assert any(report.is_drift for report in reports)
    contradicted = {found.name for found in assumptions_of(reports) if found.verdict == "contradicted"}
    assert rule in contradicted


@pytest.mark.slow
def test_nine_of_ten_changed_values_are_reported(tmp_path: Path) -> None:
    """Most of them at their call alone; `changed_values.py` counts all values, and not only every third."""
    counts = check_changed_values(RECORDINGS, tmp_path / "changed.jsonl", step=3)

    assert counts.reported / counts.changed > 0.9
    assert counts.reported_alone / counts.changed > 0.8


def _served(server: FakeServer) -> HTTPTransport:
    """Return a transport to a service in the state from which the scenarios start."""
    return HTTPTransport(server.add(prepared_fake()), server.url)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem.partition(".test_")[2])
def test_live_service_answers_as_recorded(recording: Path, fake_server: FakeServer) -> None:
    """Against a service in the same state with other ids nothing drifts, and the assumptions get verdicts."""
    with closing(_served(fake_server)) as service:
        report = check_recording(recording, against=service, run_mutations=True)

    assert not report.is_drift, str(report)
    assert report.against == fake_server.url
    verdicts = [one.verdict for one in report.assumptions]
    assert "confirmed" in verdicts
    assert "contradicted" not in verdicts


def test_live_service_is_changed_only_on_request(fake_server: FakeServer) -> None:
    """A recording with mutations is refused before anything is sent; the message counts them."""
    fake = prepared_fake()
    [scenario] = [path for path in RECORDINGS if "test_links" in path.stem]

    with (
        closing(HTTPTransport(fake_server.add(fake), fake_server.url)) as service,
        pytest.raises(
            InvalidInput, match=r"run_mutations: .*\(companies\.create 2, links\.create 3, .*links\.reset 1\)"
        ),
    ):
        check_recording(scenario, against=service)

    assert fake.calls == []


def test_refused_key_is_no_drift(fake_server: FakeServer) -> None:
    """It is an error, and not a difference of every call."""
    with (
        closing(HTTPTransport("os_sk_test_nobody", fake_server.url)) as service,
        pytest.raises(UnauthorizedError),
    ):
        check_recording(RECORDINGS[0], against=service, run_mutations=True)


def test_changed_service_drifts(fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The difference is judged against the assumptions too."""
    monkeypatch.setattr(tier_rules, "is_withdrawn", lambda _: False)
    [scenario] = [path for path in RECORDINGS if "test_tiers" in path.stem]

    with closing(_served(fake_server)) as service:
        report = check_recording(scenario, against=service, run_mutations=True)

    assert [call.recorded.path for _, call in report.drifted] == ["features.listAccess", "billing.getStatus"]
