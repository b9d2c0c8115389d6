"""Recordings with a prologue: the queries that a recorder sends, where it writes them, and how they fail."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import (
    ApiError,
    CassetteError,
    ChatarminOS,
    CheckByExternalOrgIdInput,
    ConflictError,
    FeatureCheckInput,
    NotFoundError,
    TimedOut,
)
from chatarmin_os.drift import check_recording
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.recording import file
from chatarmin_os.recording.redactors import personal_data
from chatarmin_os.transports import Call, RecordingTransport, ReplayTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chatarmin_os import ChatarminError
    from chatarmin_os._json import JSON

COMPANY = ["features.listAccess", "billing.getStatus", "contacts.list"]
CATALOGUE = ["tiers.list"]
TIERS = ["tiers.get"] * 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path for a recording."""
    return tmp_path / "recording.jsonl"


@pytest.fixture
def service() -> FakeTransport:
    """The service that is recorded."""
    return FakeTransport(demo_catalogue())


def _record(service: Transport, path: Path, act: Callable[[ChatarminOS], Any], **settings: Any) -> Any:
    with ChatarminOS(transport=RecordingTransport(service, path, prologue=True, **settings)) as client:
        return act(client)


def _paths(path: Path) -> list[str]:
    """Return the lines of a recording by their paths, those of the prologue in brackets."""
    return [f"({line.path})" if line.is_prologue else line.path for line in file.load(path).lines]


def _prologue(*paths: str) -> list[str]:
    return [f"({path})" for path in paths]


def _onboarded(service: FakeTransport, org: str = "org_1", **more: Any) -> str:
    company = ChatarminOS(transport=service).onboard(external_org_id=org, **more).company_id
    assert company
    service.calls.clear()
    return company


def test_recorder_without_prologue_sends_the_calls_alone(service: FakeTransport, path: Path) -> None:
    """The default sends nothing that the program does not send, and writes format 1."""
    with ChatarminOS(transport=RecordingTransport(service, path)) as client:
        client.onboard(external_org_id="org_1")

    assert [call.path for call in service.calls] == ["onboard"]
    assert json.loads(path.read_text().splitlines()[0])["format"] == "chatarmin_os recording 1"


def test_prologue_has_catalogue_and_company_before_the_first_call(service: FakeTransport, path: Path) -> None:
    """The first call about a company comes after the queries about it, and later ones need none."""
    company = _onboarded(service)

    _record(service, path, lambda client: [client.billing.get_status(company) for _ in range(2)])

    before = _prologue(*CATALOGUE, *COMPANY, *TIERS)
    assert _paths(path) == [*before, "billing.getStatus", "billing.getStatus"]
    assert [call.path for call in service.calls] == [name.strip("()") for name in _paths(path)]
    head, line, *_ = map(json.loads, path.read_text().splitlines())
    assert head["format"] == "chatarmin_os recording 2"
    assert line["prologue"].keys() == {"answer", "input", "kind", "path"}


def test_prologue_follows_the_link_of_an_organisation(service: FakeTransport, path: Path) -> None:
    """An organisation that is linked shows a company; one that is not shows that."""
    company = _onboarded(service)

    def act(client: ChatarminOS) -> None:
        client.features.check_by_external_org_id("org_1", "seats")
        client.features.check(company_id=company, feature_code="seats")
        client.companies.get_by_product_link(external_org_id="org_2")

    _record(service, path, act)

    assert _paths(path) == [
        *_prologue(*CATALOGUE, "companies.getByProductLink", *COMPANY, *TIERS),
        "features.checkByExternalOrgId",
        "features.check",
        *_prologue("companies.getByProductLink"),
        "companies.getByProductLink",
    ]


def test_prologue_of_a_batch_is_sent_as_batches(service: FakeTransport, path: Path) -> None:
    """All companies of a batch take two more requests."""

    class Counting(Transport):
        sizes: list[int] = []  # noqa: RUF012 - of this class alone

        def send(self, call: Call) -> JSON:
            return service.send(call)

        def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
            self.sizes.append(len(calls))
            return super().send_many(calls)

    company = _onboarded(service)
    asked = [FeatureCheckInput(company_id=company, feature_code="seats"), CheckByExternalOrgIdInput(external_org_id="o", feature_code="seats")]  # fmt: skip  # noqa: E501

    _record(Counting(), path, lambda client: client.batch(asked))

    assert Counting.sizes == [1 + 3 + 1, 4, 2]
    assert _paths(path)[-2:] == ["features.check", "features.checkByExternalOrgId"]


