"""Forks: a child process opens connections of its own, and its parent's stay as they were."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING

import pytest
from echoing import HANGS, HERE, KEY, Certificate, Echo, environment, eventually, needed, ran

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="there are no forks")]
whose_session = pytest.mark.parametrize("whose", ["own", "given"])


@pytest.fixture(scope="module")
def plain() -> Iterator[Echo]:
    """Run an echo without TLS."""
    with Echo() as echo:
        yield echo


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    """Run an echo over TLS."""
    with Echo(Certificate.issue(tmp_path_factory.mktemp("certificate"))) as echo:
        yield echo


@pytest.fixture(params=["plain", "secure"])
def echo(request: pytest.FixtureRequest) -> Echo:
    """Return an echo, one without TLS and one over it."""
    one: Echo = request.getfixturevalue(request.param)
    return one


def are_apart(parent: list[int], children: list[list[int]]) -> bool:
    """Return whether no two processes were answered on one connection."""
    groups = [set(parent), *map(set, children)]
    return len(set().union(*groups)) == sum(map(len, groups))


# Children of os.fork


@whose_session
def test_children_and_parent_get_their_own_responses(echo: Echo, whose: str) -> None:
    """Children with threads are answered rightly on connections of their own; their parent keeps the one it had."""
    result_of = ran("forking.py", "children", whose, echo=echo)

    assert [len(numbers) for numbers in result_of["children"]] == [40] * 6
    assert are_apart(result_of["parent"], result_of["children"])
    assert len(set(result_of["parent"])) == 1


def test_children_make_the_first_call_of_a_lazy_client(plain: Echo) -> None:
    """A lazy client that was not used before the fork makes a transport in each process, one for all its threads."""
    result_of = ran("forking.py", "lazily", "own", echo=plain)

    assert [len(numbers) for numbers in result_of["children"]] == [40] * 6
    assert are_apart(result_of["parent"], result_of["children"])
    assert len(set(result_of["parent"])) == 1


@whose_session
def test_grandchildren_have_their_own_connections(plain: Echo, whose: str) -> None:
    """Each generation opens its own connection and keeps it after the next is gone."""
    assert len(set(ran("forking.py", "grandchildren", whose, echo=plain))) == 4


@whose_session
def test_child_that_closes_the_client_leaves_its_parents_connection(echo: Echo, whose: str) -> None:
    """Closing in a child, before or after calls of its own, ends nothing of its parent's, over TLS neither."""
    before, after = ran("forking.py", "closing", whose, echo=echo)

    assert before == after


