"""The commands about recordings: what has drifted, what is in one, what is taken out, and how they fail."""

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
from chatarmin_os.recording import file as recording_file
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
OF_EACH_STORY = pytest.mark.parametrize("story", RECORDINGS, ids=lambda path: path.stem.removeprefix("test_stories."))
PERSONAL = {
    "email_addresses": ("joan@", "bakery.example"),
    "names": ("joan dough", "bread & butter", "pictures.example"),
    "metadata": ("+43 1 234",),
}


class Output(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """The one line of an error, without the name of the command."""
        assert self.err.startswith("chatarmin-os: ")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("chatarmin-os: ").rstrip("\n")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key is around, and nobody to ask for one."""
    monkeypatch.delenv("OS_API_KEY", raising=False)
    monkeypatch.delenv("OS_BASE_URL", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `recording`; where a test sets a key it must show nowhere."""

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
    """A real recording, to be changed."""
    return Path(shutil.copy(USAGE, tmp_path / "usage.jsonl"))


@pytest.fixture
def personal(tmp_path: Path) -> Path:
    """A recording with personal data in inputs, answers and the words of refusals."""
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
    """A live service with a fresh product for the key of the environment: its URL, and its own side."""
    fake = FakeTransport(demo_catalogue())
    with serve_fake({KEY: fake}) as url:
        monkeypatch.setenv("OS_API_KEY", KEY)
        yield url, fake


@pytest.fixture
def signed_up(tmp_path: Path) -> Path:
    """What a fresh product answered, over HTTP, to an organisation that signs up, looks and uses."""
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
def looked(tmp_path: Path) -> Path:
    """What a fresh product answered to queries alone."""
    path = tmp_path / "looked.jsonl"
    with _recording(FakeTransport(demo_catalogue()), path) as client:
        client.tiers.list()
        client.tiers.get("pro")
    return path


def _recording(service: Transport, path: Path) -> ChatarminOS:
    return ChatarminOS(transport=RecordingTransport(service, path))


def _rows_of(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _calls_of(path: Path) -> list[Row]:
    """Return the calls of a recording, without its prologue."""
    return [row for row in _rows_of(path)[1:] if "prologue" not in row]


def _edit(path: Path, line: int, edit: Edit) -> None:
    """Change a line of a recording by hand."""
    rows = _rows_of(path)
    edit(rows[line - 1])
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def _found_of(path: Path, *kinds: str) -> set[str]:
    """Return the personal data of these kinds that a recording still has."""
    content = path.read_text(encoding="utf-8").lower()
    return {text for kind in kinds for text in PERSONAL[kind] if text in content}


# What is recorded, checked against the fake


@OF_EACH_STORY
def test_a_good_recording_has_no_drift(run: Run, story: Path) -> None:
    """What tRPC itself answered, the fake answers too: exit code 0, a summary, and the table of the decided rules."""
    output = run("check", story)

    count = len(_calls_of(story))
    assert (output.code, output.err) == (0, "")
    told, summary, blank, *rules = output.out.splitlines()
    assert told.startswith(f"{story}: {count} calls, recorded 2026-")
    assert told.endswith("; now from the fake")
    assert (summary, blank) == (f"0 of {count} calls drifted.", "")
    assert rules[0] == "Decided rules contradicted: 0"
    assert any(line.startswith("Decided rules confirmed: ") for line in rules)


def _set_answer(field: str, value: Any) -> Edit:
    return lambda row: row["answer"].update({field: value})


def _set_error(**values: Any) -> Edit:
    return lambda row: row["error"].update(values)


def _refused(row: Row) -> None:
    data = {"code": "FORBIDDEN", "httpStatus": 403, "path": row["path"]}
    row["error"] = {"code": "FORBIDDEN", "status": 403, "message": "No", "data": data}
    del row["answer"]


@pytest.mark.parametrize(
    ("line", "edit", "row"),
    [
        (16, _set_answer("currentUsage", 5), "16 features.check $.currentUsage value 5 4.5"),
        (17, _set_answer("isAtLimit", "yes"), '17 billing.trackUsage $.isAtLimit type "yes" true'),
        (17, _set_answer("fresh", 1), "17 billing.trackUsage $.fresh field 1 absent"),
        (17, lambda row: row["answer"].pop("isAtLimit"), "17 billing.trackUsage $.isAtLimit field absent true"),
        (20, _set_error(code="CONFLICT"), "20 billing.trackUsage - code CONFLICT BAD_REQUEST"),
        (20, _set_error(status=422), "20 billing.trackUsage - status 422 400"),
        (11, _refused, "11 billing.trackUsage - outcome FORBIDDEN an answer"),
    ],
    ids=["value", "type", "field more", "field less", "code", "status", "outcome"],
)
def test_a_changed_line_is_drift(run: Run, usage: Path, line: int, edit: Edit, row: str) -> None:
    """Exit code 1, and a row with line, call, place, kind, and both sides."""
    _edit(usage, line, edit)

    output = run("check", usage)

    assert (output.code, output.err) == (1, "")
    _, header, _, shown, *rest = output.out.splitlines()
    assert header.split() == ["line", "call", "place", "differs", "in", "recorded", "now"]
    assert " ".join(shown.split()) == row
    assert rest[0] == "1 of 16 calls drifted."


def test_a_contradicted_rule_is_named_with_its_line(run: Run, usage: Path) -> None:
    """What a drift says of the decided rules comes first among them."""
    _edit(usage, 17, _set_answer("isAtLimit", value=False))

    output = run("check", usage)

    rules = output.out.split("\n\n")[1].splitlines()
    assert rules[0] == "Decided rules contradicted: 1"
    assert rules[3].split()[0] == "usage-at-limit"
    assert rules[3].endswith(f"{usage}:17")


def test_calls_without_an_answer_are_passed_over(run: Run, usage: Path) -> None:
    """A failure of the network was no answer of the service: it is counted, and no drift."""

    def fail(row: Row) -> None:
        del row["answer"]
        row["failure"] = {"type": "TimedOut", "message": "timed out", "outcome": "unknown"}

    _edit(usage, 22, fail)

    output = run("check", usage)

    assert output.code == 0
    summary = output.out.splitlines()[1]
    assert summary.startswith("0 of 16 calls drifted; 1 call ")
    assert summary.endswith(" not compared.")


def test_several_recordings_are_checked_at_once(run: Run, usage: Path) -> None:
    """Each is told in the order given, the rules once for all; drift in one of them is enough for exit code 1."""
    _edit(usage, 16, _set_answer("currentUsage", 5))

    good, bad = run("check", USAGE, RECORDINGS[0]), run("check", USAGE, usage, RECORDINGS[0])

    assert (good.code, bad.code) == (0, 1)
    heads = [line.split(": ")[0] for line in bad.out.splitlines() if "; now from the fake" in line]
    assert heads == [str(USAGE), str(usage), str(RECORDINGS[0])]
    assert bad.out.count("Decided rules contradicted: ") == 1
    assert "16 calls drifted.\n" in bad.out


def test_a_check_is_one_json_document(run: Run, usage: Path) -> None:
    """For programs: whether there is drift, each recording with its calls, each rule with its verdict and places."""
    _edit(usage, 17, _set_answer("isAtLimit", value=False))

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
            "line": 17,
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
    assert at_limit["contradicted"] == [{"path": str(usage), "line": 17}]
    assert at_limit["confirmed"] == [{"path": str(USAGE), "line": 17}]
    assert key["confirmed"] == [{"path": str(path), "line": 13} for path in (usage, USAGE)]


def test_a_check_as_json_says_that_nothing_drifted(run: Run) -> None:
    """Exit code 0 and `is_drift` go together, here too."""
    output = run("check", "--json", USAGE)

    assert output.code == 0
    assert json.loads(output.out)["is_drift"] is False


# What is no recording


@pytest.mark.parametrize("command", ["check", "show", "redact"])
def test_a_file_that_is_not_there_exits_2(run: Run, tmp_path: Path, command: str) -> None:
    """One line with its name; a folder is no file either."""
    missing, folder = run(command, tmp_path / "none.jsonl"), run(command, tmp_path)

    assert (missing.code, missing.out, folder.code, folder.out) == (2, "", 2, "")
    assert missing.told == f"{tmp_path / 'none.jsonl'}: No such file or directory"
    assert folder.told.startswith(f"{tmp_path}: ")


@pytest.mark.parametrize("command", ["check", "show", "redact"])
@pytest.mark.parametrize(
    "content", ["", "\n", "no JSON\n", "[]\n", "{}\n", '{"format": "chatarmin_os recording 0"}\n', "\x00\n"]
)
def test_a_file_that_is_no_recording_exits_2(run: Run, tmp_path: Path, command: str, content: str) -> None:
    """It says so on one line, and the file stays as it is."""
    file = tmp_path / "file"
    file.write_text(content, encoding="utf-8")

    output = run(command, file)

    assert (output.code, output.out) == (2, "")
    assert output.told.startswith(str(file))
    assert "line 1" in output.told
    assert file.read_text(encoding="utf-8") == content


_CALL = '"kind": "query", "path": "tiers.list", "input": null'


@pytest.mark.parametrize("command", ["check", "show", "redact"])
@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("{broken", "no JSON: "),
        ("", "no JSON: "),
        ("[1]", "no call with an answer, error or failure"),
        (f"{{{_CALL}}}", "no call with an answer, error or failure"),
        (f'{{{_CALL}, "answer": 1, "error": 2}}', "no call with an answer, error or failure"),
        (f'{{{_CALL}, "outcome": 1}}', "no call with an answer, error or failure"),
        (f'{{{_CALL}, "failure": {{"type": "Tired", "message": "", "outcome": ""}}}}', "no call with an answer"),
        (f'{{{_CALL}, "error": {{"code": "CONFLICT"}}}}', "its error has no code, message, status and data"),
        ('{"kind": "wish", "path": "tiers.list", "input": null, "answer": []}', "its path is no text, or its kind"),
    ],
)
def test_a_broken_line_is_named_by_its_number(run: Run, usage: Path, command: str, broken: str, told: str) -> None:
    """As an editor counts them; nothing else is told, and nothing is written."""
    lines = usage.read_text(encoding="utf-8").splitlines()
    lines[4] = broken
    usage.write_text("\n".join(lines), encoding="utf-8")
    before = usage.read_bytes()

    output = run(command, usage)

    assert (output.code, output.out) == (2, "")
    assert output.told.startswith(f"{usage}, line 5: {told}")
    assert usage.read_bytes() == before
    assert [path.name for path in usage.parent.iterdir()] == [usage.name]