def test_created_company_has_no_state_before(service: FakeTransport, path: Path) -> None:
    """The first one shows all features of the product, and the next one needs no query."""

    def act(client: ChatarminOS) -> None:
        client.companies.create(name="Acme", external_org_id="org_1")
        client.onboard(external_org_id="org_2")

    _record(service, path, act)

    assert _paths(path) == [
        *_prologue(*CATALOGUE, "companies.getByProductLink", *TIERS),
        "companies.create",
        *_prologue("features.listAccess", "companies.getByProductLink"),
        "onboard",
    ]


def test_company_that_hints_have_found_is_asked_about(service: FakeTransport, path: Path) -> None:
    """Its state is written down after the call that has found it, with its name; a suggested one has no link."""
    company = service.add_company("Globex", domain="globex.example")
    service.add_company("Umbrella Labs")

    def act(client: ChatarminOS) -> None:
        client.companies.smart_link(external_org_id="org_1", hints={"company_name": "Umbrella Lab"})
        client.companies.smart_link(external_org_id="org_1", hints={"domain": "globex.example"})
        client.features.check(company_id=company, feature_code="seats")

    _record(service, path, act)

    assert _paths(path) == [
        *_prologue(*CATALOGUE, "companies.getByProductLink", *TIERS),
        "companies.smartLink",
        *_prologue(*COMPANY),
        "companies.smartLink",
        *_prologue("companies.getByProductLink", *COMPANY),
        "features.check",
    ]
    report = check_recording(path)
    assert (report.is_drift, [call.unknown for call in report.calls]) == (False, [None] * 3)


def test_subscription_shows_its_tier_after_the_call_that_claims_it(service: FakeTransport, path: Path) -> None:
    """No query shows the tier of a checkout before; claiming it again shows nothing new."""
    company = _onboarded(service)
    session = service.stripe.add_checkout_session(["price_pro_base", "price_pro_ai_credit", "price_pro_seats"])

    def act(client: ChatarminOS) -> None:
        for _ in range(2):
            client.billing.claim_checkout(company_id=company, checkout_session_id=session)
        client.features.check(company_id=company, feature_code="seats")

    _record(service, path, act)

    assert _paths(path)[-4:] == [
        "billing.claimCheckout",
        *_prologue("billing.getStatus"),
        "billing.claimCheckout",
        "features.check",
    ]
    report = check_recording(path)
    assert (report.is_drift, [call.unknown for call in report.calls]) == (False, [None] * 3)


@pytest.mark.parametrize(
    "error",
    [
        "FORBIDDEN",
        "UNAUTHORIZED",
        TimedOut("too late"),
        NotFoundError('No procedure found on path "contacts.list"', code="NOT_FOUND", http_status=404),
        CassetteError("no such call"),
    ],
    ids=["forbidden", "unauthorized", "timeout", "missing-procedure", "not-sent"],
)
def test_failed_query_changes_nothing_for_the_call(service: FakeTransport, path: Path, error: Any) -> None:
    """It is written down as unknown, is not repeated, and a check says which call depends on it."""
    company = _onboarded(service, contact_email="ann@acme.example")
    service.fail("contacts.list", error=error)

    def act(client: ChatarminOS) -> Any:
        client.contacts.create(company_id=company, email="bob@acme.example")
        return client.contacts.list(company)

    assert len(_record(service, path, act)) == 2

    [failed] = [line for line in file.load(path).lines if line.is_prologue and line.path == "contacts.list"]
    assert failed.outcome.keys() <= {"error", "failure"}
    report = check_recording(path)
    assert not report.is_drift
    assert [call.unknown for call in report.calls] == [f"the contacts of company {company}", None]
    assert f"1 call not checked (line {report.calls[0].recorded.line}), because the recording does not show" in str(
        report
    )
    assert report.as_json()["calls"][0]["unknown"] == f"the contacts of company {company}"


def test_query_with_an_answer_that_no_line_holds_is_skipped(service: FakeTransport, path: Path) -> None:
    """A missing line is unknown state."""

    class Strange(Transport):
        def send(self, call: Call) -> Any:
            return {1, 2} if call.path == "tiers.list" else service.send(call)

    company = _onboarded(service)

    _record(Strange(), path, lambda client: client.features.list_access(company))

    assert _paths(path) == [*_prologue(*COMPANY), "features.listAccess"]


