"""Threads on one fake: calls at once have the same outcome as calls in turns."""

from __future__ import annotations

import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, TypeVar

import pytest

from chatarmin_os import ApiError, ChatarminOS, TrackUsageInput, UsageLimitError
from chatarmin_os.fake import FakeTransport, demo_catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

THREADS = 8
TURNS = 20
CONFLICTS = ["CONFLICT"] * (THREADS - 1)
PRO_PRICES = ["price_pro_base", "price_pro_ai_credit", "price_pro_seats"]


@pytest.fixture
def fake() -> FakeTransport:
    """Return a fake that all threads of a test share."""
    return FakeTransport(demo_catalogue())


@pytest.fixture
def shared(fake: FakeTransport) -> ChatarminOS:
    """Return the client that all threads of a test share."""
    return ChatarminOS(transport=fake)


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    """Switch between threads as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def at_once(act: Callable[[int], T]) -> list[T | str]:
    """Return the outcome of each thread: a response, or the code of the refusal."""
    return turns_at_once(lambda number, _: act(number), turns=1)[0]


def turns_at_once(act: Callable[[int, int], T], turns: int = TURNS) -> list[list[T | str]]:
    """Return the outcomes of the threads in each turn; they begin every turn at once."""
    barrier = Barrier(THREADS)

    def run(number: int) -> list[T | str]:
        outcomes: list[T | str] = []
        for turn in range(turns):
            barrier.wait(timeout=10)
            try:
                outcomes.append(act(number, turn))
            except ApiError as error:
                outcomes.append(error.code)
        return outcomes

    with ThreadPoolExecutor(THREADS) as pool:
        return [list(turn) for turn in zip(*pool.map(run, range(THREADS)), strict=True)]


def answered(outcomes: Iterable[T | str]) -> list[T]:
    """Return the responses without the refusals."""
    return [outcome for outcome in outcomes if not isinstance(outcome, str)]


def test_sums_are_exact(fake: FakeTransport, shared: ChatarminOS) -> None:
    """No event of any thread is lost, and tenths add up as decimals do."""
    # Given
    company_id = fake.add_company("Acme")
    shared.tiers.apply("enterprise", company_id=company_id)

    def track(_: int) -> list[float]:
        tracked = [
            shared.billing.track_usage(company_id=company_id, feature_code="ai_credit", quantity=0.1) for _ in range(25)
        ]
        return [result.current_usage for result in tracked]

    # When
    answers = at_once(track)

    # Then
    usage = shared.features.check(company_id=company_id, feature_code="ai_credit").current_usage
    stages = sorted(stage for answer in answered(answers) for stage in answer)
    assert usage == 20
    assert [round(tenths / 10, 1) for tenths in range(1, 201)] == stages


def test_the_limit_holds(fake: FakeTransport, shared: ChatarminOS) -> None:
    """As many events are counted as the limit allows, the others are refused."""
    # Given
    company_id = fake.add_company("Acme")
    shared.tiers.apply("free", company_id=company_id)

    def track(_: int) -> int:
        counted = 0
        for _ in range(20):
            try:
                shared.billing.track_usage(company_id=company_id, feature_code="ai_credit", quantity=1)
            except UsageLimitError:
                continue
            counted += 1
        return counted

    # When
    answers = at_once(track)

    # Then
    access = shared.features.check(company_id=company_id, feature_code="ai_credit")
    assert sum(answered(answers)) == 100
    assert (access.current_usage, access.can_use) == (100, False)


def test_a_key_counts_once(fake: FakeTransport, shared: ChatarminOS) -> None:
    """An event that many threads send counts once, and all get the same response."""
    # Given
    company_id = fake.add_company("Acme")
    shared.tiers.apply("pro", company_id=company_id)
    events = [TrackUsageInput(company_id=company_id, feature_code="ai_credit", quantity=5) for _ in range(TURNS)]

    # When
    turns = turns_at_once(lambda _, turn: shared.send(events[turn]).current_usage)

    # Then
    usage = shared.features.check(company_id=company_id, feature_code="ai_credit").current_usage
    expected = [[5 * (turn + 1)] * THREADS for turn in range(TURNS)]
    assert expected == turns
    assert usage == 5 * TURNS


def test_one_company_gets_an_external_id(shared: ChatarminOS) -> None:
    """Of many companies created for one external org id one is created, the others are conflicts."""
    turns = turns_at_once(
        lambda number, turn: [shared.companies.create(name=f"Acme {number}", external_org_id=f"org_{turn}").id]
    )

    for turn, outcomes in enumerate(turns):
        winner = shared.companies.get_by_product_link(external_org_id=f"org_{turn}")
        assert winner is not None
        assert [[winner.id]] == answered(outcomes)
        assert [outcome for outcome in outcomes if isinstance(outcome, str)] == CONFLICTS


def test_one_link_gets_an_external_id(fake: FakeTransport, shared: ChatarminOS) -> None:
    """Of many companies linked to one external org id one is linked, the others are conflicts."""
    company_ids = [fake.add_company("Acme") for _ in range(THREADS)]

    turns = turns_at_once(
        lambda number, turn: [
            shared.links.create(company_id=company_ids[number], external_org_id=f"org_{turn}").company_id
        ]
    )

    for turn, outcomes in enumerate(turns):
        winner = shared.companies.get_by_product_link(external_org_id=f"org_{turn}")
        assert winner is not None
        assert [[winner.id]] == answered(outcomes)
        assert [outcome for outcome in outcomes if isinstance(outcome, str)] == CONFLICTS


def test_onboarding_creates_one_company(shared: ChatarminOS) -> None:
    """Of many onboardings of one external org id one creates the company, the others find it."""
    turns = turns_at_once(
        lambda _, turn: shared.onboard(external_org_id=f"org_{turn}", contact_email="ann@acme.com", tier_code="free")
    )

    for turn, results in enumerate(turns):
        winner = shared.companies.get_by_product_link(external_org_id=f"org_{turn}")
        outcomes = Counter((str(result.link_status), result.company_id) for result in answered(results))
        assert winner is not None
        assert Counter({("created", winner.id): 1, ("already_linked", winner.id): THREADS - 1}) == outcomes
        assert len(shared.contacts.list(winner.id)) == 1


def test_short_ids_are_all_different(shared: ChatarminOS) -> None:
    """Companies of one name that are created at once have different ids and short ids."""
    turns = turns_at_once(
        lambda number, turn: shared.companies.create(name="Acme", external_org_id=f"org_{number}_{turn}")
    )

    companies = [company for outcomes in turns for company in answered(outcomes)]
    expected = {"acme", *(f"acme-{number}" for number in range(2, THREADS * TURNS + 1))}
    assert expected == {company.short_id for company in companies}
    assert len({company.id for company in companies}) == THREADS * TURNS


def test_a_checkout_goes_to_one_company(fake: FakeTransport, shared: ChatarminOS) -> None:
    """Of many companies that claim one checkout one gets it, the others are conflicts."""
    # Given
    company_ids = [fake.add_company("Acme") for _ in range(THREADS)]
    session_ids = [fake.stripe.add_checkout_session(PRO_PRICES) for _ in range(TURNS)]

    # When
    turns = turns_at_once(
        lambda number, turn: shared.billing.claim_checkout(
            company_id=company_ids[number], checkout_session_id=session_ids[turn]
        )
    )

    # Then
    for outcomes in turns:
        assert [result.already_claimed for result in answered(outcomes)] == [False]
        assert [outcome for outcome in outcomes if isinstance(outcome, str)] == CONFLICTS
    assert sum(fake.mrr(company_id) for company_id in company_ids) == 4900 * TURNS


def test_a_contact_is_new_once(fake: FakeTransport, shared: ChatarminOS) -> None:
    """Of many upserts of one address one creates the contact, and the values of all are kept."""
    # Given
    company_id = fake.add_company("Acme")

    # When
    turns = turns_at_once(
        lambda number, turn: shared.contacts.create(
            company_id=company_id, email=f"{turn}@acme.com", metadata={f"key {number}": number}
        )
    )

    # Then
    contacts = shared.contacts.list(company_id)
    assert [f"{turn}@acme.com" for turn in range(TURNS)] == [contact.email for contact in contacts]
    assert [{f"key {number}": number for number in range(THREADS)}] * TURNS == [one.metadata for one in contacts]
    for outcomes in turns:
        new = [contact.is_new for contact in answered(outcomes)]
        assert (new.count(True), new.count(False)) == (1, THREADS - 1)


def test_one_contact_is_primary(fake: FakeTransport, shared: ChatarminOS) -> None:
    """If many contacts are made primary at once, one of them is primary at the end."""
    company_id = fake.add_company("Acme")

    at_once(
        lambda number: shared.contacts.create(company_id=company_id, email=f"{number}@acme.com", is_primary=True).id
    )

    primary = [contact.is_primary for contact in shared.contacts.list(company_id)]
    assert (primary.count(True), len(primary)) == (1, THREADS)


def test_a_failure_hits_as_many_calls_as_requested(fake: FakeTransport, shared: ChatarminOS) -> None:
    """Three failures hit three calls of any threads, and every call is in the log."""
    fake.fail("tiers.list", error="TOO_MANY_REQUESTS", times=3)

    outcomes = at_once(lambda _: len(shared.tiers.list()))

    assert Counter({"TOO_MANY_REQUESTS": 3, 4: THREADS - 3}) == Counter(outcomes)
    assert len(fake.calls) == THREADS


def test_a_snapshot_never_shows_half_a_call(fake: FakeTransport, shared: ChatarminOS) -> None:
    """A snapshot taken while others onboard has whole onboardings only."""
    # Given
    org_ids = [f"org_{number}" for number in range(5 * THREADS)]

    def act(number: int) -> list[str]:
        if number == 0:
            return [json.dumps(fake.snapshot()) for _ in range(5)]
        for org_id in org_ids[number::THREADS]:
            shared.onboard(external_org_id=org_id, tier_code="free", contact_email="ann@acme.com")
        return []

    # When
    snapshots = [text for texts in answered(at_once(act)) for text in texts]

    # Then
    seen = set()
    for text in [*snapshots, json.dumps(fake.snapshot())]:
        client = ChatarminOS(transport=FakeTransport.from_snapshot(json.loads(text)))
        companies = [client.companies.get_by_product_link(external_org_id=org_id) for org_id in org_ids]
        for company in filter(None, companies):
            status = client.billing.get_status(company.id)
            seen.add((len(client.contacts.list(company.id)), status.enabled_features_count))
    assert len(snapshots) == 5
    assert seen == {(1, 2)}
