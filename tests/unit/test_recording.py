"""Recordings: what is written down, how it is found again, and what is said where it is not."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
from chatarmin_os.recording import file as _cassette
from chatarmin_os.recording.redactors import personal_data
from chatarmin_os.transports import Call, HTTPTransport, RecordingTransport, ReplayTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "os_sk_recorded_secret"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A place for a recording."""
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


def test_a_replay_answers_as_was_recorded(fake: FakeTransport, path: Path) -> None:
    """Models and errors come back as they came, the errors with all that they told."""

    def act(client: ChatarminOS) -> list[Any]:
        company = client.onboard(external_org_id="org_1", tier_code="free")
        came: list[Any] = [company, *_tiers(client)]
        with pytest.raises(NotFoundError) as failed:
            client.tiers.get("gold")
        error = failed.value
        return [*came, str(error), error.code, error.http_status, error.path, error.data]

    recorded = _record(fake, path, act)

    with ChatarminOS(transport=ReplayTransport(path)) as client:
        assert act(client) == recorded


def test_a_line_is_a_call(fake: FakeTransport, path: Path) -> None:
    """The first line tells the recording; each other one has path, kind, input and what came, keys sorted."""
    _record(fake, path, lambda client: client.tiers.list())

    head, call = _lines(path)
    assert head["format"] == "chatarmin_os recording 1"
    assert {"from", "recorded_at", "sdk"} <= head.keys()
    assert list(call) == ["answer", "input", "kind", "path"]
    assert (call["path"], call["kind"], call["input"]) == ("tiers.list", "query", None)


def test_a_recording_of_the_service_tells_where_and_no_key(path: Path) -> None:
    """The base URL is in it, and nothing of the key."""
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
    """All that they tell is kept."""
    fake.fail("tiers.list", error=error)
    with pytest.raises(type(error)):
        _record(fake, path, lambda client: client.tiers.list())

    with ChatarminOS(transport=ReplayTransport(path)) as client, pytest.raises(type(error)) as failed:
        client.tiers.list()

    assert type(failed.value) is type(error)
    for name in ("outcome", "attempts", "retry_after", "code", "message", "request_id"):
        assert getattr(failed.value, name, None) == getattr(error, name, None)


def test_an_older_recording_tells_of_one_attempt(path: Path, fake: FakeTransport) -> None:
    """It does not say how many there were."""
    fake.fail("tiers.list", error=TimedOut("too late", attempts=3))
    with pytest.raises(TimedOut):
        _record(fake, path, lambda client: client.tiers.list())
    _edit(path, lambda call: call["failure"].pop("attempts"))

    with pytest.raises(TimedOut) as failed:
        ReplayTransport(path).send(Call("tiers.list", "query"))

    assert failed.value.attempts == 1


class _Lost(ConnectionFailed):
    """An error of a user's own transport."""


def test_an_error_of_ones_own_replays_as_the_nearest_known(path: Path, fake: FakeTransport) -> None:
    """A recording knows the errors of this package."""
    fake.fail("tiers.list", error=_Lost("lost"))
    with pytest.raises(_Lost):
        _record(fake, path, lambda client: client.tiers.list())

    with pytest.raises(ConnectionFailed, match="lost"):
        ReplayTransport(path).send(Call("tiers.list", "query"))


def test_what_was_not_called_is_not_recorded(path: Path, fake: FakeTransport) -> None:
    """An input that the inner transport refuses, or a call that its own recording lacks."""
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
    """Answers every call with one thing."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send(self, call: Call) -> Any:
        del call
        return self.answer


@pytest.mark.parametrize("answer", ["half \ud800 of a pair", "späť", 0.5, "\u2028"])
def test_any_text_can_be_recorded(path: Path, answer: Any) -> None:
    """Also what is no Unicode, as JSON escapes it."""
    with ChatarminOS(transport=RecordingTransport(_Answering(answer), path)) as client:
        assert client.call("a.b") == answer

    with ChatarminOS(transport=ReplayTransport(path)) as client:
        assert client.call("a.b") == answer


def test_nothing_is_called_once_the_recording_is_closed(fake: FakeTransport, path: Path) -> None:
    """A call that could not be written down is not made: it may change something."""
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


def test_what_cannot_be_recorded_is_told(path: Path) -> None:
    """An answer that is no JSON, or that a redactor cannot walk through, is no silent gap in the recording."""
    for answer in (float("nan"), _nested(5000), {1, 2}, {1: 2, "1": 3}, {1: 2, "a": 3}, 10**400):
        recording = RecordingTransport(_Answering(answer), path, redact=personal_data, overwrite=True)
        with (
            ChatarminOS(transport=recording) as client,
            pytest.raises(CassetteError, match=r"^a\.b was answered, and that cannot be written down: "),
        ):
            client.call("a.b")


def test_a_refusal_that_could_not_be_read_again_is_not_written(fake: FakeTransport, path: Path) -> None:
    """A transport of one's own may raise what no service sends; the recording says what is wrong, and stays good."""
    fake.fail(error=NotFoundError("no", code="NOT_FOUND", http_status=0))
    recording = RecordingTransport(fake, path)
    with pytest.raises(CassetteError, match=r"written down: error\.status: expected an HTTP status or null, got int 0"):
        recording.send(Call("tiers.list", "query"))
    recording.close()

    assert recording.problem
    assert len(_lines(path)) == 1


