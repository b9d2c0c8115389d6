"""The committed recordings beside the fake: it does as they say, and no lie of it gets past them."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prepare import prepared_fake

from chatarmin_os import ApiError, InvalidInput, UnauthorizedError
from chatarmin_os._json import copy_json
from chatarmin_os.drift import check_recording, rules_of
from chatarmin_os.fake import billing, contacts, features
from chatarmin_os.fake.router import ROUTES, TEXT, optional
from chatarmin_os.fake.rules import addresses, matching
from chatarmin_os.fake.rules import tiers as tier_rules
from chatarmin_os.fake.rules.usage import Standing
from chatarmin_os.integrations.pytest import assert_no_drift
from chatarmin_os.transports import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from serving import FakeServer

    from chatarmin_os._json import JSON

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.jsonl"))


def test_the_fake_does_as_the_recordings_say() -> None:
    """Every story that was recorded from tRPC comes to the same on the fake, started from what the story shows."""
    assert len(RECORDINGS) == 11
    assert_no_drift(*RECORDINGS)


def test_they_touch_every_decided_rule() -> None:
    """All that a recording can show are touched by the stories, and are as the fake has them.

    What no answer shows is whether a checkout is incomplete, or a subscription cancelled, when it is refused.
    """
    verdicts = {rule.name: rule.verdict for rule in rules_of(map(check_recording, RECORDINGS))}

    assert {name: verdict for name, verdict in verdicts.items() if verdict != "confirmed"} == {
        "claim-incomplete": "untouched",
        "subscription-cancelled": "untouched",
    }
    assert len(verdicts) > 70


def _answering(path: str, change: Callable[[Any], Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """Let the fake answer a procedure otherwise."""
    route = ROUTES[path]

    def tell(patch: pytest.MonkeyPatch) -> None:
        def handler(state: Any, given: Any) -> JSON:
            return change(copy_json(route.handler(state, given)))

        patch.setitem(ROUTES, path, route._replace(handler=handler))

    return tell


def _taking(path: str, key: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Let the fake take any text for a key of a procedure's input."""
    route = ROUTES[path]
    return lambda patch: patch.setitem(ROUTES, path, route._replace(shape={**route.shape, key: optional(TEXT)}))


