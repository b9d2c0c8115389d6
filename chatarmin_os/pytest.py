"""A plugin for pytest: clients on a fresh fake, and on recordings that lie beside the tests.

It is not loaded by itself: say `pytest_plugins = ["chatarmin_os.pytest"]` in the conftest.py of your project's root, or
run `pytest -p chatarmin_os.pytest`.

    def test_upgrade(recorded_os):                 replays recordings/test_billing.test_upgrade.jsonl
        assert recorded_os.tiers.get("pro")

    pytest test_billing.py::test_upgrade --os-record          records it, with the key in OS_API_KEY
    pytest test_billing.py::test_upgrade --os-record=fake     records the in-memory service

PYTEST_DONT_REWRITE: there is no assert statement in it, and a conftest.py may import from it before it is loaded.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import CassetteError, ChatarminOS, InvalidInput, _clock
from chatarmin_os.drift import check_recording
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import RecordingTransport, ReplayTransport, _cassette

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from chatarmin_os._json import JSON
    from chatarmin_os.transports import Call, Transport

_MOST_SHOWN = 40
_has_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("chatarmin-os", "ChatarminOS")
    group.addoption(
        "--os-record",
        nargs="?",
        const="service",
        choices=("service", "fake"),
        help="record the tests that use recorded_os anew: from the service (OS_API_KEY, OS_BASE_URL), or from the fake",
    )
    group.addoption("--os-max-age", type=int, metavar="DAYS", help="warn of recordings that are older")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether a test has failed: what it left unused is no second failure then, and no recording is kept."""
    report = yield
    item.stash[_has_failed] = item.stash.get(_has_failed, False) or report.failed
    return report


@pytest.fixture
def fake_os() -> ChatarminOS:
    """A client on a fresh fake with the demo catalogue; the handles are those of its `transport`."""
    return ChatarminOS(transport=FakeTransport(demo_catalogue()))


@pytest.fixture
def os_redact() -> Callable[[JSON], JSON] | None:
    """What redacts recordings; override it in your conftest.py, such as by `personal_data`."""
    return None


@pytest.fixture
def recorded_os(request: pytest.FixtureRequest, os_redact: Callable[[JSON], JSON] | None) -> Iterator[ChatarminOS]:
    """A client that replays the test's recording; with `--os-record`, one that makes it."""
    path = _path(request.node)
    command = f"pytest {request.node.nodeid!r} --os-record"
    if source := request.config.getoption("--os-record"):
        yield from _recording(request.node, path, source, os_redact)
        return
    if not path.exists():
        pytest.fail(f"{path} is not there; this records it: {command}", pytrace=False)
    _warn_of_age(request.node, path, command)
    try:
        transport = _Replay(path, command, os_redact)
    except CassetteError as error:
        pytest.fail(f"{error}; this records it anew: {command}", pytrace=False)
    yield ChatarminOS(transport=transport)
    if not request.node.stash.get(_has_failed, False) and (problem := transport.problem()):
        pytest.fail(f"{problem}\nThis records it anew: {command}", pytrace=False)


class _Replay(ReplayTransport):
    """Tells how to record a test anew; a call without a recording is told at the end too, if its error was caught."""

    def __init__(self, path: Path, command: str, redact: Callable[[JSON], JSON] | None) -> None:
        super().__init__(path, redact=redact)
        self._command = command
        self._missing: CassetteError | None = None

    def send(self, call: Call) -> JSON:
        try:
            return super().send(call)
        except CassetteError as error:
            self._missing = self._missing or error
            raise CassetteError(f"{error}\nThis records it anew: {self._command}") from None

    def problem(self) -> CassetteError | None:
        """Return what is wrong at the end, None where nothing is."""
        if self._missing:
            return self._missing
        try:
            self.close()
        except CassetteError as error:
            return error
        return None


def _recording(
    test: pytest.Item, path: Path, source: str, redact: Callable[[JSON], JSON] | None
) -> Iterator[ChatarminOS]:
    """Record a test; what is there is replaced only if the test passes."""
    path.parent.mkdir(exist_ok=True)
    beside = path.with_name(f".{path.name}")
    with ChatarminOS(transport=_source(source)) as service:
        recording = RecordingTransport(service.transport, beside, redact=redact, overwrite=True)
        try:
            yield ChatarminOS(transport=recording)
            recording.close()
            if not test.stash.get(_has_failed, False):
                beside.replace(path)
                _warn_of_failures(test, path)
        finally:
            recording.close()
            beside.unlink(missing_ok=True)


