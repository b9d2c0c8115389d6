"""A plugin for pytest: clients on a fresh fake, and on recordings in a folder next to the tests.

Load it with `pytest_plugins = ["chatarmin_os.pytest"]` in the conftest.py of your project's root, or run
`pytest -p chatarmin_os.pytest`.

    def test_upgrade(recorded_os):                 replays recordings/test_billing.test_upgrade.jsonl
        assert recorded_os.tiers.get("pro")

    pytest --os-record test_billing.py             records it from OS_BASE_URL, with the key in OS_API_KEY
    pytest --os-record=fake test_billing.py        records the in-memory service
    pytest --os-record=production test_billing.py  records the production service

A recording is replaced only once its test has passed. It begins with a prologue: queries that the recorder sends to
learn the state from which the test starts (see `chatarmin_os.transports.RecordingTransport`).

PYTEST_DONT_REWRITE: it has no assert statement, and a conftest.py may import from it before it is loaded.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from hashlib import sha256
from itertools import dropwhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from chatarmin_os import CassetteError, ChatarminOS, InvalidInput, _clock
from chatarmin_os._json import JSON
from chatarmin_os.fake import Catalogue, FakeTransport, demo_catalogue
from chatarmin_os.recording import file
from chatarmin_os.transports import Call, RecordingTransport, ReplayTransport, Transport

_SERVICE, _PRODUCTION, _FAKE = "service", "production", "fake"
_SOURCES = {
    _SERVICE: "record the tests that use recorded_os, from the service at OS_BASE_URL, with the key in OS_API_KEY",
    _PRODUCTION: "the same from the production service, whatever OS_BASE_URL is",
    _FAKE: "the same from the in-memory fake, with the catalogue of the fixture os_catalogue",
}
_NO_URL = (
    "--os-record: OS_BASE_URL is not set, so the calls would go to the production service; set it to the service to "
    f"record, or pass --os-record={_PRODUCTION} or --os-record={_FAKE}"
)
_STATEFUL = (
    "The service may still have the state of an earlier run. To record again from a local service, set a new\n"
    "OS_API_KEY, or reset its product (POST /__fake__/reset). On any other service, give the test new ids in each run\n"
    "and let a redactor replace them."
)
_MISTYPED = {"prod": _PRODUCTION, "prd": _PRODUCTION, "live": _PRODUCTION, "local": _SERVICE, "memory": _FAKE}
_MAX_SHOWN = 40
_MAX_NAME = 150  # bytes, so that a digest, a suffix and a path fit around it on every file system
_MAX_FORMER_NAME = 255
_UNSAFE = re.compile(r"[^A-Za-z0-9_.,=-]+")

_has_passed = pytest.StashKey[bool | None]()
"""Whether the current attempt at a test has passed; None until its call has ended."""
_is_stateful = pytest.StashKey[bool]()
"""Whether a test records a service that keeps its state."""
_recorded = pytest.StashKey[bytes | None]()
"""The complete recording of a test, from the end of its fixture to the end of all others."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options.

    Each form of `--os-record` is a separate option: one with an optional value would take the path that follows.
    """
    group = parser.getgroup("chatarmin-os", "ChatarminOS")
    for source, description in _SOURCES.items():
        options = ["--os-record"] * (source == _SERVICE) + [f"--os-record={source}"]
        group.addoption(*options, dest="os_record", action="store_const", const=source, help=description)
    for value, source in _MISTYPED.items():
        group.addoption(f"--os-record={value}", action=_Refuse, nargs=0, const=source, help=argparse.SUPPRESS)
    group.addoption("--os-max-age", type=int, metavar="DAYS", help="warn of recordings that are older")


class _Refuse(argparse.Action):
    """Refuses a mistyped source, and suggests the right one."""

    def __call__(self, *_: object) -> None:
        raise pytest.UsageError(f"{self.option_strings[0]}: no such source; write --os-record={self.const}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Remember that a test has passed; pytest-retry reports none of its further attempts."""
    yield
    if item.stash.get(_has_passed, None) is None:
        item.stash[_has_passed] = True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that a test, or a subtest of it, has failed, was skipped, or was expected to fail."""
    report = yield
    if not report.passed:
        item.stash[_has_passed] = False
        if report.failed and item.stash.get(_is_stateful, False):
            report.sections.append(("--os-record", _STATEFUL))
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Keep the recording of a test that has passed, once all its fixtures have ended without error."""
    item.stash[_recorded] = None
    yield
    if (content := item.stash[_recorded]) is not None:
        path = _Place.of(item).path
        try:
            path.parent.mkdir(exist_ok=True)
            file.write_atomically(path, content)
        except OSError as error:
            raise pytest.fail.Exception(f"{path}: {error.strerror}", pytrace=False) from None


