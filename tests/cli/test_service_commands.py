"""The commands that call the service: output, errors and exit codes; no command prints an API key."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from uuid import UUID

import pytest
from terminal import Terminal
from waiting import until

from chatarmin_os import ApiError, ChatarminOS, ConnectionFailed, NotFoundError, ServerError, TrackUsageInput
from chatarmin_os._table import display_width
from chatarmin_os.cli import main
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import serve_fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os.transports import Call

KEY = "os_sk_command_line_secret"


class Output(NamedTuple):
    """The result of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def fake() -> FakeTransport:
    """The fake behind the socket, with a company on the free tier."""
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS(transport=fake)
    client.onboard(external_org_id="org_1", hints={"company_name": "Acme Inc"}, tier_code="free")
    return fake


@pytest.fixture
def run(
    fake: FakeTransport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Output]]:
    """Run a command against the fake on a socket; assert that it does not print the key."""
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
    """`call` takes any procedure, with wire names in input and answer."""
    output = run("call", "tiers.get", '{"tierCode": "free"}')

    assert (output.code, output.err) == (0, "")
    assert json.loads(output.out)["code"] == "free"
    assert json.loads(run("call", "tiers.list").out)[0] == {"code": "free", "name": "Free"}


def test_call_reads_its_input_from_standard_input(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash as the input means standard input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"tierCode": "pro"}'))

    assert json.loads(run("call", "tiers.get", "-").out)["name"] == "Pro"


def test_call_sends_mutations_as_mutations(run: Callable[..., Output], fake: FakeTransport) -> None:
    """A known procedure has its kind; an unknown one is a query without --mutation."""
    assert run("call", "links.reset", "{}").code == 0
    assert fake.calls[-1].kind == "mutation"
    assert "METHOD_NOT_SUPPORTED" in run("call", "tiers.list", "--mutation").err
    unknown = run("call", "links.nope", "{}")

    assert unknown.code == 1
    assert "NOT_FOUND: the service has no procedure 'links.nope'; check" in unknown.err
    assert "check --base-url: " in unknown.err


@pytest.mark.parametrize("text", ["{bad", '{"a": NaN}', "[" * 100_000], ids=["syntax", "constant", "depth"])
def test_call_refuses_invalid_json(run: Callable[..., Output], fake: FakeTransport, text: str) -> None:
    """The error names the argument, and nothing is sent."""
    before = len(fake.calls)

    output = run("call", "tiers.get", text)

    assert output.code == 2
    assert output.err.startswith("chatarmin-os: JSON: not valid JSON: ")
    assert len(fake.calls) == before


def test_onboard_prints_a_row_or_a_document(run: Callable[..., Output]) -> None:
    """Without --json the output is a table, with it a JSON document with the names of the models."""
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
    """--checkout claims a completed checkout."""
    session = fake.stripe.add_checkout_session(["price_pro_base"])

    document = json.loads(run("onboard", "org_1", "--checkout", session, "--json").out)

    assert document["billing_status"]["claimed"] is True


@pytest.mark.parametrize("company", ["org:org_1", "id"])
def test_check_prints_whether_a_feature_can_be_used(
    run: Callable[..., Output], fake: FakeTransport, company: str
) -> None:
    """A company is given by its id or by org:ID; the exit code is 0 also if the feature cannot be used."""
    client = ChatarminOS(transport=fake)
    acme = client.companies.get_by_product_link(external_org_id="org_1")
    assert acme
    named = acme.id if company == "id" else company

    yes, no = run("check", named, "ai_credit"), run("check", named, "sso")

    assert (yes.code, no.code) == (0, 0)
    assert yes.out.splitlines()[2].split() == ["AI", "credits", "yes", "yes", "0", "100", "100", "subscription", "-"]
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


@pytest.mark.parametrize("org", ["org_1", "org:org_1", "id"])
def test_explain_says_why_a_feature_cannot_be_used(run: Callable[..., Output], fake: FakeTransport, org: str) -> None:
    """ORG is your id, with or without `org:`, or a company's id; a sentence, its facts and remedies are printed."""
    client = ChatarminOS(transport=fake)
    company = client.features.get_access_by_external_org_id("org_1").company_id
    client.billing.track_usage(company_id=company, feature_code="ai_credit", quantity=100)

    output = run("explain", company if org == "id" else org, "ai_credit")

    assert (output.code, output.err) == (0, "")
    who = f"company {company}" if org == "id" else "Acme Inc (org_1)"
    sentence, blank, header, _, *lines = output.out.splitlines()
    assert sentence == (
        f"{who} cannot use ai_credit: it has used 100 of 100 in this period; "
        "the limit is most likely that of its tier Free; "
        "it has no active subscription, so most likely its usage does not start again at 0."
    )
    assert (blank, header.split()) == ("", ["fact", "value"])
    facts = [line.split(maxsplit=1) for line in lines[: lines.index("")]]
    assert ["limit", "100"] in facts
    assert (["link", "org_1"] in facts) is (org != "id")
    title, *remedies = lines[lines.index("") + 1 :]
    assert title == "Any of these calls changes that:"
    whom = f"company_id='{company}'" if org == "id" else "external_org_id='org_1'"
    assert remedies[0] == (
        f"  client.features.set_access({whom}, feature_code='ai_credit', quantity_limit=LIMIT)"
        "  # LIMIT: above 100, or None for no limit"
    )