@contextmanager
def _file_size(at_most: int) -> Iterator[None]:
    """Let files grow to so many bytes, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at_most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_that_does_not_fit_is_taken_back(fake: FakeTransport, path: Path) -> None:
    """On a full disk the call is an error, and the file is good; what comes once there is space is in it again."""
    client = ChatarminOS(transport=RecordingTransport(fake, path))
    client.tiers.get("free")
    before = path.read_bytes()

    for _ in range(2):
        with (
            _file_size(at_most=len(before) + 20),
            pytest.raises(CassetteError, match=r"^tiers\.list was answered, .*: File too large"),
        ):
            client.tiers.list()

    assert path.read_bytes() == before
    client.tiers.get("pro")
    client.close()
    assert [line["input"] for line in _lines(path)[1:]] == [{"tierCode": "free"}, {"tierCode": "pro"}]


def test_a_recording_that_cannot_begin_is_not_there(fake: FakeTransport, path: Path) -> None:
    """Without space for its first line there is no file; what is no file on a disk stays."""
    with _file_size(at_most=20), pytest.raises(CassetteError, match="File too large"):
        RecordingTransport(fake, path)
    assert not path.exists()

    with pytest.raises(CassetteError, match=r"^/dev/full: No space left on device"):
        RecordingTransport(fake, "/dev/full", overwrite=True)
    assert Path("/dev/full").exists()


def test_batches_are_written_as_their_calls(fake: FakeTransport, path: Path) -> None:
    """A batch replays alone or as single calls."""
    asked = [GetTierInput(tier_code="free"), GetTierInput(tier_code="gold")]
    _record(fake, path, lambda client: client.batch(asked))

    with ChatarminOS(transport=ReplayTransport(path)) as client:
        [gold, free] = client.batch(asked[::-1])
        assert isinstance(gold, NotFoundError)
        assert free == ChatarminOS(transport=fake).tiers.get("free")


def test_equal_calls_answer_in_the_recorded_order(fake: FakeTransport, path: Path) -> None:
    """Usage under new keys is found by the rest of its input, and grows as it did."""

    def act(client: ChatarminOS) -> list[Any]:
        company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        given: dict[str, Any] = {"company_id": company, "feature_code": "ai_credit", "quantity": 5}
        return [client.billing.track_usage(**given).current_usage for _ in range(3)]

    assert _record(fake, path, act) == [5, 10, 15]

    with ChatarminOS(transport=ReplayTransport(path)) as client:
        assert act(client) == [5, 10, 15]


def test_a_recorded_idempotency_key_is_compared(fake: FakeTransport, path: Path) -> None:
    """A key of the application's own names its event; one that was never recorded takes what is left."""

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


def test_an_input_where_none_was_recorded_is_shown(fake: FakeTransport, path: Path) -> None:
    """A call without an input is compared as any other."""
    _record(fake, path, lambda client: client.tiers.list())

    client = ChatarminOS(transport=ReplayTransport(path))
    with pytest.raises(CassetteError, match=r"has no tiers\.list\(\{'page': 2\}\);(.|\n)*\n-null\n\+\{"):
        client.call("tiers.list", {"page": 2})


