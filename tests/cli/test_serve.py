"""`chatarmin-os serve`: it says where it answers, stops when told, keeps its state, and says why it cannot."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import ChatarminOS, NotFoundError, ServerError, TransportError, UnauthorizedError
from chatarmin_os import server as served
from chatarmin_os.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "os_sk_served"


@contextmanager
def _serving(*options: str, cwd: Path | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command on a free port; give its process and base URL."""
    command = [sys.executable, "-W", "error", "-m", "chatarmin_os", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd) as process:  # noqa: S603
        assert process.stdout
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_and_stops_and_remembers(tmp_path: Path, number: signal.Signals) -> None:
    """The URL is printed when it answers; a signal ends it with 0, and what happened is there at the next start."""
    state = tmp_path / "state.json"
    with _serving("--state", str(state)) as (process, url), ChatarminOS(KEY, base_url=url) as client:
        company = client.onboard(external_org_id="org_1", tier_code="free")
        process.send_signal(number)
        out, err = process.communicate()

    assert process.returncode == 0
    assert out == ""
    assert err.count("\n") == 1
    assert url.removesuffix("api/v1") in err
    assert KEY.encode() not in state.read_bytes()
    with _serving("--state", str(state)) as (_, url), ChatarminOS(KEY, base_url=url) as client:
        assert client.onboard(external_org_id="org_1").company_id == company.company_id


def test_options_reach_the_service() -> None:
    """An empty product, tRPC 10, superjson, a failure rate and another name."""
    options = ("--empty", "--trpc", "10", "--transformer", "superjson", "--latency-ms", "1", "--allow-host", "fake")
    with _serving(*options) as (_, url), ChatarminOS(KEY, base_url=url) as client:
        assert client.tiers.list() == []
        with pytest.raises(NotFoundError, match='No "query"-procedure'):
            client.call("nope")
        with pytest.raises(UnauthorizedError):
            ChatarminOS("wrong", base_url=url).tiers.list()
    with (
        _serving("--fail-rate", "1") as (_, url),
        ChatarminOS(KEY, base_url=url, max_retries=0) as client,
        pytest.raises((ServerError, TransportError)),
    ):
        client.tiers.list()


def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """It says which, and exits 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ["--fail-rate", "0.5", "--latency-ms", "5", "--allow-host", "fake"]
        assert main(["serve", "--port", str(port), *options]) == 2

    assert capsys.readouterr().err == (
        f"chatarmin-os: cannot listen at 127.0.0.1, port {port}: Address already in use; try another host or port\n"
    )


def test_a_broken_state_file_is_one_line_and_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody's file is overwritten because it could not be read."""
    state = tmp_path / "state.json"
    state.write_text("precious")

    assert main(["serve", "--port", "0", "--state", str(state)]) == 2

    assert capsys.readouterr().err.startswith(
        f"chatarmin-os: {state} is not a state file of `chatarmin-os serve` and was left unchanged"
    )
    assert state.read_text() == "precious"


@pytest.mark.parametrize(
    ("option", "value"),
    [("--port", "x"), ("--port", "70000"), ("--fail-rate", "2"), ("--latency-ms", "-1"), ("--latency-ms", "x")],
)
def test_bad_options_are_named(capsys: pytest.CaptureFixture[str], option: str, value: str) -> None:
    """Wrong usage exits 2."""
    with pytest.raises(SystemExit) as ended:
        main(["serve", option, value])

    assert ended.value.code == 2
    assert f"argument {option}: expected" in capsys.readouterr().err