def _warn_of_failures(test: pytest.Item, path: Path) -> None:
    """Warn of calls that had no answer: the test may have caught that, and would replay it for ever."""
    failures = [call.path for call in _cassette.loaded(path)[1] if "failure" in call.came]
    if failures:
        test.warn(pytest.PytestWarning(f"recorded without an answer, as they had none: {', '.join(failures)}"))


def _source(source: str) -> Transport:
    if source == "fake":
        return FakeTransport(demo_catalogue())
    try:
        return ChatarminOS().transport
    except InvalidInput as error:
        pytest.fail(f"--os-record: {error}", pytrace=False)


def _path(test: pytest.Item) -> Path:
    name = test.nodeid.partition("::")[2].replace("::", ".")
    return test.path.parent / "recordings" / f"{test.path.stem}.{re.sub(r'[^A-Za-z0-9_.,=-]+', '_', name)}.jsonl"


def _warn_of_age(test: pytest.Item, path: Path, command: str) -> None:
    most = test.config.getoption("--os-max-age")
    if most is None:
        return
    try:
        recorded_at = datetime.fromisoformat(_cassette.loaded(path)[0]["recorded_at"])
    except (CassetteError, KeyError, TypeError, ValueError):
        return  # what is wrong with it is told when it is replayed
    age = _clock.now() - recorded_at
    if age > timedelta(days=most):
        test.warn(pytest.PytestWarning(f"{path} is {age.days} days old; this records it anew: {command}"))


def assert_same_state(left: FakeTransport | JSON, right: FakeTransport | JSON) -> None:
    """Assert that two fakes, or snapshots of them, know the same; the failure says what differs, place by place.

    Example:
        >>> before = fake.snapshot()
        >>> company = fake.add_company("Acme Inc")
        >>> assert_same_state(before, fake)
        Traceback (most recent call last):
        ...
        AssertionError: the states differ at 6 places:
        - companies: []
        + companies[0].createdAt: None
        ...
    """
    before, after = _flat(_snapshot(left)), _flat(_snapshot(right))
    lines = []
    for place in sorted(before.keys() | after.keys()):
        if place not in after:
            lines.append(f"- {place}: {before[place]!r}")
        elif place not in before:
            lines.append(f"+ {place}: {after[place]!r}")
        elif before[place] != after[place]:
            lines.append(f"~ {place}: {before[place]!r} -> {after[place]!r}")
    if lines:
        more = [f"and {len(lines) - _MOST_SHOWN} more"] if len(lines) > _MOST_SHOWN else []
        told = f"the states differ at {len(lines)} place{'' if len(lines) == 1 else 's'}:"
        raise AssertionError("\n".join([told, *lines[:_MOST_SHOWN], *more]))


def assert_no_drift(*paths: str | os.PathLike[str]) -> None:
    """Assert that the fake still answers as recordings do; the failure is the table of what differs.

    Example:
        >>> from tempfile import mkdtemp
        >>> from chatarmin_os import ChatarminOS
        >>> from chatarmin_os.transports import RecordingTransport
        >>> path = f"{mkdtemp()}/tiers.jsonl"
        >>> with ChatarminOS(transport=RecordingTransport(fake, path)) as client:
        ...     tiers = client.tiers.list()
        >>> assert_no_drift(path)
    """
    if not paths:
        raise ValueError("no recordings to check: is the folder right?")
    drifted = [str(report) for report in map(check_recording, paths) if report.is_drift]
    if drifted:
        raise AssertionError("the fake does not do as recorded:\n" + "\n".join(drifted))


def _snapshot(state: FakeTransport | JSON) -> JSON:
    return state.snapshot() if isinstance(state, FakeTransport) else state


def _flat(content: JSON, place: str = "") -> dict[str, Any]:
    """Return the values inside JSON by their places."""
    if isinstance(content, dict) and content:
        parts = [(f"{place}.{key}" if place else str(key), value) for key, value in content.items()]
    elif isinstance(content, list) and content:
        parts = [(f"{place}[{index}]", value) for index, value in enumerate(content)]
    else:
        return {place: content}
    return {below: value for name, part in parts for below, value in _flat(part, name).items()}