@pytest.fixture
def os_catalogue() -> Catalogue | None:
    """The features and tiers of `fake_os`, and of `--os-record=fake`; override it in your conftest.py."""
    return demo_catalogue()


@pytest.fixture
def os_fake(os_catalogue: Catalogue | None) -> FakeTransport:
    """The fake behind `fake_os`, with its test controls."""
    return FakeTransport(os_catalogue)


@pytest.fixture
def fake_os(os_fake: FakeTransport) -> ChatarminOS:
    """A client on a fresh fake, which is `os_fake`."""
    return ChatarminOS(transport=os_fake)


@pytest.fixture
def os_redact() -> Callable[[JSON], JSON] | None:
    """The redactor of recordings; override it in your conftest.py, for example with `personal_data`."""
    return None


@pytest.fixture
def recorded_os(
    request: pytest.FixtureRequest, os_redact: Callable[[JSON], JSON] | None, os_catalogue: Catalogue | None
) -> Iterator[ChatarminOS]:
    """A client that replays the test's recording; with `--os-record`, one that records it."""
    test: pytest.Item = request.node
    test.stash[_has_passed] = None
    if source := request.config.getoption("os_record"):
        service = FakeTransport(os_catalogue) if source == _FAKE else _service(source)
        test.stash[_is_stateful] = source != _FAKE
        yield from _record(test, service, os_redact)
    else:
        yield from _replay(test, os_redact)


