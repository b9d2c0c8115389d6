"""Programs that fork with a client that has made calls already, each a function here.

    python -W error forking.py FUNCTION [own | given] [ARGUMENT]     with `given`, on a session of the user's own

Each prints its result as JSON. A child process that hangs is ended, with the place on standard error.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from queue import LifoQueue
from threading import Barrier, Event, Thread
from typing import TYPE_CHECKING, Any

import requests
from echoing import HANGS, KEY, asked
from requests.cookies import RequestsCookieJar
from urllib3 import HTTPConnectionPool, PoolManager

from chatarmin_os import ChatarminOS
from chatarmin_os.transports import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Python 3.12 and later rightly warn of forks in programs with threads; these tests are about such forks.
warnings.filterwarnings("ignore", message="This process .* is multi-threaded", category=DeprecationWarning)

CHILDREN, THREADS, CALLS = 6, 4, 10
session = requests.Session()
client: ChatarminOS


def make_client(whose: str) -> ChatarminOS:
    """Return a client on a session that is its own, or given to it."""
    given = session if whose == "given" else None
    url = os.environ["OS_BASE_URL"]
    return ChatarminOS(
        transport=HTTPTransport(KEY, url, timeout=HANGS, transformer="json", session=given, allow_http=True)
    )


def child(act: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """Let a child process do something; return a function that waits for its result."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        try:
            signal.alarm(HANGS)
            os.close(reading)
            with os.fdopen(writing, "w") as pipe:
                json.dump(act(*arguments), pipe)
        except BaseException:  # noqa: BLE001 - nothing may come out: it would run on where the parent does
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)

    def result_of() -> Any:
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        _, status = os.waitpid(process, 0)
        assert status == 0, f"a child process ended with {os.waitstatus_to_exitcode(status)}"
        return json.loads(text)

    return result_of


def by_threads(name: str, threads: int = THREADS, calls: int = CALLS) -> list[int]:
    """Let threads make calls that all begin at once; return the numbers of the connections that answered."""
    barrier = Barrier(threads)

    def ask(thread: int) -> list[int]:
        barrier.wait()
        return [asked(client, f"{name}_{thread}_{call}") for call in range(calls)]

    with ThreadPoolExecutor(threads) as pool:
        return [number for numbers in pool.map(ask, range(threads)) for number in numbers]


@contextmanager
def busy(threads: int = 8) -> Iterator[None]:
    """Keep threads in the middle of calls, each of them answered rightly."""
    over, numbers, wrong = Event(), count(), list[BaseException]()

    def ask() -> None:
        while not over.is_set():
            try:
                asked(client, f"busy_{next(numbers)}")
            except BaseException as error:  # noqa: BLE001 - reported below
                wrong.append(error)
                return

    asking = [Thread(target=ask) for _ in range(threads)]
    for thread in asking:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in asking:
            thread.join()
    assert not wrong, wrong[0]


# The programs


def children() -> Any:
    """Fork children that make calls from threads, while their parent goes on making calls."""
    before = asked(client, "before")
    # When
    waiting = [child(by_threads, f"child_{number}") for number in range(CHILDREN)]
    own = [asked(client, f"parent_{call}") for call in range(CALLS)]
    result_of = [result_of() for result_of in waiting]
    # Then
    return {"parent": [before, *own, asked(client, "after")], "children": result_of}


def grandchildren() -> Any:
    """Fork a child that makes a call, which forks a child that makes one, which forks a child that makes one."""

    def line(generation: int) -> list[int]:
        here = asked(client, f"before_{generation}")
        below = child(line, generation + 1)() if generation < 3 else []
        assert asked(client, f"after_{generation}") == here
        return [here, *below]

    return line(0)


def closing() -> Any:
    """Fork children that close the client, before or after calls of their own."""
    before = asked(client, "before")

    def close(calls: int) -> None:
        for call in range(calls):
            asked(client, f"child_{call}")
        client.close()

    for calls in (0, 1, 2):
        child(close, calls)()
    return [before, asked(client, "after")]


