"""The commands for recordings: check, show and redact, and their errors."""

from __future__ import annotations

import errno
import io
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from terminal import Terminal

from chatarmin_os import ApiError, ChatarminError, ChatarminOS, ConnectionFailed, TimedOut
from chatarmin_os.cli import main
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.recording import file as _cassette
from chatarmin_os.recording.redactors import personal_data
from chatarmin_os.server import serve_fake
from chatarmin_os.transports import HTTPTransport, RecordingTransport, ReplayTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os.transports import Transport

    Row = dict[str, Any]
    Edit = Callable[[Row], object]
    Run = Callable[..., "Output"]

KEY, KEY_OF_THE_RECORDED = "os_sk_recording_secret", "os_sk_recorded"
RECORDINGS = sorted((Path(__file__).parents[1] / "recorded" / "recordings").glob("*.jsonl"))
USAGE = next(path for path in RECORDINGS if path.name.endswith("test_usage.jsonl"))
EACH_RECORDING = pytest.mark.parametrize(
    "recording", RECORDINGS, ids=lambda path: path.stem.partition(".test_")[2].replace("_", "-")
)
PERSONAL = {
    "email_addresses": ("joan@", "bakery.example"),
    "names": ("joan dough", "bread & butter", "pictures.example"),
    "metadata": ("+43 1 234",),
}


class Output(NamedTuple):
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def problem(self) -> str:
        """The single line of an error, without the name of the command."""
        assert self.err.startswith("chatarmin-os: ")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("chatarmin-os: ").rstrip("\n")


@pytest.fixture(autouse=True)
def without_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has no key, and there is no terminal for a prompt."""
    monkeypatch.delenv("OS_API_KEY", raising=False)
    monkeypatch.delenv("OS_BASE_URL", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `recording`; assert that it does not print the key of the environment."""

    def run(*arguments: str | Path) -> Output:
        try:
            code = main(["recording", *map(str, arguments)])
        except SystemExit as exit_:  # argparse
            code = int(exit_.code or 0)
        output = Output(code, *capsys.readouterr())
        assert KEY not in output.out + output.err
        return output

    return run


@pytest.fixture
def usage(tmp_path: Path) -> Path:
    """A copy of a real recording."""
    return Path(shutil.copy(USAGE, tmp_path / "usage.jsonl"))


@pytest.fixture
def personal(tmp_path: Path) -> Path:
    """A recording with personal data in inputs, answers and messages of refusals."""
    path = tmp_path / "personal.jsonl"
    with _recording(FakeTransport(demo_catalogue()), path) as client:
        company = client.companies.create(
            name="Bread & Butter Ltd",
            external_org_id="org_1",
            domain="bakery.example",
            contact_email="joan@home.example",
        )
        client.contacts.create(
            company_id=company.id,
            email="Joan@Bakery.example",
            name="Joan Dough",
            avatar_url="https://pictures.example/joan",
            metadata={"phone": "+43 1 234"},
        )
        client.contacts.list(company.id)
        for given in ({"email": "joan.bakery.example"}, {"email": "joan@home.example", "name": " "}):
            with pytest.raises(ApiError):
                client.call("contacts.create", {"companyId": company.id, **given})
        client.tiers.list()
    assert _found_of(path, *PERSONAL) == {text for texts in PERSONAL.values() for text in texts}
    return path


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, FakeTransport]]:
    """A live service with a new product for the key of the environment: its URL and its fake."""
    fake = FakeTransport(demo_catalogue())
    with serve_fake({KEY: fake}) as url:
        monkeypatch.setenv("OS_API_KEY", KEY)
        yield url, fake


@pytest.fixture
def signed_up(tmp_path: Path) -> Path:
    """A recording over HTTP of an organisation that signs up, checks and uses features."""
    path = tmp_path / "signed_up.jsonl"
    with serve_fake() as url, _recording(HTTPTransport(KEY_OF_THE_RECORDED, url, transformer="json"), path) as client:
        company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        assert company
        client.features.check(company_id=company, feature_code="ai_credit")
        for quantity in (3, 4):
            client.billing.track_usage(company_id=company, feature_code="ai_credit", quantity=quantity)
        client.features.list_access(company)
    return path


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    """A recording of queries only."""
    path = tmp_path / "queries.jsonl"
    with _recording(FakeTransport(demo_catalogue()), path) as client:
        client.tiers.list()
        client.tiers.get("pro")
    return path


def _recording(service: Transport, path: Path) -> ChatarminOS:
    return ChatarminOS(transport=RecordingTransport(service, path))