def test_a_recording_made_without_the_redactor_says_so(fake: FakeTransport, path: Path) -> None:
    """Whoever adds a redactor later is told what to do with the recordings there are."""
    _record(fake, path, lambda client: client.companies.create(name="Acme", external_org_id="org_1"))

    client = ChatarminOS(transport=ReplayTransport(path, redact=personal_data))
    with pytest.raises(CassetteError, match=r"made without a redactor; `chatarmin-os recording redact`"):
        client.companies.create(name="Acme", external_org_id="org_1")


def test_a_call_without_a_recording_shows_the_nearest(fake: FakeTransport, path: Path) -> None:
    """The difference of the inputs is shown, or which procedures there are."""
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


def test_a_large_input_is_shown_in_part(path: Path) -> None:
    """A message stays short enough to be read, also where a picture, or a long list, is not the recorded one."""
    with ChatarminOS(transport=RecordingTransport(_Answering(None), path)) as client:
        client.call("a.b", {"list": [*range(1000)], "picture": "x" * 80_000})

    with pytest.raises(CassetteError) as missing:
        ReplayTransport(path).send(Call("a.b", "query", {"list": [*range(500, 1500)], "picture": "y" * 80_000}))

    assert "-    0,\n-    1," in str(missing.value)
    assert str(missing.value).endswith(" more lines")
    assert len(str(missing.value)) < 5000
    with pytest.raises(CassetteError, match=r'\n\+  "picture": "y{100,200}\.\.\.\n'):
        ReplayTransport(path).send(Call("a.b", "query", {"list": [*range(1000)], "picture": "y" * 80_000}))


def test_the_difference_of_long_inputs_is_found_in_time(path: Path) -> None:
    """Thousands of changed lines are not compared one with another; the first ones that differ are shown."""

    def contacts(name: str) -> list[str]:
        return [f"a{number}@b.co" if number % 2 else f"{name}{number}@b.co" for number in range(40_000)]

    def taken(size: int) -> float:
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
    assert taken(40_000) < 8 * taken(10_000)


@pytest.mark.slow
def test_a_long_replay_in_order_takes_its_time_once(path: Path) -> None:
    """Looking for the call that is due costs the same at the beginning and at the end."""

    def taken(size: int) -> float:
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

    assert taken(32_000) < 24 * taken(4_000)


def test_unused_recordings_fail_at_the_end(fake: FakeTransport, path: Path) -> None:
    """What is recorded and no longer called is told, a few of them by name."""
    _record(fake, path, lambda client: [client.tiers.list() for _ in range(7)])

    with pytest.raises(CassetteError) as failed, ChatarminOS(transport=ReplayTransport(path)) as client:
        client.tiers.list()

    assert "6 of 7 recorded calls were never made" in str(failed.value)
    assert str(failed.value).endswith("and 1 more")


def test_another_exception_is_not_hidden_by_unused_recordings(fake: FakeTransport, path: Path) -> None:
    """The test that failed says why it failed."""
    _record(fake, path, lambda client: client.tiers.list())

    with pytest.raises(ZeroDivisionError), ChatarminOS(transport=ReplayTransport(path)):
        raise ZeroDivisionError


def test_order_matters_only_where_it_is_asked_for(fake: FakeTransport, path: Path) -> None:
    """Different calls may come in any order, unless they may not."""
    _record(fake, path, _tiers)

    with ChatarminOS(transport=ReplayTransport(path)) as client:
        client.tiers.get("pro")
        client.tiers.get("free")
    strict = ChatarminOS(transport=ReplayTransport(path, in_order=True))
    with pytest.raises(CassetteError, match=r"out of order: tiers\.get.*free.* comes first in it"):
        strict.tiers.get("pro")
    assert _tiers(strict)
    strict.close()


def test_what_is_redacted_is_found_again(fake: FakeTransport, path: Path) -> None:
    """The same function redacts what is recorded and what is asked; nothing of the original is in the file."""

    def redact(content: Any) -> Any:
        return json.loads(json.dumps(content).replace("joan@acme.example", "someone@example.com"))

    def act(client: ChatarminOS) -> Any:
        return client.onboard(external_org_id="org_1", contact_email="joan@acme.example").link_status

    _record(fake, path, act, redact=redact)

    assert "joan" not in path.read_text()
    with ChatarminOS(transport=ReplayTransport(path, redact=redact)) as client:
        assert act(client) == "created"


