"""The drift check on calls written by hand: kinds of differences, and recordings without a prologue."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import CassetteError, ChatarminOS, NotFoundError, TimedOut
from chatarmin_os.drift import check_recording
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.integrations.pytest import assert_no_drift
from chatarmin_os.recording import file
from chatarmin_os.transports import Call, RecordingTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os._json import JSON
    from chatarmin_os.drift import Report
    from chatarmin_os.errors import Outcome

ACME, GLOBEX = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
RECORDINGS = sorted((Path(__file__).parents[1] / "recorded" / "recordings").glob("*.jsonl"))


def answered(path: str, given: JSON, answer: JSON, kind: str = "query") -> dict[str, Any]:
    """Return a recorded call that was answered."""
    return {"path": path, "kind": kind, "input": given, "answer": answer}


def refused(path: str, given: JSON, code: str, status: int, kind: str = "mutation") -> dict[str, Any]:
    """Return a recorded call that was refused."""
    error = {"code": code, "status": status, "message": code, "data": None}
    return {"path": path, "kind": kind, "input": given, "error": error}


def access(code: str = "seats", **fields: Any) -> dict[str, Any]:
    """Return an access as a check answers it: enabled, 3 of 10 used."""
    return {
        "featureCode": code, "featureName": "Seats", "isEnabled": True, "canUse": True, "hasQuantity": True,
        "currentUsage": 3, "quantityLimit": 10, "includedQuantity": 2, "remaining": 7, "configValues": {},
        "source": "manual", "validUntil": None, **fields,
    }  # fmt: skip


def company(id: str = ACME, **fields: Any) -> dict[str, Any]:
    """Return a company as answers show it."""
    return {"id": id, "shortId": "acme", "name": "Acme", "domain": None, "createdAt": None, **fields}


def smart_linked(given: JSON, status: str, **result: Any) -> dict[str, Any]:
    """Return a recorded companies.smartLink; the other fields of its answer are null."""
    nothing: dict[str, JSON] = {"companyId": None, "customerName": None, "confidence": None, "suggestions": []}
    return answered("companies.smartLink", given, {"status": status, **nothing, **result}, "mutation")


def tracked(used: float | str, remaining: float | str | None, billable: float | str = 0, **more: Any) -> dict[str, Any]:
    """Return the answer to usage."""
    answer = {"currentUsage": used, "remaining": remaining, "billableQuantity": billable}
    return {**answer, "isAtLimit": remaining == 0, **more}


CHECK = {"companyId": ACME, "featureCode": "seats"}
TRACK = {**CHECK, "quantity": 2}
LISTED = {"companyId": ACME}


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Report]:
    """Return a function that checks a recording of some calls against the fake."""

    def checked(*calls: dict[str, Any], **head: Any) -> Report:
        path = tmp_path / "recording.jsonl"
        first = {**file.head("https://os.example", is_redacted=False), **head}
        path.write_text("".join(json.dumps(line) + "\n" for line in [first, *calls]), encoding="utf-8")
        return check_recording(path)

    return checked


def unchecked(report: Report) -> list[int]:
    """Return the lines that were not checked, because their state is unknown."""
    return [call.recorded.line for call in report.calls if call.unknown]


def differences(report: Report) -> list[tuple[int, str, str, str, str]]:
    """Return the differences, each with its line."""
    return [(line, *difference) for line, call in report.drifted for difference in call.differences]


# Kinds of differences


def test_first_observation_is_taken_as_given(check: Callable[..., Report]) -> None:
    """The first query shows the state; usage and the second query must fit it."""
    report = check(
        answered("features.check", CHECK, access()),
        answered("billing.trackUsage", TRACK, tracked(5, 5, 3), "mutation"),
        answered("features.check", CHECK, access(currentUsage=5, remaining=4)),
    )

    assert differences(report) == [(4, "$.remaining", "value", "4", "5")]


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"canUse": False}, ("$.canUse", "value", "false", "true")),
        ({"remaining": "7"}, ("$.remaining", "type", '"7"', "7")),
        ({"remaining": None}, ("$.remaining", "type", "null", "7")),
        ({"plan": "gold"}, ("$.plan", "field", '"gold"', "absent")),
        ({"remaining": 7.0}, None),
    ],
)
def test_fields_types_and_values_are_compared(
    check: Callable[..., Report], changed: dict[str, Any], difference: tuple[str, ...] | None
) -> None:
    """Each kind of difference inside an answer; 7 and 7.0 are the same number."""
    report = check(answered("features.check", CHECK, access(**changed)))

    assert [found[1:] for found in differences(report)] == ([difference] if difference else [])


def _verdicts(report: Report) -> dict[str, str]:
    return {rule.name: rule.verdict for rule in report.rules if rule.verdict != "untouched"}


def test_numbers_as_text_differ_in_type_alone(check: Callable[..., Report]) -> None:
    """The check reads them as the client does, so that nothing else differs."""
    texts = {"currentUsage": "3.00", "quantityLimit": "10.00", "remaining": "7.00"}
    report = check(
        answered("features.check", CHECK, access(**texts)),
        answered("billing.trackUsage", TRACK, tracked("5.00", "5.00", "3.00"), "mutation"),
        refused("billing.trackUsage", {**TRACK, "quantity": 6}, "PRECONDITION_FAILED", 412),
    )

    assert differences(report) == [
        (2, "$.currentUsage", "type", '"3.00"', "3"),
        (2, "$.quantityLimit", "type", '"10.00"', "10"),
        (2, "$.remaining", "type", '"7.00"', "7"),
        (3, "$.currentUsage", "type", '"5.00"', "5"),
        (3, "$.remaining", "type", '"5.00"', "5"),
        (3, "$.billableQuantity", "type", '"3.00"', "3"),
    ]
    assert [name for name, verdict in _verdicts(report).items() if verdict == "contradicted"] == ["answer-numbers"]


@pytest.mark.parametrize(
    "shown",
    ["seven", "7 ", "0x7", "", "07", "+7", "NaN", "1e999", "\u0667"],
    ids=["word", "space", "hexadecimal", "empty", "leading-zero", "sign", "nan", "infinite", "arabic-digit"],
)
def test_other_text_is_no_number(check: Callable[..., Report], shown: str) -> None:
    """Text that is not exactly a JSON number is another value."""
    report = check(answered("features.check", CHECK, access(remaining=shown)))

    assert differences(report) == [(2, "$.remaining", "type", json.dumps(shown, ensure_ascii=False), "7")]
    assert _verdicts(report)["access-fields"] == "confirmed"
    assert _verdicts(report)["answer-numbers"] == "confirmed"


@pytest.mark.parametrize(
    ("shown", "kept"),
    [
        ("2027-01-01", "2027-01-01T00:00:00.000Z"),
        ("+275760-09-13T00:00:00.000Z", "9999-12-31T23:59:59.999Z"),
        ("+010000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_days_and_far_years_differ_in_type_alone(check: Callable[..., Report], shown: str, kept: str) -> None:
    """A day is its start and a year beyond 9999 the last datetime, as for the client; all other fields are checked."""
    report = check(
        answered("features.check", CHECK, access(validUntil=shown)),
        answered("companies.getByProductLink", {"externalOrgId": "o"}, company(createdAt=shown)),
    )

    assert differences(report) == [
        (2, "$.validUntil", "type", json.dumps(shown), json.dumps(kept)),
        (3, "$.createdAt", "type", json.dumps(shown), json.dumps(kept)),
    ]
    assert [name for name, verdict in _verdicts(report).items() if verdict == "contradicted"] == ["answer-instants"]


@pytest.mark.parametrize("shown", ["2027-02-30", "soon", "2027-01-01T00:00:00", "12-01-01"])
def test_text_that_is_no_timestamp_is_another_value(check: Callable[..., Report], shown: str) -> None:
    """Only its field differs."""
    report = check(answered("companies.getByProductLink", {"externalOrgId": "o"}, company(createdAt=shown)))

    assert differences(report) == [(2, "$.createdAt", "type", json.dumps(shown), "null")]


def test_settings_as_text_are_other_values(check: Callable[..., Report]) -> None:
    """In settings and metadata a number as text is another value, not another notation."""
    changed = {**CHECK, "config": {"max": 6, "until": "2027-01-01T00:00:00.000Z"}}
    settings = {"unit": "GB", "max": "6", "until": "2027-01-01"}
    report = check(
        answered("features.check", CHECK, access(configValues={"unit": "GB"})),
        answered("features.setAccess", changed, access(configValues=settings), "mutation"),
    )

    assert differences(report) == [
        (3, "$.configValues.max", "type", '"6"', "6"),
        (3, "$.configValues.until", "type", '"2027-01-01"', '"2027-01-01T00:00:00.000Z"'),
    ]
    assert _verdicts(report)["access-set-config"] == "contradicted"
    assert "answer-numbers" not in [name for name, verdict in _verdicts(report).items() if verdict == "contradicted"]


def test_service_that_rounds_fractions_contradicts_the_assumption(check: Callable[..., Report]) -> None:
    """The answer to usage of a fraction decides, or its refusal."""
    rounded = check(
        answered("features.check", CHECK, access()),
        answered("billing.trackUsage", {**TRACK, "quantity": 0.125}, tracked(3.13, 6.87, 0), "mutation"),
    )
    whole = check(answered("features.check", CHECK, access()), answered("billing.trackUsage", TRACK, tracked(5, 5, 0)))
    unfit = check(
        answered("features.check", CHECK, access()),
        refused("billing.trackUsage", {**TRACK, "quantity": 0.5}, "BAD_REQUEST", 400),
    )

    assert _verdicts(rounded)["usage-fraction"] == _verdicts(unfit)["usage-fraction"] == "contradicted"
    assert "usage-fraction" not in _verdicts(whole)


@pytest.mark.parametrize("field", ["currentUsage", "quantityLimit", "includedQuantity", "remaining"])
@pytest.mark.parametrize("huge", [10**300, "1" * 400, 10**18], ids=["int", "text", "19-digits"])
def test_numbers_of_any_size_are_checked(check: Callable[..., Report], field: str, huge: Any) -> None:
    """A number that no double holds may be a difference, and is not an error of Python."""
    report = check(
        answered("features.check", CHECK, access(**{field: huge})),
        answered("billing.trackUsage", {**TRACK, "quantity": 0.5}, tracked(3.5, 6.5, 0), "mutation"),
    )

    assert isinstance(str(report), str)


def test_quantity_that_no_client_sends_is_an_error(check: Callable[..., Report]) -> None:
    """The message names the call and the field."""
    with pytest.raises(
        CassetteError, match=r"recorded billing\.trackUsage cannot be sent: input\.quantity: expected an integer"
    ):
        check(
            answered("features.check", CHECK, access()),
            answered("billing.trackUsage", {**TRACK, "quantity": 10**300}, tracked(10**300, 5, 0), "mutation"),
        )


@pytest.mark.slow
def test_check_works_without_docstrings(check: Callable[..., Report], tmp_path: Path) -> None:
    """`python -OO` drops docstrings and assertions, and changes nothing in a report."""
    report = check(answered("features.check", CHECK, access(canUse=False)))
    program = (
        "import sys\n"
        "from chatarmin_os.drift import check_recording, rules_text\n"
        "report = check_recording(sys.argv[1])\n"
        "print(report)\n"
        "print(rules_text([report]))\n"
    )

    plain, stripped = (
        subprocess.run(  # noqa: S603 - our own program
            [sys.executable, *option, "-c", program, str(tmp_path / "recording.jsonl")],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for option in ([], ["-OO"])
    )

    assert plain == stripped
    assert str(report) in stripped
    assert "A feature can be used if it is enabled, not expired" in stripped


def test_field_that_the_service_lacks_is_a_difference(check: Callable[..., Report]) -> None:
    """A field may be on the fake alone."""
    answer = {key: value for key, value in access().items() if key != "featureName"}

    assert differences(check(answered("features.check", CHECK, answer))) == [
        (2, "$.featureName", "field", "absent", '"seats"')
    ]


def test_outcomes_codes_and_statuses_are_compared(check: Callable[..., Report]) -> None:
    """The code if both refuse, and the status if the code is the same."""
    report = check(
        answered("companies.create", {"name": "Acme", "externalOrgId": "org_1"}, company(), "mutation"),
        answered("features.listAccess", LISTED, [access(isEnabled=False, canUse=False, currentUsage=0, quantityLimit=0,
                                                        includedQuantity=None, remaining=0, source=None)]),
        refused("features.check", CHECK, "FORBIDDEN", 403, "query"),
        refused("companies.update", {"companyId": ACME, "createdAt": "today"}, "CONFLICT", 409),
        refused("companies.update", {"companyId": ACME, "createdAt": "today"}, "BAD_REQUEST", 422),
        refused("tiers.list", None, "FORBIDDEN", 403, "query"),
    )  # fmt: skip

    assert differences(report) == [
        (4, "", "outcome", "FORBIDDEN", "an answer"),
        (5, "", "code", "CONFLICT", "BAD_REQUEST"),
        (6, "", "status", "422", "400"),
        (7, "", "outcome", "FORBIDDEN", "an answer"),
    ]


def test_ids_are_matched_by_role(check: Callable[..., Report]) -> None:
    """A company that the calls create has another id on the fake; it must be the same company throughout."""
    created = {"name": "Acme", "externalOrgId": "org_1"}
    report = check(
        answered("companies.create", created, company(), "mutation"),
        answered("companies.getByProductLink", {"externalOrgId": "org_1"}, company()),
        answered("companies.getByProductLink", {"externalOrgId": "org_1"}, company(GLOBEX)),
    )

    [(line, place, kind, recorded, _)] = differences(report)
    assert (line, place, kind, recorded) == (4, "$.id", "id", json.dumps(GLOBEX))


def test_number_of_a_short_id_and_the_present_time_are_not_compared(check: Callable[..., Report]) -> None:
    """They depend on other companies, and on the clock."""
    given = {"companyId": ACME, "createdAt": "2024-01-15T10:30:00+00:00"}
    report = check(
        answered("companies.create", {"name": "Acme", "externalOrgId": "org_1"}, company(shortId="acme-7"), "mutation"),
        answered("companies.update", given, company(createdAt="2024-01-15T10:30:00Z", shortId="acme-7"), "mutation"),
        answered("companies.update", given, company(createdAt="2024-01-15T10:30:01Z", shortId="acme-7"), "mutation"),
    )

    assert [found[:3] for found in differences(report)] == []


def test_timestamp_of_an_input_is_compared(check: Callable[..., Report]) -> None:
    """Without its milliseconds it is another one."""
    given = {"companyId": ACME, "createdAt": "2024-01-15T10:30:00.500Z"}
    report = check(
        answered("companies.create", {"name": "Acme", "externalOrgId": "org_1"}, company(), "mutation"),
        answered("companies.update", given, company(createdAt="2024-01-15T10:30:00.000Z"), "mutation"),
        answered("companies.update", {**given, "createdAt": "2024-01-15T10:30:00.000Z"},
                 company(createdAt="2024-01-15T10:30:00.500Z"), "mutation"),
    )  # fmt: skip

    assert [found[:3] for found in differences(report)] == [(4, "$.createdAt", "value")]


def test_difference_is_reported_once(check: Callable[..., Report]) -> None:
    """The state is unknown after it, until a query shows it again."""
    report = check(
        answered("features.check", CHECK, access()),
        answered("billing.trackUsage", TRACK, tracked(7, 3, 5), "mutation"),
        answered("features.check", CHECK, access(currentUsage=7, remaining=3)),
        answered("billing.trackUsage", TRACK, tracked(9, 1, 7), "mutation"),
        answered("features.check", CHECK, access(currentUsage=9, remaining=1)),
    )

    assert {line for line, *_ in differences(report)} == {3}
    assert unchecked(report) == []


def test_calls_between_a_difference_and_the_next_query_are_not_checked(check: Callable[..., Report]) -> None:
    """They change state that is unknown."""
    report = check(
        answered("features.check", CHECK, access()),
        answered("billing.trackUsage", TRACK, tracked(7, 3, 5), "mutation"),
        answered("billing.trackUsage", TRACK, tracked(9, 1, 7), "mutation"),
        answered("features.check", CHECK, access(currentUsage=9, remaining=1)),
    )

    assert {line for line, *_ in differences(report)} == {3}
    assert unchecked(report) == [4]
    assert str(report).endswith(
        f"1 call not checked (line 4), because the recording does not show the access to seats of company {ACME}."
    )


def test_calls_without_an_answer_are_skipped(check: Callable[..., Report], tmp_path: Path) -> None:
    """Failures, errors of the service and refused keys do not depend on the call."""
    failed = {"path": "tiers.list", "kind": "query", "input": None}
    report = check(
        {**failed, "failure": {"type": "TimedOut", "message": "", "outcome": "unknown"}},
        refused("tiers.list", None, "SERVICE_UNAVAILABLE", 503, "query"),
        refused("tiers.list", None, "TOO_MANY_REQUESTS", 429, "query"),
        refused("tiers.list", None, "UNAUTHORIZED", 401, "query"),
    )

    assert [call.now for call in report.calls] == [None] * 4
    assert str(report).endswith("0 of 4 calls drifted; 4 calls without an answer not compared.")

    fake, path = FakeTransport(demo_catalogue()), tmp_path / "live.jsonl"
    fake.fail(error=TimedOut("the cable was pulled"))
    with ChatarminOS(transport=RecordingTransport(fake, path)) as client, pytest.raises(TimedOut):
        client.tiers.list()
    live = FakeTransport(demo_catalogue())
    assert check_recording(path, against=live).against == "FakeTransport"
    assert live.calls == []


# Recordings without a prologue


@pytest.mark.parametrize(
    ("calls", "unknown"),
    [
        pytest.param(
            [
                refused("billing.trackUsage", {**TRACK, "quantity": 9}, "PRECONDITION_FAILED", 412),
                answered("features.check", CHECK, access()),
            ],
            [2],
            id="a-limit-that-usage-would-have-passed",
        ),
        pytest.param(
            [
                answered("billing.trackUsage", TRACK, tracked(5, None, 3), "mutation"),
                answered("billing.trackUsage", TRACK, tracked(7, None, 5), "mutation"),
            ],
            [2, 3],
            id="usage-without-a-limit",
        ),
        pytest.param(
            [
                refused("billing.trackUsage", {**TRACK, "idempotencyKey": "k"}, "CONFLICT", 409),
                answered("features.check", CHECK, access()),
            ],
            [2],
            id="a-key-that-was-used-before",
        ),
        pytest.param(
            [
                refused("billing.trackUsage", TRACK, "FORBIDDEN", 403),
                refused("billing.trackUsage", TRACK, "FORBIDDEN", 403),
            ],
            [2, 3],
            id="no-access",
        ),
        pytest.param(
            [
                refused("billing.trackUsage", TRACK, "BAD_REQUEST", 400),
                answered(
                    "features.check",
                    CHECK,
                    access(
                        hasQuantity=False, currentUsage=0, quantityLimit=None, includedQuantity=None, remaining=None
                    ),
                ),
            ],
            [2],
            id="a-feature-without-a-quantity",
        ),
        pytest.param(
            [
                answered(
                    "features.setAccess",
                    {**CHECK, "quantityLimit": 20, "config": {"a": 1}},
                    access(quantityLimit=20, remaining=17, configValues={"a": 1, "b": 2}),
                    "mutation",
                ),
                answered(
                    "features.check", CHECK, access(quantityLimit=20, remaining=17, configValues={"a": 1, "b": 2})
                ),
            ],
            [2],
            id="an-access-that-was-changed-before-it-was-seen",
        ),
        pytest.param(
            [
                refused("companies.create", {"name": "Acme", "externalOrgId": "org_1"}, "CONFLICT", 409),
                answered("features.checkByExternalOrgId", {"externalOrgId": "org_1", "featureCode": "seats"}, access()),
                answered("companies.getByProductLink", {"externalOrgId": "org_1"}, company(domain="acme.example")),
                answered("features.check", CHECK, access()),
            ],
            [2, 3],
            id="a-link-whose-company-is-shown-later",
        ),
        pytest.param(
            [
                answered(
                    "links.create",
                    {"companyId": ACME, "externalOrgId": "org_1"},
                    {"companyId": ACME, "externalOrgId": "org_1", "label": "Vienna", "externalUserId": None},
                    "mutation",
                ),
                answered(
                    "links.reset", {"deleteContacts": True}, {"linksDeleted": 3, "contactsDeleted": 9}, "mutation"
                ),
                answered("companies.getByProductLink", {"externalOrgId": "org_1"}, None),
                answered("links.reset", {}, {"linksDeleted": 0, "contactsDeleted": 0}, "mutation"),
            ],
            [],
            id="links-that-no-call-has-shown",
        ),
        pytest.param(
            [
                smart_linked(
                    {"externalOrgId": "org_1", "hints": {"domain": "www.acme.example"}},
                    status="linked",
                    companyId=ACME,
                    customerName="Acme",
                    confidence=95,
                ),
                answered("companies.getByProductLink", {"externalOrgId": "org_1"}, company(domain="acme.example")),
            ],
            [2],
            id="a-company-that-was-found-by-its-domain",
        ),
        pytest.param(
            [
                smart_linked(
                    {"externalOrgId": "org_1", "hints": {"companyName": "Acme Inc"}},
                    status="linked",
                    companyId=ACME,
                    customerName="Acme",
                    confidence=80,
                ),
            ],
            [2],
            id="a-company-that-was-found-by-its-name",
        ),
        pytest.param(
            [
                smart_linked(
                    {"externalOrgId": "org_1", "hints": {"emails": ["bob@acme.example"]}},
                    status="linked",
                    companyId=ACME,
                    customerName="Acme",
                    confidence=70,
                ),
                smart_linked(
                    {"externalOrgId": "org_1"},
                    status="already_linked",
                    companyId=ACME,
                    customerName="Acme",
                    confidence=100,
                ),
            ],
            [2, 3],
            id="a-company-that-was-found-by-an-address",
        ),
        pytest.param(
            [
                smart_linked(
                    {"externalOrgId": "org_1", "hints": {"emails": ["bob@acme.example"]}},
                    status="suggestions",
                    suggestions=[
                        {"companyId": ACME, "customerName": "Acme", "confidence": 70, "reason": "email_domain"}
                    ],
                ),
            ],
            [2],
            id="a-company-with-a-contact-at-a-domain",
        ),
        pytest.param(
            [
                answered(
                    "onboard",
                    {"externalOrgId": "org_1"},
                    {"companyId": ACME, "companyName": "Acme", "linkStatus": "already_linked"},
                    "mutation",
                ),
                answered(
                    "onboard",
                    {"externalOrgId": "org_2", "hints": {"companyName": "Acme GmbH"}},
                    {"companyId": ACME, "companyName": "Acme", "linkStatus": "linked"},
                    "mutation",
                ),
                answered(
                    "onboard",
                    {"externalOrgId": "org_3", "hints": {"emails": ["bob@globex.example"]}},
                    {"companyId": GLOBEX, "companyName": "Globex", "linkStatus": "linked"},
                    "mutation",
                ),
            ],
            [2, 3, 4],
            id="companies-that-existed-before-an-onboarding",
        ),
        pytest.param(
            [
                answered(
                    "contacts.create",
                    {"companyId": ACME, "email": "Ann@acme.example", "role": "owner"},
                    {
                        "id": "c1",
                        "email": "ann@acme.example",
                        "name": "Ann",
                        "role": "owner",
                        "isPrimary": True,
                        "avatarUrl": None,
                        "metadata": {"seat": 1},
                        "isNew": False,
                    },
                    "mutation",
                ),
                answered(
                    "contacts.list",
                    LISTED,
                    [
                        {
                            "id": "c0",
                            "email": "bob@acme.example",
                            "name": None,
                            "role": None,
                            "isPrimary": False,
                            "avatarUrl": None,
                            "metadata": {},
                        },
                        {
                            "id": "c1",
                            "email": "ann@acme.example",
                            "name": "Ann",
                            "role": "owner",
                            "isPrimary": True,
                            "avatarUrl": None,
                            "metadata": {"seat": 1},
                        },
                    ],
                ),
            ],
            [2],
            id="contacts-in-their-order",
        ),
        pytest.param(
            [
                answered(
                    "billing.getStatus",
                    LISTED,
                    {
                        "hasBillingProfile": True,
                        "enabledFeaturesCount": 3,
                        "activeSubscriptions": [
                            {
                                "id": "s1",
                                "stripeSubscriptionId": "sub_1",
                                "displayName": "Main",
                                "tier": {"code": "gold", "name": "Gold"},
                            }
                        ],
                    },
                ),
                answered(
                    "billing.linkSubscription",
                    {"companyId": ACME, "stripeSubscriptionId": "sub_1"},
                    {"subscriptionId": "sub_1", "alreadyLinked": True, "featuresApplied": 0},
                    "mutation",
                ),
            ],
            [3],
            id="a-subscription",
        ),
        pytest.param(
            [
                answered(
                    "billing.getStatus",
                    LISTED,
                    {"hasBillingProfile": True, "enabledFeaturesCount": 0, "activeSubscriptions": []},
                )
            ],
            [],
            id="a-subscription-that-has-ended",
        ),
        pytest.param(
            [
                answered("companies.create", {"name": "Acme", "externalOrgId": "org_1"}, company(), "mutation"),
                refused("billing.claimCheckout", {"companyId": ACME, "checkoutSessionId": "cs_1"}, "NOT_FOUND", 404),
                smart_linked(
                    {"externalOrgId": "org_2", "hints": {"emails": ["bob@globex.example"]}},
                    status="suggestions",
                    suggestions=[
                        {
                            "companyId": GLOBEX,
                            "customerName": "Globex",
                            "confidence": 70,
                            "reason": "email_domain",
                        },
                    ],
                ),
                answered(
                    "contacts.list",
                    {"companyId": GLOBEX},
                    [
                        {
                            "id": "c1",
                            "email": "ann@globex.example",
                            "name": None,
                            "role": None,
                            "isPrimary": False,
                            "avatarUrl": None,
                            "metadata": {},
                        }
                    ],
                ),
            ],
            [4],
            id="the-contact-that-a-company-was-suggested-for",
        ),
        pytest.param(
            [
                answered(
                    "billing.claimCheckout",
                    {"companyId": ACME, "checkoutSessionId": "cs_1"},
                    {"alreadyClaimed": True, "subscriptionId": "sub_1"},
                    "mutation",
                ),
                refused("billing.claimCheckout", {"companyId": GLOBEX, "checkoutSessionId": "cs_1"}, "CONFLICT", 409),
                refused("billing.claimCheckout", {"companyId": ACME, "checkoutSessionId": "cs_2"}, "CONFLICT", 409),
                refused("billing.claimCheckout", {"companyId": ACME, "checkoutSessionId": "cs_3"}, "BAD_REQUEST", 400),
                refused(
                    "billing.linkSubscription", {"companyId": ACME, "stripeSubscriptionId": "sub_4"}, "CONFLICT", 409
                ),
                refused(
                    "billing.linkSubscription", {"companyId": ACME, "stripeSubscriptionId": "sub_5"}, "BAD_REQUEST", 400
                ),
            ],
            [2, 3, 4, 5, 6, 7],
            id="checkouts-and-subscriptions-of-others-open-and-cancelled",
        ),
        pytest.param(
            [
                answered("tiers.list", None, [{"code": "gold", "name": "Gold"}]),
                answered(
                    "billing.claimCheckout",
                    {"companyId": ACME, "checkoutSessionId": "cs_1"},
                    {"alreadyClaimed": False, "subscriptionId": "sub_1"},
                    "mutation",
                ),
                answered("features.check", CHECK, access(source="subscription", currentUsage=0, remaining=10)),
            ],
            [3],
            id="the-one-tier-that-is-listed",
        ),
        pytest.param(
            [
                answered(
                    "tiers.apply",
                    {"tierCode": "gold", "companyId": ACME},
                    {"tierCode": "gold", "featuresApplied": 1},
                    "mutation",
                ),
                answered(
                    "features.setAccess",
                    {**CHECK, "quantityLimit": 5, "includedQuantity": 1},
                    access(source="subscription", quantityLimit=5, includedQuantity=1, currentUsage=0, remaining=5),
                    "mutation",
                ),
            ],
            [2, 3],
            id="a-tier-of-which-all-is-changed-before-it-is-seen",
        ),
        pytest.param(
            [
                answered(
                    "billing.claimCheckout",
                    {"companyId": ACME, "checkoutSessionId": "cs_1"},
                    {"alreadyClaimed": False, "subscriptionId": "sub_1"},
                    "mutation",
                ),
                answered("features.check", CHECK, access(source="subscription", currentUsage=0, remaining=10)),
            ],
            [2],
            id="a-tier-that-only-a-checkout-shows",
        ),
        pytest.param(
            [
                answered("tiers.list", None, [{"code": "gold", "name": "Gold"}]),
                answered(
                    "tiers.get",
                    {"tierCode": "gold"},
                    {
                        "code": "gold",
                        "name": "Gold",
                        "baseFee": {"stripe": {"priceId": "price_1", "unitAmount": 900, "currency": "usd"}},
                        "features": [
                            {
                                "code": "seats",
                                "name": "Seats",
                                "stripe": None,
                                "configValues": {"max_quantity": 10, "included_quantity": 2},
                            }
                        ],
                        "stripePriceIds": ["price_1"],
                    },
                ),
                answered(
                    "billing.claimCheckout",
                    {"companyId": ACME, "checkoutSessionId": "cs_1"},
                    {"alreadyClaimed": False, "subscriptionId": "sub_1"},
                    "mutation",
                ),
                answered("features.check", CHECK, access(source="subscription", currentUsage=0, remaining=10)),
                answered(
                    "features.setAccess",
                    {**CHECK, "isEnabled": False},
                    access(source="subscription", isEnabled=False, canUse=False, currentUsage=0, remaining=10),
                    "mutation",
                ),
            ],
            [4],
            id="the-tier-for-sale-that-fits-what-a-checkout-gave",
        ),
        pytest.param(
            [
                answered(
                    "tiers.apply",
                    {"tierCode": "gold", "companyId": ACME, "features": {"seats": {"max_quantity": 10}}},
                    {"tierCode": "gold", "featuresApplied": 7},
                    "mutation",
                ),
                answered(
                    "features.setAccess",
                    {**CHECK, "config": {"a": 1}},
                    access(source="subscription", configValues={"a": 1}),
                    "mutation",
                ),
                answered(
                    "features.setAccess",
                    {**CHECK, "quantityLimit": 5, "includedQuantity": 1},
                    access(
                        source="subscription", quantityLimit=5, includedQuantity=1, remaining=2, configValues={"a": 1}
                    ),
                    "mutation",
                ),
            ],
            [2, 3, 4],
            id="a-tier-that-is-never-shown",
        ),
        pytest.param(
            [
                answered("features.check", CHECK, access(source="trial", validUntil="2030-01-01T00:00:00.000Z")),
                answered(
                    "features.listAccess", LISTED, [access(source="trial", validUntil="2030-01-01T00:00:00.000Z")]
                ),
                answered(
                    "billing.getStatus",
                    LISTED,
                    {"hasBillingProfile": False, "enabledFeaturesCount": 1, "activeSubscriptions": []},
                ),
            ],
            [],
            id="all-features-of-a-company",
        ),
    ],
)
def test_recording_without_prologue_has_no_false_drift(
    check: Callable[..., Report], calls: list[dict[str, Any]], unknown: list[int]
) -> None:
    """Calls that depend on state before the recording are not checked, all others are."""
    report = check(*calls)

    assert differences(report) == [], str(report)
    assert unchecked(report) == unknown


def test_change_outside_the_calls_is_drift(check: Callable[..., Report]) -> None:
    """A recording does not show that a subscription was cancelled, or a company without an id."""
    status = {"hasBillingProfile": True, "enabledFeaturesCount": 0}
    shown = {"id": "s1", "stripeSubscriptionId": "sub_1", "displayName": None, "tier": None}
    suggestion = {"companyId": None, "customerName": "Acme", "confidence": 70, "reason": "email_domain"}
    nobody = {"companyId": None, "customerName": None, "confidence": None}
    report = check(
        answered("billing.getStatus", LISTED, {**status, "activeSubscriptions": [shown]}),
        answered("billing.getStatus", LISTED, {**status, "activeSubscriptions": []}),
        answered("companies.smartLink", {"externalOrgId": "org_1"},
                 {**nobody, "status": "suggestions", "suggestions": [suggestion]}, "mutation"),
        answered("companies.create", {"name": "Globex", "externalOrgId": "org_2"}, company(GLOBEX), "mutation"),
        answered("billing.claimCheckout", {"companyId": GLOBEX, "checkoutSessionId": "cs_1"},
                 {"alreadyClaimed": True, "subscriptionId": None}, "mutation"),
    )  # fmt: skip

    assert [line for line, _ in report.drifted] == [3, 4, 5, 6]


def test_count_of_unknown_accesses_is_not_compared(check: Callable[..., Report]) -> None:
    """The number of enabled features is known only if all accesses are."""
    status = {"hasBillingProfile": False, "enabledFeaturesCount": 3, "activeSubscriptions": []}
    seen = answered("features.listAccess", LISTED, [access()])

    assert not check(answered("billing.getStatus", LISTED, status)).is_drift
    assert differences(check(seen, answered("billing.getStatus", LISTED, status))) == [
        (3, "$.enabledFeaturesCount", "value", "3", "1")
    ]


# Strange recordings and services


@pytest.mark.parametrize(
    ("head", "call"),
    [
        ({"recorded_at": "yesterday"}, answered("tiers.list", None, [])),
        ({"recorded_at": 5}, answered("tiers.list", None, [])),
        ({"recorded_at": "0001-01-01T00:00:00+23:59"}, answered("tiers.list", None, [])),
        ({"from": None}, answered("tiers.list", None, [])),
    ],
)
def test_first_line_without_a_date_or_source_is_accepted(
    check: Callable[..., Report], head: dict[str, Any], call: dict[str, Any]
) -> None:
    """The date matters only for accesses that expire."""
    assert not check(call, **head).is_drift


def test_deep_content_is_an_error_of_the_recording(check: Callable[..., Report]) -> None:
    """The message names the recording and the problem."""
    link = {"status": "already_linked", "companyId": ACME, "customerName": "Acme", "confidence": 100, "suggestions": []}
    calls = [answered("companies.smartLink", {"externalOrgId": "org_1"}, link, "mutation")]
    deep: JSON = None
    for _ in range(700):
        deep = [deep]

    assert not check(*calls).is_drift
    with pytest.raises(CassetteError, match=r"recording\.jsonl: .* is nested too deep"):
        check(answered("features.check", CHECK, access(configValues={"deep": deep})))
    with pytest.raises(CassetteError, match=r"recording\.jsonl: .* nested (too deep|deeper than 110 levels)"):
        check(answered("features.check", {**CHECK, "deep": deep}, access()))


def test_input_that_no_client_sends_is_an_error(check: Callable[..., Report]) -> None:
    """A recording that was edited by hand may have one."""
    with pytest.raises(CassetteError, match=r"the recorded features\.check cannot be sent: input\.featureCode"):
        check(answered("features.check", {"companyId": ACME, "featureCode": 2**60}, access()))


def test_object_that_is_no_transport_is_refused() -> None:
    """A URL is none, for example."""
    with pytest.raises(
        TypeError, match=r"against: expected a chatarmin_os\.transports\.Transport or None, got .*https"
    ):
        check_recording(RECORDINGS[0], against="https://os.chatarmin.com")  # type: ignore[arg-type]


def test_key_used_before_the_recording_is_known_by_its_answer(check: Callable[..., Report]) -> None:
    """Usage that did not grow was counted earlier, so the fake does not count it either."""
    report = check(
        answered("features.check", CHECK, access()),
        answered("billing.trackUsage", {**TRACK, "idempotencyKey": "k"}, tracked(3, 7, 1), "mutation"),
        answered("features.check", CHECK, access()),
        answered("billing.trackUsage", {**TRACK, "idempotencyKey": "k"}, tracked(3, 7, 1), "mutation"),
    )

    assert differences(report) == []
    assert [rule.verdict for rule in report.rules if rule.name == "usage-again"] == ["confirmed"]


def test_different_usage_contradicts_no_assumption(check: Callable[..., Report]) -> None:
    """After more usage than the calls show, a limit is reached earlier by the same rule."""
    report = check(
        answered("features.check", CHECK, access()),
        answered("billing.trackUsage", {**TRACK, "quantity": 1}, tracked(10, 0, 8), "mutation"),
    )

    assert report.is_drift
    verdicts = {rule.name: rule.verdict for rule in report.rules}
    assert "contradicted" not in verdicts.values()


def test_nothing_to_check_is_an_error() -> None:
    """A pattern of a test that matches no file is a mistake."""
    with pytest.raises(ValueError, match="no recordings to check"):
        assert_no_drift()


class _AnotherService(Transport):
    """A service with some procedures, of which it may share a few."""

    def __init__(self, *known: str) -> None:
        self.known = known

    def send(self, call: Call) -> JSON:
        if call.path in self.known:
            return []
        raise NotFoundError(f'No procedure found on path "{call.path}"', code="NOT_FOUND", http_status=404)


def test_service_without_the_procedures_is_an_error(check: Callable[..., Report], tmp_path: Path) -> None:
    """A wrong URL is an error; a single missing procedure is drift."""
    check(answered("tiers.list", None, []), answered("features.check", CHECK, access()))
    path = tmp_path / "recording.jsonl"

    with pytest.raises(NotFoundError, match=r"has no procedure 'tiers\.list'"):
        check_recording(path, against=_AnotherService())
    report = check_recording(path, against=_AnotherService("tiers.list"))

    assert differences(report) == [(3, "", "outcome", "an answer", "NOT_FOUND")]


class _Lost(_AnotherService):
    """Loses the answers to all other calls."""

    def __init__(self, *known: str, outcome: Outcome = "unknown") -> None:
        super().__init__(*known)
        self.outcome = outcome

    def send(self, call: Call) -> JSON:
        if call.path in self.known:
            return super().send(call)
        raise TimedOut("no answer", outcome=self.outcome)


def test_lost_live_service_is_an_error_with_the_line(check: Callable[..., Report], tmp_path: Path) -> None:
    """The message says which calls have run."""
    check(answered("tiers.list", None, []), answered("features.check", CHECK, access()))

    with pytest.raises(TimedOut, match=r"no answer \(line 3 of the recording; the calls before it have run\)"):
        check_recording(tmp_path / "recording.jsonl", against=_Lost("tiers.list"))


@pytest.mark.parametrize(
    ("outcome", "expected"), [("not_sent", "no call has run"), ("unknown", "it is the first call")]
)
def test_lost_first_call_says_that_none_has_run(
    check: Callable[..., Report], tmp_path: Path, outcome: Outcome, expected: str
) -> None:
    """A call whose response was lost may have run."""
    check(answered("tiers.list", None, []))
    service = _Lost(outcome=outcome)

    with pytest.raises(TimedOut, match=rf"no answer \(line 2 of the recording; {expected}\)"):
        check_recording(tmp_path / "recording.jsonl", against=service)


def test_assertion_shows_the_differences(check: Callable[..., Report], tmp_path: Path) -> None:
    """The same difference of many calls has one row."""
    check(*[answered("features.check", CHECK, access(remaining=6)) for _ in range(9)])

    with pytest.raises(AssertionError) as failed:
        assert_no_drift(tmp_path / "recording.jsonl")

    head, path, *table = str(failed.value).splitlines()
    assert head == "the fake does not answer as recorded:"
    assert path.startswith(f"{tmp_path}/recording.jsonl: 9 calls, recorded 2")
    assert [line.split() for line in table] == [
        ["line", "call", "place", "differs", "in", "recorded", "now"],
        ["-" * 27, "-" * 14, "-" * 11, "-" * 10, "-" * 8, "---"],
        ["2,", "3,", "4,", "5,", "6,", "7", "and", "3", "more", "features.check", "$.remaining", "value", "6", "7"],
        ["9", "of", "9", "calls", "drifted."],
    ]


STRANGE: list[JSON] = [
    None,
    True,
    -1,
    1.5,
    "",
    "x",
    [],
    {},
    [None],
    [[]],
    {"": None},
    {"code": 5},
    "2024-01-01T00:00:00Z",
]


def _damaged(content: JSON, chance: random.Random) -> JSON:
    """Return JSON in which some places have another value, or are missing."""
    if chance.random() < 0.05:
        return chance.choice(STRANGE)
    if isinstance(content, dict):
        return {key: _damaged(value, chance) for key, value in content.items() if chance.random() > 0.03}
    if isinstance(content, list):
        return [_damaged(item, chance) for item in content if chance.random() > 0.03]
    return content


@pytest.mark.parametrize("seed", range(60))
def test_any_answer_of_a_service_is_reported(check: Callable[..., Report], seed: int) -> None:
    """With any inputs and answers the check returns a report, or names the problem of the recording."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    recording = RECORDINGS[seed % len(RECORDINGS)]
    calls = [json.loads(line) for line in recording.read_text(encoding="utf-8").splitlines()[1:]]
    damaged = []
    for line in calls:
        call = line.get("prologue", line)
        changed = {**call, **{key: _damaged(call[key], chance) for key in ("input", "answer") if key in call}}
        damaged.append({"prologue": changed} if "prologue" in line else changed)

    try:
        report = check(*damaged)
    except CassetteError as error:
        assert "recording.jsonl" in str(error)  # noqa: PT017 - either is fine
    else:
        assert str(report)
        assert json.dumps(report.as_json())


