"""`chatarmin-os serve`: the ready line, signals, the state file, the catalogue, and errors at the start."""

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
    """Run the command on a free port; yield its process and base URL."""
    command = [sys.executable, "-W", "error", "-m", "chatarmin_os", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd) as process:  # noqa: S603
        assert process.stdout
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "sigint"])
def test_service_stops_at_a_signal_and_keeps_its_state(tmp_path: Path, number: signal.Signals) -> None:
    """The URL is printed once the service is ready; a signal ends it with 0, and the next start loads the state."""
    state = tmp_path / "state.json"
    with _serving("--state", str(state)) as (process, url), ChatarminOS(KEY, base_url=url) as client:
        company = client.onboard(external_org_id="org_1", tier_code="free")
        process.send_signal(number)
        out, err = process.communicate()

    assert process.returncode == 0
    assert out == ""
    assert err.count("\n") == 2
    assert err.endswith(f"\n  export OS_BASE_URL={url} OS_API_KEY=os_sk_test\n")
    assert f"Fake service running. Inspect it at {url.removesuffix('api/v1')}; press Ctrl-C to stop." in err
    assert KEY.encode() not in state.read_bytes()
    with _serving("--state", str(state)) as (_, url), ChatarminOS(KEY, base_url=url) as client:
        assert client.onboard(external_org_id="org_1").company_id == company.company_id


@pytest.mark.slow
def test_options_reach_the_service() -> None:
    """The service has an empty catalogue, tRPC 10, superjson, a failure rate and another host name."""
    options = ("--empty", "--trpc", "10", "--transformer", "superjson", "--latency-ms", "1", "--allow-host", "fake")
    with _serving(*options) as (_, url), ChatarminOS(KEY, base_url=url) as client:
        assert client.tiers.list() == []
        with pytest.raises(NotFoundError) as caught:
            client.call("nope")
        assert 'No "query"-procedure' in caught.value.message  # the words of tRPC 10
        with pytest.raises(UnauthorizedError):
            ChatarminOS("wrong", base_url=url).tiers.list()
    with (
        _serving("--fail-rate", "1") as (_, url),
        ChatarminOS(KEY, base_url=url, max_retries=0) as client,
        pytest.raises((ServerError, TransportError)),
    ):
        client.tiers.list()


def test_used_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the port; the exit code is 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ["--fail-rate", "0.5", "--latency-ms", "5", "--allow-host", "fake"]
        assert main(["serve", "--port", str(port), *options]) == 2

    assert capsys.readouterr().err == (
        f"chatarmin-os: cannot listen at 127.0.0.1, port {port}: Address already in use; try another host or port\n"
    )


def test_invalid_state_file_is_one_line_and_unchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be read is not overwritten."""
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
    ids=["port", "large-port", "fail-rate", "negative-latency", "latency"],
)
def test_invalid_option_is_named(capsys: pytest.CaptureFixture[str], option: str, value: str) -> None:
    """Wrong usage exits with 2."""
    with pytest.raises(SystemExit) as ended:
        main(["serve", option, value])

    assert ended.value.code == 2
    assert f"argument {option}: expected" in capsys.readouterr().err


def test_second_signal_is_ignored(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Signals are handled before the service is ready; a second one does not interrupt the saving of the state."""
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


