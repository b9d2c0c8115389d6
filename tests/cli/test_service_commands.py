"""The commands that call the service: what they print, how they fail, and that no key is ever shown."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from uuid import UUID

import pytest
from terminal import Terminal

from chatarmin_os import ApiError, ChatarminOS, ConnectionFailed, NotFoundError, ServerError, TrackUsageInput
from chatarmin_os._table import display_width
from chatarmin_os.cli import main
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import serve_fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "os_sk_command_line_secret"


class Output(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def fake() -> FakeTransport:
    """The service's own side: a company on the free tier, another one."""
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS(transport=fake)
    client.onboard(external_org_id="org_1", hints={"company_name": "Acme Inc"}, tier_code="free")
    return fake


@pytest.fixture
def run(
    fake: FakeTransport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Output]]:
    """Run a command against the fake on a socket; its key must show nowhere."""
    with serve_fake({KEY: fake}) as url:
        monkeypatch.setenv("OS_API_KEY", KEY)
        monkeypatch.setenv("OS_BASE_URL", url)

        def run(*arguments: str) -> Output:
            try:
                code = main(arguments)
            except SystemExit as exit_:  # argparse
                code = int(exit_.code or 0)
            output = Output(code, *capsys.readouterr())
            assert KEY not in output.out + output.err
            return output

        yield run


def test_call_prints_the_answer_as_json(run: Callable[..., Output]) -> None:
    """Any procedure can be called, wire names in and out."""
    output = run("call", "tiers.get", '{"tierCode": "free"}')

    assert (output.code, output.err) == (0, "")
    assert json.loads(output.out)["code"] == "free"
    assert json.loads(run("call", "tiers.list").out)[0] == {"code": "free", "name": "Free"}


