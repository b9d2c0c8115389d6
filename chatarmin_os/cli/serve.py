"""`chatarmin-os serve`: the fake as a local service."""

from __future__ import annotations

import re
import signal
import sys
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any, Self

from chatarmin_os.cli._output import complain

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Callable

    from chatarmin_os.server import StateFile
    from chatarmin_os.server.products import Products

_EXAMPLES = """\
examples:
  chatarmin-os serve
  chatarmin-os serve --state fake.db --port 3002
  chatarmin-os serve --latency-ms 200 --fail-rate 0.1
  chatarmin-os serve --catalogue catalogue.json
  chatarmin-os serve --catalogue shop.billing:catalogue
  chatarmin-os serve --state fake.db --forget all
  chatarmin-os serve --host 0.0.0.0 --allow-host fake     in a container that others call fake

A catalogue is a JSON file with the features and tiers of each new product:

  {"features": [{"code": "seats", "name": "Seats", "has_quantity": true}, {"code": "sso", "name": "Single sign-on"}],
   "tiers": [{"code": "basic", "name": "Basic", "base_fee": 900, "features": {"seats": {"quantity_limit": 3}}}]}

  feature:            code, name; optional: has_quantity (false), config ({})
  tier:               code, name; optional: base_fee (minor units such as cents, or null), currency ("eur"),
                      features ({}, by the code of a feature)
  feature of a tier:  optional: quantity_limit (0; null for unlimited), included_quantity (null), config ({}),
                      unit_amount (minor units, or null)

Give your application the printed base URL, and any API key that begins with os_sk_; each key is a separate product.
The page at / shows companies, access and calls; the control API at /__fake__/ makes changes that a client cannot make.

exit codes: 0 stopped; 2 wrong usage, or it could not start; 130 interrupted before it was ready
"""


def add_command(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "serve",
        help="serve the in-memory fake as a real tRPC endpoint, with a page for the browser",
        description="Serve the in-memory fake as a real tRPC endpoint, for applications in any language.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=3001, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--state", type=_file, metavar="FILE", help="keep the products in FILE, and load them at the next start"
    )
    parser.add_argument("--forget", type=_product, action="append", default=[], metavar="ID", help=_FORGET)
    begins = parser.add_mutually_exclusive_group()
    begins.add_argument(
        "--empty", action="store_true", help="start without features and tiers, instead of the demo catalogue"
    )
    begins.add_argument("--catalogue", type=_file, metavar="FILE", help=_CATALOGUE)
    parser.add_argument("--fail-rate", type=_fraction, default=0.0, metavar="FRACTION", help=_FAIL_RATE)
    parser.add_argument("--latency-ms", type=_milliseconds, default=0.0, metavar="MS", help="delay each request")
    parser.add_argument("--allow-host", type=_name, action="append", default=[], metavar="NAME", help=_ALLOW_HOST)
    parser.add_argument(
        "--trpc", type=int, choices=(10, 11), default=11, help="the version of tRPC (default: %(default)s)"
    )
    parser.add_argument(
        "--transformer",
        choices=("auto", "json", "superjson"),
        default="auto",
        help="the encoding of values; auto: that of the request (default: %(default)s)",
    )
    parser.set_defaults(run=_serve)


_FORGET = "delete a product from --state by its id, which the page shows, or all of them; can be repeated"
_CATALOGUE = (
    "start new products with the features and tiers of a JSON file, or of MODULE:ATTRIBUTE, a Catalogue or a function "
    "that returns one; products in --state keep theirs"
)
_FAIL_RATE = "let this fraction of requests fail: half get 503, half run and get no response"
_ALLOW_HOST = "accept requests to this host name, in addition to localhost and IP addresses; can be repeated"


def _serve(given: Namespace) -> int:
    with _Signals() as signals:
        return _serve_until(signals, given)


def _serve_until(signals: _Signals, given: Namespace) -> int:
    from chatarmin_os.server import FakeService, Server, StartupError
    from chatarmin_os.server.catalogue_file import load_catalogue

    if given.forget and not given.state:
        complain("--forget: needs --state, the file to delete from")
        return 2
    try:
        catalogue = None if given.catalogue is None else load_catalogue(given.catalogue)
    except ValueError as error:
        complain(str(error))
        return 2
    service = FakeService(
        catalogue=catalogue,
        is_empty=given.empty,
        version=given.trpc,
        transformer=given.transformer,
        latency=given.latency_ms / 1000,
        fail_rate=given.fail_rate,
        hosts=given.allow_host,
    )
    try:
        with (
            closing(Server(service, given.host, given.port)) as server,
            _state_file(given.state, service.products) if given.state else nullcontext(),
        ):
            for product in given.forget:
                _forget(service.products, product)
            kept = len(list(service.products))
            if catalogue and kept:
                products = "1 product keeps" if kept == 1 else f"{kept} products keep"
                complain(
                    f"{given.state}: {products} the catalogue in the file; --catalogue applies to new keys "
                    "only (--forget ID or --forget all starts over)"
                )
            signals.get_ready(server.stop)
            print(server.url, flush=True)
            page = server.url.removesuffix("api/v1")
            complain(f"Fake service running. Inspect it at {page}; press Ctrl-C to stop.")
            print(f"  export OS_BASE_URL={server.url} OS_API_KEY=os_sk_test", file=sys.stderr, flush=True)  # no secret
            server.run()
    except StartupError as error:
        complain(str(error))
        return 2
    except SystemExit:  # a signal came before it ran
        return 0
    return 0


def _state_file(path: str, products: Products) -> StateFile:
    from chatarmin_os.server import StateFile

    return StateFile(path, products, notify=complain)


class _Signals:
    """Catches SIGTERM and SIGINT: stops the running service (exit code 0), or its start (130 for Ctrl-C).

    Further signals are ignored while the state is saved. Python drops an exception that a handler raises in some
    places, such as in a callback of the garbage collector; `get_ready` raises a dropped one again.
    """

    def __init__(self) -> None:
        self._stop: Callable[[], None] | None = None
        self._raised: BaseException | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self, number: int = signal.SIGTERM, *_: Any) -> None:
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_IGN)
        self._raised = KeyboardInterrupt() if number == signal.SIGINT and self._stop is None else SystemExit(0)
        if self._stop:
            self._stop()
        raise self._raised

    def get_ready(self, stop: Callable[[], None]) -> None:
        """Let a signal stop the service, which is ready now, by *stop*."""
        self._stop = stop
        if self._raised:
            raise self._raised


def _forget(products: Products, given: str) -> None:
    ids = [product.id for product in products] if given == "all" else [given]
    for one in ids:
        if not products.forget_id(one):
            complain(f"--forget: no product {given} in --state; the page shows the ids")


def _file(text: str) -> str:
    if not text.strip():
        raise ArgumentTypeError("must not be blank; omit the option if there is no file")
    return text


def _product(text: str) -> str:
    if text != "all" and not re.fullmatch("[0-9a-f]{16}", text):
        raise ArgumentTypeError(f"expected the id of a product, 16 hexadecimal digits, or all; got {text!r}")
    return text


def _name(text: str) -> str:
    from chatarmin_os.server.app import host_name

    try:
        return host_name(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:  # noqa: PLR2004 - the highest port
        raise ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)


def _fraction(text: str) -> float:
    return _number(text, 1.0, "a fraction from 0 to 1")


def _milliseconds(text: str) -> float:
    return _number(text, 600_000.0, "milliseconds, at most 600000")


def _number(text: str, maximum: float, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= maximum:
        raise ArgumentTypeError(f"expected {expected}, got {text!r}")
    return number