def test_it_runs_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Signals are taken before it answers; a second one does not cut the saving short."""
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)

    def run(server: served.Server) -> None:
        with pytest.raises(SystemExit):
            handlers[signal.SIGTERM]()
        server.stop()
        run_to_its_end(server)
        assert handlers == {signal.SIGTERM: signal.SIG_IGN, signal.SIGINT: signal.SIG_IGN}

    run_to_its_end = served.Server.run
    monkeypatch.setattr(served.Server, "run", run)

    assert main(["serve", "--port", "0"]) == 0

    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


def test_a_signal_before_it_runs_ends_it_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever stops it at once gets 0 too, and his handlers back."""

    def stopped(_: served.Server) -> None:
        raise SystemExit(0)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(served.Server, "run", stopped)

    assert main(["serve", "--port", "0"]) == 0

    assert signal.getsignal(signal.SIGTERM) is before
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--state", ""),
        ("--state", " "),
        ("--allow-host", ""),
        ("--allow-host", "fake:3001"),
        ("--allow-host", "http://x"),
    ],
)
def test_a_name_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], option: str, value: str) -> None:
    """A variable of the shell that is not set must not mean that nothing is kept."""
    with pytest.raises(SystemExit) as ended:
        main(["serve", option, value])

    assert ended.value.code == 2
    assert f"argument {option}: expected" in capsys.readouterr().err