def test_call_reads_its_input_from_standard_input(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash stands for it."""
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"tierCode": "pro"}'))

    assert json.loads(run("call", "tiers.get", "-").out)["name"] == "Pro"


def test_call_knows_mutations_and_is_told_of_others(run: Callable[..., Output], fake: FakeTransport) -> None:
    """A procedure of the table goes by its kind; another one is a query unless it is said."""
    assert run("call", "links.reset", "{}").code == 0
    assert fake.calls[-1].kind == "mutation"
    assert "METHOD_NOT_SUPPORTED" in run("call", "tiers.list", "--mutation").err
    unknown = run("call", "links.nope", "{}")

    assert unknown.code == 1
    assert 'NOT_FOUND: No procedure found on path "links.nope"' in unknown.err
    assert "is --base-url right" in unknown.err


@pytest.mark.parametrize("text", ["{bad", '{"a": NaN}', "[" * 100_000])
def test_call_refuses_what_is_no_json(run: Callable[..., Output], fake: FakeTransport, text: str) -> None:
    """Nothing is sent, and the argument is named."""
    before = len(fake.calls)

    output = run("call", "tiers.get", text)

    assert output.code == 2
    assert output.err.startswith("chatarmin-os: JSON: no JSON")
    assert len(fake.calls) == before


def test_onboard_prints_a_row_or_a_document(run: Callable[..., Output]) -> None:
    """People get a table, programs a JSON document with the names of the models."""
    given = (
        "onboard",
        "org_2",
        "--name",
        "Bolt Ltd",
        "--domain",
        "bolt.example",
        "--tier",
        "pro",
        "--email",
        "b@b.example",
    )
    table, document = run(*given), json.loads(run(*given, "--json").out)

    assert table.code == 0
    assert "Bolt Ltd" in table.out
    assert "created" in table.out
    assert document["link_status"] == "already_linked"
    assert document["company_name"] == "Bolt Ltd"
    assert document["billing_status"]["tier_applied"] is True
    assert "extra" not in document


def test_onboard_claims_a_checkout(run: Callable[..., Output], fake: FakeTransport) -> None:
    """A completed checkout is claimed, and its tier applied."""
    session = fake.stripe.add_checkout_session(["price_pro_base"])

    document = json.loads(run("onboard", "org_1", "--checkout", session, "--json").out)

    assert document["billing_status"]["claimed"] is True


@pytest.mark.parametrize("company", ["org:org_1", "id"])
def test_check_tells_whether_a_feature_may_be_used(
    run: Callable[..., Output], fake: FakeTransport, company: str
) -> None:
    """A company goes by its id, or by your own id of the organisation; "no" is an answer, and exits 0."""
    client = ChatarminOS(transport=fake)
    acme = client.companies.get_by_product_link(external_org_id="org_1")
    assert acme
    named = acme.id if company == "id" else company

    yes, no = run("check", named, "ai_credit"), run("check", named, "sso")

    assert (yes.code, no.code) == (0, 0)
    assert yes.out.splitlines()[2].split() == ["AI", "credits", "yes", "0", "100", "100", "subscription", "-"]
    assert "no" in no.out.splitlines()[2].split()
    client.features.set_access(
        company_id=acme.id, feature_code="ai_credit", quantity_limit=None, valid_until="2031-01-02"
    )
    unlimited = run("check", named, "ai_credit")
    assert "unlimited" in unlimited.out
    assert "2031-01-02 00:00 UTC" in unlimited.out
    document = json.loads(run("check", named, "ai_credit", "--json").out)
    assert (document["can_use"], document["quantity_limit"]) == (True, None)
    assert document["valid_until"] == "2031-01-02T00:00:00+00:00"


def test_track_counts_an_event_once(run: Callable[..., Output]) -> None:
    """The same key counts once; without one a key is made, and shown."""
    first = json.loads(run("track", "org:org_1", "ai_credit", "60", "--key", "job-1", "--json").out)
    again = json.loads(run("track", "org:org_1", "ai_credit", "60", "--key", "job-1", "--json").out)
    table = run("track", "org:org_1", "ai_credit", "1.5")

    assert (first["current_usage"], again["current_usage"]) == (60, 60)
    assert first["idempotency_key"] == "job-1"
    assert "61.5" in table.out
    assert "key" in table.out


def test_a_company_goes_by_its_id_too(run: Callable[..., Output], fake: FakeTransport) -> None:
    """No look-up is made then."""
    company_id = json.loads(run("status", "org:org_1", "--json").out)["company_id"]
    before = len(fake.calls)

    assert json.loads(run("track", company_id, "ai_credit", "5", "--json").out)["current_usage"] == 5
    assert json.loads(run("status", company_id, "--json").out)["company_id"] == company_id
    assert "companies.getByProductLink" not in [call.path for call in fake.calls[before:]]


def test_track_past_the_limit_exits_1(run: Callable[..., Output]) -> None:
    """What the service refuses is told by its code and message, on standard error."""
    output = run("track", "org:org_1", "ai_credit", "101")

    assert (output.code, output.out) == (1, "")
    assert output.err.splitlines()[1].startswith("chatarmin-os: PRECONDITION_FAILED: ")


@pytest.mark.parametrize("error", [ConnectionFailed("the cable was pulled"), "SERVICE_UNAVAILABLE"])
def test_track_without_an_answer_tells_the_key(run: Callable[..., Output], fake: FakeTransport, error: Any) -> None:
    """Whether it was counted is not known; with the key that is told it can be sent again."""
    fake.fail("billing.trackUsage", error=error, times=3, after=True)

    failed = run("track", "org:org_1", "ai_credit", "7")

    assert failed.code == (1 if isinstance(error, str) else 3)
    [advice] = [line for line in failed.err.splitlines() if "--key" in line]
    key = advice.split("--key ")[1].split(":")[0]
    assert json.loads(run("track", "org:org_1", "ai_credit", "7", "--key", key, "--json").out)["current_usage"] == 7


def test_a_key_of_ones_own_is_told_where_it_is_needed(run: Callable[..., Output], fake: FakeTransport) -> None:
    """Not before, for whoever gave it knows it; after a lost answer it is the way to send the event again."""
    fake.fail("billing.trackUsage", error=ConnectionFailed("the cable was pulled"), times=3, after=True)

    failed = run("track", "org:org_1", "ai_credit", "7", "--key", "job 1")
    again = run("track", "org:org_1", "ai_credit", "7", "--key", "job 1")

    assert failed.code == 3
    assert failed.err.splitlines()[1].startswith("  send it again with --key 'job 1': it counts once")
    assert again.err == ""


def test_status_lists_subscriptions(run: Callable[..., Output], fake: FakeTransport) -> None:
    """Without a subscription it says so; with some they are rows."""
    without = run("status", "org:org_1")
    prices = ChatarminOS(transport=fake).tiers.get("pro").stripe_price_ids
    session = fake.stripe.add_checkout_session(prices)
    run("onboard", "org_1", "--checkout", session)
    table, document = run("status", "org:org_1"), json.loads(run("status", "org:org_1", "--json").out)

    assert without.out == "No active subscriptions. The company has no billing profile, 2 features enabled.\n"
    assert "Pro" in table.out
    assert "has a billing profile, 4 features enabled" in table.out
    assert document["active_subscriptions"][0]["tier"]["code"] == "pro"
    assert document["company_id"]


def test_a_company_that_is_not_linked_exits_1(run: Callable[..., Output]) -> None:
    """The organisation is named, and what would link it."""
    output = run("status", "org:org_9")

    assert output.code == 1
    assert (
        output.err == "chatarmin-os: NOT_FOUND: org:org_9 is not linked to a company; `chatarmin-os onboard` links it\n"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("onboard", "org_1", "--email", "nobody"), ""),
        (("onboard", " "), "ORG: "),
        (("onboard", "org_1", "--tier", " "), "--tier: "),
        (("track", "org:org_1", "f", "0"), "QUANTITY: "),
        (("track", "c", "f", "nan"), "QUANTITY: "),
        (("track", "c", "f", "1", "--key", ""), "--key: "),
        (("check", " ", "f"), "COMPANY: "),
        (("check", "org:", "f"), "COMPANY: blank text"),
        (("status", "org:"), "COMPANY: blank text"),
        (("call", "tiers.get", f'{{"a": [{2**60}]}}'), "JSON.a[0]: an integer beyond"),
        (("call", "tiers.get", f"[{2**60}]"), "JSON[0]: an integer beyond"),
        (("call", " "), "PATH: "),
        (("call", "tiers.list", "--base-url", "ftp://x"), "--base-url: "),
        (("call", "tiers.list", "--timeout", "0"), "--timeout: "),
        (("call", "tiers.list", "--api-key-file", "/nowhere/at/all"), "--api-key-file /nowhere/at/all: No such file"),
        (("call", "tiers.list", "--api-key-file", "/"), "--api-key-file /: Is a directory"),
        (("call", "tiers.list", "--api-key-file", "/dev/zero"), "--api-key-file /dev/zero: it is not a regular file; "),
        (("call", "tiers.list", "--api-key-file", "/dev/null"), "--api-key-file /dev/null: it is not a regular file; "),
    ],
)
def test_bad_arguments_are_named_as_they_were_typed(
    run: Callable[..., Output], fake: FakeTransport, arguments: tuple[str, ...], told: str
) -> None:
    """Wrong usage exits 2 and sends nothing, or 1 where only the service can tell."""
    before = len(fake.calls)

    output = run(*arguments)

    assert output.code == (2 if told else 1)
    assert (len(fake.calls) == before) is bool(told)
    assert output.err.startswith(f"chatarmin-os: {told}")
    assert output.err.count("\n") == 1
    assert "None" not in output.err  # nothing that only programmers could do


def test_a_bad_base_url_is_named_by_where_it_comes_from(
    run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option where it was typed, else the environment's variable; what only programmers could do is left out."""
    monkeypatch.setenv("OS_BASE_URL", "http://os.example.com")

    from_environment = run("call", "tiers.list")
    typed = run("call", "tiers.list", "--base-url", "http://os.example.com")

    told = "plain http would show the key to the network: use https, or --allow-http"
    for output, name in ((from_environment, "OS_BASE_URL"), (typed, "--base-url")):
        assert (output.code, output.out) == (2, "")
        assert output.err.startswith(f"chatarmin-os: {name}: {told}")
        assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("call", "tiers.list"),
        ("onboard", "org_1"),
        ("check", "org:org_1", "sso"),
        ("track", "org:org_1", "ai_credit", "1"),
        ("status", "org:org_1"),
    ],
    ids=lambda command: command[0],
)
def test_plain_http_to_another_host_may_be_allowed(run: Callable[..., Output], command: tuple[str, ...]) -> None:
    """As to the fake in a container: the name is asked then, which nobody answers here."""
    output = run(*command, "--base-url", "http://fake.invalid:3001/api/v1", "--allow-http", "--timeout", "5")

    assert output.code == 3
    assert "no answer, it did not run: fake.invalid:3001" in output.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("--api-key-file", "-"), "--api-key-file -: it is no text"), (("-",), "JSON: no JSON: 'utf-8' codec")],
    ids=["key", "input"],
)
def test_standard_input_that_is_no_text_is_refused(
    run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    """Bytes that are not UTF-8 are wrong usage, not a traceback."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), encoding="utf-8"))

    output = run("call", "tiers.list", *arguments)

    assert output.code == 2
    assert output.err.startswith(f"chatarmin-os: {told}")


@pytest.mark.parametrize(
    "arguments",
    [(), ("nope",), ("track", "c", "f", "many"), ("call", "tiers.list", "--timeout", "soon"), ("check", "c")],
)
def test_wrong_usage_exits_2(run: Callable[..., Output], arguments: tuple[str, ...]) -> None:
    """What argparse refuses is told with the usage."""
    output = run(*arguments)

    assert output.code == 2
    assert "usage: chatarmin-os" in output.err


@pytest.mark.parametrize(
    "command", ["call", "onboard", "check", "track", "status", "serve", "quickstart", "completion"]
)
def test_every_command_has_help_with_examples(run: Callable[..., Output], command: str) -> None:
    """Help is on standard output, and has a line to paste."""
    output = run(command, "--help")

    assert output.code == 0
    assert f"chatarmin-os {command}" in output.out.split("examples:")[1]


def test_no_answer_exits_3(run: Callable[..., Output]) -> None:
    """It says whether the call may have run."""
    output = run("call", "tiers.list", "--base-url", "http://127.0.0.1:9/api", "--timeout", "5")

    assert output.code == 3
    assert output.err.startswith("chatarmin-os: no answer, it did not run: 127.0.0.1:9")


def test_no_answer_after_sending_may_have_run(run: Callable[..., Output], fake: FakeTransport) -> None:
    """Where the answer was lost, nothing is promised."""
    fake.fail("companies.create", error=ConnectionFailed("lost"), after=True)

    output = run("call", "companies.create", '{"name": "N", "externalOrgId": "org_n"}')

    assert output.code == 3
    assert "it may have run" in output.err


def test_a_lost_look_up_has_changed_nothing(run: Callable[..., Output], fake: FakeTransport) -> None:
    """What only reads is said to have changed nothing: usage was not counted where its company was not found out."""
    fake.fail("companies.getByProductLink", error=ConnectionFailed("lost"), times=3)

    output = run("track", "org:org_1", "ai_credit", "1")

    assert output.code == 3
    assert output.err.startswith("chatarmin-os: no answer, nothing was changed: ")
    assert "billing.trackUsage" not in [call.path for call in fake.calls]


@pytest.mark.parametrize("received", ['No procedure found on path "a"', 'No "query"-procedure on path "a"'])
def test_a_missing_procedure_names_the_service_that_was_asked(
    run: Callable[..., Output], fake: FakeTransport, received: str
) -> None:
    """Both versions of tRPC are understood; the base URL is told."""
    fake.fail("tiers.list", error=NotFoundError(received, code="NOT_FOUND"))

    output = run("call", "tiers.list")

    assert output.code == 1
    assert f"is --base-url right? {os.environ['OS_BASE_URL']} was asked" in output.err


def test_a_wrong_key_says_where_keys_come_from(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """And does not show it."""
    monkeypatch.setenv("OS_API_KEY", "wrong_secret_key")

    output = run("call", "tiers.list")

    assert output.code == 1
    assert "UNAUTHORIZED" in output.err
    assert "Settings, Developers, API Keys" in output.err
    assert "wrong_secret_key" not in output.err


# The key


def test_the_key_comes_from_a_file(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """White space around it does not count, and it goes before the environment's."""
    monkeypatch.setenv("OS_API_KEY", "wrong")
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")

    assert run("call", "tiers.list", "--api-key-file", str(file)).code == 0
    file.write_bytes(b"\xff\xfe")
    assert "it is no text" in run("call", "tiers.list", "--api-key-file", str(file)).err


def test_the_key_comes_from_standard_input(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash stands for it; the input of the call cannot come from there too."""
    monkeypatch.delenv("OS_API_KEY")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\n"))
    assert run("call", "tiers.list", "--api-key-file", "-").code == 0

    both = run("call", "tiers.list", "-", "--api-key-file", "-")

    assert both.code == 2
    assert both.err.startswith("chatarmin-os: JSON: standard input cannot be both")


def test_the_key_is_asked_for_on_a_terminal(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none elsewhere it is typed, and not echoed."""
    monkeypatch.delenv("OS_API_KEY")
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: KEY if "API key" in prompt else "")

    assert run("call", "tiers.list").code == 0
    assert run("call", "tiers.list", "--api-key-file", "-").code == 0


def test_who_types_no_key_is_told_what_to_do(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the input at the prompt is no key, and no traceback."""

    def end(_: str) -> NoReturn:
        raise EOFError

    monkeypatch.delenv("OS_API_KEY")
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", end)

    output = run("call", "tiers.list")

    assert output.code == 2
    assert output.err.startswith("chatarmin-os: no API key: ")


def test_a_key_file_may_begin_with_a_mark_of_its_encoding(run: Callable[..., Output], tmp_path: Path) -> None:
    """Editors of Windows write one; it is no part of the key."""
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n", encoding="utf-8-sig")

    assert run("call", "tiers.list", "--api-key-file", str(file)).code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("call", "tiers.list", "--api-key-file", KEY), "--api-key-file [key]: No such file"),
        (
            ("call", "tiers.list", "--api-key", KEY),
            "unrecognized arguments: --api-key [key]; other users of this machine",
        ),
        (("call", "tiers.list", "--api-key", "sk_live_abc"), "--api-key [key]; other users of this machine can read"),
        (("call", "tiers.list", "--api-key=sk_live_abc"), "--api-key=[key]; other users of this machine can read"),
        (("call", "tiers.list", f"--key={KEY}"), "unrecognized arguments: --key=[key]"),
        (("call", "tiers.list", "--base-url", f"https://{KEY}@os.example.com"), "--base-url: "),
        (("track", "c", "f", KEY), "got '[key]'"),
        (("call", "tiers.list", f'{{"{KEY}": {2**60}}}'), "[key]: an integer beyond"),
    ],
)
def test_a_key_in_the_wrong_place_is_not_repeated(
    run: Callable[..., Output], arguments: tuple[str, ...], told: str
) -> None:
    """Whoever takes the key for an argument does not find it in the log; `run` looks for it."""
    output = run(*arguments)

    assert output.code == 2
    assert told in output.err


@pytest.mark.parametrize(
    "command",
    [
        ("call", "tiers.list"),
        ("onboard", "org_1"),
        ("check", "org:org_1", "sso"),
        ("track", "org:org_1", "ai_credit", "1"),
        ("status", "org:org_1"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("code", ["UNAUTHORIZED", "BAD_REQUEST", "NOT_FOUND", "INTERNAL_SERVER_ERROR", f"X {KEY}"])
def test_a_service_that_repeats_the_key_does_not_show_it(
    run: Callable[..., Output], fake: FakeTransport, command: tuple[str, ...], code: str
) -> None:
    """Whatever fails: code, message and advice are without the key; `run` looks for it."""
    fake.fail(error=ApiError.from_code(code, f"No: Bearer {KEY}", http_status=418), times=9)

    output = run(*command)

    assert (output.code, output.out) == (1, "")
    assert "No: Bearer [key]" in output.err


def test_without_a_key_it_says_what_to_do(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """A program is not asked: it gets one line."""
    monkeypatch.setenv("OS_API_KEY", " ")
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    output = run("call", "tiers.list")

    assert output == Output(
        2, "", "chatarmin-os: no API key: set OS_API_KEY, or give --api-key-file FILE (- for standard input)\n"
    )


def test_a_key_file_is_bounded(run: Callable[..., Output], tmp_path: Path) -> None:
    """A file of another kind, a pipe that nobody writes to and one that is far too large are refused in one line."""
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    with large.open("wb") as file:
        file.truncate(2**40)

    for path, told in ((pipe, "it is not a regular file"), (large, "it is larger than 4,096 bytes")):
        output = run("call", "tiers.list", "--api-key-file", str(path))
        assert output.code == 2
        assert output.err.startswith(f"chatarmin-os: --api-key-file {path}: {told}")
        assert output.err.count("\n") == 1


def test_a_key_on_standard_input_is_bounded(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without end is not read to its end; nor is an input."""
    for stream, arguments, told in (
        (io.StringIO("x" * 100_000), ("--api-key-file", "-"), "--api-key-file -: it is larger than 4,096 bytes"),
        (io.StringIO(" " * (2**24 + 100)), ("-",), "JSON: no JSON: more than 16,777,216 characters"),
    ):
        monkeypatch.setattr(sys, "stdin", stream)
        output = run("call", "tiers.list", *arguments)
        assert output.code == 2
        assert output.err.startswith(f"chatarmin-os: {told}")
        assert stream.read(1)


# What may have been meant


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("chek", "org:org_1", "sso"), "did you mean check?"),
        (("recording", "shwo", "x"), "did you mean show?"),
        (("check", "org:org_1", "sso", "--jsn"), "unrecognized arguments: --jsn; did you mean --json?"),
        (("onboard", "org_1", "--teir=free"), "unrecognized arguments: --teir=free; did you mean --tier?"),
        (("--versoin", "check", "c", "f"), "did you mean --version?"),
        (("--versoin",), "did you mean --version?"),
        (("check", "org:org_1", "--jsn"), "required: FEATURE; did you mean --json?"),
        (("serve", "--transformer", "supperjson"), "did you mean superjson?"),
        (("completion", "bsh"), "did you mean bash?"),
    ],
)
def test_what_was_mistyped_is_suggested(run: Callable[..., Output], arguments: tuple[str, ...], told: str) -> None:
    """Commands, options and choices; the usage is that of the command."""
    output = run(*arguments)

    assert output.code == 2
    assert told in output.err