def _having(module: Any, name: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(module, name, value)


def _without(*keys: str) -> Callable[[Any], Any]:
    return lambda answer: {key: value for key, value in answer.items() if key not in keys}


def _refuse(*_: Any, **__: Any) -> Any:
    raise ApiError.from_code("CONFLICT", "a lie")


def _unlimited(current: Any, *_: Any, **__: Any) -> Standing:
    return Standing(None, current, is_at_limit=False)


GRANTED = tier_rules.granted_access
LIES = {
    "everything may be linked": ("link-suggestions", _having(matching, "may_link", lambda **_: True)),
    "equal names give 90": ("link-equal-name", _having(matching, "EQUAL_NAME", 90)),
    "free mail is evidence": ("link-free-mail", _having(addresses, "is_free_mail", lambda _: False)),
    "domains stay as they are written": (
        "company-domain",
        _answering(
            "companies.create",
            lambda answer: {**answer, "domain": "HTTPS://www.Suess.example/"} if answer["domain"] else answer,
        ),
    ),
    "no domain is answered": (
        "company-fields",
        _answering("companies.getByProductLink", lambda answer: answer and _without("domain")(answer)),
    ),
    "an update answers nothing": ("company-update", _answering("companies.update", lambda _: None)),
    "contacts are case-sensitive": (
        "contact-key",
        _answering("contacts.create", lambda answer: {**answer, "isNew": True}),
    ),
    "metadata is replaced": (
        "contact-update",
        _answering(
            "contacts.create", lambda answer: {**answer, "metadata": {"floor": 2}} if answer["metadata"] else answer
        ),
    ),
    "lists have isNew": (
        "contact-list",
        _answering("contacts.list", lambda answer: [{**row, "isNew": False} for row in answer]),
    ),
    "new contacts come first": ("contact-list", _answering("contacts.list", lambda answer: answer[::-1])),
    "a new access is enabled": (
        "access-set-new",
        _answering("features.setAccess", lambda answer: {**answer, "isEnabled": True}),
    ),
    "limits are not checked": ("access-set-limits", _having(features, "refuse_limit", lambda *_: None)),
    "an expired access is enabled": (
        "access-expired",
        _answering("features.check", lambda answer: {**answer, "isEnabled": True}),
    ),
    "remaining may be negative": (
        "access-remaining",
        _answering(
            "features.setAccess",
            lambda answer: {**answer, "remaining": -1 if answer["remaining"] == 0 else answer["remaining"]},
        ),
    ),
    "any text is an address": ("input-email", _taking("contacts.create", "email")),
    "any text is an avatar": ("input-avatar", _taking("contacts.create", "avatarUrl")),
    "numbers are answered as text": (
        "answer-numbers",
        _answering("features.check", lambda answer: {**answer, "currentUsage": f"{answer['currentUsage']}.0"}),
    ),
    "instants are answered as days": (
        "answer-instants",
        _answering(
            "companies.update", lambda answer: {**answer, "createdAt": answer["createdAt"].partition("T00:00:00")[0]}
        ),
    ),
    "fractions are cut": (
        "usage-fraction",
        _answering("billing.trackUsage", lambda answer: {**answer, "currentUsage": int(answer["currentUsage"])}),
    ),
    "the limit may not be reached": (
        "usage-at-limit",
        _having(billing, "passes", lambda current, limit: limit is not None and current >= limit),
    ),
    "all usage is billable": ("usage-billable", _having(billing, "standing", _unlimited)),
    "a key used again is refused": ("usage-again", _having(billing, "_replayed", _refuse)),
    "disabled features can be used": ("usage-disabled", _having(billing, "is_enabled", lambda *_: True)),
    "a lower tier takes nothing away": ("tier-withdraws", _having(tier_rules, "is_withdrawn", lambda _: False)),
    "a lower tier takes everything away": ("tier-leaves", _having(tier_rules, "is_withdrawn", lambda _: True)),
    "overrides have no effect": (
        "tier-grants",
        _having(tier_rules, "granted_access", lambda feature, granted, _: GRANTED(feature, granted, {})),
    ),
    "tiers show no limits": (
        "tier-config-values",
        _answering(
            "tiers.get",
            lambda answer: {**answer, "features": [{**row, "configValues": {}} for row in answer["features"]]},
        ),
    ),
    "anybody's checkout can be claimed": ("claim-foreign", _having(billing, "refuse_foreign", lambda *_: None)),
    "claims apply no tier": ("claim-tier", _having(billing, "paid_for", lambda *_: None)),
    "cancelled subscriptions can be linked": (
        "subscription-cancelled",
        _having(billing, "_refuse_cancelled", lambda *_: None),
    ),
    "onboarding again answers no billing": ("onboard-billing", _answering("onboard", _without("billingStatus"))),
    "contacts of an onboarding are not primary": (
        "onboard-contact",
        _having(contacts, "upsert_from_input", lambda *_: None),
    ),
}


@pytest.mark.parametrize(("rule", "lie"), LIES.values(), ids=LIES)
def test_a_lie_of_the_fake_is_found_out(
    rule: str, lie: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the fake makes otherwise is drift, and contradicts the rule that it breaks."""
    lie(monkeypatch)

    reports = [check_recording(path) for path in RECORDINGS]

    assert any(report.is_drift for report in reports)
    contradicted = {found.name for found in rules_of(reports) if found.verdict == "contradicted"}
    assert rule in contradicted


def _leaves(content: JSON, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(content, (dict, list)):
        for key, inner in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _leaves(inner, (*place, key))
    elif place:
        yield place


def _changed(content: JSON, place: tuple[str | int, ...]) -> JSON:
    """Return an answer with another value of the same type at one place."""
    content = copy_json(content)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    value = inner[place[-1]]
    if isinstance(value, bool):
        inner[place[-1]] = not value
    else:
        inner[place[-1]] = value + 1 if isinstance(value, (int, float)) else f"{value or ''}x"
    return content


@pytest.mark.slow
def test_nine_of_ten_changes_of_an_answer_are_reported_where_they_are(tmp_path: Path) -> None:
    """One value that the service answers otherwise is drift at that call, unless nothing else tells what it was."""
    path, places = tmp_path / "changed.jsonl", []
    for recording in RECORDINGS:
        lines = [json.loads(line) for line in recording.read_text(encoding="utf-8").splitlines()]
        answers = ((line, content["answer"]) for line, content in enumerate(lines) if "answer" in content)
        places += [(lines, line, place) for line, answer in answers for place in _leaves(answer)]

    reported, alone = 0, 0
    sample = places[::3]
    for lines, line, place in sample:
        changed = [*lines]
        changed[line] = {**lines[line], "answer": _changed(lines[line]["answer"], place)}
        path.write_text("\n".join(map(json.dumps, changed)) + "\n", encoding="utf-8")
        found = [drifted for drifted, _ in check_recording(path).drifted]
        reported += bool(found)
        alone += found == [line + 1]

    assert reported / len(sample) > 0.88
    assert alone / len(sample) > 0.7


def _served(server: FakeServer) -> HTTPTransport:
    """Return the way to a service that has what a story started from."""
    return HTTPTransport(server.add(prepared_fake()), server.url)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem.partition(".test_")[2])
def test_a_live_service_does_as_recorded(recording: Path, fake_server: FakeServer) -> None:
    """Against a service that starts from the same, with ids of its own, nothing drifts, and the rules are judged."""
    with closing(_served(fake_server)) as service:
        report = check_recording(recording, against=service, run_mutations=True)

    assert not report.is_drift, str(report)
    assert report.against == fake_server.url
    verdicts = [rule.verdict for rule in report.rules]
    assert "confirmed" in verdicts
    assert "contradicted" not in verdicts


def test_a_live_service_is_not_changed_unless_told_to(fake_server: FakeServer) -> None:
    """A recording with mutations is refused before anything is sent, and they are counted."""
    fake = prepared_fake()
    [story] = [path for path in RECORDINGS if "test_links" in path.stem]

    with (
        closing(HTTPTransport(fake_server.add(fake), fake_server.url)) as service,
        pytest.raises(
            InvalidInput, match=r"run_mutations: .*\(companies\.create 2, links\.create 3, .*links\.reset 1\)"
        ),
    ):
        check_recording(story, against=service)

    assert fake.calls == []


def test_a_refused_key_is_no_drift(fake_server: FakeServer) -> None:
    """Where the live service refuses the key, that is told, and not that every call differs."""
    with (
        closing(HTTPTransport("os_sk_test_nobody", fake_server.url)) as service,
        pytest.raises(UnauthorizedError),
    ):
        check_recording(RECORDINGS[0], against=service, run_mutations=True)


def test_a_service_that_has_changed_drifts(fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the live service does otherwise than recorded is drift, and judged against the decided rules too."""
    monkeypatch.setattr(tier_rules, "is_withdrawn", lambda _: False)
    [story] = [path for path in RECORDINGS if "test_tiers" in path.stem]

    with closing(_served(fake_server)) as service:
        report = check_recording(story, against=service, run_mutations=True)

    assert [line for line, _ in report.drifted] == [11, 15]
