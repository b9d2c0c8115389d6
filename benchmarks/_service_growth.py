"""Memory and time of the local service as requests and state files grow."""

from __future__ import annotations

import gc
import json
import tempfile
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks._measure import Row, cpu_seconds, number
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import FakeService, StateFile
from chatarmin_os.server.products import Products

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SIZES = (1_000, 10_000, 100_000)
_REQUESTS, _ROUNDS = 12, 5


def service_rows() -> Iterator[Row]:
    """Measure refused requests of three sizes, and state files of three sizes."""
    objects, seconds = zip(*[_refused(size) for size in _SIZES], strict=True)
    ratios = [kept / objects[0] for kept in objects[1:]]
    figure = f"{' → '.join(f'{kept:,}' for kept in objects)} objects"
    what = f"service: {_REQUESTS} refused requests, what stays in memory"
    yield Row(what, figure, _arrows(ratios), "1 (≤ 1.5)", max(ratios) <= 1.5)
    yield _linear("service: a refused request, for each list in it", seconds)
    yield _linear("service: opening a state file, for each ten companies in it", [_opened(size) for size in _SIZES])


def _refused(size: int) -> tuple[int, float]:
    """Return how many objects stay after refused requests of many empty lists, and the median time of one."""
    body = b"[" + b",".join([b"[]"] * size) + b"]"
    service = FakeService()

    def ask() -> None:
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/api/v1/billing.trackUsage",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_X_API_KEY": "os_sk_growth",
            "wsgi.input": BytesIO(body),
        }
        service(environ, lambda *_: _)

    ask()
    gc.collect()
    before = len(gc.get_objects())
    taken = [cpu_seconds(ask) for _ in range(_REQUESTS)]
    gc.collect()
    return len(gc.get_objects()) - before, median(taken)


def _opened(size: int) -> float:
    """Return the median time of opening a state file with many companies."""
    fake = FakeTransport(demo_catalogue())
    for number_ in range(size // 10):  # the figure is for each ten
        fake.add_company(f"Company {number_}", domain=f"c{number_}.example")
    state = {
        "format": "chatarmin_os serve 1",
        "products": [{"id": "0" * 16, "name": "os_sk_…", "snapshot": fake.snapshot()}],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.json"
        path.write_text(json.dumps(state), encoding="utf-8")
        taken = []
        for _ in range(_ROUNDS):
            products = Products()
            taken.append(cpu_seconds(lambda products=products: StateFile(path, products)))  # type: ignore[misc]
            gc.collect()
    return median(taken)


def _linear(what: str, seconds: Sequence[float]) -> Row:
    each = [taken / size for taken, size in zip(seconds, _SIZES, strict=True)]
    ratios = [taken / each[0] for taken in each[1:]]
    figure = f"{_arrows([taken * 1e6 for taken in each])} µs"
    return Row(what, figure, _arrows(ratios), "1 (≤ 2)", max(ratios) <= 2)


def _arrows(values: Sequence[float]) -> str:
    return " → ".join(map(number, values))