def closed_by_threads() -> Any:
    """Fork a child whose threads make its first calls, which closes the client and lives until the parent ends it."""
    asked(client, "before")

    def close() -> None:
        make = requests.Session.__init__

        def slowly(session: requests.Session) -> None:
            time.sleep(0.05)  # so that all threads come to it
            make(session)

        setattr(requests.Session, "__init__", slowly)  # noqa: B010 - no checker lets this be assigned
        by_threads("child", 16, 2)
        client.close()
        print("closed", flush=True)  # noqa: T201 - the test waits for it
        sys.stdin.readline()

    return child(close)()


def lazily() -> Any:
    """Fork children that make the first calls of a lazy client, and make its parent's first call after that."""
    global client  # noqa: PLW0603 - the threads use it
    client = ChatarminOS.lazy(timeout=HANGS, allow_http=True)
    waiting = [child(by_threads, f"child_{number}") for number in range(CHILDREN)]
    result_of = [result_of() for result_of in waiting]
    with client:
        return {"parent": [asked(client, "parent"), asked(client, "again")], "children": result_of}


def beside_calls() -> Any:
    """Fork again and again while other threads are in the middle of calls."""
    sys.setswitchinterval(1e-5)
    asked(client, "before")  # a fork does not undo the import locks that Python takes at a first call
    with busy():
        answers = [child(by_threads, f"child_{turn}", 2, 2)() for turn in range(15)]
    return sum(len(numbers) for numbers in answers)


def beside_locks() -> Any:
    """Fork while another thread has the locks that calls take: those of all pools, and of all jars of cookies."""
    before = asked(client, "before")
    held, over = Event(), Event()

    def hold() -> None:
        with ExitStack() as stack:
            for one in gc.get_objects():
                for lock in locks_of(one):
                    stack.enter_context(lock)
            held.set()
            over.wait()

    thread = Thread(target=hold)
    thread.start()
    held.wait()
    result_of = child(asked, client, "child")
    over.set()
    thread.join()
    return {"parent": [before, asked(client, "after")], "children": [[result_of()]]}


def locks_of(one: object) -> list[Any]:
    """Return the locks that an object of requests or urllib3 is used under."""
    if isinstance(one, PoolManager):
        return [one.pools.lock]
    if isinstance(one, HTTPConnectionPool):
        return [one.pool.mutex] if isinstance(one.pool, LifoQueue) else []
    return [vars(one)["_cookies_lock"]] if isinstance(one, RequestsCookieJar) else []


def beside_a_look_up() -> Any:
    """Fork while another thread waits for the name of the service to be looked up."""
    look_up, begun, over = socket.getaddrinfo, Event(), Event()
    parent = os.getpid()

    def slow(_: Any, *rest: Any, **named: Any) -> Any:
        begun.set()
        if os.getpid() == parent:
            over.wait()
        return look_up("127.0.0.1", *rest, **named)

    vars(socket)["getaddrinfo"] = slow
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(asked, client, "parent")
        begun.wait()
        result_of = child(asked, client, "child")()
        over.set()
        return [asking.result(), result_of]


def pool_of_processes() -> Any:
    """Let a pool of `multiprocessing` make calls."""
    before = asked(client, "before")
    with multiprocessing.get_context("fork").Pool(4) as pool:
        numbers = pool.map(_ask, [f"child_{call}" for call in range(400)], chunksize=5)
        pool.close()
        pool.join()
    return {"parent": [before, asked(client, "after")], "children": [numbers]}


def _ask(code: str) -> int:
    return asked(client, code)


def spawned() -> Any:
    """Hand the client to a process that does not fork."""
    asked(client, "before")
    process = multiprocessing.get_context("spawn").Process(target=_use, args=(client,))
    try:
        process.start()
    except TypeError as refusal:
        return str(refusal)
    return None


def _use(one: ChatarminOS) -> None:
    asked(one, "child")


def exiting() -> Any:
    """Fork while threads are in the middle of calls; the child ends as programs do, with Python's clean-up."""
    asked(client, "before")
    with busy(2):
        for turn in range(3):
            process = os.fork()
            if not process:
                signal.alarm(HANGS)
                asked(client, f"child_{turn}")
                sys.exit(0)
            _, status = os.waitpid(process, 0)
            assert status == 0
    return asked(client, "after")


if __name__ == "__main__":
    faulthandler.register(signal.SIGALRM, chain=True)  # it prints the stack, and then the signal ends the process
    program, whose = sys.argv[1:]
    client = make_client(whose)
    with session, client:
        print(json.dumps(globals()[program]()))  # noqa: T201 - the test reads it
