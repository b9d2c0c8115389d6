"""Recordings: their lines, how a replay finds a call, and the message if it finds none."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import (
    CassetteError,
    ChatarminError,
    ChatarminOS,
    ConnectionFailed,
    FeatureCheckInput,
    GetTierInput,
    InvalidResponse,
    ListTiersInput,
    NotFoundError,
    RateLimitError,
    TimedOut,
    TransportError,
)
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.recording import file as recording_file
from chatarmin_os.recording.redactors import personal_data
from chatarmin_os.transports import Call, HTTPTransport, RecordingTransport, ReplayTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "os_sk_recorded_secret"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path for a recording."""
    return tmp_path / "recording.jsonl"


@pytest.fixture
def fake() -> FakeTransport:
    """The service that is recorded."""
    return FakeTransport(demo_catalogue())


def _record(fake: FakeTransport, path: Path, act: Callable[[ChatarminOS], Any], **settings: Any) -> Any:
    with ChatarminOS(transport=RecordingTransport(fake, path, **settings)) as client:
        return act(client)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _edit(path: Path, edit: Callable[[dict[str, Any]], object], line: int = 1) -> None:
    """Change a line of a recording by hand; 0 is the first."""
    rows = _lines(path)
    edit(rows[line])
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def _tiers(client: ChatarminOS) -> list[Any]:
    return [client.tiers.get(code) for code in ("free", "pro")]


def test_replay_answers_as_recorded(fake: FakeTransport, path: Path) -> None:
    """Models and errors are equal to the recorded ones, errors with all their attributes."""

    def act(client: ChatarminOS) -> list[Any]:
        company = client.onboard(external_org_id="org_1", tier_code="free")
        answers: list[Any] = [company, *_tiers(client)]
        with pytest.raises(NotFoundError) as failed:
            client.tiers.get("gold")
        error = failed.value
        return [*answers, str(error), error.code, error.http_status, error.path, error.data]

    recorded = _record(fake, path, act)

    with ChatarminOS(transport=ReplayTransport(path)) as client:
        assert act(client) == recorded


def test_line_is_a_call(fake: FakeTransport, path: Path) -> None:
    """The first line describes the recording; each other one has path, kind, input and outcome, with sorted keys."""
    _record(fake, path, lambda client: client.tiers.list())

    head, call = _lines(path)
    assert head["format"] == "chatarmin_os recording 1"
    assert {"from", "recorded_at", "sdk"} <= head.keys()
    assert list(call) == ["answer", "input", "kind", "path"]
    assert (call["path"], call["kind"], call["input"]) == ("tiers.list", "query", None)


def test_recording_has_the_base_url_and_no_key(path: Path) -> None:
    """The first line has the base URL; no line has any part of the key."""
    transport = HTTPTransport(KEY, "http://127.0.0.1:9/api/v1", max_retries=0)
    with ChatarminOS(transport=RecordingTransport(transport, path)) as client, pytest.raises(ConnectionFailed):
        client.tiers.list()

    head, call = _lines(path)
    assert head["from"] == "http://127.0.0.1:9/api/v1"
    assert call["failure"]["type"] == "ConnectionFailed"
    assert KEY not in path.read_text()


@pytest.mark.parametrize(
    "error",
    [
        ConnectionFailed("no connection", outcome="not_sent"),
        TimedOut("too late", attempts=3),
        InvalidResponse("HTML", retry_after=1),
        TransportError("something", attempts=0),
        RateLimitError("slow down", code="TOO_MANY_REQUESTS", http_status=429, retry_after=2.5, request_id="req_1"),
    ],
)
def test_failures_replay_as_the_same_errors(fake: FakeTransport, path: Path, error: ChatarminError) -> None:
    """Class and attributes are kept."""
    fake.fail("tiers.list", error=error)
    with pytest.raises(type(error)):
        _record(fake, path, lambda client: client.tiers.list())

    with ChatarminOS(transport=ReplayTransport(path)) as client, pytest.raises(type(error)) as failed:
        client.tiers.list()

    assert type(failed.value) is type(error)
    for name in ("outcome", "attempts", "retry_after", "code", "message", "request_id"):
        assert getattr(failed.value, name, None) == getattr(error, name, None)


