"""The executor of a run: one whose every future ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any


def with_ends(executor: Executor) -> Executor:
    """Return an executor that does the same, and whose futures all end.

    Those of `distributed` 2026.8 stay pending forever if the connection is lost while a result is fetched: the error of
    that goes to a log alone. Its client is used instead, whose callbacks come in this case, too.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> threads = ThreadPoolExecutor()
        >>> with_ends(threads) is threads
        True
    """
    dask: Any = sys.modules.get("distributed.cfexecutor")  # a program with such an executor has imported it
    if dask is None or not isinstance(executor, dask.ClientExecutor):
        return executor
    settings: Any = executor
    return _DaskExecutor(settings._client, settings._kwargs)  # noqa: SLF001 - it has no public name for them


class _DaskExecutor(Executor):
    """Submits to a client of Dask, and passes on whatever comes of it."""

    def __init__(self, client: Any, settings: Mapping[str, Any]) -> None:
        self._client, self._settings = client, settings

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        ended: Future[Any] = Future()
        future = self._client.submit(function, *arguments, **options, **self._settings)
        future.add_done_callback(partial(_pass_on, ended))
        return ended


def _pass_on(ended: Future[Any], future: Any) -> None:
    try:
        ended.set_result(future.result())
    except BaseException as error:  # noqa: BLE001 - no future may stay without an end
        ended.set_exception(error)