def test_explain_prints_a_document(run: Callable[..., Output]) -> None:
    """`--json` prints the fields of the explanation, facts as pairs, and the access."""
    document = json.loads(run("explain", "org_1", "seats", "--json").out)

    assert list(document) == [
        "can_use",
        "rule",
        "text",
        "facts",
        "what_to_do",
        "feature_code",
        "external_org_id",
        "company_id",
        "access",
        "asked_at",
    ]
    assert (document["can_use"], document["rule"]) == (True, "within_limit")
    assert ["used", "0"] in document["facts"]
    assert document["access"]["quantity_limit"] == 3


def test_explanation_without_remedies_has_no_title_for_them(run: Callable[..., Output]) -> None:
    """If the service gives no reason, the command makes none up."""

    class Unwilling(FakeTransport):
        def send(self, call: Call) -> Any:
            answer = super().send(call)
            return {**answer, "canUse": False} if call.path == "features.checkByExternalOrgId" else answer

    fake = Unwilling(demo_catalogue())
    ChatarminOS(transport=fake).onboard(external_org_id="org_1", tier_code="free")
    with serve_fake({KEY: fake}) as url:
        output = run("explain", "org_1", "seats", "--base-url", url)

    assert "the service says so and gives no reason" in output.out
    assert "calls" not in output.out


def test_explain_prefers_an_organisation_to_a_company(run: Callable[..., Output], fake: FakeTransport) -> None:
    """An id that is both means your organisation, since ORG is your id."""
    client = ChatarminOS(transport=fake)
    company = client.features.get_access_by_external_org_id("org_1").company_id
    client.companies.create(name="Other Inc", external_org_id=company)

    assert run("explain", company, "seats").out.startswith(f"Other Inc ({company}) cannot use seats: ")


def test_explain_of_an_unknown_organisation_exits_1(run: Callable[..., Output], fake: FakeTransport) -> None:
    """The error names the command that links it, also if the service refuses the id as that of a company."""
    fake.fail("features.check", error="BAD_REQUEST")

    for org in ("org_9", "org:org_9", "org_9"):
        output = run("explain", org, "sso")
        assert (output.code, output.out) == (1, "")
        assert output.err == (
            "chatarmin-os: NOT_FOUND: org_9 is not linked to a company; link it with chatarmin-os onboard\n"
        )


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("FORBIDDEN", 1, "chatarmin-os: FORBIDDEN: "),
        ("TOO_MANY_REQUESTS", 1, "chatarmin-os: TOO_MANY_REQUESTS: "),
        (ConnectionFailed("connection reset"), 3, "chatarmin-os: no response: "),
    ],
    ids=["forbidden", "too-many-requests", "outage"],
)
def test_explain_without_an_answer_fails(
    run: Callable[..., Output], fake: FakeTransport, error: Any, code: int, message: str
) -> None:
    """A refusal and an outage have the exit codes of the other commands, and nothing is explained."""
    fake.fail("features.checkByExternalOrgId", error=error, times=3)

    output = run("explain", "org_1", "sso")

    assert (output.code, output.out) == (code, "")
    assert output.err.startswith(message)


def test_track_counts_an_event_once(run: Callable[..., Output]) -> None:
    """The same key counts once; without --key a new one is printed."""
    first = json.loads(run("track", "org:org_1", "ai_credit", "60", "--key", "job-1", "--json").out)
    again = json.loads(run("track", "org:org_1", "ai_credit", "60", "--key", "job-1", "--json").out)
    table = run("track", "org:org_1", "ai_credit", "1.5")

    assert (first["current_usage"], again["current_usage"]) == (60, 60)
    assert first["idempotency_key"] == "job-1"
    assert "61.5" in table.out
    assert "key" in table.out


def test_company_id_needs_no_look_up(run: Callable[..., Output], fake: FakeTransport) -> None:
    """`track` and `status` of a company id do not look up a link."""
    company_id = json.loads(run("status", "org:org_1", "--json").out)["company_id"]
    before = len(fake.calls)

    assert json.loads(run("track", company_id, "ai_credit", "5", "--json").out)["current_usage"] == 5
    assert json.loads(run("status", company_id, "--json").out)["company_id"] == company_id
    assert "companies.getByProductLink" not in [call.path for call in fake.calls[before:]]