def test_signal_before_the_service_runs_exits_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 0, and the previous signal handlers are back."""

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
    ids=["empty-file", "blank-file", "empty-host", "host-with-port", "url"],
)
def test_invalid_file_or_host_is_refused(capsys: pytest.CaptureFixture[str], option: str, value: str) -> None:
    """An unset shell variable must not turn the state file off."""
    with pytest.raises(SystemExit) as ended:
        main(["serve", option, value])

    problem = "must not be blank" if option == "--state" else "expected"
    assert ended.value.code == 2
    assert f"argument {option}: {problem}" in capsys.readouterr().err


@pytest.mark.parametrize("is_ready", [False, True], ids=["starting", "ready"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["sigint", "sigterm"])
def test_signal_in_a_callback_is_not_lost(number: signal.Signals, *, is_ready: bool) -> None:
    """Python drops an exception in a callback of the garbage collector; the service ends nevertheless."""
    program = (
        "import signal, sys\n"
        "from chatarmin_os import server as module\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Dropping:\n"
        "    def __del__(self):\n"
        f"        signal.raise_signal(signal.{number.name})\n"
        "sys.unraisablehook = lambda _: None\n"
        "def drop(self, run=module.Server.run):\n"
        "    Dropping()\n"
        "    return run(self)\n"
        "def make(*given, service=module.FakeService, **named):\n"
        "    Dropping()\n"
        "    return service(*given, **named)\n"
    )
    program += "module.Server.run = drop\n" if is_ready else "module.FakeService = make\n"
    program += "from chatarmin_os.cli import main\nsys.exit(main())"
    command = [sys.executable, "-W", "error", "-c", program, "serve", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - our own command

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


def test_catalogue_file_is_that_of_new_products(tmp_path: Path) -> None:
    """It has every argument of add_feature and add_tier; each key has a copy, and kept products keep theirs."""
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


@pytest.mark.parametrize(
    "attribute", ["catalogue", "create", "Shop.catalogue"], ids=["catalogue", "function", "attribute-of-a-class"]
)
def test_catalogue_of_a_module_is_that_of_new_products(tmp_path: Path, attribute: str) -> None:
    """The module is found in the working directory, as with `python -m`; a function returns the catalogue."""
    code = "from chatarmin_os.fake import Catalogue\n"
    code += "catalogue = Catalogue()\ncatalogue.add_tier('basic', name='Basic')\n"
    code += "def create(): return catalogue\nclass Shop: catalogue = catalogue\n"
    (tmp_path / "shop_of_the_tests.py").write_text(code, encoding="utf-8")
    given = ("--catalogue", f"shop_of_the_tests:{attribute}")
    with _serving(*given, cwd=tmp_path) as (_, url), ChatarminOS(KEY, base_url=url) as client:
        assert [tier.code for tier in client.tiers.list()] == ["basic"]


INVALID_CATALOGUES: dict[str, tuple[Any, str]] = {
    "syntax": ("{", "not JSON: Expecting property name"),
    "depth": ("[" * 100_000, "it is nested too deep"),
    "list": ("[]", "expected a mapping with features, tiers, got list []"),
    "unknown-part": ({"feature": []}, "feature: no such field; allowed: features, tiers"),
    "features-mapping": ({"features": {}}, "features: expected a list, got dict {}"),
    "feature-number": (
        {"features": [1]},
        "features[0]: expected a mapping with code, name, has_quantity, config, got int 1",
    ),
    "missing-name": ({"features": [{"code": "x"}]}, "features[0].name: required"),
    "blank-code": ({"features": [{"code": "", "name": "X"}]}, "features[0].code: must not be blank"),
    "code-list": ({"features": [{"code": ["x"], "name": "X"}]}, "features[0].code: expected text, got list ['x']"),
    "wire-name": (
        {"features": [{"code": "x", "name": "X", "hasQuantity": True}]},
        "features[0].hasQuantity: no such field",
    ),
    "boolean-number": (
        {"features": [{"code": "x", "name": "X", "has_quantity": 1}]},
        "features[0].has_quantity: expected True or",
    ),
    "duplicate-feature": ({"features": [{"code": "x", "name": "X"}] * 2}, "features[1].code: duplicate code 'x'"),
    "duplicate-tier": ({"tiers": [{"code": "x", "name": "X"}] * 2}, "tiers[1].code: duplicate code 'x'"),
    "fraction-of-a-cent": (
        {"tiers": [{"code": "x", "name": "X", "base_fee": 0.5}]},
        "tiers[0].base_fee: expected minor units",
    ),
    "large-fee": (
        {"tiers": [{"code": "x", "name": "X", "base_fee": 10**400}]},
        "tiers[0].base_fee: expected an integer within",
    ),
    "nan": (
        '{"features": [{"code": "x", "name": "X", "config": {"a": NaN}}]}',
        "features[0].config.a: expected a finite",
    ),
    "unknown-feature": (
        {"tiers": [{"code": "x", "name": "X", "features": {"y": {}}}]},
        "tiers[0].features.y: no such feature",
    ),
    "negative-limit": (
        {**GOOD, "tiers": [{"code": "x", "name": "X", "features": {"seats": {"quantity_limit": -1}}}]},
        "tiers[0].features.seats.quantity_limit: expected a number of at least 0 or null, got int -1",
    ),
}


@pytest.mark.parametrize(("content", "expected"), INVALID_CATALOGUES.values(), ids=INVALID_CATALOGUES)
def test_invalid_catalogue_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, expected: str
) -> None:
    """The error has the file and the place, the exit code is 2, and nothing listens."""
    file = _catalogue(tmp_path, content)

    assert main(["serve", "--port", "0", "--catalogue", file]) == 2

    output = capsys.readouterr()
    assert output.err.startswith(f"chatarmin-os: --catalogue {file}: {expected}")
    assert (output.out, output.err.count("\n")) == ("", 1)


CATALOGUE_SOURCES = {
    "missing-file": ("/nowhere/at/all", "No such file or directory"),
    "endless-file": ("/dev/zero", "it is not a regular file"),
    "folder": ("/", "Is a directory"),
    "missing-module": (
        "no_such_module_of_tests:catalogue",
        "ModuleNotFoundError: No module named 'no_such_module_of_tests'",
    ),
    "missing-attribute": ("chatarmin_os.fake:none", "AttributeError: "),
    "other-object": (
        "chatarmin_os.fake:FREE_MAIL_DOMAINS",
        "expected a Catalogue, or a function that returns one; got frozenset",
    ),
    "function-with-arguments": ("json:dumps", "TypeError: dumps() missing"),
    "no-module": (":catalogue", "expected MODULE:ATTRIBUTE"),
    "no-attribute": ("chatarmin_os.fake:", "expected MODULE:ATTRIBUTE"),
}


@pytest.mark.parametrize(("source", "expected"), CATALOGUE_SOURCES.values(), ids=CATALOGUE_SOURCES)
def test_source_without_a_catalogue_is_one_line(capsys: pytest.CaptureFixture[str], source: str, expected: str) -> None:
    """The error has the source and the reason; the module search path is unchanged."""
    before = sys.path.copy()

    assert main(["serve", "--port", "0", "--catalogue", source]) == 2

    err = capsys.readouterr().err
    assert err.startswith(f"chatarmin-os: --catalogue {source}: {expected}")
    assert err.count("\n") == 1
    assert sys.path == before


def test_large_catalogue_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The size is checked before the file is read."""
    file = _catalogue(tmp_path, "")
    with open(file, "wb") as large:  # noqa: PTH123
        large.truncate(2**40)

    assert main(["serve", "--port", "0", "--catalogue", file]) == 2

    assert "it is larger than 4,194,304 bytes" in capsys.readouterr().err