def test_malformed_ids_are_no_subjects(service: FakeTransport, path: Path) -> None:
    """The recorder asks for nothing that the service would only refuse."""

    def act(client: ChatarminOS) -> None:
        for given in ({"companyId": 5, "externalOrgId": " "}, [1]):
            with pytest.raises(ApiError):
                client.call("features.listAccess", given)

    _record(service, path, act)

    assert _paths(path) == [*_prologue(*CATALOGUE, *TIERS), "features.listAccess", "features.listAccess"]


class _Odd(Transport):
    """Answers every call with one object."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send(self, call: Call) -> Any:
        del call
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        {"companyId": None, "suggestions": 5, "billingStatus": 5},
        {"companyId": " ", "suggestions": [5, {"companyId": 5}], "billingStatus": {"subscriptionId": {}}},
        {"id": 5, "linkStatus": "created", "subscriptionId": "sub_1"},
        [{"code": 5}, 5],
    ],
    ids=["null", "blank", "number", "list"],
)
@pytest.mark.parametrize("call", ["companies.create", "onboard", "billing.claimCheckout"])
def test_answers_of_any_shape_are_recorded(path: Path, answer: Any, call: str) -> None:
    """Another service may answer anything; the recorder asks only about ids that it finds."""
    transport = RecordingTransport(_Odd(answer), path, prologue=True)
    assert transport.send(Call(call, "mutation", {"externalOrgId": "org_1"})) == answer
    assert transport.send(Call(call, "mutation")) == answer
    transport.close()

    assert [line.path for line in file.load(path).calls] == [call, call]


def test_threads_wait_for_the_prologue_of_the_same_company(service: FakeTransport, path: Path) -> None:
    """The state of a company is written down once, before any of their calls."""
    company = _onboarded(service, tier_code="free")
    barrier = Barrier(8)

    def act(client: ChatarminOS) -> None:
        def track(_: int) -> None:
            barrier.wait()
            client.billing.track_usage(company_id=company, feature_code="seats", quantity=0.1)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(track, range(8)))

    _record(service, path, act)

    names = _paths(path)
    assert names == [*_prologue(*CATALOGUE, *COMPANY, *TIERS), *["billing.trackUsage"] * 8]


def test_options_share_the_prologue(service: FakeTransport, path: Path) -> None:
    """A client with other options writes to the same recording, and asks for nothing twice."""
    company = _onboarded(service)

    def act(client: ChatarminOS) -> None:
        client.features.check(company_id=company, feature_code="seats")
        client.with_options(timeout=3).features.check(company_id=company, feature_code="seats")

    _record(service, path, act)

    assert _paths(path)[-2:] == ["features.check"] * 2


def test_prologue_is_not_replayed(service: FakeTransport, path: Path) -> None:
    """A replay answers the calls, and none of the queries before them."""
    company = _onboarded(service)
    _record(service, path, lambda client: client.features.check(company_id=company, feature_code="seats"))

    with ChatarminOS(transport=ReplayTransport(path)) as client:
        with pytest.raises(CassetteError, match=r"it has features\.check"):
            client.tiers.list()
        assert client.features.check(company_id=company, feature_code="seats").feature_code == "seats"


def test_prologue_is_redacted_as_the_calls_are(service: FakeTransport, path: Path) -> None:
    """The same value has the same pseudonym in both, so that a check still fits them together."""
    company = _onboarded(
        service, hints={"company_name": "Bakery Ltd", "domain": "bakery.example"}, contact_email="joan@bakery.example"
    )

    def act(client: ChatarminOS) -> None:
        client.contacts.create(company_id=company, email="joan@bakery.example", role="owner")
        client.contacts.list(company)
        client.companies.smart_link(external_org_id="org_2", hints={"domain": "bakery.example"})

    _record(service, path, act, redact=personal_data)

    content = path.read_text().lower()
    assert not [word for word in ("joan", "bakery") if word in content]
    report = check_recording(path)
    assert (report.is_drift, [call.unknown for call in report.calls]) == (False, [None] * 3)


def test_redacted_names_are_compared_as_far_as_pseudonyms_allow(service: FakeTransport, path: Path) -> None:
    """Similar names have different pseudonyms, and a company may be named after a text that is not a name."""
    service.add_company("Umbrella Labs")

    def act(client: ChatarminOS) -> None:
        client.companies.smart_link(external_org_id="org_1", hints={"company_name": "Umbrella Lab"})
        client.onboard(external_org_id="org_2", hints={"domain": "soylent.example"})
        client.contacts.create(
            company_id=client.companies.create(name="Acme", external_org_id="org_3").id,
            email="ann@acme.example",
            metadata={"seat": 1},
        )

    _record(service, path, act, redact=personal_data)

    report = check_recording(path)
    assert (report.is_drift, [call.unknown for call in report.calls]) == (False, [None] * 4), str(report)


def test_companies_with_the_same_domain_are_suggested_on_the_fake_too(service: FakeTransport, path: Path) -> None:
    """No query shows the domain of a company without a link; the reason of its suggestion does."""
    for name in ("Globex", "Globex West"):
        service.add_company(name, domain="globex.example")

    def act(client: ChatarminOS) -> None:
        for hints in ({"domain": "globex.example"}, {"emails": ["ann@globex.example"]}):
            found = client.companies.smart_link(external_org_id="org_1", hints=hints)
            assert len(found.suggestions) == 2

    _record(service, path, act)

    report = check_recording(path)
    assert (report.is_drift, [call.unknown for call in report.calls]) == (False, [None] * 2), str(report)


def test_key_used_before_the_recording_explains_its_refusal(service: FakeTransport, path: Path) -> None:
    """No query shows keys, so the refusal is not drift, and confirms nothing."""
    company = _onboarded(service, tier_code="free")
    track: dict[str, Any] = {"company_id": company, "feature_code": "seats", "idempotency_key": "key_1"}
    ChatarminOS(transport=service).billing.track_usage(**track, quantity=2)

    def act(client: ChatarminOS) -> None:
        with pytest.raises(ConflictError):
            client.billing.track_usage(**track, quantity=1)

    _record(service, path, act)

    report = check_recording(path)
    assert not report.is_drift
    assert {rule.verdict for rule in report.rules if rule.name == "usage-key"} == {"untouched"}


@pytest.mark.parametrize(
    ("error", "after", "unknown"),
    [
        (TimedOut("lost", outcome="unknown"), True, [None, "the access to seats of company"]),
        (
            ApiError("down", code="INTERNAL_SERVER_ERROR", http_status=500),
            True,
            [None, "the access to seats of company"],
        ),
        (TimedOut("not sent", outcome="not_sent"), False, [None, None]),
        ("TOO_MANY_REQUESTS", False, [None, None]),
    ],
    ids=["lost", "server-error", "not-sent", "refused"],
)
def test_call_without_an_answer_may_have_run(
    service: FakeTransport, path: Path, error: Any, *, after: bool, unknown: list[str | None]
) -> None:
    """The state that it may have changed is unknown until a query shows it again."""
    company = _onboarded(service, tier_code="free")
    service.fail("billing.trackUsage", error=error, after=after)
    track: dict[str, Any] = {"company_id": company, "feature_code": "seats", "quantity": 1}

    def act(client: ChatarminOS) -> None:
        with pytest.raises((TimedOut, ApiError)):
            client.billing.track_usage(**track)
        client.billing.track_usage(**track)
        client.features.check(company_id=company, feature_code="seats")
        client.billing.track_usage(**track)

    _record(service, path, act)

    report = check_recording(path)
    assert not report.is_drift, str(report)
    found = [call.unknown and call.unknown.partition(f" {company}")[0] for call in report.calls]
    assert found == [*unknown, None, None]


def test_link_to_a_company_that_the_calls_create_is_none_at_the_start(service: FakeTransport, path: Path) -> None:
    """Somebody else may have linked another organisation to it before the recorder asks."""

    def act(client: ChatarminOS) -> None:
        company = client.companies.create(name="Acme", external_org_id="org_1").id
        ChatarminOS(transport=service).links.create(company_id=company, external_org_id="org_2")
        client.features.check_by_external_org_id("org_2", "seats")

    _record(service, path, act)

    report = check_recording(path)
    assert [(call.recorded.path, difference.kind) for _, call in report.drifted for difference in call.differences] == [
        ("features.checkByExternalOrgId", "outcome")
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"prologue": 5}', "line 2: not a call"),
        ('{"prologue": {"path": "a", "kind": "query", "input": 1}}', "line 2: not a call"),
        ('{"prologue": {"path": "a", "kind": "query", "input": 1, "answer": 1}, "path": "a"}', "line 2: not a call"),
    ],
    ids=["number", "no-outcome", "two-keys"],
)
def test_invalid_prologue_line_is_named_by_its_number(path: Path, line: str, problem: str) -> None:
    """As an invalid call is."""
    path.write_text(f'{{"format": "chatarmin_os recording 2"}}\n{line}\n')

    with pytest.raises(CassetteError, match=problem):
        ReplayTransport(path)