def test_a_redactor_changes_nothing_but_the_recording(fake: FakeTransport, path: Path) -> None:
    """What it does to its argument does not reach the caller, nor the service."""

    def redact(content: Any) -> Any:
        if isinstance(content, dict):
            content.clear()
        return content

    assert _record(fake, path, lambda client: client.tiers.get("free"), redact=redact).code == "free"
    assert [line["input"] for line in _lines(path)[1:]] == [{}]


def test_a_recording_is_not_overwritten_unless_told(fake: FakeTransport, path: Path) -> None:
    """What is there stays, to the byte."""
    _record(fake, path, _tiers)
    before = path.read_bytes()

    with pytest.raises(CassetteError, match="is there already"):
        RecordingTransport(fake, path)
    assert path.read_bytes() == before

    _record(fake, path, lambda client: client.tiers.list(), overwrite=True)
    assert [line["path"] for line in _lines(path)[1:]] == ["tiers.list"]


def test_a_place_that_is_none_is_told(fake: FakeTransport, tmp_path: Path) -> None:
    """A folder that is not there, or a recording that is not."""
    with pytest.raises(CassetteError, match="No such file"):
        RecordingTransport(fake, tmp_path / "nowhere" / "r.jsonl")
    with pytest.raises(CassetteError, match="No such file"):
        ReplayTransport(tmp_path / "r.jsonl")
    for make in (ReplayTransport, lambda path: RecordingTransport(fake, path)):
        with pytest.raises(CassetteError, match="null"):
            make("\0")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 3: no JSON"),
        ("[" * 100_000, "line 3: no JSON"),
        ('{"path": "a", "kind": "query", "input": 1e999, "answer": 1}', "line 3: no JSON: 1e999 is no number of JSON"),
        ('{"path": "a", "kind": "query", "input": NaN, "answer": 1}', "line 3: no JSON: NaN is no number of JSON"),
        ("[]", "line 3: no call"),
        ('{"path": "a", "kind": "query", "input": 1}', "line 3: no call"),
        ('{"path": "a", "kind": "query", "input": 1, "answer": 1, "error": 1}', "line 3: no call"),
        ('{"path": "a", "kind": "query", "input": 1, "failure": {"type": "X"}}', "line 3: no call"),
        ('{"path": "a", "kind": "query", "input": 1, "other": 1}', "line 3: no call"),
        (
            '{"path": "a", "kind": "query", "input": 1, "failure": {"type": [], "message": "", "outcome": ""}}',
            "line 3: no call",
        ),
        ('{"path": 5, "kind": "query", "input": 1, "answer": 1}', "line 3: its path or kind"),
        ('{"path": "a", "kind": "x", "input": 1, "answer": 1}', "line 3: its path or kind"),
        ('{"path": "a", "kind": "query", "input": 1, "error": {"code": "X"}}', "line 3: its error has no"),
        ('{"path": "a", "kind": "query", "input": 1, "error": [1]}', "line 3: its error has no"),
        ('{"path": "a", "kind": [], "input": 1, "answer": 1}', "line 3: its path or kind"),
        ('{"path": "a", "kind": "query", "input": 1, "input": 2, "answer": 1}', "line 3: no JSON: .* a key twice"),
        ('{"path": "a", "kind": "query", "input": 1, "answer": {"b": 1, "b": 1}}', "line 3: no JSON: .* a key twice"),
        (f'{{"path": "a", "kind": "query", "input": 1, "answer": {"9" * 400}}}', "line 3: no JSON: .* 400 digits"),
        (f'{{"path": "a", "kind": "query", "input": 1, "answer": {"9" * 9999}}}', "line 3: no JSON: .* 9999 digits"),
        (
            f'{{"path": "a", "kind": "query", "input": 1, "answer": {"[" * 800 + "]" * 800}}}',
            "line 3: no JSON of at most 800 levels",
        ),
        ('\ufeff{"path": "a", "kind": "query", "input": 1, "answer": 1}', "line 3: no JSON"),
    ],
)
def test_a_broken_line_is_named_by_its_number(fake: FakeTransport, path: Path, line: str, told: str) -> None:
    """Whoever edits a recording by hand is told where it went wrong."""
    _record(fake, path, lambda client: client.tiers.list())
    with path.open("a") as file:
        file.write(line + "\n")

    with pytest.raises(CassetteError, match=told):
        ReplayTransport(path)