def _rows_of(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _calls_of(path: Path) -> list[Row]:
    """Return the lines of a recording that are calls."""
    return [row for row in _rows_of(path)[1:] if "prologue" not in row]


def _line_of(path: Path, number: int) -> int:
    """Return the line of a call by its number, from 1."""
    lines = [line for line, row in enumerate(_rows_of(path), start=1) if line > 1 and "prologue" not in row]
    return lines[number - 1]


def _edit(path: Path, number: int, edit: Edit) -> None:
    """Change a call of a recording by hand."""
    rows = _rows_of(path)
    edit(rows[_line_of(path, number) - 1])
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def _found_of(path: Path, *kinds: str) -> set[str]:
    """Return the personal data of these kinds that a recording still has."""
    content = path.read_text(encoding="utf-8").lower()
    return {text for kind in kinds for text in PERSONAL[kind] if text in content}


# Checked against the fake


@EACH_RECORDING
def test_recording_of_trpc_has_no_drift(run: Run, recording: Path) -> None:
    """The output is a summary and the verdicts on the assumptions; the exit code is 0."""
    output = run("check", recording)

    count = len(_calls_of(recording))
    assert (output.code, output.err) == (0, "")
    head, summary, origin, blank, *assumptions = output.out.splitlines()
    assert head.startswith(f"{recording}: {count} calls, recorded 2026-")
    assert head.endswith("; now from the fake")
    assert (summary, blank) == (f"0 of {count} calls drifted.", "")
    assert origin == "Recorded from the fake: it confirms nothing about the service."
    assert assumptions[0] == "Assumptions contradicted: 0"
    assert any(line.startswith("Assumptions confirmed: ") for line in assumptions)
    assert assumptions[-1].startswith("Assumptions not exercised: ")
    assert assumptions[-1].endswith(" (--verbose names them)")
    verbose = run("check", "--verbose", recording).out.splitlines()
    assert len(verbose) > len(output.out.splitlines())


@pytest.mark.parametrize(
    ("source", "is_marked"),
    [
        ("FakeTransport", True),
        ("http://localhost:3001/api/v1", True),
        ("http://[::1", False),
        ("https://os.chatarmin.com/api/v1", False),
        (None, False),
    ],
    ids=["fake", "loopback", "invalid-url", "public", "missing"],
)
def test_recording_of_the_fake_is_marked(run: Run, usage: Path, source: str | None, *, is_marked: bool) -> None:
    """It confirms the assumptions of the fake, and nothing about the service."""
    head, *calls = usage.read_text(encoding="utf-8").splitlines()
    usage.write_text("\n".join([json.dumps({**json.loads(head), "from": source}), *calls]), encoding="utf-8")

    output = run("check", usage)

    assert ("Recorded from the fake: it confirms nothing about the service.\n" in output.out) is is_marked


def _set_answer(field: str, value: Any) -> Edit:
    return lambda row: row["answer"].update({field: value})


def _set_error(**values: Any) -> Edit:
    return lambda row: row["error"].update(values)


def _refused(row: Row) -> None:
    data = {"code": "FORBIDDEN", "httpStatus": 403, "path": row["path"]}
    row["error"] = {"code": "FORBIDDEN", "status": 403, "message": "No", "data": data}
    del row["answer"]


@pytest.mark.parametrize(
    ("number", "edit", "row"),
    [
        (8, _set_answer("currentUsage", 5), "features.check $.currentUsage value 5 4.5"),
        (9, _set_answer("isAtLimit", "yes"), 'billing.trackUsage $.isAtLimit type "yes" true'),
        (9, _set_answer("fresh", 1), "billing.trackUsage $.fresh field 1 absent"),
        (9, lambda row: row["answer"].pop("isAtLimit"), "billing.trackUsage $.isAtLimit field absent true"),
        (12, _set_error(code="CONFLICT"), "billing.trackUsage - code CONFLICT BAD_REQUEST"),
        (12, _set_error(status=422), "billing.trackUsage - status 422 400"),
        (3, _refused, "billing.trackUsage - outcome FORBIDDEN an answer"),
    ],
    ids=["value", "type", "additional-field", "missing-field", "code", "status", "outcome"],
)
def test_changed_line_is_drift(run: Run, usage: Path, number: int, edit: Edit, row: str) -> None:
    """The exit code is 1, and a row has line, call, place, kind and both values."""
    _edit(usage, number, edit)

    output = run("check", usage)

    assert (output.code, output.err) == (1, "")
    _, header, _, shown, *rest = output.out.splitlines()
    assert header.split() == ["line", "call", "place", "differs", "in", "recorded", "now"]
    assert " ".join(shown.split()) == f"{_line_of(usage, number)} {row}"
    assert rest[0] == "1 of 16 calls drifted."


def test_contradicted_assumption_has_its_line(run: Run, usage: Path) -> None:
    """The contradicted assumptions are listed first."""
    _edit(usage, 9, _set_answer("isAtLimit", value=False))

    output = run("check", usage)

    assumptions = output.out.split("\n\n")[1].splitlines()
    assert assumptions[0] == "Assumptions contradicted: 1"
    assert assumptions[1].split()[0] == "usage-at-limit"
    assert max(len(line) for line in assumptions if str(usage) not in line) <= 100
    [place, *_] = [line for line in assumptions if str(usage) in line]
    assert place.endswith(f"{usage}:{_line_of(usage, 9)})")


def test_calls_without_an_answer_are_skipped(run: Run, usage: Path) -> None:
    """A failure of the network is counted, and is not drift."""

    def fail(row: Row) -> None:
        del row["answer"]
        row["failure"] = {"type": "TimedOut", "message": "timed out", "outcome": "unknown"}

    _edit(usage, 14, fail)

    output = run("check", usage)

    assert output.code == 0
    summary = output.out.splitlines()[1]
    assert summary.startswith("0 of 16 calls drifted; 1 call ")
    assert summary.endswith(" not compared.")


def test_several_recordings_are_checked_together(run: Run, usage: Path) -> None:
    """The reports are in the given order, the assumptions once; drift in one recording gives exit code 1."""
    _edit(usage, 8, _set_answer("currentUsage", 5))

    good, bad = run("check", USAGE, RECORDINGS[0]), run("check", USAGE, usage, RECORDINGS[0])

    assert (good.code, bad.code) == (0, 1)
    heads = [line.split(": ")[0] for line in bad.out.splitlines() if "; now from the fake" in line]
    assert heads == [str(USAGE), str(usage), str(RECORDINGS[0])]
    assert bad.out.count("Assumptions contradicted: ") == 1
    assert "16 calls drifted.\n" in bad.out


def test_check_prints_one_json_document(run: Run, usage: Path) -> None:
    """The document has the drift, each recording with its calls, and each assumption with its verdict and lines."""
    _edit(usage, 9, _set_answer("isAtLimit", value=False))

    output = run("check", "--json", usage, USAGE)

    assert (output.code, output.err) == (1, "")
    document = json.loads(output.out)
    assert document.keys() == {"is_drift", "recordings", "rules"}
    assert document["is_drift"] is True
    assert [(one["path"], one["is_drift"]) for one in document["recordings"]] == [
        (str(usage), True),
        (str(USAGE), False),
    ]
    drifted = [call for call in document["recordings"][0]["calls"] if call["differences"]]
    difference = {"place": "$.isAtLimit", "kind": "value", "recorded": "false", "now": "true"}
    assert drifted == [
        {
            "line": _line_of(usage, 9),
            "path": "billing.trackUsage",
            "recorded": "an answer",
            "now": "an answer",
            "unknown": None,
            "differences": [difference],
        }
    ]
    assert document["recordings"][0]["against"] == "the fake"
    rules = {rule["name"]: rule for rule in document["rules"]}
    assert len(rules) == len(document["rules"])
    assert all(rule.keys() == {"name", "text", "verdict", "confirmed", "contradicted"} for rule in rules.values())
    assert {rule["verdict"] for rule in rules.values()} == {"contradicted", "confirmed", "untouched"}
    at_limit, key = rules["usage-at-limit"], rules["usage-key"]
    assert (at_limit["verdict"], key["verdict"]) == ("contradicted", "confirmed")
    assert at_limit["contradicted"] == [{"path": str(usage), "line": _line_of(usage, 9)}]
    assert at_limit["confirmed"] == [{"path": str(USAGE), "line": _line_of(USAGE, 9)}]
    assert key["confirmed"] == [{"path": str(path), "line": _line_of(path, 5)} for path in (usage, USAGE)]


def test_check_without_drift_is_json_too(run: Run) -> None:
    """`is_drift` is false if the exit code is 0."""
    output = run("check", "--json", USAGE)

    assert output.code == 0
    assert json.loads(output.out)["is_drift"] is False


# Files that are not recordings


@pytest.mark.parametrize("command", ["check", "show", "redact"])
def test_missing_file_exits_2(run: Run, tmp_path: Path, command: str) -> None:
    """The error is one line with the name of the file, or of the folder."""
    missing, folder = run(command, tmp_path / "none.jsonl"), run(command, tmp_path)

    assert (missing.code, missing.out, folder.code, folder.out) == (2, "", 2, "")
    assert missing.problem == f"{tmp_path / 'none.jsonl'}: No such file or directory"
    assert folder.problem.startswith(f"{tmp_path}: ")


@pytest.mark.parametrize("command", ["check", "show", "redact"])
@pytest.mark.parametrize(
    "content",
    ["no JSON\n", "[]\n", "{}\n", '{"format": "chatarmin_os recording 0"}\n', "\x00\n"],
    ids=["text", "list", "object", "unknown-format", "binary"],
)
def test_other_file_exits_2(run: Run, tmp_path: Path, command: str, content: str) -> None:
    """The error is one line, and the file is unchanged."""
    file = tmp_path / "file"
    file.write_text(content, encoding="utf-8")

    output = run(command, file)

    assert (output.code, output.out) == (2, "")
    assert output.problem.startswith(str(file))
    assert ", line 1: not a recording" in output.problem
    assert file.read_text(encoding="utf-8") == content


@pytest.mark.parametrize("command", ["check", "show", "redact"])
@pytest.mark.parametrize("content", ["", "\n", "\ufeff"], ids=["empty", "blank", "byte-order-mark"])
def test_empty_file_exits_2(run: Run, tmp_path: Path, command: str, content: str) -> None:
    """The error says that it is empty."""
    file = tmp_path / "file"
    file.write_text(content, encoding="utf-8")

    output = run(command, file)

    assert (output.code, output.out) == (2, "")
    assert output.problem == f"{file}: the recording is empty"


_CALL = '"kind": "query", "path": "tiers.list", "input": null'


INVALID_LINES = {
    "syntax": ("{broken", "not valid JSON (column 2: "),
    "empty": ("", "not valid JSON (column 1: "),
    "list": ("[1]", "not a call with an answer, error or failure"),
    "no-outcome": (f"{{{_CALL}}}", "not a call with an answer, error or failure"),
    "two-outcomes": (f'{{{_CALL}, "answer": 1, "error": 2}}', "not a call with an answer, error or failure"),
    "unknown-outcome": (f'{{{_CALL}, "outcome": 1}}', "not a call with an answer, error or failure"),
    "unknown-failure": (
        f'{{{_CALL}, "failure": {{"type": "Tired", "message": "", "outcome": ""}}}}',
        "not a call with an answer",
    ),
    "incomplete-error": (
        f'{{{_CALL}, "error": {{"code": "CONFLICT"}}}}',
        "its error lacks code, message, status or data",
    ),
    "unknown-kind": (
        '{"kind": "wish", "path": "tiers.list", "input": null, "answer": []}',
        "its path is not text, or its kind is neither query nor mutation",
    ),
}


@pytest.mark.parametrize("command", ["check", "show", "redact"])
@pytest.mark.parametrize(("broken", "expected"), INVALID_LINES.values(), ids=INVALID_LINES)
def test_invalid_line_has_its_number(run: Run, usage: Path, command: str, broken: str, expected: str) -> None:
    """The error has the number of the line, from 1, and nothing is written."""
    lines = usage.read_text(encoding="utf-8").splitlines()
    lines[4] = broken
    usage.write_text("\n".join(lines), encoding="utf-8")
    before = usage.read_bytes()

    output = run(command, usage)

    assert (output.code, output.out) == (2, "")
    assert output.problem.startswith(f"{usage}, line 5: {expected}")
    assert usage.read_bytes() == before
    assert [path.name for path in usage.parent.iterdir()] == [usage.name]


def test_invalid_recording_ends_the_check_of_several(run: Run, tmp_path: Path) -> None:
    """Standard output stays empty, also with --json."""
    for options in ([], ["--json"]):
        output = run("check", *options, USAGE, tmp_path / "none.jsonl")

        assert (output.code, output.out) == (2, "")
        assert "none.jsonl: No such file" in output.problem


# Checked against a live service


def test_mutations_need_an_option(run: Run, service: tuple[str, FakeTransport], signed_up: Path) -> None:
    """Without --run-mutations nothing is sent, and the error counts the mutations."""
    url, fake = service

    output = run("check", "--against", url, signed_up)

    assert (output.code, output.out) == (2, "")
    assert output.problem.startswith("--run-mutations: ")
    assert "(onboard 1, billing.trackUsage 2)" in output.problem
    assert fake.calls == []


def test_live_service_answers_as_recorded(run: Run, service: tuple[str, FakeTransport], signed_up: Path) -> None:
    """Calls can be repeated on the same product: ids of organisations and usage keys are replaced by new ones."""
    url, fake = service

    first, again = (run("check", "--against", url, "--run-mutations", signed_up) for _ in range(2))

    for output in (first, again):
        assert (output.code, output.err) == (0, "")
        head, summary, *_ = output.out.splitlines()
        assert head.endswith(f"; now from {url}")
        assert summary == "0 of 5 calls drifted."
    paths = [call.path for call in fake.calls if call.path != "tiers.list"]  # a call that detects the transformer
    assert paths == [row["path"] for row in _rows_of(signed_up)[1:]] * 2
    orgs = {call.input["externalOrgId"] for call in fake.calls if call.path == "onboard"}
    keys = {call.input["idempotencyKey"] for call in fake.calls if call.path == "billing.trackUsage"}
    assert (len(orgs), len(keys)) == (2, 4)
    assert "org_1" not in orgs


def test_queries_need_no_option(run: Run, service: tuple[str, FakeTransport], queries: Path, signed_up: Path) -> None:
    """A recording of queries is checked without --run-mutations; several recordings share the client."""
    url, fake = service

    alone = run("check", "--against", url, "--timeout", "5", queries)
    both = run("check", "--against", url, "--json", "--run-mutations", queries, signed_up)

    assert (alone.code, both.code) == (0, 0)
    assert [(one["against"], len(one["calls"])) for one in json.loads(both.out)["recordings"]] == [(url, 2), (url, 5)]
    assert len(fake.calls) == 2 + 2 + 5


def test_changed_live_service_is_drift(run: Run, service: tuple[str, FakeTransport], signed_up: Path) -> None:
    """The exit code is 1, and a row has the difference."""
    url, fake = service
    fake.fail("features.check", error="FORBIDDEN")

    output = run("check", "--against", url, "--run-mutations", signed_up)

    assert output.code == 1
    assert " ".join(output.out.splitlines()[3].split()) == "3 features.check - outcome an answer FORBIDDEN"


@pytest.mark.parametrize("key", ["wrong_secret_key", "pk_live_1234"], ids=["unknown", "of-another-service"])
def test_rejected_key_exits_1(
    run: Run, service: tuple[str, FakeTransport], queries: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """The error has the refusal and advice, but not the key."""
    monkeypatch.setenv("OS_API_KEY", key)

    output = run("check", "--against", service[0], queries)

    assert (output.code, output.out) == (1, "")
    refusal, advice = output.err.splitlines()
    assert refusal.startswith("chatarmin-os: UNAUTHORIZED: ")
    assert "Settings, Developers, API Keys" in advice
    assert key not in output.err


@pytest.mark.parametrize(
    "code", ["UNAUTHORIZED", "FORBIDDEN", f"X {KEY}"], ids=["unauthorized", "forbidden", "key-as-code"]
)
def test_key_in_a_refusal_is_not_printed(
    run: Run, service: tuple[str, FakeTransport], queries: Path, code: str
) -> None:
    """Error and table are without the key; `run` searches for it."""
    url, fake = service
    fake.fail(error=ApiError.from_code(code, f"No: Bearer {KEY}", http_status=418), times=9)

    output = run("check", "--against", url, queries)

    assert output.code == 1
    assert code.replace(KEY, "[key]") in output.out + output.err
    assert code != "UNAUTHORIZED" or "No: Bearer [key]" in output.err


def test_failed_connection_exits_3(run: Run, queries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says that the call was not sent."""
    monkeypatch.setenv("OS_API_KEY", KEY)

    output = run("check", "--against", "http://127.0.0.1:9/api", "--timeout", "5", queries)

    assert (output.code, output.out) == (3, "")
    assert output.problem.startswith("could not reach the service: 127.0.0.1:9")


def test_lost_response_exits_3(run: Run, service: tuple[str, FakeTransport], signed_up: Path) -> None:
    """A mutation without a response may have run; the check ends there."""
    url, fake = service
    fake.fail("onboard", error=ConnectionFailed("lost"), times=3, after=True)  # as often as it is sent

    output = run("check", "--against", url, "--run-mutations", signed_up)

    assert (output.code, output.out) == (3, "")
    assert output.problem.startswith("no response: ")
    assert output.problem.endswith("; the call may have run")
    assert "features.check" not in [call.path for call in fake.calls]


@pytest.mark.parametrize(
    "url",
    ["nonsense", "ftp://os.example.com", "http://os.example.com", f"https://{KEY}@os.example.com", "FAKE"],
    ids=["word", "ftp", "plain-http", "user", "capitals"],
)
def test_invalid_url_exits_2(run: Run, queries: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """The error names the option, and advises nothing about Python."""
    monkeypatch.setenv("OS_API_KEY", KEY)

    output = run("check", "--against", url, queries)

    assert (output.code, output.out) == (2, "")
    assert output.problem.startswith("--against: ")
    assert "allow_http" not in output.problem
    if not url.startswith("http"):
        assert output.problem == "--against: must be fake or an http(s) URL"


def test_missing_key_exits_2(run: Run, queries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing or blank key gets advice."""
    for key in (None, " "):
        if key:
            monkeypatch.setenv("OS_API_KEY", key)

        output = run("check", "--against", "http://127.0.0.1:9", queries)

        assert (output.code, output.out) == (2, "")
        assert output.problem.startswith("the API key is missing; set OS_API_KEY")


def test_key_comes_from_a_file_or_standard_input(
    run: Run, service: tuple[str, FakeTransport], queries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--api-key-file works as with the commands that call the service."""
    monkeypatch.setenv("OS_API_KEY", "wrong")
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n", encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\n"))

    for source in (file, "-"):
        assert run("check", "--against", service[0], "--api-key-file", source, queries).code == 0
    assert (
        "missing: No such file" in run("check", "--against", service[0], "--api-key-file", "missing", queries).problem
    )


def test_terminal_prompts_for_the_key(
    run: Run, service: tuple[str, FakeTransport], queries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a check against a live service prompts; without a key it exits with 2."""
    typed = [KEY, ""]
    monkeypatch.delenv("OS_API_KEY")
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda _: typed.pop(0))

    assert run("check", queries).code == 0
    assert len(typed) == 2
    assert run("check", "--against", service[0], queries).code == 0
    none = run("check", "--against", service[0], queries)

    assert none.code == 2
    assert none.problem.startswith("the API key is missing; ")


MISPLACED_KEYS = {
    "check": (("check", KEY), "[key]: No such file"),
    "show": (("show", KEY), "[key]: No such file"),
    "redact": (("redact", KEY), "[key]: No such file"),
    "api-key-option": (("check", "f", "--api-key", KEY), "unrecognized arguments: --api-key [key]"),
    "key-file": (
        ("check", str(USAGE), "--against", "http://127.0.0.1:9", "--api-key-file", KEY),
        "--api-key-file [key]: ",
    ),
}


@pytest.mark.parametrize(("arguments", "expected"), MISPLACED_KEYS.values(), ids=MISPLACED_KEYS)
def test_misplaced_key_is_not_printed(run: Run, arguments: tuple[str, ...], expected: str) -> None:
    """An API key that is typed as another argument is redacted in the error; `run` searches for it."""
    output = run(*arguments)

    assert output.code == 2
    assert expected in output.err


# The content of a recording


def test_show_prints_a_table(run: Run) -> None:
    """A row has the line of a call, its input, and its answer or the code of its refusal."""
    output = run("show", USAGE)

    assert (output.code, output.err) == (0, "")
    title, header, _, *rows = output.out.splitlines()
    head, *lines = _rows_of(USAGE)
    names = [f"prologue: {line['prologue']['path']}" if "prologue" in line else line["path"] for line in lines]
    assert title == f"{USAGE}: recorded {head['recorded_at']} from {head['from']}"
    assert header.split() == ["line", "call", "input", "outcome"]
    assert len(rows) == len(lines)
    for line, (name, row) in enumerate(zip(names, rows, strict=True), start=2):
        assert row.startswith(f"{line:>4}  {name} ")
    applied, refused = rows[_line_of(USAGE, 2) - 2], rows[_line_of(USAGE, 5) - 2]
    assert '{"featuresApplied": 2, "tierCode": "free"}' in applied
    assert refused.endswith("CONFLICT: The idempotency key 'usage-1' was used with another quantity")
    assert '..."' not in rows[0]
    assert rows[0].endswith("...")  # a long answer is cut


def test_show_prints_failures(run: Run, tmp_path: Path) -> None:
    """A failure has its type and message; a call without an input has an empty cell."""
    fake = FakeTransport(demo_catalogue())
    fake.fail("tiers.list", error=TimedOut("timed out"))
    with _recording(fake, tmp_path / "failed.jsonl") as client, pytest.raises(TimedOut):
        client.tiers.list()

    row = run("show", tmp_path / "failed.jsonl").out.splitlines()[-1]

    assert row.split(maxsplit=2) == ["2", "tiers.list", "no response (TimedOut): timed out"]


def test_show_prints_no_control_characters(run: Run, tmp_path: Path) -> None:
    """Names are printed with letters of all languages, without control characters."""
    name = "Sök\x1b[2J\x9b日本"
    with _recording(FakeTransport(demo_catalogue()), tmp_path / "names.jsonl") as client:
        client.companies.create(name=name, external_org_id="org_1")

    shown, document = run("show", tmp_path / "names.jsonl"), run("show", "--json", tmp_path / "names.jsonl")

    assert "Sök" in shown.out
    assert not {"\x1b", "\x9b"} & {*shown.out}
    assert document.out.isascii()
    assert json.loads(document.out)["recordings"][0]["calls"][0]["input"]["name"] == name


@EACH_RECORDING
def test_show_prints_one_json_document(run: Run, recording: Path) -> None:
    """The document has the first line, and the complete calls in their order."""
    output = run("show", "--json", recording)

    head, *lines = _rows_of(recording)
    prologue = [line["prologue"] for line in lines if "prologue" in line]
    document = {"path": str(recording), "head": head, "calls": _calls_of(recording), "prologue": prologue}
    assert (output.code, output.err) == (0, "")
    assert json.loads(output.out) == {"recordings": [document]}


def test_empty_recording_is_valid(run: Run, tmp_path: Path) -> None:
    """A recording without calls is shown as such, has no drift, and can be redacted."""
    empty = tmp_path / "empty.jsonl"
    _recording(FakeTransport(), empty).close()

    [line] = run("show", empty).out.splitlines()
    [document] = json.loads(run("show", "--json", empty).out)["recordings"]
    checked, redacted = run("check", empty), run("redact", empty)

    assert line.endswith(" from FakeTransport, no calls")
    assert document["calls"] == []
    assert (checked.code, checked.out.splitlines()[1]) == (0, "0 of 0 calls drifted.")
    assert (redacted.code, redacted.out.splitlines()[0]) == (0, f"{empty}: 0 of 0 lines redacted")
    assert len(_rows_of(empty)) == 1


def test_show_marks_a_redacted_recording(run: Run, usage: Path) -> None:
    """The title of a redacted recording ends with "redacted"."""
    before = run("show", usage).out.splitlines()[0]

    run("redact", usage)

    assert run("show", usage).out.splitlines()[0] == f"{before}, redacted"
    assert json.loads(run("show", "--json", usage).out)["recordings"][0]["head"]["redacted"] is True


# Redacted recordings


def test_redact_removes_personal_data(run: Run, personal: Path) -> None:
    """The file is replaced, only calls with personal data change, and the output names the redactor."""
    before, inode = _rows_of(personal), personal.stat().st_ino

    output = run("redact", personal)

    after = _rows_of(personal)
    assert (output.code, output.err) == (0, "")
    assert output.out.splitlines() == [
        f"{personal}: 5 of 6 lines redacted",
        "Replay it with the same redactor: personal_data of chatarmin_os.transports.redactors.",
    ]
    assert _found_of(personal, *PERSONAL) == set()
    assert after[0] == {**before[0], "redacted": True}
    assert [(row["path"], row["kind"]) for row in after[1:]] == [(row["path"], row["kind"]) for row in before[1:]]
    assert after[-1] == before[-1]
    assert personal.stat().st_ino != inode  # a new file
    assert [path.name for path in personal.parent.iterdir()] == [personal.name]


def test_redacted_recording_replays_with_the_redactor(run: Run, personal: Path) -> None:
    """The recorded program finds its calls, with its original data."""
    created, contact, listed, *refused, tiers = _rows_of(personal)[1:]
    run("redact", personal)

    with ChatarminOS(transport=ReplayTransport(personal, redact=personal_data, in_order=True)) as client:
        for row in (created, contact, listed):
            client.call(row["path"], row["input"])
        for row in refused:
            with pytest.raises(ChatarminError) as refusal:
                client.call(row["path"], row["input"])
            assert isinstance(refusal.value, ApiError)
            assert refusal.value.code == row["error"]["code"]
        assert client.call(tiers["path"]) == tiers["answer"]


def test_output_leaves_the_recording_unchanged(run: Run, personal: Path, tmp_path: Path) -> None:
    """--output gets the redacted recording, and replaces an existing file."""
    before, output = personal.read_bytes(), tmp_path / "redacted.jsonl"
    output.write_text("something else", encoding="utf-8")

    done = run("redact", personal, "--output", output)

    assert (done.code, done.out.splitlines()[0]) == (0, f"{output}: 5 of 6 lines redacted")
    assert personal.read_bytes() == before
    assert _found_of(output, *PERSONAL) == set()
    run("redact", personal)
    assert output.read_bytes() == personal.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {personal.name, output.name}


@pytest.mark.parametrize("only", [["names"], ["email_addresses"], ["metadata"], ["metadata", "names"]], ids="-".join)
def test_only_limits_the_redaction(run: Run, personal: Path, only: list[str]) -> None:
    """Other kinds of data stay, and the output names the redactors in their order."""
    others = [kind for kind in PERSONAL if kind not in only]
    kept = _found_of(personal, *others)

    output = run("redact", personal, *(argument for kind in only for argument in ("--only", kind)))

    assert output.code == 0
    named = ", ".join(kind for kind in PERSONAL if kind in only)
    assert output.out.splitlines()[1].startswith(f"Replay it with the same redactor: {named} of ")
    assert _found_of(personal, *only) == set()
    assert _found_of(personal, *others) == kept


def test_redact_of_an_unknown_kind_exits_2(run: Run, personal: Path) -> None:
    """The error has the choices, and the file is unchanged."""
    before = personal.read_bytes()

    output = run("redact", personal, "--only", "passwords")

    assert (output.code, output.out) == (2, "")
    assert "argument --only: invalid choice: 'passwords'" in output.err
    assert all(kind in output.err for kind in PERSONAL)
    assert personal.read_bytes() == before


def test_unwritable_output_exits_2(run: Run, personal: Path, tmp_path: Path) -> None:
    """A missing folder, or a folder in place of the file, is an error of one line, and leaves no file."""
    before = personal.read_bytes()
    folder = tmp_path / "folder"
    folder.mkdir()

    nowhere, in_place = (
        run("redact", personal, "--output", tmp_path / "none" / "f"),
        run("redact", personal, "--output", folder),
    )

    assert (nowhere.code, nowhere.out, in_place.code, in_place.out) == (2, "", 2, "")
    assert nowhere.problem == f"{tmp_path / 'none' / 'f'}: No such file or directory"
    assert in_place.problem.startswith(f"{folder}: ")
    assert personal.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {personal.name, folder.name}
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("method", ["chmod", "replace"])
def test_failed_redaction_leaves_the_recording(
    run: Run, personal: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """If the disk is full or the file cannot be replaced, the recording is unchanged and no other file is left."""
    before = personal.read_bytes()

    def fail(path: Path, _: object) -> None:
        with path.open("ab") as file:
            file.write(b"half a li")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, method, fail)
        output = run("redact", personal)

    assert (output.code, output.out) == (2, "")
    assert output.problem == f"{personal}: No space left on device"
    assert personal.read_bytes() == before
    assert [path.name for path in personal.parent.iterdir()] == [personal.name]


@EACH_RECORDING
def test_redacted_recording_has_no_drift(run: Run, recording: Path, tmp_path: Path) -> None:
    """Equal values stay equal, so that the fake answers as recorded; a second redaction changes nothing."""
    once, twice = tmp_path / "once.jsonl", tmp_path / "twice.jsonl"
    count = len(_rows_of(recording)) - 1

    assert run("redact", recording, "--output", once).code == 0
    again = run("redact", once, "--output", twice)
    checked = run("check", once)

    assert checked.out.splitlines()[1] == f"0 of {len(_calls_of(recording))} calls drifted."
    assert checked.code == 0
    assert again.out.splitlines()[0] == f"{twice}: 0 of {count} lines redacted"
    assert twice.read_bytes() == once.read_bytes()
    assert len(_rows_of(once)) == count + 1


def test_second_redaction_changes_nothing(run: Run, personal: Path) -> None:
    """A second redaction in place, or of one kind, changes nothing."""
    run("redact", personal)
    before = personal.read_bytes()

    again, names = run("redact", personal), run("redact", personal, "--only", "names")

    assert [output.out.splitlines()[0] for output in (again, names)] == [f"{personal}: 0 of 6 lines redacted"] * 2
    assert personal.read_bytes() == before
    assert run("check", personal).code == 0


# The commands


@pytest.mark.parametrize("command", ["check", "show", "redact"])
def test_command_has_help_with_examples_and_exit_codes(run: Run, command: str) -> None:
    """--help prints command lines to paste, and the meaning of each exit code."""
    output = run(command, "--help")

    assert (output.code, output.err) == (0, "")
    examples, codes = output.out.split("examples:\n")[1].split("exit codes: ")
    assert all(line.startswith(f"  chatarmin-os recording {command} ") for line in examples.splitlines() if line)
    expected = {"0", "1", "2", "3"} if command == "check" else {"0", "2"}
    assert {part.split()[0] for part in codes.split(";")} == expected


def test_commands_are_listed(run: Run) -> None:
    """`recording --help` lists the three commands."""
    listed = run("--help").out.split("commands:")[1]

    assert all(f"    {command} " in listed for command in ("check", "show", "redact"))


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nope",),
        ("check",),
        ("show",),
        ("redact",),
        ("check", str(USAGE), "--again", "fake"),
        ("check", str(USAGE), "--timeout", "soon"),
    ],
    ids=["no-command", "unknown-command", "check", "show", "redact", "shortened-option", "timeout"],
)
def test_wrong_usage_exits_2(run: Run, arguments: tuple[str, ...]) -> None:
    """The usage is printed to standard error, also for a shortened option."""
    output = run(*arguments)

    assert (output.code, output.out) == (2, "")
    assert "usage: chatarmin-os" in output.err


def test_several_recordings_are_redacted_in_place(run: Run, tmp_path: Path) -> None:
    """Each file is replaced; --output takes only one recording."""
    paths = [shutil.copy(USAGE, tmp_path / name) for name in ("one.jsonl", "two.jsonl")]

    refused = run("redact", *paths, "--output", tmp_path / "f")
    done = run("redact", *paths)

    assert (refused.code, refused.problem) == (2, "--output: takes one recording; omit it to replace each file")
    assert done.code == 0
    assert [line.partition(": ")[0] for line in done.out.splitlines()[:2]] == [*map(str, paths)]
    assert run("show", *paths).out.count(", redacted") == 2


def test_deep_answer_is_not_redacted(run: Run, tmp_path: Path) -> None:
    """An answer that is nested too deeply for a redactor leaves the file unchanged."""
    path = tmp_path / "deep.jsonl"
    answer = "[" * 700 + "]" * 700
    first = json.dumps(_cassette.head("https://os.example", is_redacted=False))
    path.write_text(f'{first}\n{{"path": "a.b", "kind": "query", "input": null, "answer": {answer}}}\n')
    before = path.read_bytes()

    output = run("redact", path)

    assert (output.code, output.problem) == (2, f"{path}: an answer is nested too deeply to be redacted")
    assert path.read_bytes() == before