def test_what_is_like_nothing_is_not_suggested(run: Callable[..., Output]) -> None:
    """Rather than something far away."""
    for arguments in (("zzz",), ("check", "c", "f", "--zzz"), ("check", "c", "f", "g"), ("completion", "z" * 10_000)):
        output = run(*arguments)
        assert output.code == 2
        assert "did you mean" not in output.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("call", "tiers.lst"), "did you mean tiers.list?"),
        (("call", "features.list_access"), "did you mean features.listAccess?"),
        (("check", "org:org_1", "ai_credits"), "did you mean ai_credit?"),
        (("track", "org:org_1", "ai-credit", "1"), "did you mean ai_credit?"),
        (("check", "COMPANY", "Seat"), "did you mean seats?"),
        (("check", "COMPANY", "x"), "its features: ai_credit, seats, team_seats, api_access, sso"),
        (("onboard", "org_2", "--tier", "entreprise"), "did you mean enterprise?"),
        (("check", "org_1", "ai_credit"), "for your own id of the organisation write org:org_1"),
        (("track", "org_1", "ai_credit", "1"), "for your own id of the organisation write org:org_1"),
        (("status", "org_1"), "for your own id of the organisation write org:org_1"),
    ],
)
def test_what_does_not_exist_is_explained(
    run: Callable[..., Output], fake: FakeTransport, arguments: tuple[str, ...], told: str
) -> None:
    """Procedures, features and tiers that are like it; how an organisation is named."""
    company = ChatarminOS(transport=fake).companies.get_by_product_link(external_org_id="org_1")
    assert company

    output = run(*(company.id if one == "COMPANY" else one for one in arguments))

    assert output.code == 1
    assert "NOT_FOUND" in output.err
    assert output.err.splitlines()[-1].strip() == told


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("check", "org:org_1", "sso"), "features.checkByExternalOrgId"),
        (("check", "org:org_9", "sso"), None),
        (("status", "org:org_9"), None),
        (("onboard", "org_1", "--checkout", "cs_none"), None),
        (("call", "tiers.get", '{"tierCode": "fre"}'), None),
    ],
)
def test_without_an_idea_it_gives_no_advice(
    run: Callable[..., Output], fake: FakeTransport, arguments: tuple[str, ...], path: str | None
) -> None:
    """What is missing may be something else, or the search for it fails."""
    if path:
        fake.fail(path, error="NOT_FOUND")

    output = run(*arguments)

    assert output.code == 1
    assert output.err.count("\n") == 1