@pytest.mark.parametrize(
    ("came", "field", "value"),
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
def test_a_field_of_the_wrong_type_is_named_when_a_recording_is_opened(
    fake: FakeTransport, path: Path, came: str, field: str, value: Any
) -> None:
    """And not when the call is made, as an error of Python."""
    errors: dict[str, ChatarminError] = {
        "error": RateLimitError("slow down", code="TOO_MANY_REQUESTS", http_status=429),
        "failure": TimedOut("too late"),
    }
    fake.fail("tiers.list", error=errors[came])
    with pytest.raises(type(errors[came])):
        _record(fake, path, lambda client: client.tiers.list())
    ReplayTransport(path)

    _edit(path, lambda call: call[came].update({field: value}))

    with pytest.raises(CassetteError, match=rf"recording\.jsonl, line 2: {came}\.{field}: expected .*, got "):
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
def test_a_field_of_the_first_line_is_named(fake: FakeTransport, path: Path, field: str, value: Any) -> None:
    """Null is fine."""
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
def test_a_date_that_says_nothing_is_passed_over(text: Any, year: int | None) -> None:
    """It matters for warnings, and for when a drift check starts: not at a time that has no before or after."""
    moment = _cassette.recorded_at({"recorded_at": text})

    assert (moment and moment.year) == year


def test_another_version_is_named(path: Path) -> None:
    """Both are shown."""
    path.write_text('{"format": "chatarmin_os recording 2"}\n')

    with pytest.raises(
        CassetteError, match=r"line 1: .*'chatarmin_os recording 1', got str 'chatarmin_os recording 2'"
    ):
        ReplayTransport(path)


def test_what_editors_add_is_no_fault(fake: FakeTransport, path: Path) -> None:
    """A byte order mark, and line ends of Windows."""
    _record(fake, path, lambda client: client.tiers.list())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))

    assert ReplayTransport(path).send(Call("tiers.list", "query"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le", "latin-1"])
def test_another_encoding_is_none(fake: FakeTransport, path: Path, encoding: str) -> None:
    """A recording is UTF-8."""
    _record(fake, path, lambda client: client.companies.create(name="späť"[:2] + "ä", external_org_id="org_1"))
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))

    with pytest.raises(CassetteError, match=r"line [12]: no JSON"):
        ReplayTransport(path)


def test_a_file_without_end_is_none() -> None:
    """So much is read, and no more."""
    with pytest.raises(CassetteError, match=r"^/dev/zero: longer than 128 MiB"):
        ReplayTransport("/dev/zero")


def test_an_answer_is_as_deep_as_can_be_read_again(path: Path) -> None:
    """The limits are those of recordings and redactors, and not of the interpreter, and are kept when it is made."""
    recording = RecordingTransport(_Answering(_nested(800)), path)
    with pytest.raises(CassetteError, match="at most 800 levels"):
        recording.send(Call("a.b", "query"))
    recording.inner = _Answering(_nested(799))
    recording.send(Call("a.b", "query"))
    recording.close()

    [level] = ReplayTransport(path).send(Call("a.b", "query"))
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
def test_threads_lose_nothing(fake: FakeTransport, path: Path) -> None:
    """16 threads with 200 calls each make 3,200 lines, none torn, and replay in threads too."""

    def act(client: ChatarminOS) -> None:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: [client.tiers.get("pro") for _ in range(200)], range(16)))

    _record(fake, path, act)

    assert len(_lines(path)) == 1 + 16 * 200
    with ChatarminOS(transport=ReplayTransport(path)) as client:
        act(client)


def test_a_killed_process_leaves_a_readable_file(path: Path) -> None:
    """Each call is in the file before its answer is used."""
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


def test_what_is_no_transport_or_redactor_is_refused(fake: FakeTransport, path: Path) -> None:
    """Before a file is made."""
    wrong: Any = "fake"
    with pytest.raises(TypeError, match="inner: expected"):
        RecordingTransport(wrong, path)
    with pytest.raises(TypeError, match="redact: expected"):
        RecordingTransport(fake, path, redact=wrong)
    assert not path.exists()


def test_they_say_what_they_are(fake: FakeTransport, path: Path) -> None:
    """A repr names the other transport, or the file."""
    recording = RecordingTransport(fake, path)
    recording.send(Call("tiers.list", "query"))
    recording.close()

    assert repr(recording).startswith("<RecordingTransport of <FakeTransport")
    assert repr(ReplayTransport(path)) == f"<ReplayTransport of {path} with 1 calls>"
