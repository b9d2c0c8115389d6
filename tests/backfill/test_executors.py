"""Every future of a run's executor ends, also where Dask's own stays pending."""

from __future__ import annotations

import sys
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os.backfill.executors import with_ends

if TYPE_CHECKING:
    from collections.abc import Callable


class ClientOfDask:
    """Runs a function at once; its future has the result, or cannot fetch it."""

    problem: BaseException | None = None

    def submit(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Return a future of Dask."""

        def result() -> Any:
            if self.problem is not None:
                raise self.problem
            return function(*arguments), options

        future = SimpleNamespace(result=result)
        future.add_done_callback = lambda callback: callback(future)
        return future


class ClientExecutor(ThreadPoolExecutor):
    """The executor of a client of Dask."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(1)
        self._client, self._kwargs = ClientOfDask(), settings

    def loses(self, problem: BaseException) -> None:
        """Let results not be fetched."""
        self._client.problem = problem


@pytest.fixture
def dask(monkeypatch: pytest.MonkeyPatch) -> ClientExecutor:
    """Return an executor of Dask, which need not be installed."""
    monkeypatch.setitem(sys.modules, "distributed.cfexecutor", SimpleNamespace(ClientExecutor=ClientExecutor))
    return ClientExecutor(pure=False, workers=["a"])


def test_others_stay_as_they_are(dask: ClientExecutor) -> None:
    """Threads and processes end by themselves."""
    assert with_ends(dask) is not dask
    with ThreadPoolExecutor() as threads:
        assert with_ends(threads) is threads


def test_result_is_passed_on(dask: ClientExecutor) -> None:
    """The settings of the executor, such as its workers, are those of each call."""
    future: Future[Any] = with_ends(dask).submit(pow, 2, 3)
    assert future.result(0) == (8, {"pure": False, "workers": ["a"]})


@pytest.mark.parametrize("problem", [OSError("Stream is closed"), CancelledError("lost"), ValueError("of a worker")])
def test_error_is_passed_on(dask: ClientExecutor, problem: BaseException) -> None:
    """Also that of a result which cannot be fetched: the future does not stay pending."""
    dask.loses(problem)
    future: Future[Any] = with_ends(dask).submit(pow, 2, 3)
    assert future.exception(0) is problem