def test_recording_without_attempts_replays_one(path: Path, fake: FakeTransport) -> None:
    """Older recordings do not have the number."""
    fake.fail("tiers.list", error=TimedOut("too late", attempts=3))
    with pytest.raises(TimedOut):
        _record(fake, path, lambda client: client.tiers.list())
    _edit(path, lambda call: call["failure"].pop("attempts"))

    with pytest.raises(TimedOut) as failed:
        ReplayTransport(path).send(Call("tiers.list", "query"))

    assert failed.value.attempts == 1


class _Lost(ConnectionFailed):
    """An error of a user's transport."""


def test_error_of_a_foreign_class_replays_as_its_base(path: Path, fake: FakeTransport) -> None:
    """A recording holds the errors of this package alone."""
    fake.fail("tiers.list", error=_Lost("lost"))
    with pytest.raises(_Lost):
        _record(fake, path, lambda client: client.tiers.list())

    with pytest.raises(ConnectionFailed, match="lost"):
        ReplayTransport(path).send(Call("tiers.list", "query"))


def test_call_that_was_not_sent_is_not_recorded(path: Path, fake: FakeTransport) -> None:
    """The inner transport raises before it sends, for example for a call that its own recording lacks."""
    inner = path.with_name("inner.jsonl")
    _record(fake, inner, lambda client: client.tiers.list())

    with ChatarminOS(transport=RecordingTransport(ReplayTransport(inner), path)) as client:
        with pytest.raises(CassetteError, match=r"it has tiers\.list"):
            client.tiers.get("pro")
        [missing, tiers] = client.batch([GetTierInput(tier_code="pro"), ListTiersInput()])

    assert isinstance(missing, CassetteError)
    assert tiers
    assert [line["path"] for line in _lines(path)[1:]] == ["tiers.list"]


class _Answering(Transport):
    """Answers every call with one value."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send(self, call: Call) -> Any:
        del call
        return self.answer


@pytest.mark.parametrize(
    "answer", ["half \ud800 of a pair", "späť", 0.5, "\u2028"], ids=["surrogate", "accents", "float", "line-separator"]
)
def test_any_text_is_recorded(path: Path, answer: Any) -> None:
    """Text that is not valid Unicode is escaped as in JSON."""
    with ChatarminOS(transport=RecordingTransport(_Answering(answer), path)) as client:
        assert client.call("a.b") == answer

    with ChatarminOS(transport=ReplayTransport(path)) as client:
        assert client.call("a.b") == answer


def test_closed_recording_sends_no_call(fake: FakeTransport, path: Path) -> None:
    """A call that no file can take is not sent: it may change something."""
    recording = RecordingTransport(fake, path)
    client = ChatarminOS(transport=recording)
    recording.close()

    with pytest.raises(CassetteError, match="the recording is closed; nothing was called"):
        client.tiers.list()

    assert fake.calls == []


def _nested(levels: int) -> Any:
    content: Any = None
    for _ in range(levels):
        content = [content]
    return content


def test_answer_that_no_line_holds_is_an_error(path: Path) -> None:
    """An answer that is not JSON, or too deep for a redactor, leaves no silent gap in the recording."""
    for answer in (float("nan"), _nested(5000), {1, 2}, {1: 2, "1": 3}, {1: 2, "a": 3}, 10**400):
        recording = RecordingTransport(_Answering(answer), path, redact=personal_data, overwrite=True)
        with (
            ChatarminOS(transport=recording) as client,
            pytest.raises(CassetteError, match=r"^a\.b was answered, and the recording cannot hold the answer: "),
        ):
            client.call("a.b")


def test_refusal_that_no_line_holds_is_not_written(fake: FakeTransport, path: Path) -> None:
    """A user's transport may raise errors that no service sends; the message names the field, the file stays valid."""
    fake.fail(error=NotFoundError("no", code="NOT_FOUND", http_status=0))
    recording = RecordingTransport(fake, path)
    with pytest.raises(
        CassetteError, match=r"cannot hold the answer: error\.status: expected an HTTP status or null, got int 0"
    ):
        recording.send(Call("tiers.list", "query"))
    recording.close()

    assert recording.problem
    assert len(_lines(path)) == 1


