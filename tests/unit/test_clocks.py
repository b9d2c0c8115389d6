"""The two clocks of each transport: the time of the service, and seconds that never go back."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import freezegun
import pytest
import time_machine

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import FunctionTransport, HTTPTransport, RecordingTransport, ReplayTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "os_sk_9f8e7d6c5b4a"
LONG_AGO = datetime(2001, 2, 3, tzinfo=UTC)


def _replay(path: Path) -> Transport:
    RecordingTransport(FakeTransport(), path).close()
    return ReplayTransport(path)


REAL: dict[str, Callable[[Path], Transport]] = {
    "http": lambda _: HTTPTransport(KEY),
    "http-with-options": lambda _: HTTPTransport(KEY).with_options(timeout=1),
    "function": lambda _: FunctionTransport(lambda _: None),
    "replay": _replay,
    "recorded-http": lambda path: RecordingTransport(HTTPTransport(KEY), path),
}
FREEZE: dict[str, Callable[[], Any]] = {
    "freezegun": lambda: freezegun.freeze_time(LONG_AGO),
    "time-machine": lambda: time_machine.travel(LONG_AGO, tick=False),
}


@pytest.mark.parametrize("freeze", FREEZE.values(), ids=FREEZE)
@pytest.mark.parametrize("make", REAL.values(), ids=REAL)
def test_clocks_are_those_of_the_machine(
    make: Callable[[Path], Transport], freeze: Callable[[], Any], tmp_path: Path
) -> None:
    """Except on the fake both clocks are real ones, which go on in a test that stops time."""
    transport = make(tmp_path / "calls.jsonl")
    earliest, start = datetime.now(UTC) - timedelta(seconds=1), time.monotonic()

    with freeze():
        now, seconds = transport.now(), transport.monotonic()
        time.sleep(0.001)
        later = transport.monotonic()

    assert now.tzinfo is UTC
    assert earliest <= now <= datetime.now(UTC) + timedelta(seconds=1)
    assert start <= seconds < later <= time.monotonic()
    transport.close()


def test_fake_has_the_time_that_it_was_given() -> None:
    """The time of a fake is that of its clock, in UTC, whatever the zone of the clock."""
    fake = FakeTransport(now=lambda: datetime(2026, 11, 3, 12, tzinfo=timezone(timedelta(hours=2))))

    assert fake.now() == datetime(2026, 11, 3, 10, tzinfo=UTC)
    assert fake.now().tzinfo is UTC


def test_fake_has_the_time_of_its_answers() -> None:
    """What the fake writes into an answer is the time that `now` returns."""
    noon = datetime(2026, 11, 3, 12, tzinfo=UTC)
    fake = FakeTransport(demo_catalogue(), now=lambda: noon)
    client = ChatarminOS(transport=fake)
    company_id = client.onboard(external_org_id="org_1").company_id
    client.features.set_access(
        company_id=company_id,
        feature_code="ai_credit",
        is_enabled=True,
        quantity_limit=5,
        valid_until=noon + timedelta(days=1),
    )

    fake.advance(timedelta(days=1, seconds=-1))
    assert client.features.check(company_id=company_id, feature_code="ai_credit").can_use
    fake.advance(timedelta(seconds=1))
    assert not client.features.check(company_id=company_id, feature_code="ai_credit").can_use
    assert fake.now() == noon + timedelta(days=1)


@pytest.mark.parametrize("freeze", FREEZE.values(), ids=FREEZE)
def test_fake_sees_a_time_that_is_stopped_and_its_seconds_go_on(freeze: Callable[[], Any]) -> None:
    """In a test that stops time the fake has the stopped time; what never goes back is real."""
    fake = FakeTransport()
    start = fake.monotonic()

    with freeze():
        assert fake.now() == LONG_AGO
        time.sleep(0.001)
        assert fake.monotonic() > start


def test_advance_moves_both_clocks() -> None:
    """To advance a fake moves both its clocks by the same time, in which real time passes too."""
    noon = datetime(2026, 11, 3, 12, tzinfo=UTC)
    fake = FakeTransport(now=lambda: noon)
    before = time.monotonic()

    fake.advance(timedelta(days=1, microseconds=500_000))
    fake.advance(timedelta(hours=1))

    assert fake.now() - noon == timedelta(hours=25, microseconds=500_000)
    assert 90_000.5 <= fake.monotonic() - before <= 90_000.5 + time.monotonic() - before + 1e-6


def test_advance_that_fails_moves_neither_clock() -> None:
    """Where the calendar ends nothing is moved."""
    fake = FakeTransport()
    before = fake.monotonic()

    for by in (timedelta(days=-1), timedelta.max):
        with pytest.raises(ValueError, match=r"^by: "):
            fake.advance(by)

    assert fake.monotonic() - before < 86_400
    assert abs(fake.now() - datetime.now(UTC)) < timedelta(days=1)


CHANGES: dict[str, Callable[[FakeTransport], object]] = {
    "reset": FakeTransport.reset,
    "replace": lambda fake: fake.replace(fake.service.load(FakeTransport().snapshot())),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_seconds_never_go_back(change: Callable[[FakeTransport], object]) -> None:
    """A state without the advanced time has the time of the clock again; the seconds keep what was added."""
    fake = FakeTransport()
    before = fake.monotonic()
    fake.advance(timedelta(days=1))

    change(fake)

    assert fake.now() < datetime.now(UTC) + timedelta(hours=1)
    assert fake.monotonic() - before >= 86_400


def test_recording_has_the_clocks_of_what_it_records(tmp_path: Path) -> None:
    """A recording passes both clocks on, those of a fake too."""
    fake = FakeTransport(now=lambda: LONG_AGO)
    recording = RecordingTransport(fake, tmp_path / "calls.jsonl")

    assert recording.with_options(timeout=1).now() == recording.now() == LONG_AGO
    before = recording.monotonic()
    fake.advance(timedelta(days=1))

    assert recording.now() == LONG_AGO + timedelta(days=1)
    assert recording.monotonic() - before >= 86_400
    recording.close()