def test_child_closes_all_connections_that_its_threads_opened() -> None:
    """Where many threads make a child's first calls at once, closing still finds every connection."""
    with Echo() as echo:
        variables = environment(OS_BASE_URL=echo.url)
        command = [sys.executable, "-W", "error", str(HERE / "forking.py"), "closed_by_threads", "own"]
        with subprocess.Popen(  # noqa: S603 - our own program
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == "closed\n"
            try:
                eventually(lambda: echo.open, 1)
            finally:
                received, _ = process.communicate("\n", timeout=HANGS)
        assert (received, process.returncode) == ("null\n", 0)


@whose_session
def test_forks_beside_calls_do_not_hang(plain: Echo, whose: str) -> None:
    """A child that was forked while other threads were in the middle of calls makes calls of its own.

    Over TLS nobody can promise it: OpenSSL has locks of its own, and a fork can find one of them taken.
    """
    assert ran("forking.py", "beside_calls", whose, echo=plain) == 15 * 4


@whose_session
def test_locks_held_at_the_fork_block_no_child(plain: Echo, whose: str) -> None:
    """A child does not wait for locks that a thread of its parent held: nobody will release them."""
    result_of = ran("forking.py", "beside_locks", whose, echo=plain)

    assert are_apart(result_of["parent"], result_of["children"])
    assert len(set(result_of["parent"])) == 1


def test_look_up_during_the_fork_blocks_no_child(plain: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child looks a name up itself: the thread of its parent that was about it is not there."""
    monkeypatch.setattr(plain, "url", plain.url.replace("127.0.0.1", "service.test"))

    parent, child = ran("forking.py", "beside_a_look_up", "own", echo=plain)

    assert parent != child


@whose_session
def test_child_exits_cleanly(plain: Echo, whose: str) -> None:
    """A child that exits with all that Python tidies up then does end, without a word, and leaves its parent alone."""
    assert ran("forking.py", "exiting", whose, echo=plain)


# Children of multiprocessing


@whose_session
def test_pool_of_processes_shares_a_client(plain: Echo, whose: str) -> None:
    """Forked workers of `multiprocessing` are answered rightly, none of them on its parent's connection."""
    result_of = ran("forking.py", "pool_of_processes", whose, echo=plain)

    assert len(result_of["children"][0]) == 400
    assert are_apart(result_of["parent"], result_of["children"])
    assert len(set(result_of["parent"])) == 1


def test_client_is_not_pickled_for_a_spawned_process(plain: Echo) -> None:
    """A client does not pickle, for it has a key; the refusal names the alternative."""
    refusal = ran("forking.py", "spawned", "own", echo=plain)

    assert "does not pickle" in refusal
    assert "make one in each process" in refusal


# Workers of gunicorn


@pytest.mark.parametrize(
    "workers",
    ["--workers=4 --worker-class=sync", "--workers=2 --worker-class=gthread --threads=8", "--workers=2 -k gevent"],
    ids=["sync", "gthread", "gevent"],
)
def test_preloaded_workers_get_their_own_responses(plain: Echo, workers: str) -> None:
    """Of 600 requests to an app whose client made calls before gunicorn forked, none is answered with another's."""
    assert mistakes(plain, workers, requests=600) == []


def test_preloaded_workers_get_their_own_responses_over_tls(secure: Echo) -> None:
    """The same holds over TLS, where a shared connection would be the end of it for all that share it."""
    assert mistakes(secure, "--workers=4 --worker-class=sync", requests=200) == []


def mistakes(echo: Echo, workers: str, requests: int) -> list[str]:
    """Run the app under gunicorn, make requests from several threads, and return the wrong responses."""
    needed("gunicorn")
    if "gevent" in workers:
        needed("gevent")
    numbers = count()

    def ask(_: int) -> str | None:
        code = f"code_{next(numbers)}"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANGS)
        try:
            connection.request("GET", f"/{code}")
            answer = connection.getresponse()
            received = f"{answer.status} {answer.read().decode(errors='replace')}"
        finally:
            connection.close()
        return None if received == f"200 {code}" else f"{code}: {received}"

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        port = listening.getsockname()[1]
        options = f"--preload --chdir {HERE} {workers} --bind fd://{listening.fileno()} --log-level warning"
        command = [sys.executable, "-m", "gunicorn", *options.split(), "warm_app:app"]
        variables = environment(OS_API_KEY=KEY, OS_BASE_URL=echo.url, **echo.environment)
        process = subprocess.Popen(command, env=variables, pass_fds=[listening.fileno()])  # noqa: S603 - our own app
        try:
            with ThreadPoolExecutor(16) as pool:
                found = [mistake for mistake in pool.map(ask, range(requests)) if mistake]
        finally:
            process.terminate()
            process.wait(HANGS)
    assert process.returncode == 0
    return found


# Greenlets


def test_greenlets_are_answered_at_the_same_time(echo: Echo) -> None:
    """A hundred greenlets call at once, each on a connection of its own."""
    needed("gevent")

    assert ran("greenlets.py", "first", "at_once", echo=echo) == [100, 100, True]


def test_greenlets_are_answered_at_the_same_time_if_python_was_patched_late(echo: Echo) -> None:
    """The same where requests was imported before the patch."""
    needed("gevent")

    assert ran("greenlets.py", "late", "at_once", echo=echo) == [100, 100, True]


@pytest.mark.parametrize("patched", ["first", "late", "warm"])
def test_greenlets_get_their_own_responses(plain: Echo, patched: str) -> None:
    """Many calls of many greenlets are answered rightly, also when the client had made calls before the patch."""
    needed("gevent")

    assert ran("greenlets.py", patched, "in_turns", echo=plain) == 600


@pytest.mark.parametrize("patched", ["first", "late"])
def test_greenlets_wait_together_for_a_name(plain: Echo, monkeypatch: pytest.MonkeyPatch, patched: str) -> None:
    """Looking the name of the service up holds up no other greenlet."""
    needed("gevent")
    monkeypatch.setattr(plain, "url", plain.url.replace("127.0.0.1", "service.test"))

    assert ran("greenlets.py", patched, "by_name", echo=plain) == 10


@pytest.mark.parametrize("patched", ["first", "late"])
def test_greenlets_wait_together_for_a_dead_address(plain: Echo, monkeypatch: pytest.MonkeyPatch, patched: str) -> None:
    """The next address is tried while other greenlets run."""
    needed("gevent")
    monkeypatch.setattr(plain, "url", plain.url.replace("127.0.0.1", "service.test"))

    assert ran("greenlets.py", patched, "beside_a_dead_address", echo=plain) == [5, True]


@pytest.mark.parametrize("patched", ["first", "late"])
def test_abandoned_call_leaves_nothing_to_the_next(plain: Echo, patched: str) -> None:
    """Hundreds of `gevent.Timeout` in the middle of calls: no later call gets an answer that was meant for them."""
    needed("gevent")

    assert ran("greenlets.py", patched, "given_up", echo=plain)