@contextmanager
def _file_size(max_bytes: int) -> Iterator[None]:
    """Limit the size of files, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_line_that_does_not_fit_is_removed(fake: FakeTransport, path: Path) -> None:
    """On a full disk the call is an error and the file stays valid; once there is space, calls are written again."""
    client = ChatarminOS(transport=RecordingTransport(fake, path))
    client.tiers.get("free")
    before = path.read_bytes()

    for _ in range(2):
        with (
            _file_size(max_bytes=len(before) + 20),
            pytest.raises(CassetteError, match=r"^tiers\.list was answered, .*: File too large"),
        ):
            client.tiers.list()

    assert path.read_bytes() == before
    client.tiers.get("pro")
    client.close()
    assert [line["input"] for line in _lines(path)[1:]] == [{"tierCode": "free"}, {"tierCode": "pro"}]


def test_recording_without_space_for_its_first_line_is_deleted(fake: FakeTransport, path: Path) -> None:
    """A device is not deleted."""
    with _file_size(max_bytes=20), pytest.raises(CassetteError, match="File too large"):
        RecordingTransport(fake, path)
    assert not path.exists()

    with pytest.raises(CassetteError, match=r"^/dev/full: No space left on device"):
        RecordingTransport(fake, "/dev/full", overwrite=True)
    assert Path("/dev/full").exists()


def test_batch_is_written_as_its_calls(fake: FakeTransport, path: Path) -> None:
    """It replays as a batch or as single calls."""
    asked = [GetTierInput(tier_code="free"), GetTierInput(tier_code="gold")]
    _record(fake, path, lambda client: client.batch(asked))

    with ChatarminOS(transport=ReplayTransport(path)) as client:
        [gold, free] = client.batch(asked[::-1])
        assert isinstance(gold, NotFoundError)
        assert free == ChatarminOS(transport=fake).tiers.get("free")


def test_equal_calls_answer_in_the_recorded_order(fake: FakeTransport, path: Path) -> None:
    """Usage with new keys matches by the rest of its input, and grows as recorded."""

    def act(client: ChatarminOS) -> list[Any]:
        company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        given: dict[str, Any] = {"company_id": company, "feature_code": "ai_credit", "quantity": 5}
        return [client.billing.track_usage(**given).current_usage for _ in range(3)]

    assert _record(fake, path, act) == [5, 10, 15]

    with ChatarminOS(transport=ReplayTransport(path)) as client:
        assert act(client) == [5, 10, 15]


def test_recorded_idempotency_key_is_compared(fake: FakeTransport, path: Path) -> None:
    """A key that was recorded selects its call; any other takes the first unused one."""

    def track(client: ChatarminOS, company: str, key: str) -> Any:
        given: dict[str, Any] = {"company_id": company, "feature_code": "ai_credit", "quantity": 5}
        return client.billing.track_usage(**given, idempotency_key=key).current_usage

    company = ChatarminOS(transport=fake).onboard(external_org_id="org_1", tier_code="free").company_id
    assert company
    _record(fake, path, lambda client: [track(client, company, key) for key in ("a", "b", "c")])

    with ChatarminOS(transport=ReplayTransport(path)) as client:
        assert [track(client, company, key) for key in ("b", "new", "c")] == [10, 5, 15]
        with pytest.raises(CassetteError, match=r"recorded 3 time\(s\), and was called once more"):
            track(client, company, "b")


def test_input_of_a_call_recorded_without_one_is_shown(fake: FakeTransport, path: Path) -> None:
    """A call without an input is compared like any other."""
    _record(fake, path, lambda client: client.tiers.list())

    client = ChatarminOS(transport=ReplayTransport(path))
    with pytest.raises(CassetteError, match=r"has no tiers\.list\(\{'page': 2\}\);(.|\n)*\n-null\n\+\{"):
        client.call("tiers.list", {"page": 2})


def test_recording_without_redactor_is_named(fake: FakeTransport, path: Path) -> None:
    """After a redactor is added, the message says how to redact existing recordings."""
    _record(fake, path, lambda client: client.companies.create(name="Acme", external_org_id="org_1"))

    client = ChatarminOS(transport=ReplayTransport(path, redact=personal_data))
    with pytest.raises(CassetteError, match=r"made without a redactor; `chatarmin-os recording redact`"):
        client.companies.create(name="Acme", external_org_id="org_1")


def test_call_without_a_recording_shows_the_nearest(fake: FakeTransport, path: Path) -> None:
    """The message shows the difference of the inputs, or the recorded procedures."""
    company = ChatarminOS(transport=fake).onboard(external_org_id="org_1").company_id or ""
    _record(
        fake,
        path,
        lambda client: [client.features.check(company_id=company, feature_code="seats"), client.tiers.list()],
    )

    client = ChatarminOS(transport=ReplayTransport(path))
    with pytest.raises(CassetteError) as other_input:
        client.features.check(company_id=company, feature_code="seatz")
    with pytest.raises(CassetteError, match=r"it has tiers\.list"):
        client.tiers.get("free")
    with pytest.raises(CassetteError, match=r"it has features\.check, tiers\.list"):
        client.call("zzz")

    assert '-  "featureCode": "seats"\n+  "featureCode": "seatz"' in str(other_input.value)
    assert other_input.value.request == FeatureCheckInput(company_id=company, feature_code="seatz")


def test_large_input_is_shown_in_part(path: Path) -> None:
    """A message stays short enough to read, even if a picture or a long list differs."""
    with ChatarminOS(transport=RecordingTransport(_Answering(None), path)) as client:
        client.call("a.b", {"list": [*range(1000)], "picture": "x" * 80_000})

    with pytest.raises(CassetteError) as missing:
        ReplayTransport(path).send(Call("a.b", "query", {"list": [*range(500, 1500)], "picture": "y" * 80_000}))

    assert "-    0,\n-    1," in str(missing.value)
    assert str(missing.value).endswith(" more lines")
    assert len(str(missing.value)) < 5000
    with pytest.raises(CassetteError, match=r'\n\+  "picture": "y{100,200}\.\.\.\n'):
        ReplayTransport(path).send(Call("a.b", "query", {"list": [*range(1000)], "picture": "y" * 80_000}))


def test_difference_of_long_inputs_takes_linear_time(path: Path) -> None:
    """Only the first lines that differ are shown; thousands of lines are not compared with each other."""

    def contacts(name: str) -> list[str]:
        return [f"a{number}@b.co" if number % 2 else f"{name}{number}@b.co" for number in range(40_000)]

    def seconds(size: int) -> float:
        started = process_time()
        with pytest.raises(CassetteError):
            replay.send(Call("a.b", "query", {"list": contacts("c")[:size]}))
        return process_time() - started

    with ChatarminOS(transport=RecordingTransport(_Answering(None), path)) as client:
        client.call("a.b", {"list": contacts("b")})
    replay = ReplayTransport(path)

    with pytest.raises(CassetteError) as missing:
        replay.send(Call("a.b", "query", {"list": [*contacts("b")[:3_000], *contacts("c")[3_000:]]}))
    assert '--- recorded, from line 3003\n+++ called, from line 3003\n-    "b3000@b.co"' in str(missing.value)
    assert '\n+    "c3000@b.co",\n+    "a3001@b.co",' in str(missing.value)
    assert len(str(missing.value)) < 5_000
    assert seconds(40_000) < 8 * seconds(10_000)


@pytest.mark.slow
def test_long_replay_in_order_takes_linear_time(path: Path) -> None:
    """Finding the next call costs the same at the beginning and at the end."""

    def seconds(size: int) -> float:
        place = path.with_suffix(f".{size}")
        with ChatarminOS(transport=RecordingTransport(_Answering(None), place)) as client:
            for number in range(size):
                client.call("a.b", number)
        replay = ReplayTransport(place, in_order=True)
        replay.send(Call("a.b", "query", 0))
        started = process_time()
        for number in range(1, size):
            replay.send(Call("a.b", "query", number))
        return process_time() - started

    assert seconds(32_000) < 24 * seconds(4_000)


def test_unused_recordings_fail_at_the_end(fake: FakeTransport, path: Path) -> None:
    """The message counts the recorded calls that were not made, and names some."""
    _record(fake, path, lambda client: [client.tiers.list() for _ in range(7)])

    with pytest.raises(CassetteError) as failed, ChatarminOS(transport=ReplayTransport(path)) as client:
        client.tiers.list()

    assert "6 of 7 recorded calls were never made" in str(failed.value)
    assert str(failed.value).endswith("and 1 more")


def test_unused_recordings_hide_no_other_exception(fake: FakeTransport, path: Path) -> None:
    """A test that fails shows its own reason."""
    _record(fake, path, lambda client: client.tiers.list())

    with pytest.raises(ZeroDivisionError), ChatarminOS(transport=ReplayTransport(path)):
        raise ZeroDivisionError


def test_order_matters_only_if_in_order_is_set(fake: FakeTransport, path: Path) -> None:
    """By default different calls may come in any order."""
    _record(fake, path, _tiers)

    with ChatarminOS(transport=ReplayTransport(path)) as client:
        client.tiers.get("pro")
        client.tiers.get("free")
    strict = ChatarminOS(transport=ReplayTransport(path, in_order=True))
    with pytest.raises(CassetteError, match=r"out of order: expected tiers\.get.*free.*"):
        strict.tiers.get("pro")
    assert _tiers(strict)
    strict.close()


def test_redacted_input_is_matched(fake: FakeTransport, path: Path) -> None:
    """The same function redacts recording and replay; the file has no part of the original."""

    def redact(content: Any) -> Any:
        return json.loads(json.dumps(content).replace("joan@acme.example", "someone@example.com"))

    def act(client: ChatarminOS) -> Any:
        return client.onboard(external_org_id="org_1", contact_email="joan@acme.example").link_status

    _record(fake, path, act, redact=redact)

    assert "joan" not in path.read_text()
    with ChatarminOS(transport=ReplayTransport(path, redact=redact)) as client:
        assert act(client) == "created"


def test_redactor_changes_only_the_recording(fake: FakeTransport, path: Path) -> None:
    """A redactor that changes its argument changes neither the caller's input nor the service's."""

    def redact(content: Any) -> Any:
        if isinstance(content, dict):
            content.clear()
        return content

    assert _record(fake, path, lambda client: client.tiers.get("free"), redact=redact).code == "free"
    assert [line["input"] for line in _lines(path)[1:]] == [{}]


def test_existing_recording_is_overwritten_only_on_request(fake: FakeTransport, path: Path) -> None:
    """Without `overwrite` the file stays, to the byte."""
    _record(fake, path, _tiers)
    before = path.read_bytes()

    with pytest.raises(CassetteError, match="already exists"):
        RecordingTransport(fake, path)
    assert path.read_bytes() == before

    _record(fake, path, lambda client: client.tiers.list(), overwrite=True)
    assert [line["path"] for line in _lines(path)[1:]] == ["tiers.list"]


def test_missing_file_or_folder_is_named(fake: FakeTransport, tmp_path: Path) -> None:
    """A path with U+0000 is an error of the same class."""
    with pytest.raises(CassetteError, match="No such file"):
        RecordingTransport(fake, tmp_path / "nowhere" / "r.jsonl")
    with pytest.raises(CassetteError, match="No such file"):
        ReplayTransport(tmp_path / "r.jsonl")
    for make in (ReplayTransport, lambda path: RecordingTransport(fake, path)):
        with pytest.raises(CassetteError, match="null"):
            make("\0")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", r"line 3: not valid JSON \(column 2: "),
        ("[" * 100_000, "line 3: nested deeper than 800 levels"),
        (
            '{"path": "a", "kind": "query", "input": 1e999, "answer": 1}',
            r"line 3: not valid JSON \(1e999 is not a number in JSON\)",
        ),
        (
            '{"path": "a", "kind": "query", "input": NaN, "answer": 1}',
            r"line 3: not valid JSON \(NaN is not a number in JSON\)",
        ),
        ("[]", "line 3: not a call"),
        ('{"path": "a", "kind": "query", "input": 1}', "line 3: not a call"),
        ('{"path": "a", "kind": "query", "input": 1, "answer": 1, "error": 1}', "line 3: not a call"),
        ('{"path": "a", "kind": "query", "input": 1, "failure": {"type": "X"}}', "line 3: not a call"),
        ('{"path": "a", "kind": "query", "input": 1, "other": 1}', "line 3: not a call"),
        (
            '{"path": "a", "kind": "query", "input": 1, "failure": {"type": [], "message": "", "outcome": ""}}',
            "line 3: not a call",
        ),
        ('{"path": 5, "kind": "query", "input": 1, "answer": 1}', "line 3: its path is not text, or its kind"),
        ('{"path": "a", "kind": "x", "input": 1, "answer": 1}', "line 3: its path is not text, or its kind"),
        ('{"path": "a", "kind": "query", "input": 1, "error": {"code": "X"}}', "line 3: its error lacks"),
        ('{"path": "a", "kind": "query", "input": 1, "error": [1]}', "line 3: its error lacks"),
        ('{"path": "a", "kind": [], "input": 1, "answer": 1}', "line 3: its path is not text, or its kind"),
        (
            '{"path": "a", "kind": "query", "input": 1, "input": 2, "answer": 1}',
            "line 3: not valid JSON .* a key twice",
        ),
        (
            '{"path": "a", "kind": "query", "input": 1, "answer": {"b": 1, "b": 1}}',
            "line 3: not valid JSON .* a key twice",
        ),
        (
            f'{{"path": "a", "kind": "query", "input": 1, "answer": {"9" * 400}}}',
            "line 3: not valid JSON .* 400 digits",
        ),
        (
            f'{{"path": "a", "kind": "query", "input": 1, "answer": {"9" * 9999}}}',
            "line 3: not valid JSON .* 9999 digits",
        ),
        (
            f'{{"path": "a", "kind": "query", "input": 1, "answer": {"[" * 800 + "]" * 800}}}',
            "line 3: nested deeper than 800 levels",
        ),
        ('\ufeff{"path": "a", "kind": "query", "input": 1, "answer": 1}', "line 3: not valid JSON"),
    ],
)
def test_invalid_line_is_named_by_its_number(fake: FakeTransport, path: Path, line: str, problem: str) -> None:
    """After editing by hand the message has the line."""
    _record(fake, path, lambda client: client.tiers.list())
    with path.open("a") as file:
        file.write(line + "\n")

    with pytest.raises(CassetteError, match=problem):
        ReplayTransport(path)


@pytest.mark.parametrize(
    ("outcome", "field", "value"),
    [
        ("error", "code", 404),
        ("error", "code", None),
        ("error", "message", True),
        ("error", "message", None),
        ("error", "status", "404"),
        ("error", "status", True),
        ("error", "status", 404.5),
        ("error", "status", 10**300),
        ("error", "status", 0),
        ("error", "retry_after", "5"),
        ("error", "retry_after", -1),
        ("error", "retry_after", True),
        ("error", "request_id", 5),
        ("failure", "message", 5),
        ("failure", "outcome", "lost"),
        ("failure", "outcome", []),
        ("failure", "attempts", "1"),
        ("failure", "attempts", -1),
        ("failure", "attempts", True),
        ("failure", "attempts", 10**20),
        ("failure", "retry_after", {}),
    ],
)
def test_field_of_the_wrong_type_is_named_when_a_recording_is_opened(
    fake: FakeTransport, path: Path, outcome: str, field: str, value: Any
) -> None:
    """Not only when the call is made, and not as a TypeError."""
    errors: dict[str, ChatarminError] = {
        "error": RateLimitError("slow down", code="TOO_MANY_REQUESTS", http_status=429),
        "failure": TimedOut("too late"),
    }
    fake.fail("tiers.list", error=errors[outcome])
    with pytest.raises(type(errors[outcome])):
        _record(fake, path, lambda client: client.tiers.list())
    ReplayTransport(path)

    _edit(path, lambda call: call[outcome].update({field: value}))

    with pytest.raises(CassetteError, match=rf"recording\.jsonl, line 2: {outcome}\.{field}: expected .*, got "):
        ReplayTransport(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("from", 5),
        ("from", True),
        ("redacted", "yes"),
        ("sdk", []),
    ],
)
def test_invalid_field_of_the_first_line_is_named(fake: FakeTransport, path: Path, field: str, value: Any) -> None:
    """Null is valid."""
    _record(fake, path, lambda client: client.tiers.list())

    _edit(path, lambda head: head.update({field: None}), line=0)
    ReplayTransport(path)
    _edit(path, lambda head: head.update({field: value}), line=0)

    with pytest.raises(CassetteError, match=rf"recording\.jsonl, line 1: {field}: expected .*, got "):
        ReplayTransport(path)


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("2026-01-02T00:00:00.000Z", 2026),
        ("2026-01-02T00:00:00", None),
        ("2026-01-02", None),
        ("yesterday", None),
        (5, None),
        (None, None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59Z", None),
    ],
)
def test_invalid_date_is_ignored(text: Any, year: int | None) -> None:
    """The date is for warnings, and for the clock of a drift check, which needs a time with a before and an after."""
    moment = recording_file.recorded_at({"recorded_at": text})

    assert (moment and moment.year) == year


def test_unknown_format_is_named(path: Path) -> None:
    """The message has the expected formats and the one of the file."""
    path.write_text('{"format": "chatarmin_os recording 3"}\n')

    with pytest.raises(
        CassetteError,
        match=r"line 1: .*'chatarmin_os recording 1' or 'chatarmin_os recording 2', got str 'chatarmin_os recording 3'",
    ):
        ReplayTransport(path)


def test_additions_of_editors_are_accepted(fake: FakeTransport, path: Path) -> None:
    """A byte order mark, and line ends of Windows."""
    _record(fake, path, lambda client: client.tiers.list())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))

    assert ReplayTransport(path).send(Call("tiers.list", "query"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le", "latin-1"])
def test_other_encodings_are_refused(fake: FakeTransport, path: Path, encoding: str) -> None:
    """A recording is UTF-8."""
    _record(fake, path, lambda client: client.companies.create(name="späť"[:2] + "ä", external_org_id="org_1"))
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))

    with pytest.raises(CassetteError, match=r"line 1: not a recording: not valid JSON|line 2: not valid JSON"):
        ReplayTransport(path)


def test_endless_file_is_refused() -> None:
    """Reading stops at a maximum size."""
    with pytest.raises(CassetteError, match=r"^/dev/zero: larger than 128 MiB"):
        ReplayTransport("/dev/zero")


def _called_deep(act: Callable[[], Any], frames: int) -> Any:
    return _called_deep(act, frames - 1) if frames else act()


def test_depth_of_an_answer_is_limited(path: Path) -> None:
    """The limits are those of recordings and redactors, not of the interpreter, and hold when recording."""
    recording = RecordingTransport(_Answering(_nested(800)), path)
    with pytest.raises(CassetteError, match="nested deeper than 800 levels"):
        recording.send(Call("a.b", "query"))
    recording.inner = _Answering(_nested(799))
    recording.send(Call("a.b", "query"))
    recording.close()

    # Up to Python 3.11 the functions of `json`, too, count their levels with the frames of the caller.
    [level] = _called_deep(
        partial(ReplayTransport(path).send, Call("a.b", "query")), frames=400 if sys.version_info >= (3, 12) else 0
    )
    for _ in range(798):
        [level] = level
    assert level is None

    for levels, problem in ((200, None), (201, "nested deeper than 200 levels")):
        redacted = RecordingTransport(_Answering(_nested(levels)), path, redact=personal_data, overwrite=True)
        if problem:
            with pytest.raises(CassetteError, match=problem):
                redacted.send(Call("a.b", "query"))
        else:
            redacted.send(Call("a.b", "query"))
        redacted.close()


@pytest.mark.slow
def test_threads_lose_no_line(fake: FakeTransport, path: Path) -> None:
    """16 threads with 200 calls each write 3,200 whole lines, and replay in threads too."""

    def act(client: ChatarminOS) -> None:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: [client.tiers.get("pro") for _ in range(200)], range(16)))

    _record(fake, path, act)

    assert len(_lines(path)) == 1 + 16 * 200
    with ChatarminOS(transport=ReplayTransport(path)) as client:
        act(client)


def test_killed_process_leaves_a_valid_file(path: Path) -> None:
    """Each call is in the file before the caller gets its answer."""
    code = (
        "import os, sys; from chatarmin_os import ChatarminOS; from chatarmin_os.fake import FakeTransport\n"
        "from chatarmin_os.transports import RecordingTransport\n"
        "client = ChatarminOS(transport=RecordingTransport(FakeTransport(), sys.argv[1]))\n"
        "client.tiers.list(); client.tiers.list(); os._exit(9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False)  # noqa: S603 - our own code

    assert ended.returncode == 9
    client = ChatarminOS(transport=ReplayTransport(path))
    assert [client.tiers.list(), client.tiers.list()] == [[], []]


def test_invalid_transport_or_redactor_is_refused(fake: FakeTransport, path: Path) -> None:
    """No file is created."""
    wrong: Any = "fake"
    with pytest.raises(TypeError, match="inner: expected"):
        RecordingTransport(wrong, path)
    with pytest.raises(TypeError, match="redact: expected"):
        RecordingTransport(fake, path, redact=wrong)
    assert not path.exists()


def test_repr_names_transport_or_file(fake: FakeTransport, path: Path) -> None:
    """It also has the number of calls of a replay."""
    recording = RecordingTransport(fake, path)
    recording.send(Call("tiers.list", "query"))
    recording.close()

    assert repr(recording).startswith("<RecordingTransport of <FakeTransport")
    assert repr(ReplayTransport(path)) == f"<ReplayTransport of {path} with 1 calls>"