def test_empty_excludes_catalogue(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """--empty and --catalogue together are wrong usage."""
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--empty", "--catalogue", _catalogue(tmp_path, GOOD)])

    assert ended.value.code == 2
    assert "not allowed with argument --empty" in capsys.readouterr().err


def _ids_in(state: Path) -> list[str]:
    """Return the ids of the products in a state file."""
    products = served.FakeService().products
    served.StateFile(state, products).close()
    return [product.id for product in products]


def test_forget_deletes_kept_products(tmp_path: Path) -> None:
    """--forget takes an id of the control API or the page, or all; an unknown id is only reported."""
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
    assert f"--forget: no product {second} in --state" in kept("--forget", second, "--forget", third)[1]
    assert kept()[0] == [first]
    assert kept("--forget", "all")[0] == []


def test_forget_needs_a_state_file(capsys: pytest.CaptureFixture[str]) -> None:
    """--forget without --state is wrong usage."""
    assert main(["serve", "--port", "0", "--forget", "all"]) == 2

    assert capsys.readouterr().err == "chatarmin-os: --forget: needs --state, the file to delete from\n"


@pytest.mark.skipif(os.name == "nt", reason="this system has no signal of Ctrl-C for one process")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)], ids=["sigint", "sigterm"])
@pytest.mark.parametrize("moment", ["FakeService", "Server", "StateFile", "load_catalogue"])
def test_signal_during_the_start_has_no_traceback(
    tmp_path: Path, moment: str, number: signal.Signals, code: int
) -> None:
    """Ctrl-C exits with 130, SIGTERM with 0; the state file is unchanged and can be used again."""
    state = tmp_path / "state.json"
    state.write_text('{"format": "chatarmin_os serve 1", "products": []}', encoding="utf-8")
    where = "chatarmin_os.server.catalogue_file" if moment == "load_catalogue" else "chatarmin_os.server"
    program = (
        f"import os, signal, sys, {where} as module\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"original = module.{moment}\n"
        "def interrupted(*given, **named):\n"
        "    result = original(*given, **named)\n"
        f"    os.kill(os.getpid(), signal.{number.name})\n"
        "    return result\n"
        f"module.{moment} = interrupted\n"
        "from chatarmin_os.cli import main\n"
        "sys.exit(main())"
    )
    command = [sys.executable, "-c", program, "serve", "--port", "0", "--state", str(state), "--catalogue"]
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, _catalogue(tmp_path, GOOD)], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == code
    assert (done.stdout, done.stderr) == ("", "")
    assert _ids_in(state) == []