def test_columns_are_as_wide_as_what_they_show(run: Callable[..., Output], fake: FakeTransport) -> None:
    """Wide letters take two columns, combining marks none: what follows them stands in one line."""
    client = ChatarminOS(transport=fake)
    names = ["Acme", "日本語", "Zoe\u0308", "👋🏽 Hi", "❤\ufe0f", "한국", "\u1112\u1161\u11ab"]
    company = client.companies.get_by_product_link(external_org_id="org_1")
    assert company
    for name in names:
        subscription = fake.stripe.add_subscription(["price_pro_base"])
        client.billing.link_subscription(
            company_id=company.id, stripe_subscription_id=subscription, display_name=name, tier_code="pro"
        )

    _, line, *rows = run("status", "org:org_1").out.splitlines()
    starts = [display_width(row[: row.index("Pro")]) for row in rows[: len(names)]]

    assert [row[: len(name)] for row, name in zip(rows, names, strict=False)] == names
    assert set(starts) == {line.index(" ") + 2}


# Processes


def _process(*arguments: str, **settings: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "chatarmin_os", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)  # noqa: S603


def test_what_a_terminal_cannot_show_is_escaped(fake: FakeTransport) -> None:
    """A name with letters that the terminal lacks does not end the command, and control characters do not reach it."""
    ChatarminOS(transport=fake).companies.create(name="Sök\x1b[2J日本", external_org_id="org_j")
    with serve_fake({KEY: fake}) as url:
        environment = {**os.environ, "OS_API_KEY": KEY, "OS_BASE_URL": url, "PYTHONIOENCODING": "ascii"}
        with _process("onboard", "org_j", env=environment) as process:
            out, err = process.communicate()
        with _process("onboard", "org_j", "--json", env=environment) as as_json:
            document, _ = as_json.communicate()

    assert (process.returncode, err) == (0, "")
    assert "\\u65e5" in out
    assert "\x1b" not in out
    assert json.loads(document)["company_name"] == "Sök\x1b[2J日本"


