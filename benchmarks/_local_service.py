"""The local service in a process of its own."""

from __future__ import annotations

import os
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING

from chatarmin_os.server import serve_fake

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from multiprocessing.connection import Connection


@contextmanager
def local_service(cores: Sequence[int] = ()) -> Generator[str]:
    """Run the service, on these processor cores only if any are given, and yield its URL."""
    spawn = get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(there, cores), daemon=True)
    process.start()
    there.close()  # so that `recv` ends if the process does
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection, cores: Sequence[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)
    with serve_fake() as url:
        pipe.send(url)
        pipe.recv()
