"""`chatarmin-os outbox`: what waits, sending it, and dead events; the command makes no file."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from redis_server import OLD_VERSION, RedisServer, old_redis
from rights import without_rights_of_root
from terminal import Terminal
from waiting import until

from chatarmin_os import ChatarminOS, ConnectionFailed, NotFoundError
from chatarmin_os.cli import main
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.outbox import OutboxUnavailable, RedisOutbox, Sender, SQLiteOutbox, UsageEvent, commands
from chatarmin_os.outbox.arguments import COMMANDS
from chatarmin_os.outbox.progress import deliver
from chatarmin_os.outbox.signals import stopped_by
from chatarmin_os.server import serve_fake
from chatarmin_os.transports import FunctionTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os._json import JSON
    from chatarmin_os.transports import Call

KEY = "os_sk_outbox_secret"
USAGE = "billing.trackUsage"


class Output(NamedTuple):
    """The result of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def fake() -> FakeTransport:
    """The service, with an organisation that may use credits."""
    fake = FakeTransport(demo_catalogue())
    ChatarminOS(transport=fake).onboard(external_org_id="org_1", tier_code="enterprise")
    return fake


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of an outbox with three events that can be counted."""
    path = tmp_path / "usage.db"
    put(path, 3)
    return path


def put(path: Path, count: int = 1, **values: Any) -> list[str]:
    """Put events into a file, and close it."""
    given = {"external_org_id": "org_1", "feature_code": "ai_credit", "quantity": 5, **values}
    with SQLiteOutbox(path) as outbox:
        return outbox.put_many(UsageEvent(**given) for _ in range(count))


def let_die(path: Path, fake: FakeTransport, *keys: str) -> None:
    """Put events of a feature that does not exist, and drain."""
    for key in keys:
        put(path, feature_code="no_such_feature", quantity=0.1, idempotency_key=key)
    with SQLiteOutbox(path) as outbox:
        Sender(ChatarminOS(transport=fake), outbox).drain()


@pytest.fixture
def run(
    fake: FakeTransport, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Output]]:
    """Run `chatarmin-os outbox FILE` with arguments against the service on a socket."""
    with serve_fake({KEY: fake}) as url:
        monkeypatch.setenv("OS_API_KEY", KEY)
        monkeypatch.setenv("OS_BASE_URL", url)

        def run(*arguments: str, url: str | Path = path) -> Output:
            try:
                code = main(["outbox", str(url), *arguments])
            except SystemExit as exit_:  # argparse
                code = int(exit_.code or 0)
            return Output(code, *capsys.readouterr())

        yield run


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_has_examples_and_exit_codes(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """--help of all commands, and of each, prints command lines to paste, and the meaning of each exit code."""
    with pytest.raises(SystemExit):
        main(["outbox", *(["usage.db", command] if command else []), "--help"])

    examples, codes = capsys.readouterr().out.split("examples:\n")[1].split("\n\nexit codes: ")
    shown = [line.split() for line in examples.splitlines()]
    assert all(words[:2] == ["chatarmin-os", "outbox"] for words in shown)
    assert {words[3] for words in shown} == ({command} if command else set(COMMANDS))
    assert [part.split()[0] for part in codes.split(";")] == ["0", "1", "2", "3", "4"]


# What waits


def test_status_is_a_table(run: Callable[..., Output]) -> None:
    """Counts, the age of the oldest event, and the size."""
    output = run("status")

    assert (output.code, output.err) == (0, "")
    assert output.out.splitlines()[0].split() == ["ready", "leased", "dead", "oldest", "size"]
    assert output.out.splitlines()[2].split()[:3] == ["3", "0", "0"]
    assert len(output.out.splitlines()) == 3


def test_status_of_dead_events_has_quantities_by_reason(
    run: Callable[..., Output], path: Path, fake: FakeTransport
) -> None:
    """With dead events the exit code is 4; quantities are added as decimals."""
    let_die(path, fake, "a", "b", "c")

    output, document = run("status"), run("status", "--json")

    assert output.code == document.code == 4
    assert "NOT_FOUND             0.3" in output.out
    read = json.loads(document.out)
    assert (read["dead"], read["dead_quantity"]) == (3, {"NOT_FOUND": 0.3})
    assert {*read} == {"ready", "leased", "dead", "dead_quantity", "oldest_age", "bytes"}


def test_status_warns_of_usage_that_waits_for_long(run: Callable[..., Output], path: Path) -> None:
    """After an hour somebody should look whether a sender runs."""
    with SQLiteOutbox(path, now=lambda: 1_700_000_000.0) as outbox:
        outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=1)

    assert "check that a sender runs" in run("status").out


# Sending


def test_drain_sends_what_waits(run: Callable[..., Output], fake: FakeTransport) -> None:
    """The usage is counted, and the outbox is empty afterwards."""
    output = run("drain")

    assert (output.code, output.err) == (0, "")
    assert output.out.splitlines()[2].split() == ["3", "0", "0", "0", "1"]
    assert output.out.endswith("Stopped: nothing more can be sent now.\n")
    company = ChatarminOS(transport=fake).companies.get_by_product_link(external_org_id="org_1")
    assert company is not None
    access = ChatarminOS(transport=fake).features.check(company_id=company.id, feature_code="ai_credit")
    assert access.current_usage == 15


def test_drain_says_why_events_are_left(run: Callable[..., Output], path: Path) -> None:
    """An organisation that is not linked yet is no failure, and its events are not forgotten."""
    put(path, external_org_id="org_2")

    output = run("drain")

    assert (output.code, output.err) == (0, "")
    assert output.out.splitlines()[-1].startswith("1 event left for later, after a failure, until the organisation is")


def test_drain_prints_its_report_as_json(run: Callable[..., Output]) -> None:
    """The document has the fields of a `DrainReport`."""
    output = run("drain", "--json", "--deadline", "30")

    assert json.loads(output.out) == {
        "counted": 3,
        "refused": 0,
        "retried": 0,
        "left": 0,
        "requests": 1,
        "stopped": "empty",
    }


def test_drain_that_leaves_dead_events_exits_4(run: Callable[..., Output], path: Path) -> None:
    """The refused event is named in the log, and the output says where to look."""
    put(path, feature_code="no_such_feature")

    output = run("drain")

    assert output.code == 4
    assert "`dead` lists the refused events." in output.out


@pytest.mark.parametrize("options", [[], ["--follow"]], ids=["once", "follow"])
def test_drain_with_a_refused_key_exits_1(
    run: Callable[..., Output], path: Path, fake: FakeTransport, options: list[str]
) -> None:
    """All events are kept."""
    put(path, company_id="comp_1", external_org_id=None)
    fake.fail(error="UNAUTHORIZED", times=100)

    output = run("drain", *options)

    assert output.code == 1
    assert "all events are kept" in output.out
    assert "os_sk" not in output.out + output.err


def test_drain_without_the_procedure_names_the_option(run: Callable[..., Output], fake: FakeTransport) -> None:
    """A wrong base URL is corrected by an option here, and not by an argument of Python."""
    fake.fail(error=NotFoundError('No procedure found on path "a.b"', code="NOT_FOUND"), times=100)

    output = run("drain")

    assert output.code == 1
    assert "NOT_FOUND: the service has no procedure 'a.b'" in output.out
    assert output.out.endswith(f"check --base-url: {os.environ['OS_BASE_URL']} was called\n")
    assert "base_url" not in output.out
    assert "paths=" not in output.out


def test_drain_in_an_outage_exits_3(run: Callable[..., Output], fake: FakeTransport) -> None:
    """The output says that nothing is lost."""
    fake.fail(error=ConnectionFailed("connection reset"), times=100)

    output = run("drain")

    assert output.code == 3
    assert output.out.endswith("Stopped: the service does not answer; all events are kept, drain again later.\n")


def test_drain_draws_a_bar_on_a_terminal(
    run: Callable[..., Output], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar is on standard error, and grows; the report is that of the whole drain."""
    put(path, 1_000)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    output = run("drain", "--json", "--deadline", "60")

    drawn = terminal.getvalue().split("\r")
    assert drawn[0].endswith("] 0 of 1,003")
    assert drawn[1].endswith("] 500 of 1,003")
    assert drawn[-1].endswith("] 1,003 of 1,003\n")
    assert json.loads(output.out)["counted"] == 1_003