def test_one_broken_recording_ends_the_check_of_several(run: Run, tmp_path: Path) -> None:
    """Nothing is half told: standard output stays empty, also as JSON."""
    for options in ([], ["--json"]):
        output = run("check", *options, USAGE, tmp_path / "none.jsonl")

        assert (output.code, output.out) == (2, "")
        assert "none.jsonl: No such file" in output.told


# What is recorded, checked against a live service


def test_mutations_need_leave(run: Run, service: tuple[str, FakeTransport], signed_up: Path) -> None:
    """Without --run-mutations nothing is sent: exit code 2, and what would change the service is counted."""
    url, fake = service

    output = run("check", "--against", url, signed_up)

    assert (output.code, output.out) == (2, "")
    assert output.told.startswith("--run-mutations: ")
    assert "(onboard 1, billing.trackUsage 2)" in output.told
    assert fake.calls == []


def test_a_live_service_answers_as_recorded(run: Run, service: tuple[str, FakeTransport], signed_up: Path) -> None:
    """With leave the calls are made, also again on the same product: organisations and usage keys are made anew."""
    url, fake = service

    first, again = (run("check", "--against", url, "--run-mutations", signed_up) for _ in range(2))

    for output in (first, again):
        assert (output.code, output.err) == (0, "")
        told, summary, *_ = output.out.splitlines()
        assert told.endswith(f"; now from {url}")
        assert summary == "0 of 5 calls drifted."
    made = [call.path for call in fake.calls if call.path != "tiers.list"]  # which finds out how the service writes
    assert made == [row["path"] for row in _rows_of(signed_up)[1:]] * 2
    orgs = {call.input["externalOrgId"] for call in fake.calls if call.path == "onboard"}
    keys = {call.input["idempotencyKey"] for call in fake.calls if call.path == "billing.trackUsage"}
    assert (len(orgs), len(keys)) == (2, 4)
    assert "org_1" not in orgs