def test_track_beyond_the_limit_exits_1(run: Callable[..., Output]) -> None:
    """A refusal of the service is printed to standard error, with code and message."""
    output = run("track", "org:org_1", "ai_credit", "101")

    assert (output.code, output.out) == (1, "")
    assert output.err.splitlines()[1].startswith("chatarmin-os: PRECONDITION_FAILED: ")


@pytest.mark.parametrize(
    "error", [ConnectionFailed("connection reset"), "SERVICE_UNAVAILABLE"], ids=["no-response", "server-error"]
)
def test_track_without_a_result_prints_the_key(run: Callable[..., Output], fake: FakeTransport, error: Any) -> None:
    """The event may have been counted; with the printed key it can be sent again."""
    fake.fail("billing.trackUsage", error=error, times=3, after=True)

    failed = run("track", "org:org_1", "ai_credit", "7")

    assert failed.code == (1 if isinstance(error, str) else 3)
    [advice] = [line for line in failed.err.splitlines() if "--key" in line]
    key = advice.split("--key ")[1].split(":")[0]
    assert json.loads(run("track", "org:org_1", "ai_credit", "7", "--key", key, "--json").out)["current_usage"] == 7


def test_given_key_is_printed_after_a_failure_only(run: Callable[..., Output], fake: FakeTransport) -> None:
    """A key from --key is in the advice after a lost response, and not in the output of a success."""
    fake.fail("billing.trackUsage", error=ConnectionFailed("connection reset"), times=3, after=True)

    failed = run("track", "org:org_1", "ai_credit", "7", "--key", "job 1")
    again = run("track", "org:org_1", "ai_credit", "7", "--key", "job 1")

    assert failed.code == 3
    assert failed.err.splitlines()[1].startswith("  send it again with --key 'job 1': it counts once")
    assert again.err == ""


def test_status_lists_subscriptions(run: Callable[..., Output], fake: FakeTransport) -> None:
    """Subscriptions are rows of a table; a company without one has a sentence."""
    without = run("status", "org:org_1")
    prices = ChatarminOS(transport=fake).tiers.get("pro").stripe_price_ids
    session = fake.stripe.add_checkout_session(prices)
    run("onboard", "org_1", "--checkout", session)
    table, document = run("status", "org:org_1"), json.loads(run("status", "org:org_1", "--json").out)

    assert without.out == "No billing profile. 2 features are enabled.\n"
    assert "Pro" in table.out
    assert table.out.endswith("\n4 features are enabled.\n")
    assert document["active_subscriptions"][0]["tier"]["code"] == "pro"
    assert document["company_id"]


def test_unlinked_organisation_exits_1(run: Callable[..., Output]) -> None:
    """The error names the organisation and the command that links it."""
    output = run("status", "org:org_9")

    assert output.code == 1
    assert output.err == (
        "chatarmin-os: NOT_FOUND: org:org_9 is not linked to a company; link it with chatarmin-os onboard\n"
    )


INVALID_ARGUMENTS = {
    "blank-organisation": (("onboard", " "), "ORG: "),
    "blank-tier": (("onboard", "org_1", "--tier", " "), "--tier: "),
    "zero-quantity": (("track", "org:org_1", "f", "0"), "QUANTITY: "),
    "text-quantity": (("track", "c", "f", "many"), "QUANTITY: expected a number, got 'many'"),
    "nan-quantity": (("track", "c", "f", "nan"), "QUANTITY: "),
    "negative-quantity": (("track", "c", "f", "-5"), "QUANTITY: expected a finite number above 0, got '-5'"),
    "infinite-quantity": (("track", "c", "f", "1e400"), "QUANTITY: expected a finite number above 0, got '1e400'"),
    "blank-key": (("track", "c", "f", "1", "--key", ""), "--key: "),
    "blank-company": (("check", " ", "f"), "COMPANY: "),
    "blank-organisation-to-check": (("check", "org:", "f"), "COMPANY: must not be blank"),
    "blank-organisation-to-explain": (("explain", "org:", "f"), "ORG: must not be blank"),
    "blank-company-to-explain": (("explain", " ", "f"), "ORG: must not be blank"),
    "blank-feature-to-explain": (("explain", "org_1", ""), "FEATURE: must not be blank"),
    "blank-organisation-for-status": (("status", "org:"), "COMPANY: must not be blank"),
    "large-integer": (("call", "tiers.get", f'{{"a": [{2**60}]}}'), "JSON.a[0]: expected an integer within"),
    "large-integer-in-a-list": (("call", "tiers.get", f"[{2**60}]"), "JSON[0]: expected an integer within"),
    "blank-path": (("call", " "), "PATH: "),
    "ftp-url": (("call", "tiers.list", "--base-url", "ftp://x"), "--base-url: "),
    "zero-timeout": (("call", "tiers.list", "--timeout", "0"), "--timeout: "),
    "missing-key-file": (
        ("call", "tiers.list", "--api-key-file", "/nowhere/at/all"),
        "--api-key-file /nowhere/at/all: No such file",
    ),
    "folder-as-key-file": (("call", "tiers.list", "--api-key-file", "/"), "--api-key-file /: Is a directory"),
    "endless-key-file": (
        ("call", "tiers.list", "--api-key-file", "/dev/zero"),
        "--api-key-file /dev/zero: it is not a regular file; ",
    ),
    "device-as-key-file": (
        ("call", "tiers.list", "--api-key-file", "/dev/null"),
        "--api-key-file /dev/null: it is not a regular file; ",
    ),
}