def test_drain_draws_a_bar_without_a_deadline(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits into one step is one step."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    assert run("drain").code == 0
    assert terminal.getvalue().endswith("[##############################] 3 of 3\n")


def test_follow_ends_at_the_deadline(run: Callable[..., Output]) -> None:
    """It sends what waits, as far as it gets, and prints the report of all drains when it ends."""
    output = run("drain", "--follow", "--deadline", "0.2", "--json")

    document = json.loads(output.out)
    assert output.code == 0
    assert (document["counted"] + document["left"], document["stopped"]) == (3, "deadline")


class Watched(Terminal):
    """A terminal that ends a delivery once it shows a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stop = threading.Event()
        self._text = text

    def write(self, text: str) -> int:
        """Look for the text."""
        if self._text in text:
            self.stop.set()
        return super().write(text)


def test_follow_goes_on_in_an_outage(path: Path, fake: FakeTransport, caplog: pytest.LogCaptureFixture) -> None:
    """One warning says so, and so does the bar."""
    fake.fail(error=ConnectionFailed("connection reset"), times=2)
    terminal = Watched("] 3 of 3")

    with SQLiteOutbox(path) as outbox:
        sender = Sender(ChatarminOS(transport=fake), outbox, random=lambda: 0.0)
        report, refusal = deliver(sender, outbox, terminal.stop, follow=True, poll=0.01, terminal=terminal)

    assert (report.counted, report.left, report.stopped, refusal) == (3, 0, "deadline", None)
    assert "] 0 of 3, the service does not answer\r" in terminal.getvalue()
    assert [record.levelname for record in caplog.records if "does not answer" in record.message] == ["WARNING"]


def test_follow_goes_on_after_an_error_of_the_outbox(
    path: Path, fake: FakeTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is down for a moment is logged, and does not end the sender."""

    class Broken(SQLiteOutbox):
        failures = 0

        def _claim(self, *arguments: Any, **options: Any) -> Any:
            self.failures += 1
            if self.failures == 1:
                raise OutboxUnavailable("the database is restarting")
            return super()._claim(*arguments, **options)

    terminal = Watched("] 3 of 3")
    with Broken(path) as outbox:
        sender = Sender(ChatarminOS(transport=fake), outbox)
        report, _ = deliver(sender, outbox, terminal.stop, follow=True, poll=0.01, terminal=terminal)

    assert report.counted == 3
    errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert errors == ["the database is restarting"]


def test_follow_can_be_stopped_while_the_outbox_fails(path: Path, fake: FakeTransport) -> None:
    """A database that does not come back keeps no process alive; a single drain fails with it."""
    stop = threading.Event()

    class Broken(SQLiteOutbox):
        def _claim(self, *_: Any, **__: Any) -> Any:
            stop.set()
            raise OutboxUnavailable("the database is gone")

    with Broken(path) as outbox:
        sender = Sender(ChatarminOS(transport=fake), outbox)
        with pytest.raises(OutboxUnavailable, match="the database is gone"):
            deliver(sender, outbox, threading.Event())
        report, _ = deliver(sender, outbox, stop, follow=True)

    assert (report.left, report.stopped) == (3, "deadline")


@pytest.mark.parametrize("follow", [False, True], ids=["once", "follow"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["sigterm", "ctrl-c"])
def test_signal_ends_a_drain_after_the_request_under_way(
    path: Path, fake: FakeTransport, number: signal.Signals, code: int, *, follow: bool
) -> None:
    """The events of that request are counted, and the others wait."""
    put(path, 97)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    def interrupt(call: Call) -> JSON:
        if call.path == USAGE and not is_sent:
            is_sent.append(True)
            os.kill(os.getpid(), number)
        return fake.send(call)

    is_sent: list[bool] = []
    client = ChatarminOS(transport=FunctionTransport(interrupt))
    with SQLiteOutbox(path) as outbox:
        answer = commands.run("drain", {"follow": follow, "deadline": None}, outbox, client=lambda: client)

    counted = answer.document["counted"]
    assert (answer.code, answer.document["stopped"]) == (code, "deadline")
    assert answer.lines[-1] == f"Stopped: by {number.name}."
    assert 0 < counted <= 50
    assert counted + answer.document["left"] == 100
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_signal_does_not_set_the_event_in_the_interrupted_thread() -> None:
    """That thread may hold the lock of the event, and would wait for itself for ever."""

    class Noting(threading.Event):
        thread: int | None = None

        def set(self) -> None:
            self.thread = threading.get_ident()
            super().set()

    event = Noting()
    with stopped_by(event, signal.SIGTERM) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set()
        assert event.wait(30)

    assert stop.received == [signal.SIGTERM]
    assert event.thread not in {None, threading.get_ident()}


def test_second_ctrl_c_interrupts() -> None:
    """Who cannot wait for the request under way need not."""
    with pytest.raises(KeyboardInterrupt), stopped_by(threading.Event(), signal.SIGINT):  # noqa: PT012 - both
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_other_threads_leave_signals_alone() -> None:
    """Python runs functions for signals in the main thread only."""
    received: list[list[int]] = []

    def act() -> None:
        with stopped_by(threading.Event(), signal.SIGTERM) as stop:
            received.append(stop.received)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join(30)
    assert received == [[]]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["sigterm", "ctrl-c"])
def test_follow_sends_usage_as_it_comes_until_a_signal(
    fake: FakeTransport, path: Path, number: signal.Signals, code: int
) -> None:
    """A process that is terminated prints its report, without a traceback; Ctrl-C counts as an interruption."""
    with serve_fake({KEY: fake}) as url:
        environment = {**os.environ, "OS_API_KEY": KEY, "OS_BASE_URL": url}
        command = [sys.executable, "-m", "chatarmin_os", "outbox", str(path), "drain", "--follow"]
        with subprocess.Popen(  # noqa: S603 - ours
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            with SQLiteOutbox(path, put_wait=5) as outbox:
                for _ in range(2):
                    until(lambda: outbox.stats().ready + outbox.stats().leased == 0)
                    put(path)
            process.send_signal(number)
            out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (code, "")
    assert out.startswith("counted")
    assert out.endswith(f"Stopped: by {number.name}.\n")


def test_drain_without_a_key_exits_2(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """The other commands need no key."""
    monkeypatch.delenv("OS_API_KEY")
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    output = run("drain")

    assert output.code == 2
    assert output.err.startswith("chatarmin-os: the API key is missing")
    assert run("status").code == 0


@pytest.mark.parametrize("seconds", ["-1", "nan", "1e400", "soon"])
def test_invalid_deadline_exits_2(run: Callable[..., Output], seconds: str) -> None:
    """The line names the option."""
    output = run("drain", f"--deadline={seconds}")

    assert output.code == 2
    assert f"argument --deadline: expected seconds of at least 0, got '{seconds}'" in output.err


# Dead events


def test_dead_lists_events_with_their_reasons(run: Callable[..., Output], path: Path, fake: FakeTransport) -> None:
    """The table has at most --limit events, and says how many more there are."""
    let_die(path, fake, "job-1", "job-2")

    output, first = run("dead"), run("dead", "--limit", "1")
    [one, _] = json.loads(run("dead", "--json").out)["dead"]

    assert output.code == 4
    assert [line.split()[0] for line in output.out.splitlines()[2:]] == ["job-1", "job-2"]
    assert "NOT_FOUND" in output.out
    assert first.out.endswith("1 more; pass --limit 2.\n")
    assert (one["key"], one["quantity"], one["external_org_id"], one["reason"]) == ("job-1", 0.1, "org_1", "NOT_FOUND")
    assert one["created_at"].endswith("+00:00")


def test_dead_without_dead_events_is_a_sentence(run: Callable[..., Output]) -> None:
    """The exit code is 0."""
    assert run("dead") == (0, "No events are dead.\n", "")


@pytest.mark.parametrize("count", ["0", "-1", "x", "1" * 30])
def test_invalid_limit_exits_2(run: Callable[..., Output], count: str) -> None:
    """The line names the option."""
    output = run("dead", f"--limit={count}")

    assert output.code == 2
    assert "argument --limit: expected a number above 0" in output.err


def test_revive_lets_dead_events_be_sent_again(run: Callable[..., Output], path: Path, fake: FakeTransport) -> None:
    """Those with the keys, or all of them; the exit code is 4 as long as others are dead."""
    let_die(path, fake, "job-1", "job-2", "job-3")

    one = run("revive", "job-1", "job-9")
    others = run("revive", "--json")

    assert one == (
        4,
        "1 event will be sent again.\n1 event not found among the dead ones; `dead` lists these.\n",
        "",
    )
    assert (others.code, json.loads(others.out)) == (0, {"revived": 2})


def test_discard_removes_dead_events(run: Callable[..., Output], path: Path, fake: FakeTransport) -> None:
    """Only those with the keys, and only dead ones."""
    [waiting] = put(path, idempotency_key="job-9")
    let_die(path, fake, "job-1", "job-2")

    one = run("discard", "job-1", waiting, "--json")
    last = run("discard", "job-2")

    assert (one.code, json.loads(one.out)) == (4, {"discarded": 1})
    assert last == (0, "1 event discarded.\n", "")
    assert run("discard").code == 2


def test_keys_of_any_text_are_shown_and_named(
    run: Callable[..., Output], path: Path, fake: FakeTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """A key with spaces, or one like an option, works; a control character reaches neither the terminal nor the log."""
    let_die(path, fake, "job 17", "--json", "\x1b[31mred")
    assert "\x1b" not in caplog.text

    shown = run("dead").out

    assert "\x1b" not in shown
    assert [line.split("  ")[0] for line in shown.splitlines()[2:]] == ["job 17", "--json", " [31mred"]
    assert run("discard", "job 17", "\x1b[31mred").out == "2 events discarded.\n"
    assert run("revive", "--", "--json") == (0, "1 event will be sent again.\n", "")


def test_key_that_is_not_dead_changes_nothing(run: Callable[..., Output]) -> None:
    """Neither command counts it; as it is no error, the exit code is 0."""
    missing = "1 event not found among the dead ones; `dead` lists these.\n"

    assert run("revive", "job-9") == (0, f"0 events will be sent again.\n{missing}", "")
    assert run("discard", "job-9") == (0, f"0 events discarded.\n{missing}", "")


def test_invalid_key_is_named(run: Callable[..., Output]) -> None:
    """A blank key is wrong usage."""
    output = run("revive", " ")

    assert output.code == 2
    assert output.err.startswith("chatarmin-os: KEY[0]: must not be blank")


# Outboxes that cannot be opened


def _newer(path: Path) -> None:
    put(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (text)")


def _link(path: Path) -> None:
    put(path.with_name("target.db"))
    path.symlink_to(path.with_name("target.db"))


UNUSABLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing-file": (
        lambda _: None,
        "there is no such file; check the path; the application makes the file at its first put",
    ),
    "folder": (Path.mkdir, "it is a folder; pass the file in it"),
    "link": (_link, "it is a symbolic link; pass the file itself: "),
    "dangling-link": (lambda path: path.symlink_to("nowhere"), "it is a symbolic link; pass the file itself: "),
    "pipe": (os.mkfifo, "it is not a regular file; check the path"),
    "empty": (Path.touch, "it is not an outbox, or damaged; check the path; the file was left unchanged; the"),
    "text": (lambda path: path.write_text("a text"), "it is not an outbox, or damaged; check the path; the file was"),
    "foreign": (_foreign, "it is the database of another application; check the path; the file was left unchanged"),
    "newer": (_newer, "a later version wrote it; upgrade chatarmin-os; the file was left unchanged"),
}


@pytest.mark.parametrize(("make", "problem"), UNUSABLE.values(), ids=UNUSABLE)
@pytest.mark.parametrize("command", ["status", "drain"])
def test_unusable_file_exits_2(
    run: Callable[..., Output], tmp_path: Path, make: Callable[[Path], Any], problem: str, command: str
) -> None:
    """One line says what to do; the file is unchanged, and no other one is made next to a foreign one."""
    path = tmp_path / "other" / "usage.db"
    path.parent.mkdir()
    make(path)
    before = {file.name: (file.lstat().st_size, file.lstat().st_mode) for file in path.parent.iterdir()}

    output = run(command, url=path)

    assert (output.code, output.out) == (2, "")
    assert output.err.startswith(f"chatarmin-os: URL: {path}: {problem}")
    assert output.err.count("\n") == 1
    after = {file.name: (file.lstat().st_size, file.lstat().st_mode) for file in path.parent.iterdir()}
    assert after == before


def test_newer_format_in_the_log_exits_2(run: Callable[..., Output], path: Path) -> None:
    """A later version has the file open now, and its change is not in the file yet."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")

        output = run("status")

    assert output.code == 2
    assert (
        "it has format 99, and this version of chatarmin_os reads formats up to 1; upgrade chatarmin-os" in output.err
    )


URLS = {
    "empty": ("", "URL: it is empty; pass the path of a file, or redis://HOST:PORT/DB"),
    "null-character": ("a\0b", "URL: 'a\\x00b': it has a null character; check the path"),
    "long-name": ("x" * 300, f"URL: '{'x' * 300}': File name too long; check the path"),
    "missing-folder": ("/no/such/usage.db", "URL: /no/such/usage.db: its folder does not exist; check the path"),
    "django": ("django", "URL: the outbox of a Django project is in its database; use `python manage.py chatarmin_out"),
    "unknown-scheme": ("amqp://user:password@host", "URL: no outbox has the scheme 'amqp'; pass the path of a file"),
    "redis-port": (
        "redis://:password@host:99999999",
        "URL: it is not the URL of a Redis; pass redis://HOST:PORT/DB; #",
    ),
}


@pytest.mark.parametrize(("url", "problem"), URLS.values(), ids=URLS)
def test_invalid_url_exits_2(run: Callable[..., Output], url: str, problem: str) -> None:
    """One line says what to do, without the password of the URL."""
    output = run("status", url=url)

    assert output.code == 2
    assert output.err.startswith(f"chatarmin-os: {problem}")
    assert output.err.count("\n") == 1
    assert "password@" not in output.err


def test_missing_extra_is_named(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without redis-py the line says what to install."""
    monkeypatch.setitem(sys.modules, "redis", None)

    output = run("status", url="redis://localhost")

    assert (output.code, output.out) == (2, "")
    assert output.err.endswith('install the extra: pip install "chatarmin-os[redis]"\n')


@pytest.mark.parametrize("is_readable", [True, False], ids=["read-only-folder", "unreadable-file"])
def test_place_without_rights_exits_2(run: Callable[..., Output], *, is_readable: bool) -> None:
    """The line names the user who can run the command."""
    with TemporaryDirectory() as folder:  # another user may not enter that of pytest
        path = Path(folder) / "usage.db"
        put(path)
        path.with_name("usage.db.lock").unlink()
        path.chmod(0o666 if is_readable else 0o600)
        path.parent.chmod(0o555)
        with without_rights_of_root():
            if os.geteuid() == path.stat().st_uid and not is_readable:  # pragma: no cover - not run by root
                path.chmod(0)
            output = run("status", url=path)
        path.parent.chmod(0o777)

    assert output.code == 2
    assert output.err.startswith(f"chatarmin-os: URL: {path}: Permission denied; run as the user whose application")


def test_busy_outbox_exits_3(run: Callable[..., Output], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that others keep locked is no wrong usage."""
    monkeypatch.setattr("chatarmin_os.outbox.sqlite_file._WAIT_SECONDS", 0.05)
    monkeypatch.setattr("chatarmin_os._sqlite._OPEN_SECONDS", 0.05)
    code = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    command = [sys.executable, "-c", code, f"{path}.lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        process.stdout.readline()
        output = run("status")
        process.communicate("\n")

    assert output == (3, "", "chatarmin-os: the outbox cannot be opened: it is in use by another process\n")


# Redis


def test_redis_without_streams_exits_2(run: Callable[..., Output]) -> None:
    """The line names its version, and the one that is needed."""
    with old_redis() as port:
        output = run("status", url=f"redis://127.0.0.1:{port}/0")

    problem = f"the outbox needs Redis 6.2 or later, and this one is {OLD_VERSION}; pass"
    assert (output.code, output.out) == (2, "")
    assert output.err.startswith(f"chatarmin-os: URL: {problem}")


def test_redis_that_does_not_answer_exits_3(run: Callable[..., Output]) -> None:
    """The line has no password of the URL."""
    output = run("status", url="redis://:password@127.0.0.1:1/0")

    assert (output.code, output.out) == (3, "")
    assert output.err.startswith("chatarmin-os: the outbox is not available: ")
    assert output.err.count("\n") == 1
    assert "password" not in output.err


@pytest.mark.needs("redis-server")
def test_outbox_in_redis(run: Callable[..., Output], tmp_path: Path) -> None:
    """Its URL may name the stream; a key of another type is wrong usage."""
    with RedisServer(tmp_path) as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        with RedisOutbox(server.client) as outbox, RedisOutbox(server.client, name="jobs") as jobs:
            outbox.put(external_org_id="org_1", feature_code="ai_credit", quantity=5)
            jobs.put(external_org_id="org_1", feature_code="no_such_feature", quantity=5)
        server.client.set("mine", "a text")
        outputs = [run("drain", "--json", url=url), run("drain", "--json", url=f"{url}#jobs")]
        other = run("status", url=f"{url}#mine")

        loud = run("status", url=f"REDIS://127.0.0.1:{server.port}/0")

    assert loud.code == 0
    assert [output.code for output in outputs] == [0, 4]
    assert [json.loads(output.out)["counted"] for output in outputs] == [1, 0]
    assert other.code == 2
    assert "WRONGTYPE" in other.err
