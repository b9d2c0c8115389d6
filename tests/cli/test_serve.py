"""`chatarmin-os serve`: it says where it answers, stops when told, keeps its state, and says why it cannot."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import ChatarminOS, NotFoundError, ServerError, TransportError, UnauthorizedError
from chatarmin_os.cli import main
from chatarmin_os.fake import server as served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "os_sk_served"


@contextmanager
def _serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command on a free port; give its process and base URL."""
    command = [sys.executable, "-W", "error", "-m", "chatarmin_os", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
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
    assert KEY not in state.read_text()
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

    assert capsys.readouterr().err.startswith(f"chatarmin-os: {state} is no state of the fake, and stays as it is")
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
