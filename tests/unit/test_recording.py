"""Recordings: what is written down, how it is found again, and what is said where it is not."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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
    NotFoundError,
    RateLimitError,
    TimedOut,
    TransportError,
)
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import Call, HTTPTransport, RecordingTransport, ReplayTransport, Transport
from chatarmin_os.transports.redactors import personal_data

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
        TimedOut("too late"),
        InvalidResponse("HTML"),
        TransportError("something"),
        RateLimitError("slow down", code="TOO_MANY_REQUESTS", http_status=429, retry_after=2.5),
    ],
)
def test_failures_replay_as_the_same_errors(fake: FakeTransport, path: Path, error: ChatarminError) -> None:
    """Their type, outcome, and how long to wait are kept."""
    fake.fail("tiers.list", error=error)
    with pytest.raises(type(error)):
        _record(fake, path, lambda client: client.tiers.list())

    with ChatarminOS(transport=ReplayTransport(path)) as client, pytest.raises(type(error)) as failed:
        client.tiers.list()

    for name in ("outcome", "retry_after", "code", "message"):
        assert getattr(failed.value, name, None) == getattr(error, name, None)


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


def test_what_cannot_be_recorded_is_told(path: Path) -> None:
    """An answer that is no JSON, or that a redactor cannot walk through, is no silent gap in the recording."""
    deep: Any = None
    for _ in range(5000):
        deep = [deep]
    for answer in (float("nan"), deep):
        recording = RecordingTransport(_Answering(answer), path, redact=personal_data, overwrite=True)
        with (
            ChatarminOS(transport=recording) as client,
            pytest.raises(CassetteError, match=r"^a\.b was answered, and that cannot be written down: "),
        ):
            client.call("a.b")


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
    ],
)
def test_a_broken_line_is_named_by_its_number(fake: FakeTransport, path: Path, line: str, told: str) -> None:
    """Whoever edits a recording by hand is told where it went wrong."""
    _record(fake, path, lambda client: client.tiers.list())
    with path.open("a") as file:
        file.write(line + "\n")

    with pytest.raises(CassetteError, match=told):
        ReplayTransport(path)


@pytest.mark.parametrize("text", ["", "[]\n", '{"format": "x"}\n', "\n"])
def test_another_file_is_no_recording(path: Path, text: str) -> None:
    """The first line has to say what it is."""
    path.write_text(text)

    with pytest.raises(CassetteError, match="line 1"):
        ReplayTransport(path)


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