def test_json_is_plain_ascii(run: Callable[..., Output]) -> None:
    """Any encoding carries it, it stays JSON, and no control character of the service reaches the terminal."""
    name = "Sök \x7f\x9b2J\u202e\U0001f600"

    output = run("call", "companies.create", json.dumps({"name": name, "externalOrgId": "org_j"}))

    assert output.out.isascii()
    assert output.out.replace("\n", "").isprintable()
    assert json.loads(output.out)["name"] == name


def test_the_key_may_be_piped(fake: FakeTransport) -> None:
    """A process reads it from its standard input, and takes the base URL from an option."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    with serve_fake({KEY: fake}) as url:
        command = ("status", "org:org_1", "--json", "--api-key-file", "-", "--base-url", url)
        with _process(*command, env=environment, stdin=subprocess.PIPE) as process:
            out, err = process.communicate(f"{KEY}\n")

    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["enabled_features_count"] == 2


def test_what_is_closed_is_done_without(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed standard streams are no traceback: there is nothing to read, and nobody is told."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)

    assert main(["check", "org:org_1", "sso"]) == 0
    monkeypatch.delenv("OS_API_KEY")
    assert run("check", "org:org_1", "sso").code == 2


@pytest.mark.parametrize("command", ["--help", "quickstart"])
def test_a_reader_that_has_gone_is_no_error(command: str) -> None:
    """`chatarmin-os --help | head -1` ends well, and says nothing of a pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}

    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "chatarmin_os", command],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment,
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no disk that is always full")  # noqa: PTH110
def test_output_that_cannot_be_written_exits_3(
    run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk is no refusal of the service: there is no answer, and the call may have run."""
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - no file of ours
        monkeypatch.setattr(sys, "stdout", full)
        output = run("check", "org:org_1", "sso")

    assert output.code == 3
    assert output.err.startswith("chatarmin-os: the output cannot be written: ")
    assert capsys.readouterr().err == ""


def test_output_may_go_into_a_string() -> None:
    """A caller in Python may collect it, in whatever has no encoding."""
    with redirect_stdout(io.StringIO()) as output:
        assert main(["quickstart", "--json"]) == 0

    assert json.loads(output.getvalue())["steps"]


def test_an_interrupt_exits_130(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a command without a traceback."""

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ChatarminOS, "call", interrupt)

    assert run("call", "tiers.list") == Output(130, "", "")