def test_claim_without_a_company_is_not_checked(check: Callable[..., Report]) -> None:
    """No line shows the tier of its subscription."""
    claimed = {"companyId": None, "linkStatus": "linked", "billingStatus": {"subscriptionId": "sub_1"}}

    report = check(answered("onboard", {"externalOrgId": "o", "checkoutSessionId": "cs_1"}, claimed, "mutation"))

    assert unchecked(report) == [2]


def _of_suggestions(size: int) -> list[dict[str, Any]]:
    found = [{"companyId": str(one), "customerName": "x", "confidence": 70, "reason": "name"} for one in range(size)]
    return [smart_linked({"externalOrgId": "org_1"}, "suggestions", suggestions=found)]


def _of_claims(size: int) -> list[dict[str, Any]]:
    claims = [
        answered(
            "billing.claimCheckout",
            {"companyId": f"company {one}", "checkoutSessionId": f"cs_{one}"},
            {"alreadyClaimed": False, "subscriptionId": f"sub_{one}"},
            "mutation",
        )
        for one in range(size // 5)
    ]
    return [*claims, answered("tiers.list", None, [{"code": "pro", "name": "Pro"}])]


def _of_a_domain(size: int) -> list[dict[str, Any]]:
    return [answered("companies.getByProductLink", {"externalOrgId": "org_1"}, company(domain="a." * size))]


@pytest.mark.slow
@pytest.mark.parametrize("calls", [_of_suggestions, _of_claims, _of_a_domain], ids=["suggestions", "claims", "domain"])
def test_check_takes_linear_time(tmp_path: Path, calls: Callable[[int], list[dict[str, Any]]]) -> None:
    """Eight times the recording takes far less than sixty-four times as long, as quadratic time would."""

    def seconds(size: int) -> float:
        path = tmp_path / f"{size}.jsonl"
        path.write_text("\n".join(map(json.dumps, [file.head("x", is_redacted=False), *calls(size)])))
        started = process_time()
        check_recording(path)
        return process_time() - started

    seconds(100)
    assert seconds(16_000) < 24 * seconds(2_000)