@pytest.mark.parametrize("is_ready", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_not_lost(number: signal.Signals, *, is_ready: bool) -> None:
    """Python drops what a handler raises in a callback of the garbage collector: the service ends all the same."""
    program = (
        "import signal, sys\n"
        "import chatarmin_os.server as module\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Dropping:\n"
        "    def __del__(self):\n"
        f"        signal.raise_signal(signal.{number.name})\n"
        "sys.unraisablehook = lambda _: None\n"
        "def drop(self, made=module.Server.run):\n"
        "    Dropping()\n"
        "    return made(self)\n"
        "def make(*given, made=module.FakeService, **named):\n"
        "    Dropping()\n"
        "    return made(*given, **named)\n"
    )
    program += "module.Server.run = drop\n" if is_ready else "module.FakeService = make\n"
    program += "from chatarmin_os.cli import main\nsys.exit(main())"
    command = [sys.executable, "-W", "error", "-c", program, "serve", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command

    assert done.returncode == (130 if number == signal.SIGINT and not is_ready else 0)
    assert bool(done.stdout) is is_ready
    assert "Traceback" not in done.stderr


def _catalogue(tmp_path: Path, content: Any) -> str:
    file = tmp_path / "catalogue.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(file)


GOOD: dict[str, Any] = {
    "features": [
        {"code": "seats", "name": "Seats", "has_quantity": True, "config": {"colour": "red"}},
        {"code": "sso", "name": "Single sign-on"},
    ],
    "tiers": [
        {"code": "none", "name": "None"},
        {
            "code": "basic",
            "name": "Basic",
            "base_fee": 900,
            "currency": "usd",
            "features": {"seats": {"quantity_limit": 3, "included_quantity": 1, "unit_amount": 5}, "sso": {}},
        },
    ],
}


def test_products_begin_with_a_catalogue_of_a_file(tmp_path: Path) -> None:
    """With every argument of add_feature and add_tier; each key has a copy, and what a state keeps has its own."""
    state = tmp_path / "state.json"
    with _serving("--catalogue", _catalogue(tmp_path, GOOD), "--state", str(state)) as (process, url):
        for key in (KEY, "os_sk_second"):
            with ChatarminOS(key, base_url=url) as client:
                assert [tier.code for tier in client.tiers.list()] == ["none", "basic"]
                basic = client.tiers.get("basic")
                company = client.onboard(external_org_id="org_1", tier_code="basic").company_id
                access = client.features.check(company_id=company, feature_code="seats")
        process.send_signal(signal.SIGTERM)
        process.wait()
    with _serving("--empty", "--state", str(state)) as (_, url), ChatarminOS(KEY, base_url=url) as client:
        assert [tier.code for tier in client.tiers.list()] == ["none", "basic"]
    with _serving("--catalogue", _catalogue(tmp_path, GOOD), "--state", str(state)) as (process, _):
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()

    assert f"{state}: 2 products keep the catalogue" in err
    assert basic.base_fee is not None
    assert basic.stripe_price_ids == ("price_basic_base", "price_basic_seats")
    assert (access.quantity_limit, access.included_quantity, access.config_values) == (3, 1, {"colour": "red"})


@pytest.mark.parametrize("attribute", ["catalogue", "made", "Shop.catalogue"])
def test_products_begin_with_a_catalogue_of_a_module(tmp_path: Path, attribute: str) -> None:
    """A Catalogue, or a function that returns one, found as `python -m` would: in the folder it is run in."""
    code = "from chatarmin_os.fake import Catalogue\n"
    code += "catalogue = Catalogue()\ncatalogue.add_tier('basic', name='Basic')\n"
    code += "def made(): return catalogue\nclass Shop: catalogue = catalogue\n"
    (tmp_path / "shop_of_the_tests.py").write_text(code, encoding="utf-8")
    given = ("--catalogue", f"shop_of_the_tests:{attribute}")
    with _serving(*given, cwd=tmp_path) as (_, url), ChatarminOS(KEY, base_url=url) as client:
        assert [tier.code for tier in client.tiers.list()] == ["basic"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not JSON: Expecting property name"),
        ("[" * 100_000, "it is nested too deep"),
        ("[]", "expected a mapping with features, tiers; got list []"),
        ({"feature": []}, "feature: no such field; allowed: features, tiers"),
        ({"features": {}}, "features: expected a list, got dict {}"),
        ({"features": [1]}, "features[0]: expected a mapping with code, name, has_quantity, config; got int 1"),
        ({"features": [{"code": "x"}]}, "features[0].name: is missing"),
        ({"features": [{"code": "", "name": "X"}]}, "features[0].code: blank text"),
        ({"features": [{"code": ["x"], "name": "X"}]}, "features[0].code: expected text, got list ['x']"),
        ({"features": [{"code": "x", "name": "X", "hasQuantity": True}]}, "features[0].hasQuantity: no such field"),
        ({"features": [{"code": "x", "name": "X", "has_quantity": 1}]}, "features[0].has_quantity: expected True or"),
        ({"features": [{"code": "x", "name": "X"}] * 2}, "features[1].code: duplicate code 'x'"),
        ({"tiers": [{"code": "x", "name": "X"}] * 2}, "tiers[1].code: duplicate code 'x'"),
        ({"tiers": [{"code": "x", "name": "X", "base_fee": 0.5}]}, "tiers[0].base_fee: expected minor units"),
        ({"tiers": [{"code": "x", "name": "X", "base_fee": 10**400}]}, "tiers[0].base_fee: an integer beyond"),
        ('{"features": [{"code": "x", "name": "X", "config": {"a": NaN}}]}', "features[0].config.a: JSON has no such"),
        ({"tiers": [{"code": "x", "name": "X", "features": {"y": {}}}]}, "tiers[0].features.y: no such field"),
        (
            {**GOOD, "tiers": [{"code": "x", "name": "X", "features": {"seats": {"quantity_limit": -1}}}]},
            "tiers[0].features.seats.quantity_limit: expected a number of at least 0",
        ),
    ],
)
def test_a_broken_catalogue_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, told: str
) -> None:
    """With the file and the place, before anything listens; it exits 2."""
    file = _catalogue(tmp_path, content)

    assert main(["serve", "--port", "0", "--catalogue", file]) == 2

    output = capsys.readouterr()
    assert output.err.startswith(f"chatarmin-os: --catalogue {file}: {told}")
    assert (output.out, output.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("/nowhere/at/all", "No such file or directory"),
        ("/dev/zero", "it is not a regular file"),
        ("/", "Is a directory"),
        ("no_such_module_of_tests:catalogue", "ModuleNotFoundError: No module named 'no_such_module_of_tests'"),
        ("chatarmin_os.fake:none", "AttributeError: "),
        ("chatarmin_os.fake:FREE_MAIL_DOMAINS", "expected a Catalogue, or a function that returns one; got frozenset"),
        ("json:dumps", "TypeError: dumps() missing"),
        (":catalogue", "expected MODULE:ATTRIBUTE"),
        ("chatarmin_os.fake:", "expected MODULE:ATTRIBUTE"),
    ],
)
def test_a_catalogue_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str], source: str, told: str) -> None:
    """Whatever it was taken for; the path of modules is as it was."""
    before = sys.path.copy()

    assert main(["serve", "--port", "0", "--catalogue", source]) == 2

    err = capsys.readouterr().err
    assert err.startswith(f"chatarmin-os: --catalogue {source}: {told}")
    assert err.count("\n") == 1
    assert sys.path == before