def test_an_interrupted_event_tells_its_key(
    run: Callable[..., Output], fake: FakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after sending leaves open whether it was counted: with the key that is told it can be sent again."""
    send = ChatarminOS.send

    def interrupt(client: ChatarminOS, request: Any) -> Any:
        answer = send(client, request)
        if isinstance(request, TrackUsageInput):
            raise KeyboardInterrupt
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(ChatarminOS, "send", interrupt)
        interrupted = run("track", "org:org_1", "ai_credit", "7")

    key = interrupted.err.split("--key ")[1].split(":")[0]
    again = json.loads(run("track", "org:org_1", "ai_credit", "7", "--key", key, "--json").out)
    assert interrupted.code == 130
    assert interrupted.err.endswith("chatarmin-os: interrupted, it may have run\n")
    assert again["current_usage"] == 7
    assert [call.path for call in fake.calls].count("billing.trackUsage") == 2


@pytest.mark.skipif(os.name == "nt", reason="this system has no signal of Ctrl-C for one process")
def test_ctrl_c_ends_a_process_without_a_traceback() -> None:
    """The signal itself, while an answer is waited for: exit code 130, two lines, and the key of the event as given."""
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # pytest may ignore it
    code += "from chatarmin_os.cli import main; sys.exit(main())"
    with socket.create_server(("127.0.0.1", 0)) as service:
        url = f"http://127.0.0.1:{service.getsockname()[1]}"
        command = [sys.executable, "-c", code, "track", "c", "f", "1", "--key", "job 1", "--base-url", url]
        environment = {**os.environ, "OS_API_KEY": KEY}
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603
            connection, _ = service.accept()
            with connection:
                connection.recv(1)
                process.send_signal(signal.SIGINT)
                _, err = process.communicate()

    assert process.returncode == 130
    told, advice = err.splitlines()
    assert told == "chatarmin-os: interrupted, it may have run"
    assert "--key 'job 1':" in advice


@contextmanager
def _tracking(*arguments: str, **streams: Any) -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
    """Run `track` with a made-up key against a socket; yield the process, and the connection once bytes have come."""
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # pytest may ignore it
    code += "from chatarmin_os.cli import main; sys.exit(main())"
    with socket.create_server(("127.0.0.1", 0)) as service:
        url = f"http://127.0.0.1:{service.getsockname()[1]}"
        command = [sys.executable, "-c", code, "track", "c", "f", "1", "--base-url", url, *arguments]
        settings = {"stderr": subprocess.PIPE, "text": True, "env": {**os.environ, "OS_API_KEY": KEY}, **streams}
        with subprocess.Popen(command, **settings) as process:  # noqa: S603 - our own command
            connection, _ = service.accept()
            with connection:
                connection.recv(1)
                yield process, connection


def _announced(err: str) -> str:
    """Return the key that the first line of standard error shows."""
    first = err.splitlines()[0]
    assert first.startswith("chatarmin-os: if this ends without an answer, send it again with --key ")
    return str(UUID(first.split("--key ")[1].split(":")[0]))


@pytest.mark.skipif(os.name == "nt", reason="this system has no such signals")
@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP", "SIGINT", "SIGKILL", "SIGQUIT", "SIGPIPE", "SIGALRM"])
def test_an_event_whose_process_is_ended_keeps_its_key(number: str) -> None:
    """The key is shown before the request is sent, so that no signal can take it along."""
    with _tracking() as (process, _):
        process.send_signal(getattr(signal, number))
        _, err = process.communicate()

    assert process.returncode != 0
    assert _announced(err)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no disk that is always full")  # noqa: PTH110
@pytest.mark.parametrize("is_json", [False, True])
@pytest.mark.parametrize("output", ["full", "gone"])
def test_an_event_whose_result_cannot_be_written_keeps_its_key(
    fake: FakeTransport, output: str, *, is_json: bool
) -> None:
    """On a full disk, or where whoever would read it has gone; the event is counted, once with that key."""
    with serve_fake({KEY: fake}) as url:
        environment = {**os.environ, "OS_API_KEY": KEY, "OS_BASE_URL": url}
        command = [sys.executable, "-m", "chatarmin_os", "track", "org:org_1", "ai_credit", "7"]
        command += ["--json"] if is_json else []
        if output == "full":
            writing = os.open("/dev/full", os.O_WRONLY)
        else:
            reading, writing = os.pipe()
            os.close(reading)
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=environment, check=False)  # noqa: S603
        os.close(writing)
        again = subprocess.run(  # noqa: S603
            [*command, "--key", _announced(done.stderr)], capture_output=True, text=True, env=environment, check=True
        )

    assert done.returncode == (3 if output == "full" else 0)
    assert "Traceback" not in done.stderr
    assert again.stderr == ""
    (company,) = fake.snapshot()["usage"].values()
    assert company == {"ai_credit": "7"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no disk that is always full")  # noqa: PTH110
def test_a_key_that_cannot_be_shown_is_not_sent(fake: FakeTransport) -> None:
    """Where standard error is what cannot be written: nothing is counted that could not be sent again."""
    with serve_fake({KEY: fake}) as url, open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        environment = {**os.environ, "OS_API_KEY": KEY, "OS_BASE_URL": url}
        command = [sys.executable, "-m", "chatarmin_os", "track", "org:org_1", "ai_credit", "7"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, env=environment, check=False)  # noqa: S603

    assert (done.returncode, done.stdout) == (3, b"")
    assert "billing.trackUsage" not in [call.path for call in fake.calls]


def test_a_server_error_exits_1(run: Callable[..., Output], fake: FakeTransport) -> None:
    """A failure of the service is an answer of it."""
    fake.fail(error=ServerError("out of order", code="INTERNAL_SERVER_ERROR"))

    output = run("check", "org:org_1", "ai_credit")

    assert output.code == 1
    assert "out of order" in output.err


def test_help_is_quick() -> None:
    """Neither requests nor cattrs is imported before a command needs it."""
    code = "import sys; from chatarmin_os.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print({'requests', 'cattrs', 'waitress'} & set(sys.modules))"
    with closing(io.StringIO(subprocess.check_output([sys.executable, "-c", code], text=True))) as output:  # noqa: S603
        assert output.read().splitlines()[-1] == "set()"