def _record(test: pytest.Item, service: Transport, redact: Callable[[JSON], JSON] | None) -> Iterator[ChatarminOS]:
    """Record a test into a temporary file: its old recording stays until it has passed, even if the process ends."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "recording.jsonl"
        recording = RecordingTransport(service, path, redact=redact, prologue=True)
        with ChatarminOS(transport=recording) as client:
            yield client
        if test.stash[_has_passed]:
            if recording.problem:  # the test may have caught it
                pytest.fail(str(recording.problem), pytrace=False)
            _warn_of_failures(test, path)
            test.stash[_recorded] = path.read_bytes()


def _service(source: str) -> Transport:
    from chatarmin_os.transports.http.settings import DEFAULT_BASE_URL

    try:
        client = ChatarminOS(base_url=DEFAULT_BASE_URL if source == _PRODUCTION else None)
    except InvalidInput as error:
        raise pytest.fail.Exception(f"--os-record: {error}", pytrace=False) from None
    if source == _SERVICE and not os.environ.get("OS_BASE_URL"):
        pytest.fail(_NO_URL, pytrace=False)
    return client.transport


def _warn_of_failures(test: pytest.Item, path: Path) -> None:
    """Warn of calls that had no answer: the test may have caught the error, and would replay it forever."""
    failures = [call.path for call in file.load(path).calls if "failure" in call.outcome]
    if failures:
        test.warn(pytest.PytestWarning(f"recorded calls that had no answer: {', '.join(failures)}"))


def _replay(test: pytest.Item, redact: Callable[[JSON], JSON] | None) -> Iterator[ChatarminOS]:
    place = _Place.of(test)
    path, command = place.existing(), place.command
    if path is None:
        pytest.fail(f"{place.path} is missing; this records it: {command} (or --os-record={_FAKE})", pytrace=False)
    try:
        head = file.load_head(path)
        if head.get("from") == FakeTransport.__name__:
            command += f"={_FAKE}"
        _warn_of_age(test, path, head, command)
        transport = _Replay(path, command, redact)
    except CassetteError as error:
        raise pytest.fail.Exception(f"{error}; this records it again: {command}", pytrace=False) from None
    yield ChatarminOS(transport=transport)
    if test.stash[_has_passed] and (problem := transport.problem()):
        pytest.fail(f"{problem}\nThis records it again: {command}", pytrace=False)


def _warn_of_age(test: pytest.Item, path: Path, head: dict[str, Any], command: str) -> None:
    max_days, recorded_at = test.config.getoption("--os-max-age"), file.recorded_at(head)
    age = _clock.now() - (recorded_at or _clock.now())
    if max_days is not None and age > timedelta(days=max_days):
        test.warn(pytest.PytestWarning(f"{path} is {age.days} days old; this records it again: {command}"))


class _Replay(ReplayTransport):
    """Adds the command that records the test again, and reports a missing call even if the test caught its error."""

    def __init__(self, path: Path, command: str, redact: Callable[[JSON], JSON] | None) -> None:
        super().__init__(path, redact=redact)
        self._command = command
        self._missing: CassetteError | None = None

    def send(self, call: Call) -> JSON:
        try:
            return super().send(call)
        except CassetteError as error:
            self._missing = self._missing or error
            raise CassetteError(f"{error}\nThis records it again: {self._command}") from None

    def problem(self) -> CassetteError | None:
        """Return the error to report at the end, None without one."""
        if self._missing:
            return self._missing
        try:
            self.close()
        except CassetteError as error:
            return error
        return None


class _Place(NamedTuple):
    """The path of a test's recording, others that it may have, and the command that records it."""

    path: Path
    others: tuple[Path, ...]
    command: str

    @classmethod
    def of(cls, test: pytest.Item) -> _Place:
        # Not by `nodeid`: pytest-xdist adds the group of a test to it.
        nodes = [*dropwhile(lambda node: not isinstance(node, pytest.File), test.listchain())][1:]
        names = [node.name for node in nodes]
        folder, whole = test.path.parent / "recordings", f"{test.path.stem}.{'.'.join(names)}"
        plain = f"{test.path.stem}.{_UNSAFE.sub('_', '.'.join(names))}"
        digest = sha256(whole.encode(errors="surrogatepass")).hexdigest()[:8]
        cut = plain.encode(errors="ignore")[:_MAX_NAME].decode(errors="ignore")
        paths = [folder / f"{name}.jsonl" for name in (plain, f"{cut}-{digest}")]
        if len(paths[0].name.encode()) > _MAX_FORMER_NAME:
            del paths[0]
        elif whole != plain or cut != plain or any(map(_has_case_variant, nodes)):
            paths.reverse()
        name = "::".join([_from_here(test), *names]).replace("'", "'\"'\"'")
        return cls(paths[0], tuple(paths[1:]), f"pytest '{name}' --os-record")

    def existing(self) -> Path | None:
        """Return the recording that exists."""
        return next((path for path in (self.path, *self.others) if path.exists()), None)


def _from_here(test: pytest.Item) -> str:
    """Return the path of a test's file from the folder in which pytest was called, where its command is pasted."""
    try:
        return Path(os.path.relpath(test.path, test.config.invocation_params.dir)).as_posix()
    except ValueError:  # another drive of Windows
        return str(test.path)


def _has_case_variant(node: Any) -> bool:
    """Return whether another name in the same module or class differs from a test's or class's in letter case alone.

    Some file systems would keep their recordings in one file.
    """
    name = getattr(node, "originalname", None) or node.name
    siblings = dir(getattr(node.parent, "obj", None))
    return len([other for other in siblings if other.lower() == name.lower()]) > 1


def assert_same_state(left: FakeTransport | JSON, right: FakeTransport | JSON) -> None:
    """Assert that two fakes, or snapshots of them, are in the same state; the failure lists each place that differs.

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
        more = [f"and {len(lines) - _MAX_SHOWN} more"] if len(lines) > _MAX_SHOWN else []
        head = f"the states differ at {len(lines)} place{'' if len(lines) == 1 else 's'}:"
        raise AssertionError("\n".join([head, *lines[:_MAX_SHOWN], *more]))


def assert_no_drift(*paths: str | os.PathLike[str]) -> None:
    """Assert that the fake still answers as recordings do; the failure is the table of differences.

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
    from chatarmin_os.drift import check_recording  # slow to import, and few tests need it

    drifted = [str(report) for report in map(check_recording, paths) if report.is_drift]
    if drifted:
        raise AssertionError("the fake does not answer as recorded:\n" + "\n".join(drifted))


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