@pytest.mark.parametrize(("arguments", "expected"), INVALID_ARGUMENTS.values(), ids=INVALID_ARGUMENTS)
def test_invalid_argument_has_its_name_on_the_command_line(
    run: Callable[..., Output], fake: FakeTransport, arguments: tuple[str, ...], expected: str
) -> None:
    """Wrong usage exits with 2 and one line, and sends nothing."""
    before = len(fake.calls)

    output = run(*arguments)

    assert output.code == 2
    assert len(fake.calls) == before
    assert output.err.startswith(f"chatarmin-os: {expected}")
    assert output.err.count("\n") == 1
    assert "None" not in output.err  # no advice for programmers


def test_invalid_argument_that_only_the_service_finds_exits_1(run: Callable[..., Output], fake: FakeTransport) -> None:
    """The service refuses an address that the client accepts."""
    before = len(fake.calls)

    output = run("onboard", "org_1", "--email", "nobody")

    assert output.code == 1
    assert len(fake.calls) > before
    assert output.err.startswith("chatarmin-os: BAD_REQUEST: ")
    assert output.err.count("\n") == 1


def test_invalid_base_url_has_the_name_of_its_source(
    run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the option or the environment variable, and advises an option of the command line."""
    monkeypatch.setenv("OS_BASE_URL", "http://os.example.com")

    from_environment = run("call", "tiers.list")
    typed = run("call", "tiers.list", "--base-url", "http://os.example.com")

    place = "plain http to os.example.com"
    for output, problem in ((from_environment, f"{place} (from OS_BASE_URL)"), (typed, f"--base-url: {place}")):
        assert (output.code, output.out) == (2, "")
        assert output.err == (
            f"chatarmin-os: {problem} would show the key to the network; use https, or --allow-http\n"
        )


class _QuietHandler(BaseHTTPRequestHandler):
    """Has no page, and responds with one that says so."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: Any) -> None:
        pass


def test_response_of_another_server_is_no_usable_response(run: Callable[..., Output]) -> None:
    """A query by its path has changed nothing; the advice is that of the command line."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _QuietHandler) as server:
        threading.Thread(target=server.serve_forever).start()
        output = run("call", "tiers.list", "--base-url", f"http://127.0.0.1:{server.server_port}/nowhere")
        server.shutdown()

    assert output.code == 3
    assert output.err.startswith("chatarmin-os: no usable response: ")
    assert "not a tRPC response but a page; check the base URL" in output.err
    assert output.err.endswith("; nothing was changed\n")


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
def test_allow_http_accepts_plain_http_to_another_host(run: Callable[..., Output], command: tuple[str, ...]) -> None:
    """The command looks up the host, such as the fake in a container."""
    output = run(*command, "--base-url", "http://fake.invalid:3001/api/v1", "--allow-http", "--timeout", "5")

    assert output.code == 3
    assert output.err.startswith("chatarmin-os: could not reach the service: fake.invalid:3001")
    assert output.err.rstrip().endswith("; the call was not sent")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--api-key-file", "-"), "--api-key-file -: not UTF-8 text"),
        (("-",), "JSON: not valid JSON: 'utf-8' codec"),
    ],
    ids=["key", "input"],
)
def test_standard_input_must_be_text(
    run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], expected: str
) -> None:
    """Bytes that are not UTF-8 are wrong usage, not a traceback."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), encoding="utf-8"))

    output = run("call", "tiers.list", *arguments)

    assert output.code == 2
    assert output.err.startswith(f"chatarmin-os: {expected}")


@pytest.mark.parametrize(
    "arguments",
    [(), ("nope",), ("call", "tiers.list", "--timeout", "soon"), ("check", "c")],
    ids=["no-command", "unknown-command", "timeout", "missing-argument"],
)
def test_wrong_usage_exits_2(run: Callable[..., Output], arguments: tuple[str, ...]) -> None:
    """The usage is printed to standard error."""
    output = run(*arguments)

    assert output.code == 2
    assert "usage: chatarmin-os" in output.err


@pytest.mark.parametrize(
    "command",
    ["call", "onboard", "check", "explain", "track", "status", "serve", "assumptions", "quickstart", "completion"],
)
def test_command_has_help_with_examples(run: Callable[..., Output], command: str) -> None:
    """--help prints command lines to paste to standard output."""
    output = run(command, "--help")

    assert output.code == 0
    assert f"chatarmin-os {command}" in output.out.split("examples:")[1]


def test_failed_connection_exits_3(run: Callable[..., Output]) -> None:
    """The error says that the call was not sent."""
    output = run("call", "tiers.list", "--base-url", "http://127.0.0.1:9/api", "--timeout", "5")

    assert output.code == 3
    assert output.err.startswith("chatarmin-os: could not reach the service: 127.0.0.1:9")
    assert output.err.rstrip().endswith("; the call was not sent")


def test_lost_response_says_that_the_call_may_have_run(run: Callable[..., Output], fake: FakeTransport) -> None:
    """After a lost response to a mutation its effect is unknown."""
    fake.fail("companies.create", error=ConnectionFailed("lost"), after=True)

    output = run("call", "companies.create", '{"name": "N", "externalOrgId": "org_n"}')

    assert output.code == 3
    assert "the call may have run" in output.err


def test_lost_response_to_a_query_says_that_nothing_changed(run: Callable[..., Output], fake: FakeTransport) -> None:
    """Usage is not counted if the look-up of its company fails."""
    fake.fail("companies.getByProductLink", error=ConnectionFailed("lost"), times=3)

    output = run("track", "org:org_1", "ai_credit", "1")

    assert output.code == 3
    assert output.err.startswith("chatarmin-os: no response: ")
    assert "; nothing was changed\n" in output.err
    assert "billing.trackUsage" not in [call.path for call in fake.calls]


@pytest.mark.parametrize(
    "received",
    ['No procedure found on path "a"', 'No "query"-procedure on path "a"'],
    ids=["trpc-11", "trpc-10"],
)
def test_missing_procedure_prints_the_url_of_the_service(
    run: Callable[..., Output], fake: FakeTransport, received: str
) -> None:
    """A procedure may be missing because the base URL is that of another service."""
    fake.fail("tiers.list", error=NotFoundError(received, code="NOT_FOUND"))

    output = run("call", "tiers.list")

    assert output.code == 1
    assert f"check --base-url: {os.environ['OS_BASE_URL']} was called" in output.err


def test_rejected_key_gets_advice(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """The advice says where to find the key; the key is not printed."""
    monkeypatch.setenv("OS_API_KEY", "wrong_secret_key")

    output = run("call", "tiers.list")

    assert output.code == 1
    assert "UNAUTHORIZED" in output.err
    assert "Settings, Developers, API Keys" in output.err
    assert "wrong_secret_key" not in output.err


# The key


def test_key_comes_from_a_file(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """White space around the key is ignored, and the file has precedence over the environment."""
    monkeypatch.setenv("OS_API_KEY", "wrong")
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")

    assert run("call", "tiers.list", "--api-key-file", str(file)).code == 0
    file.write_bytes(b"\xff\xfe")
    assert "not UTF-8 text" in run("call", "tiers.list", "--api-key-file", str(file)).err


def test_key_comes_from_standard_input(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash means standard input, for the key or for the input of the call, but not for both."""
    monkeypatch.delenv("OS_API_KEY")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\n"))
    assert run("call", "tiers.list", "--api-key-file", "-").code == 0

    both = run("call", "tiers.list", "-", "--api-key-file", "-")

    assert both.code == 2
    assert both.err.startswith("chatarmin-os: JSON: standard input cannot be both")


def test_terminal_prompts_for_the_key(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key is typed, without an echo."""
    monkeypatch.delenv("OS_API_KEY")
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: KEY if "API key" in prompt else "")

    assert run("call", "tiers.list").code == 0
    assert run("call", "tiers.list", "--api-key-file", "-").code == 0


def test_end_of_input_at_the_prompt_is_a_missing_key(
    run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-D exits with 2 and advice, without a traceback."""

    def end(_: str) -> NoReturn:
        raise EOFError

    monkeypatch.delenv("OS_API_KEY")
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", end)

    output = run("call", "tiers.list")

    assert output.code == 2
    assert output.err.startswith("chatarmin-os: the API key is missing; ")


def test_key_file_may_have_a_byte_order_mark(run: Callable[..., Output], tmp_path: Path) -> None:
    """The mark, which Windows editors write, is not a part of the key."""
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n", encoding="utf-8-sig")

    assert run("call", "tiers.list", "--api-key-file", str(file)).code == 0


MISPLACED_KEYS = {
    "file-name": (("call", "tiers.list", "--api-key-file", KEY), "--api-key-file [key]: No such file"),
    "api-key-option": (
        ("call", "tiers.list", "--api-key", KEY),
        "unrecognized arguments: --api-key [key]; other users of this machine",
    ),
    "key-of-another-service": (
        ("call", "tiers.list", "--api-key", "sk_live_abc"),
        "--api-key [key]; other users of this machine can read",
    ),
    "key-with-equals-sign": (
        ("call", "tiers.list", "--api-key=sk_live_abc"),
        "--api-key=[key]; other users of this machine can read",
    ),
    "key-of-an-event": (("call", "tiers.list", f"--key={KEY}"), "unrecognized arguments: --key=[key]"),
    "user-of-the-url": (("call", "tiers.list", "--base-url", f"https://{KEY}@os.example.com"), "--base-url: "),
    "quantity": (("track", "c", "f", KEY), "got '[key]'"),
    "key-of-the-input": (("call", "tiers.list", f'{{"{KEY}": {2**60}}}'), "[key]: expected an integer within"),
}


@pytest.mark.parametrize(("arguments", "expected"), MISPLACED_KEYS.values(), ids=MISPLACED_KEYS)
def test_misplaced_key_is_not_printed(run: Callable[..., Output], arguments: tuple[str, ...], expected: str) -> None:
    """An API key that is typed as another argument is redacted in the error; `run` searches for it."""
    output = run(*arguments)

    assert output.code == 2
    assert expected in output.err


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
@pytest.mark.parametrize(
    "code",
    ["UNAUTHORIZED", "BAD_REQUEST", "NOT_FOUND", "INTERNAL_SERVER_ERROR", f"X {KEY}"],
    ids=["unauthorized", "bad-request", "not-found", "server-error", "key-as-code"],
)
def test_key_in_an_error_of_the_service_is_not_printed(
    run: Callable[..., Output], fake: FakeTransport, command: tuple[str, ...], code: str
) -> None:
    """Code, message and advice are without the key; `run` searches for it."""
    fake.fail(error=ApiError.from_code(code, f"No: Bearer {KEY}", http_status=418), times=9)

    output = run(*command)

    assert (output.code, output.out) == (1, "")
    assert "No: Bearer [key]" in output.err


def test_missing_key_is_one_line(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal there is no prompt."""
    monkeypatch.setenv("OS_API_KEY", " ")
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    output = run("call", "tiers.list")

    problem = "the API key is missing; set OS_API_KEY, or pass --api-key-file FILE (- for standard input)"
    assert output == Output(2, "", f"chatarmin-os: {problem}\n")


def test_key_file_is_bounded(run: Callable[..., Output], tmp_path: Path) -> None:
    """A pipe without a writer and a file that is too large are refused on one line."""
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    with large.open("wb") as file:
        file.truncate(2**40)

    for path, problem in ((pipe, "it is not a regular file"), (large, "it is larger than 4,096 bytes")):
        output = run("call", "tiers.list", "--api-key-file", str(path))
        assert output.code == 2
        assert output.err.startswith(f"chatarmin-os: --api-key-file {path}: {problem}")
        assert output.err.count("\n") == 1


def test_standard_input_is_bounded(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """A key or an input that is too long is not read to its end."""
    for stream, arguments, problem in (
        (io.StringIO("x" * 100_000), ("--api-key-file", "-"), "--api-key-file -: it is larger than 4,096 bytes"),
        (io.StringIO(" " * (2**24 + 100)), ("-",), "JSON: not valid JSON: more than 16,777,216 characters"),
    ):
        monkeypatch.setattr(sys, "stdin", stream)
        output = run("call", "tiers.list", *arguments)
        assert output.code == 2
        assert output.err.startswith(f"chatarmin-os: {problem}")
        assert stream.read(1)


# Suggestions


MISTYPED = {
    "command": (("chek", "org:org_1", "sso"), "did you mean check?"),
    "subcommand": (("recording", "shwo", "x"), "did you mean show?"),
    "option": (("check", "org:org_1", "sso", "--jsn"), "unrecognized arguments: --jsn; did you mean --json?"),
    "option-with-value": (
        ("onboard", "org_1", "--teir=free"),
        "unrecognized arguments: --teir=free; did you mean --tier?",
    ),
    "option-before-the-command": (("--versoin", "check", "c", "f"), "did you mean --version?"),
    "option-without-a-command": (("--versoin",), "did you mean --version?"),
    "option-with-a-missing-argument": (("check", "org:org_1", "--jsn"), "required: FEATURE; did you mean --json?"),
    "choice": (("serve", "--transformer", "supperjson"), "did you mean superjson?"),
    "shell": (("completion", "bsh"), "did you mean bash?"),
}


@pytest.mark.parametrize(("arguments", "expected"), MISTYPED.values(), ids=MISTYPED)
def test_mistyped_word_gets_a_suggestion(run: Callable[..., Output], arguments: tuple[str, ...], expected: str) -> None:
    """Commands, options and choices are compared with those of the command."""
    output = run(*arguments)

    assert output.code == 2
    assert expected in output.err


def test_unlike_word_gets_no_suggestion(run: Callable[..., Output]) -> None:
    """A word that resembles none gets no suggestion."""
    for arguments in (("zzz",), ("check", "c", "f", "--zzz"), ("check", "c", "f", "g"), ("completion", "z" * 10_000)):
        output = run(*arguments)
        assert output.code == 2
        assert "did you mean" not in output.err


_YOUR_ID = "if this is your id of the organisation, write org:org_1"
UNKNOWN = {
    "procedure": (("call", "tiers.lst"), "did you mean tiers.list?"),
    "python-name": (("call", "features.list_access"), "did you mean features.listAccess?"),
    "feature": (("check", "org:org_1", "ai_credits"), "did you mean ai_credit?"),
    "feature-to-track": (("track", "org:org_1", "ai-credit", "1"), "did you mean ai_credit?"),
    "feature-of-a-company-id": (("check", "COMPANY", "Seat"), "did you mean seats?"),
    "unlike-feature": (
        ("check", "COMPANY", "x"),
        "available features: ai_credit, seats, team_seats, api_access, sso",
    ),
    "tier": (("onboard", "org_2", "--tier", "entreprise"), "did you mean enterprise?"),
    "feature-to-explain": (("explain", "org_1", "ai_credits"), "did you mean ai_credit?"),
    "feature-of-a-company-id-to-explain": (("explain", "COMPANY", "Seat"), "did you mean seats?"),
    "organisation-to-check": (("check", "org_1", "ai_credit"), _YOUR_ID),
    "organisation-to-track": (("track", "org_1", "ai_credit", "1"), _YOUR_ID),
    "organisation-for-status": (("status", "org_1"), _YOUR_ID),
}


@pytest.mark.parametrize(("arguments", "expected"), UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_name_gets_advice(
    run: Callable[..., Output], fake: FakeTransport, arguments: tuple[str, ...], expected: str
) -> None:
    """The advice has similar procedures, features and tiers, and how to write an id of an organisation."""
    company = ChatarminOS(transport=fake).companies.get_by_product_link(external_org_id="org_1")
    assert company

    output = run(*(company.id if one == "COMPANY" else one for one in arguments))

    assert output.code == 1
    assert "NOT_FOUND" in output.err
    assert output.err.splitlines()[-1].strip() == expected


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("check", "org:org_1", "sso"), "features.checkByExternalOrgId"),
        (("check", "org:org_9", "sso"), None),
        (("status", "org:org_9"), None),
        (("explain", "org_9", "sso"), None),
        (("explain", "org:org_9", "sso"), None),
        (("onboard", "org_1", "--checkout", "cs_none"), None),
        (("call", "tiers.get", '{"tierCode": "fre"}'), None),
    ],
    ids=[
        "feature",
        "organisation",
        "organisation-for-status",
        "organisation-or-company-to-explain",
        "organisation-to-explain",
        "checkout",
        "input",
    ],
)
def test_not_found_without_a_suggestion_has_no_advice(
    run: Callable[..., Output], fake: FakeTransport, arguments: tuple[str, ...], path: str | None
) -> None:
    """The missing thing may be another one, or the search for suggestions fails."""
    if path:
        fake.fail(path, error="NOT_FOUND")

    output = run(*arguments)

    assert output.code == 1
    assert output.err.count("\n") == 1


def test_columns_are_aligned_by_display_width(run: Callable[..., Output], fake: FakeTransport) -> None:
    """Wide letters take two columns and combining marks none."""
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


def test_letters_that_the_terminal_lacks_are_escaped(fake: FakeTransport) -> None:
    """Such a name does not end the command, and control characters do not reach the terminal."""
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
    """JSON output fits every encoding, and no control character of the service reaches the terminal."""
    name = "Sök \x7f\x9b2J\u202e\U0001f600"

    output = run("call", "companies.create", json.dumps({"name": name, "externalOrgId": "org_j"}))

    assert output.out.isascii()
    assert output.out.replace("\n", "").isprintable()
    assert json.loads(output.out)["name"] == name


def test_process_reads_the_key_from_a_pipe(fake: FakeTransport) -> None:
    """--api-key-file - and --base-url need no environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    with serve_fake({KEY: fake}) as url:
        command = ("status", "org:org_1", "--json", "--api-key-file", "-", "--base-url", url)
        with _process(*command, env=environment, stdin=subprocess.PIPE) as process:
            out, err = process.communicate(f"{KEY}\n")

    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["enabled_features_count"] == 2


def test_closed_standard_streams_are_no_error(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """A command without standard streams reads and prints nothing, without a traceback."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)

    assert main(["check", "org:org_1", "sso"]) == 0
    monkeypatch.delenv("OS_API_KEY")
    assert run("check", "org:org_1", "sso").code == 2


@pytest.mark.parametrize("command", ["--help", "quickstart"])
def test_closed_pipe_is_no_error(command: str) -> None:
    """`chatarmin-os --help | head -1` exits with 0 and prints no error."""
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
def test_full_disk_exits_3(
    run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says that the command may have had its effect."""
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - no file of ours
        monkeypatch.setattr(sys, "stdout", full)
        output = run("check", "org:org_1", "sso")

    assert output.code == 3
    assert output.err.startswith("chatarmin-os: could not write the output: ")
    assert capsys.readouterr().err == ""


def test_output_can_be_a_string_stream() -> None:
    """A caller in Python can collect the output in a stream without an encoding."""
    with redirect_stdout(io.StringIO()) as output:
        assert main(["quickstart", "--json"]) == 0

    assert json.loads(output.getvalue())["steps"]


def test_interrupt_exits_130(run: Callable[..., Output], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a command without a traceback."""

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ChatarminOS, "call", interrupt)

    assert run("call", "tiers.list") == Output(130, "", "")


def test_interrupted_event_keeps_its_key(
    run: Callable[..., Output], fake: FakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C the event may have been counted; with the printed key it can be sent again."""
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
    assert interrupted.err.endswith("chatarmin-os: interrupted; the event may have been counted\n")
    assert again["current_usage"] == 7
    assert [call.path for call in fake.calls].count("billing.trackUsage") == 2


def _is_asleep(pid: int) -> bool:
    """Return whether a process waits, as for a response."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "S"


@pytest.mark.skipif(os.name == "nt", reason="this system has no signal of Ctrl-C for one process")
def test_interrupted_process_has_no_traceback() -> None:
    """SIGINT during a request exits with 130 and two lines, of which one has the key of the event."""
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
                until(lambda: _is_asleep(process.pid))  # Python 3.13.0 reports a file of a socket that is half made
                process.send_signal(signal.SIGINT)
                _, err = process.communicate()

    assert process.returncode == 130
    problem, advice = err.splitlines()
    assert problem == "chatarmin-os: interrupted; the event may have been counted"
    assert "--key 'job 1':" in advice


OTHER_SIGNALS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGPIPE", "SIGALRM")


@contextmanager
def _tracking(*arguments: str, **streams: Any) -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
    """Run `track` with a new key against a socket; yield the process, and the connection once it has sent bytes."""
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


def _printed_key(err: str) -> str:
    """Return the key on the first line of standard error."""
    first = err.splitlines()[0]
    key = first.removeprefix("chatarmin-os: key of this event: ").partition(";")[0]
    assert first.startswith(
        f"chatarmin-os: key of this event: {key}; if no result follows, send it again with --key {key}: "
    )
    return str(UUID(key))


@pytest.mark.skipif(os.name == "nt", reason="this system has no such signals")
@pytest.mark.parametrize("number", ["SIGKILL", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHER_SIGNALS)])
def test_event_of_a_killed_process_keeps_its_key(number: str) -> None:
    """The key is printed before the request is sent, so that no signal can lose it."""
    with _tracking() as (process, _):
        process.send_signal(getattr(signal, number))
        _, err = process.communicate()

    assert process.returncode != 0
    assert _printed_key(err)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no disk that is always full")  # noqa: PTH110
@pytest.mark.parametrize("is_json", [False, True], ids=["table", "json"])
@pytest.mark.parametrize("output", ["full", "gone"])
def test_event_without_a_printed_result_keeps_its_key(fake: FakeTransport, output: str, *, is_json: bool) -> None:
    """With a full disk or a closed pipe the event is counted, and once with its key."""
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
            [*command, "--key", _printed_key(done.stderr)], capture_output=True, text=True, env=environment, check=True
        )

    assert done.returncode == (3 if output == "full" else 0)
    assert "Traceback" not in done.stderr
    assert again.stderr == ""
    (company,) = fake.snapshot()["usage"].values()
    assert company == {"ai_credit": "7"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no disk that is always full")  # noqa: PTH110
def test_event_is_not_sent_if_its_key_cannot_be_printed(fake: FakeTransport) -> None:
    """If standard error is full, nothing is counted that could not be sent again."""
    with serve_fake({KEY: fake}) as url, open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        environment = {**os.environ, "OS_API_KEY": KEY, "OS_BASE_URL": url}
        command = [sys.executable, "-m", "chatarmin_os", "track", "org:org_1", "ai_credit", "7"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, env=environment, check=False)  # noqa: S603

    assert (done.returncode, done.stdout) == (3, b"")
    assert "billing.trackUsage" not in [call.path for call in fake.calls]


def test_server_error_exits_1(run: Callable[..., Output], fake: FakeTransport) -> None:
    """A failure of the service is a response."""
    fake.fail(error=ServerError("out of order", code="INTERNAL_SERVER_ERROR"))

    output = run("check", "org:org_1", "ai_credit")

    assert output.code == 1
    assert "out of order" in output.err


def test_help_is_quick() -> None:
    """--help imports neither requests nor cattrs nor waitress."""
    code = "import sys; from chatarmin_os.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print({'requests', 'cattrs', 'waitress'} & set(sys.modules))"
    with closing(io.StringIO(subprocess.check_output([sys.executable, "-c", code], text=True))) as output:  # noqa: S603
        assert output.read().splitlines()[-1] == "set()"