def test_a_catalogue_that_is_too_large_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before it is read."""
    file = _catalogue(tmp_path, "")
    with open(file, "wb") as large:  # noqa: PTH123
        large.truncate(2**40)

    assert main(["serve", "--port", "0", "--catalogue", file]) == 2

    assert "it is larger than 4,194,304 bytes" in capsys.readouterr().err


def test_products_begin_empty_or_with_a_catalogue(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Not both."""
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--empty", "--catalogue", _catalogue(tmp_path, GOOD)])

    assert ended.value.code == 2
    assert "not allowed with argument --empty" in capsys.readouterr().err


def _ids_in(state: Path) -> list[str]:
    """Return the ids of the products in a state file."""
    products = served.FakeService().products
    served.StateFile(state, products).close()
    return [product.id for product in products]


def test_products_of_a_file_can_be_forgotten(tmp_path: Path) -> None:
    """By the ids that the control API and the page show, or all; one that is not kept is only mentioned."""
    state = tmp_path / "state.json"
    with _serving("--state", str(state)) as (process, url):
        for key in (KEY, "os_sk_second", "os_sk_third"):
            ChatarminOS(key, base_url=url).onboard(external_org_id="org_1")
        process.send_signal(signal.SIGTERM)
        process.wait()
    first, second, third = _ids_in(state)

    def kept(*options: str) -> tuple[list[str], str]:
        with _serving("--state", str(state), *options) as (process, _):
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate()
        return _ids_in(state), err

    assert kept("--forget", second)[0] == [first, third]
    assert f"--forget {second}: no such product is kept" in kept("--forget", second, "--forget", third)[1]
    assert kept()[0] == [first]
    assert kept("--forget", "all")[0] == []


def test_without_a_file_there_is_nothing_to_forget(capsys: pytest.CaptureFixture[str]) -> None:
    """It would do nothing, in silence."""
    assert main(["serve", "--port", "0", "--forget", "all"]) == 2

    assert capsys.readouterr().err == "chatarmin-os: --forget: there is nothing to forget without --state\n"


@pytest.mark.skipif(os.name == "nt", reason="this system has no signal of Ctrl-C for one process")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
@pytest.mark.parametrize("moment", ["FakeService", "Server", "StateFile", "load_catalogue"])
def test_a_signal_while_it_starts_ends_it_without_a_traceback(
    tmp_path: Path, moment: str, number: signal.Signals, code: int
) -> None:
    """Ctrl-C is 130 as for every command, whatever it interrupts; the state that is there stays, and can be used."""
    state = tmp_path / "state.json"
    state.write_text('{"format": "chatarmin_os serve 1", "products": []}', encoding="utf-8")
    where = "chatarmin_os.server.catalogue_file" if moment == "load_catalogue" else "chatarmin_os.server"
    program = (
        f"import os, signal, sys, {where} as module\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"made = module.{moment}\n"
        "def interrupted(*given, **named):\n"
        "    result = made(*given, **named)\n"
        f"    os.kill(os.getpid(), signal.{number.name})\n"
        "    return result\n"
        f"module.{moment} = interrupted\n"
        "from chatarmin_os.cli import main\n"
        "sys.exit(main())"
    )
    command = [sys.executable, "-c", program, "serve", "--port", "0", "--state", str(state), "--catalogue"]
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, _catalogue(tmp_path, GOOD)], capture_output=True, text=True, check=False
    )

    assert done.returncode == code
    assert (done.stdout, done.stderr) == ("", "")
    assert _ids_in(state) == []