def test_queries_need_no_leave(run: Run, service: tuple[str, FakeTransport], looked: Path, signed_up: Path) -> None:
    """A recording that only reads is checked as it is; several share the client."""
    url, fake = service

    alone = run("check", "--against", url, "--timeout", "5", looked)
    both = run("check", "--against", url, "--json", "--run-mutations", looked, signed_up)

    assert (alone.code, both.code) == (0, 0)
    assert [(one["against"], len(one["calls"])) for one in json.loads(both.out)["recordings"]] == [(url, 2), (url, 5)]
    assert len(fake.calls) == 2 + 2 + 5


def test_a_live_service_that_answers_otherwise_has_drifted(
    run: Run, service: tuple[str, FakeTransport], signed_up: Path
) -> None:
    """Exit code 1, and a row as against the fake."""
    url, fake = service
    fake.fail("features.check", error="FORBIDDEN")

    output = run("check", "--against", url, "--run-mutations", signed_up)

    assert output.code == 1
    assert " ".join(output.out.splitlines()[3].split()) == "3 features.check - outcome an answer FORBIDDEN"


@pytest.mark.parametrize("key", ["wrong_secret_key", "pk_live_1234"])
def test_a_wrong_key_exits_1(
    run: Run, service: tuple[str, FakeTransport], looked: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """The refusal of the service, and where keys come from; the key is not shown."""
    monkeypatch.setenv("OS_API_KEY", key)

    output = run("check", "--against", service[0], looked)

    assert (output.code, output.out) == (1, "")
    refusal, advice = output.err.splitlines()
    assert refusal.startswith("chatarmin-os: UNAUTHORIZED: ")
    assert "Settings, Developers, API Keys" in advice
    assert key not in output.err


@pytest.mark.parametrize("code", ["UNAUTHORIZED", "FORBIDDEN", f"X {KEY}"])
def test_a_service_that_repeats_the_key_does_not_show_it(
    run: Run, service: tuple[str, FakeTransport], looked: Path, code: str
) -> None:
    """Neither in a refusal nor in a row of the table; `run` looks for it."""
    url, fake = service
    fake.fail(error=ApiError.from_code(code, f"No: Bearer {KEY}", http_status=418), times=9)

    output = run("check", "--against", url, looked)

    assert output.code == 1
    assert code.replace(KEY, "[key]") in output.out + output.err
    assert code != "UNAUTHORIZED" or "No: Bearer [key]" in output.err


def test_no_server_exits_3(run: Run, looked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there: no answer, and nothing has run."""
    monkeypatch.setenv("OS_API_KEY", KEY)

    output = run("check", "--against", "http://127.0.0.1:9/api", "--timeout", "5", looked)

    assert (output.code, output.out) == (3, "")
    assert output.told.startswith("no answer, it did not run: 127.0.0.1:9")


def test_a_lost_answer_exits_3(run: Run, service: tuple[str, FakeTransport], signed_up: Path) -> None:
    """A mutation of which the answer was lost may have run; the check ends there."""
    url, fake = service
    fake.fail("onboard", error=ConnectionFailed("lost"), times=3, after=True)  # as often as it is sent

    output = run("check", "--against", url, "--run-mutations", signed_up)

    assert (output.code, output.out) == (3, "")
    assert output.told.startswith("no answer, it may have run: ")
    assert "features.check" not in [call.path for call in fake.calls]


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://os.example.com", "http://os.example.com", f"https://{KEY}@os.example.com", "FAKE"]
)
def test_a_bad_url_exits_2(run: Run, looked: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """It goes by the option's name, and programmers' ways out are not offered."""
    monkeypatch.setenv("OS_API_KEY", KEY)

    output = run("check", "--against", url, looked)

    assert (output.code, output.out) == (2, "")
    assert output.told.startswith("--against: ")
    assert "allow_http" not in output.told


def test_without_a_key_nothing_is_asked(run: Run, looked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2 and what to do; a blank key is none."""
    for key in (None, " "):
        if key:
            monkeypatch.setenv("OS_API_KEY", key)

        output = run("check", "--against", "http://127.0.0.1:9", looked)

        assert (output.code, output.out) == (2, "")
        assert output.told.startswith("no API key: set OS_API_KEY")


def test_the_key_may_come_from_elsewhere(
    run: Run, service: tuple[str, FakeTransport], looked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file or from standard input, as with the commands that call the service."""
    monkeypatch.setenv("OS_API_KEY", "wrong")
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n", encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\n"))

    for source in (file, "-"):
        assert run("check", "--against", service[0], "--api-key-file", source, looked).code == 0
    assert "missing: No such file" in run("check", "--against", service[0], "--api-key-file", "missing", looked).told


def test_the_key_is_asked_for_on_a_terminal(
    run: Run, service: tuple[str, FakeTransport], looked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where a live service is asked; who types none is told what to do."""
    typed = [KEY, ""]
    monkeypatch.delenv("OS_API_KEY")
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda _: typed.pop(0))

    assert run("check", looked).code == 0
    assert len(typed) == 2
    assert run("check", "--against", service[0], looked).code == 0
    none = run("check", "--against", service[0], looked)

    assert none.code == 2
    assert none.told.startswith("no API key: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("check", KEY), "[key]: No such file"),
        (("show", KEY), "[key]: No such file"),
        (("redact", KEY), "[key]: No such file"),
        (("check", "f", "--api-key", KEY), "unrecognized arguments: --api-key [key]"),
        (("check", str(USAGE), "--against", "http://127.0.0.1:9", "--api-key-file", KEY), "--api-key-file [key]: "),
    ],
)
def test_a_key_in_the_wrong_place_is_not_repeated(run: Run, arguments: tuple[str, ...], told: str) -> None:
    """Whoever takes the key for an argument does not find it in the log; `run` looks for it."""
    output = run(*arguments)

    assert output.code == 2
    assert told in output.err


# What is in a recording


def test_a_recording_is_shown_as_a_table(run: Run) -> None:
    """A row for each call with its line, its input and what it came to: an answer, or a refusal with its code."""
    output = run("show", USAGE)

    assert (output.code, output.err) == (0, "")
    told, header, _, *rows = output.out.splitlines()
    head, *recorded = _rows_of(USAGE)
    assert told == f"{USAGE}: recorded {head['recorded_at']} from {head['from']}"
    assert header.split() == ["line", "call", "input", "came", "to"]
    names = ["prologue:" if "prologue" in row else row["path"] for row in recorded]
    assert [row.split()[:2] for row in rows] == [[str(line), name] for line, name in enumerate(names, start=2)]
    assert '{"featuresApplied": 2, "tierCode": "free"}' in rows[8]
    assert rows[11].endswith("CONFLICT: The idempotency key 'usage-1' was used with another quantity")
    assert '..."' not in rows[6]
    assert rows[6].endswith("...")  # what is long is cut


def test_what_never_came_is_shown_as_no_answer(run: Run, tmp_path: Path) -> None:
    """A failure goes by its type and words; a call without an input has an empty cell."""
    fake = FakeTransport(demo_catalogue())
    fake.fail("tiers.list", error=TimedOut("the service slept"))
    with _recording(fake, tmp_path / "failed.jsonl") as client, pytest.raises(TimedOut):
        client.tiers.list()

    row = run("show", tmp_path / "failed.jsonl").out.splitlines()[-1]

    assert row.split(maxsplit=2) == ["2", "tiers.list", "no answer (TimedOut): the service slept"]


def test_what_a_terminal_would_obey_is_not_shown(run: Run, tmp_path: Path) -> None:
    """Letters of all languages are shown, control characters of names are not."""
    name = "Sök\x1b[2J\x9b日本"
    with _recording(FakeTransport(demo_catalogue()), tmp_path / "names.jsonl") as client:
        client.companies.create(name=name, external_org_id="org_1")

    shown, document = run("show", tmp_path / "names.jsonl"), run("show", "--json", tmp_path / "names.jsonl")

    assert "Sök" in shown.out
    assert not {"\x1b", "\x9b"} & {*shown.out}
    assert document.out.isascii()
    assert json.loads(document.out)["recordings"][0]["calls"][0]["input"]["name"] == name


@OF_EACH_STORY
def test_a_recording_is_shown_as_one_json_document(run: Run, story: Path) -> None:
    """Its first line, and its calls in their order, whole."""
    output = run("show", "--json", story)

    head, *lines = _rows_of(story)
    prologue = [line["prologue"] for line in lines if "prologue" in line]
    assert (output.code, output.err) == (0, "")
    expected = {"path": str(story), "head": head, "calls": _calls_of(story), "prologue": prologue}
    assert json.loads(output.out) == {"recordings": [expected]}


def test_an_empty_recording_is_fine(run: Run, tmp_path: Path) -> None:
    """Nothing was called: it says so, nothing drifts, and there is nothing to redact."""
    empty = tmp_path / "empty.jsonl"
    _recording(FakeTransport(), empty).close()

    [told] = run("show", empty).out.splitlines()
    [document] = json.loads(run("show", "--json", empty).out)["recordings"]
    checked, redacted = run("check", empty), run("redact", empty)

    assert told.endswith(" from FakeTransport, no calls")
    assert document["calls"] == []
    assert (checked.code, checked.out.splitlines()[1]) == (0, "0 of 0 calls drifted.")
    assert (redacted.code, redacted.out.splitlines()[0]) == (0, f"{empty}: 0 of 0 lines redacted")
    assert len(_rows_of(empty)) == 1


def test_a_redacted_recording_says_so(run: Run, usage: Path) -> None:
    """Whoever reads it knows that names in it are none."""
    before = run("show", usage).out.splitlines()[0]

    run("redact", usage)

    assert run("show", usage).out.splitlines()[0] == f"{before}, redacted"
    assert json.loads(run("show", "--json", usage).out)["recordings"][0]["head"]["redacted"] is True


# What is taken out of a recording


def test_personal_data_is_taken_out(run: Run, personal: Path) -> None:
    """The file is replaced, line by line, and told what will replay it; only calls that had any have changed."""
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
    assert personal.stat().st_ino != inode  # another file took its place
    assert [path.name for path in personal.parent.iterdir()] == [personal.name]


def test_what_was_redacted_replays_with_the_redactor_that_is_told(run: Run, personal: Path) -> None:
    """The program that was recorded finds its calls, with the data that it still has."""
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


def test_the_original_stays_where_an_output_is_named(run: Run, personal: Path, tmp_path: Path) -> None:
    """What is written there is what would have replaced it; a file that is there gives way."""
    before, output = personal.read_bytes(), tmp_path / "redacted.jsonl"
    output.write_text("something else", encoding="utf-8")

    told = run("redact", personal, "--output", output)

    assert (told.code, told.out.splitlines()[0]) == (0, f"{output}: 5 of 6 lines redacted")
    assert personal.read_bytes() == before
    assert _found_of(output, *PERSONAL) == set()
    run("redact", personal)
    assert output.read_bytes() == personal.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {personal.name, output.name}


@pytest.mark.parametrize(
    "only", [["names"], ["email_addresses"], ["metadata"], ["metadata", "names"]], ids=" and ".join
)
def test_only_what_is_named_is_taken_out(run: Run, personal: Path, only: list[str]) -> None:
    """The rest stays, and the redactors to replay with are named in the order in which they run."""
    others = [kind for kind in PERSONAL if kind not in only]
    kept = _found_of(personal, *others)

    output = run("redact", personal, *(argument for kind in only for argument in ("--only", kind)))

    assert output.code == 0
    named = ", ".join(kind for kind in PERSONAL if kind in only)
    assert output.out.splitlines()[1].startswith(f"Replay it with the same redactor: {named} of ")
    assert _found_of(personal, *only) == set()
    assert _found_of(personal, *others) == kept


def test_to_redact_something_unknown_exits_2(run: Run, personal: Path) -> None:
    """The choices are told, and the file stays."""
    before = personal.read_bytes()

    output = run("redact", personal, "--only", "passwords")

    assert (output.code, output.out) == (2, "")
    assert "argument --only: invalid choice: 'passwords'" in output.err
    assert all(kind in output.err for kind in PERSONAL)
    assert personal.read_bytes() == before


def test_an_output_that_cannot_be_written_exits_2(run: Run, personal: Path, tmp_path: Path) -> None:
    """A folder that is not there, and a folder in the file's place: one line, and no stray file."""
    before = personal.read_bytes()
    folder = tmp_path / "folder"
    folder.mkdir()

    nowhere, in_place = (
        run("redact", personal, "--output", tmp_path / "none" / "f"),
        run("redact", personal, "--output", folder),
    )

    assert (nowhere.code, nowhere.out, in_place.code, in_place.out) == (2, "", 2, "")
    assert nowhere.told == f"{tmp_path / 'none' / 'f'}: No such file or directory"
    assert in_place.told.startswith(f"{folder}: ")
    assert personal.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {personal.name, folder.name}
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("method", ["chmod", "replace"])
def test_a_failure_half_way_leaves_the_recording(
    run: Run, personal: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """A full disk, or a file that may not be replaced: the recording is whole, and nothing lies beside it."""
    before = personal.read_bytes()

    def fail(path: Path, _: object) -> None:
        with path.open("ab") as file:
            file.write(b"half a li")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, method, fail)
        output = run("redact", personal)

    assert (output.code, output.out) == (2, "")
    assert output.told == f"{personal}: No space left on device"
    assert personal.read_bytes() == before
    assert [path.name for path in personal.parent.iterdir()] == [personal.name]


@OF_EACH_STORY
def test_what_was_redacted_has_no_drift(run: Run, story: Path, tmp_path: Path) -> None:
    """Equal values stay equal, so the fake still does as the recording says; redacted again it stays as it is."""
    once, twice = tmp_path / "once.jsonl", tmp_path / "twice.jsonl"
    count, calls = len(_rows_of(story)) - 1, len(_calls_of(story))

    assert run("redact", story, "--output", once).code == 0
    again = run("redact", once, "--output", twice)
    checked = run("check", once)

    assert checked.out.splitlines()[1] == f"0 of {calls} calls drifted."
    assert checked.code == 0
    assert again.out.splitlines()[0] == f"{twice}: 0 of {count} lines redacted"
    assert twice.read_bytes() == once.read_bytes()
    assert len(_rows_of(once)) == count + 1


def test_redacting_twice_changes_nothing_more(run: Run, personal: Path) -> None:
    """Also in place, and also where only a part is redacted again."""
    run("redact", personal)
    before = personal.read_bytes()

    again, names = run("redact", personal), run("redact", personal, "--only", "names")

    assert [output.out.splitlines()[0] for output in (again, names)] == [f"{personal}: 0 of 6 lines redacted"] * 2
    assert personal.read_bytes() == before
    assert run("check", personal).code == 0


# The commands themselves


@pytest.mark.parametrize("command", ["check", "show", "redact"])
def test_each_command_has_help_with_examples_and_exit_codes(run: Run, command: str) -> None:
    """Help is on standard output: lines to paste, and what each exit code says."""
    output = run(command, "--help")

    assert (output.code, output.err) == (0, "")
    examples, codes = output.out.split("examples:\n")[1].split("exit codes: ")
    assert all(line.startswith(f"  chatarmin-os recording {command} ") for line in examples.splitlines() if line)
    expected = {"0", "1", "2", "3"} if command == "check" else {"0", "2"}
    assert {part.split()[0] for part in codes.split(";")} == expected


def test_the_commands_are_listed(run: Run) -> None:
    """`recording --help` names all three."""
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
)
def test_wrong_usage_exits_2(run: Run, arguments: tuple[str, ...]) -> None:
    """What argparse refuses, shortened options among it, is told with the usage."""
    output = run(*arguments)

    assert (output.code, output.out) == (2, "")
    assert "usage: chatarmin-os" in output.err