def _end(_: served.Server) -> None:
    """Run as a service that has been stopped."""


def test_forget_precedes_the_service(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Products are deleted before the service is ready; an unknown id is reported."""
    monkeypatch.setattr(served.Server, "run", _end)
    state = tmp_path / "state.json"
    products = served.FakeService().products
    products.for_headers({"x-api-key": KEY}).answer("companies.create", "mutation", {"name": "a", "externalOrgId": "b"})
    served.StateFile(state, products).close()

    options = ["serve", "--port", "0", "--state", str(state), "--forget", "0" * 16, "--forget", "all"]
    assert main(options) == 0

    assert _ids_in(state) == []
    assert f"--forget: no product {'0' * 16} in --state" in capsys.readouterr().err


def test_kept_products_keep_their_catalogue(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """--catalogue applies to new keys only; if the state file has products, a line says so."""
    monkeypatch.setattr(served.Server, "run", _end)
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


@pytest.mark.parametrize(
    "given",
    ["x", "", "ALL", "0" * 15, "0" * 17, KEY],
    ids=["word", "empty", "capitals", "short", "long", "key"],
)
def test_forget_takes_no_key(capsys: pytest.CaptureFixture[str], given: str) -> None:
    """A key would stay in the history of the shell: a product is given by its id."""
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--state", "x", "--forget", given])

    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert "argument --forget: expected the id of a product" in err
    assert KEY not in err


@pytest.mark.parametrize("is_dropped", [False, True], ids=["raised", "dropped"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["sigint", "sigterm"])
def test_signal_handlers_are_restored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals, *, is_dropped: bool
) -> None:
    """A program that calls `main` has its previous handlers again after the service."""
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


@pytest.mark.parametrize("source", ["FILE", "chatarmin_os.fake:demo_catalogue"], ids=["file", "module"])
def test_catalogue_reaches_the_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str) -> None:
    """The catalogue of a file or a module is loaded before the service listens."""
    given: list[Any] = []
    make = served.FakeService

    def note(**settings: Any) -> served.FakeService:
        given.append(settings["catalogue"])
        return make(**settings)

    monkeypatch.setattr(served, "FakeService", note)
    monkeypatch.setattr(served.Server, "run", _end)

    assert main(["serve", "--port", "0", "--catalogue", source.replace("FILE", _catalogue(tmp_path, GOOD))]) == 0

    assert list(given[0].tiers) == (["none", "basic"] if source == "FILE" else ["free", "trial", "pro", "enterprise"])