def _ends(_: served.Server) -> None:
    """Stand for a service that has been stopped."""


def test_it_forgets_before_it_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What is asked for; what is not kept is mentioned."""
    monkeypatch.setattr(served.Server, "run", _ends)
    state = tmp_path / "state.json"
    products = served.FakeService().products
    products.for_headers({"x-api-key": KEY}).answer("companies.create", "mutation", {"name": "a", "externalOrgId": "b"})
    served.StateFile(state, products).close()

    options = ["serve", "--port", "0", "--state", str(state), "--forget", "0" * 16, "--forget", "all"]
    assert main(options) == 0

    assert _ids_in(state) == []
    assert f"--forget {'0' * 16}: no such product is kept" in capsys.readouterr().err


def test_kept_products_keep_their_catalogue(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A catalogue that is given applies to new keys only; if the file has products, that is said."""
    monkeypatch.setattr(served.Server, "run", _ends)
    state = tmp_path / "state.json"
    products = served.FakeService().products
    options = ["serve", "--port", "0", "--state", str(state), "--catalogue", _catalogue(tmp_path, GOOD)]

    assert main(options) == 0
    assert "--catalogue" not in capsys.readouterr().err

    for number, expected in ((1, "1 product keeps"), (2, "2 products keep")):
        products.for_headers({"x-api-key": f"{KEY}{number}"}).answer(
            "companies.create", "mutation", {"name": "a", "externalOrgId": "b"}
        )
        served.StateFile(state, products).close()
        assert main(options) == 0
        assert f"{state}: {expected} the catalogue in the file; --catalogue applies" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["x", "", "ALL", "0" * 15, "0" * 17, KEY])
def test_a_product_to_forget_is_named_by_its_id(capsys: pytest.CaptureFixture[str], given: str) -> None:
    """Nobody's key, which would then be in the history of the shell."""
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--state", "x", "--forget", given])

    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert "argument --forget: expected the id of a product" in err
    assert KEY not in err


@pytest.mark.parametrize("is_dropped", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_as_before_when_it_has_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals, *, is_dropped: bool
) -> None:
    """A program that calls `main` has its own handlers again, whatever ended the service."""
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    make = served.FakeService

    def interrupted(**settings: Any) -> served.FakeService:
        with suppress(KeyboardInterrupt, SystemExit) if is_dropped else nullcontext():
            signal.raise_signal(number)
        return make(**settings)

    monkeypatch.setattr(served, "FakeService", interrupted)
    ended: Any
    try:
        ended = main(["serve", "--port", "0"])
    except SystemExit as exit_:
        ended = exit_.code

    assert ended == (130 if number == signal.SIGINT else 0)
    assert capsys.readouterr() == ("", "")
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.parametrize("source", ["FILE", "chatarmin_os.fake:demo_catalogue"])
def test_a_catalogue_reaches_the_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str) -> None:
    """Of a file or a module, before it listens."""
    given: list[Any] = []
    make = served.FakeService

    def noted(**settings: Any) -> served.FakeService:
        given.append(settings["catalogue"])
        return make(**settings)

    monkeypatch.setattr(served, "FakeService", noted)
    monkeypatch.setattr(served.Server, "run", _ends)

    assert main(["serve", "--port", "0", "--catalogue", source.replace("FILE", _catalogue(tmp_path, GOOD))]) == 0

    assert list(given[0].tiers) == (["none", "basic"] if source == "FILE" else ["free", "trial", "pro", "enterprise"])