def test_several_recordings_are_redacted_each_in_its_place(run: Run, tmp_path: Path) -> None:
    """All files at once; one output for several is no place for them."""
    paths = [shutil.copy(USAGE, tmp_path / name) for name in ("one.jsonl", "two.jsonl")]

    refused = run("redact", *paths, "--output", tmp_path / "f")
    done = run("redact", *paths)

    assert (refused.code, refused.told) == (2, "--output takes one recording; without it each is replaced")
    assert done.code == 0
    assert [line.partition(": ")[0] for line in done.out.splitlines()[:2]] == [*map(str, paths)]
    assert run("show", *paths).out.count(", redacted") == 2


def test_what_is_nested_too_deep_is_not_redacted(run: Run, tmp_path: Path) -> None:
    """An answer that no redactor can walk through leaves the file as it is."""
    path = tmp_path / "deep.jsonl"
    answer = "[" * 700 + "]" * 700
    first = json.dumps(recording_file.head("https://os.example", is_redacted=False))
    path.write_text(f'{first}\n{{"path": "a.b", "kind": "query", "input": null, "answer": {answer}}}\n')
    before = path.read_bytes()

    output = run("redact", path)

    assert (output.code, output.told) == (2, f"{path}: an answer is nested too deep to be redacted")
    assert path.read_bytes() == before
