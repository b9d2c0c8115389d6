"""One product for each API key: its fake, and the calls that it received."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections import deque
from typing import TYPE_CHECKING, Literal

from chatarmin_os._call import Call
from chatarmin_os._clock import perf_counter
from chatarmin_os._input import at_field
from chatarmin_os._json import describe, timestamp_text
from chatarmin_os._unset import UNSET
from chatarmin_os.errors import ApiError, ChatarminError, InvalidInput
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.fake.router import ROUTES
from chatarmin_os.procedures.table import PROCEDURES
from chatarmin_os.server.call_log import MAX_CALLS, CallLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from chatarmin_os._json import JSON
    from chatarmin_os._request import Kind
    from chatarmin_os.fake import Catalogue
    from chatarmin_os.fake.state import State
    from chatarmin_os.server.call_log import Received

InjectedFailure = Literal["refused", "lost"]
"""Fails a request on purpose: before it is carried out, or by losing its response."""

_PREFIX = "os_sk_"
MAX_PRODUCTS = 1_000
"""A further key is refused: a loop that makes up keys must not fill the memory."""

_ID = re.compile("[0-9a-f]{16}")
_NAME = re.compile(f"{_PREFIX}….{{0,4}}", re.DOTALL)


class Product:
    """The product of one API key.

    Attributes:
        id: Identifies it wherever its key must not be shown.
        name: The beginning of the key and its last four characters.
        fake: The fake that answers.
        is_given: Whether the fake was made in Python and passed in, so that others may use it too.
        next_expiry: When the next access expires, if a view has looked for it.
    """

    def __init__(
        self, id: str, name: str, fake: FakeTransport, log: CallLog | None = None, *, is_given: bool = False
    ) -> None:
        self.id, self.name, self.fake, self.is_given = id, name, fake, is_given
        self.next_expiry: datetime | None = None
        self._log = log or CallLog()
        self._entries: deque[int] = deque()  # of the log
        self._count = 0
        self._touches = secrets.randbits(40)  # a page that is still open notices a restart
        self._lock = threading.Lock()

    @property
    def version(self) -> int:
        """A number that grows with each call and each change; it differs after a restart."""
        return self._touches + self.revision

    @property
    def revision(self) -> int:
        """A number that grows with each change of the snapshot."""
        return self.fake.service.revision

    @property
    def is_fresh(self) -> bool:
        """Whether it equals a new product, so that nothing is lost without it."""
        return not (self.is_given or self.revision or self.fake.injected_failures)

    @property
    def count(self) -> int:
        """How many calls it has received since the last reset."""
        return self._count

    def touch(self) -> None:
        """Make `version` grow for a change that no snapshot shows."""
        with self._lock:
            self._touches += 1

    def notice_expiry(self) -> None:
        """Touch the product if an access has expired since the last view: no call announces that."""
        if self.next_expiry is not None and self.next_expiry <= self.fake.service.now():
            self.touch()

    def calls(self, after: float = 0, *, last: int = MAX_CALLS) -> list[Received]:
        """Return the logged calls with a higher number than *after*, oldest first, at most the *last* ones."""
        return self._log.read(self._entries, after, last)

    def clear_calls(self) -> None:
        """Delete the logged calls, and count from 1 again."""
        with self._lock:
            self._log.clear(self._entries)
            self._count = 0

    def answer(self, path: str, kind: Kind, input: JSON, failure: InjectedFailure | None = None) -> JSON:
        """Return the fake's response, and log the call.

        Args:
            path: The path of a procedure on the wire.
            kind: The kind of call.
            input: The input; `UNSET`: none.
            failure: Fails the call on purpose.

        Raises:
            ApiError: The fake refuses the call, or *failure* does.
            TransportError: A test control of the fake loses the response.
        """
        started = perf_counter()
        shown: JSON = None if input is UNSET else input
        response: JSON = None
        error: dict[str, str] | None = {"code": "INTERNAL_SERVER_ERROR", "message": "A defect of the fake"}
        try:
            if failure == "refused":
                shown = None  # nobody has read it
                raise ApiError.from_code("SERVICE_UNAVAILABLE", "Injected failure: refused before it was carried out")
            response = self._send(path, kind, input)
            error = None
        except InvalidInput as refusal:
            shown = "(not shown: the input cannot be written as JSON)"
            error = {"code": "BAD_REQUEST", "message": str(refusal)}
            raise ApiError.from_code("BAD_REQUEST", str(refusal)) from None
        except ApiError as refusal:
            error = {"code": refusal.code, "message": refusal.message}
            raise
        except ChatarminError as lost:
            error = {"code": "LOST", "message": str(lost)}
            raise
        finally:
            if failure == "lost":
                error = {"code": "LOST", "message": "Injected failure: carried out, and the response lost"}
            milliseconds = round((perf_counter() - started) * 1000, 3)
            self._log_call(Call(path, kind, shown), response, error, milliseconds)
        return response

    def _send(self, path: str, kind: Kind, input: JSON) -> JSON:
        known = PROCEDURES.get(path)
        if input is None and ROUTES[path].schema:  # null on the wire, which is not the same as no input
            raise ApiError.from_code("BAD_REQUEST", "input: expected an object, got null")
        call = Call(path, kind, None if input is UNSET else input, known is not None and known.safe_to_repeat)
        try:
            return self.fake.send(call)
        finally:
            if not self.is_given:
                self.fake.calls.clear()  # the log here has them, and only the last ones

    def _log_call(self, call: Call, response: JSON, error: dict[str, str] | None, milliseconds: float) -> None:
        at = timestamp_text(self.fake.service.now())
        with self._lock:
            self._count += 1
            self._touches += 1
            received: Received = {
                "number": self._count,
                "at": at,
                "path": call.path,
                "kind": call.kind,
                "input": call.input,
                "answer": response,
                "error": error,
                "ms": milliseconds,
            }
            self._log.append(self._entries, received)

    def restore(self, snapshot: JSON) -> None:
        """Replace all that the fake knows by a snapshot.

        Raises:
            ValueError: It is not a snapshot; the message names the place.
        """
        self.replace(self.fake.service.load(snapshot))

    def replace(self, state: State) -> None:
        """Replace all that the fake knows by *state*, and delete the logged calls."""
        self.fake.replace(state)
        self.clear_calls()

    def reset(self) -> None:
        """Keep the catalogue and delete everything else."""
        self.fake.reset()
        self.clear_calls()


class Products:
    """The products by API key; each is created when its key is first used."""

    def __init__(
        self,
        fakes: Mapping[str, FakeTransport] | None = None,
        *,
        catalogue: Catalogue | None = None,
        now: Callable[[], datetime] | None = None,
        max_products: int = MAX_PRODUCTS,
    ) -> None:
        """Add the products of *fakes*, by their API keys.

        Args:
            fakes: Fakes by the API keys that lead to them.
            catalogue: The features and tiers that other products begin with, copied; default: the demo catalogue.
            now: The clock of other products; default: the real one.
            max_products: How many there may be.
        """
        self._catalogue = demo_catalogue() if catalogue is None else catalogue
        self._now, self._max_products = now, max_products
        self._products: dict[str, Product] = {}
        self._log = CallLog()
        self._lock = threading.Lock()
        for api_key, fake in (fakes or {}).items():
            self.add(api_key, fake)

    def __iter__(self) -> Iterator[Product]:
        return iter(list(self._products.values()))

    def add(self, api_key: str, fake: FakeTransport) -> None:
        """Let *api_key* lead to *fake*.

        Raises:
            ValueError: The key does not begin with `os_sk_`, or *fake* is not a fake.
        """
        if not isinstance(api_key, str) or not api_key.startswith(_PREFIX):
            raise ValueError(f"an API key begins with {_PREFIX}")
        if not isinstance(fake, FakeTransport):
            raise ValueError(f"expected a FakeTransport, got {describe(fake)}")  # noqa: TRY004 - one error for wrong use
        product = Product(_id_of(api_key), _name_of(api_key), fake, self._log, is_given=True)
        with self._lock:
            self._products[product.id] = product

    def forget(self, api_key: str) -> None:
        """Let *api_key* lead to a new product when it is used again."""
        self.forget_id(_id_of(api_key))

    def forget_id(self, id: str) -> bool:
        """Delete the product with an id, and return whether there was one."""
        with self._lock:
            product = self._products.pop(id, None)
        if product is None:
            return False
        product.clear_calls()
        return True

    def for_headers(self, headers: Mapping[str, str]) -> Product:
        """Return the product of a request's API key.

        Raises:
            ApiError: The key is missing or invalid, or there are too many products.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        api_key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        if not api_key:
            raise ApiError.from_code(
                "UNAUTHORIZED", f"Missing API key: send Authorization: Bearer {_PREFIX}... or x-api-key: {_PREFIX}..."
            )
        if not api_key.startswith(_PREFIX):
            raise ApiError.from_code(
                "UNAUTHORIZED", f"Invalid API key: this local service accepts any key that begins with {_PREFIX}"
            )
        return self._products.get(_id_of(api_key)) or self.create(api_key)

    def create(self, api_key: str) -> Product:
        """Return the product of a key, created if it is missing.

        Raises:
            ApiError: There are too many products.
        """
        product_id = _id_of(api_key)
        with self._lock:
            if product_id not in self._products:
                self._make_space()
                fake = FakeTransport(self._catalogue, now=self._now)
                self._products[product_id] = Product(product_id, _name_of(api_key), fake, self._log)
            return self._products[product_id]

    def _make_space(self) -> None:
        """Delete the oldest fresh product if there are too many products.

        Raises:
            ApiError: None of them is fresh.
        """
        if len(self._products) < self._max_products:
            return
        fresh = next((product for product in self._products.values() if product.is_fresh), None)
        if fresh is None:
            raise ApiError.from_code(
                "TOO_MANY_REQUESTS",
                f"The service has {len(self._products)} products, one for each API key, and accepts no further key; "
                "use one of their keys, or forget some: by Forget on the page, `forget` of the control API, "
                "`chatarmin-os serve --forget`",
            )
        del self._products[fresh.id]
        fresh.clear_calls()

    def with_id(self, id: str) -> Product:
        """Return the product with an id.

        Raises:
            ApiError: No product has this id.
        """
        product = self._products.get(id)
        if product is None:
            raise ApiError.from_code("NOT_FOUND", "No such product; `products` lists them")
        return product

    def load(self, rows: JSON) -> None:
        """Load products, each an object with `id`, `name` and `snapshot`.

        A fake that was passed in stays, with its own clock; the saved state replaces its own.

        Raises:
            ValueError: A row is invalid, and nothing was loaded; the message names the place.
        """
        if not isinstance(rows, list):
            raise InvalidInput(f"expected a list, got {describe(rows)}").at("products")
        loaded: dict[str, tuple[Product, State]] = {}
        for index, row in enumerate(rows):
            product, state = at_field(f"products[{index}]", self._read)(row)
            if product.id in loaded:
                raise InvalidInput(f"duplicate id {product.id!r}").at(f"products[{index}]")
            loaded[product.id] = product, state
        for product, state in loaded.values():
            product.replace(state)
            self._products[product.id] = product

    def _read(self, row: JSON) -> tuple[Product, State]:
        """Return the product of a row, and its state.

        Raises:
            InvalidInput: The row is invalid; the message names the place.
        """
        if not isinstance(row, dict):
            raise InvalidInput(f"expected an object, got {describe(row)}")
        for key, pattern, expected in (("id", _ID, "16 hexadecimal digits"), ("name", _NAME, f"{_PREFIX}… and 4 more")):
            value = row.get(key)
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise InvalidInput(f"expected {expected}, got {describe(value)}").at(key)
        product = self._products.get(row["id"])
        if product is None:
            product = Product(row["id"], row["name"], FakeTransport(now=self._now), self._log)
        try:
            return product, product.fake.service.load(row.get("snapshot"))
        except ValueError as error:
            raise InvalidInput(str(error)).at("snapshot") from None


def _id_of(api_key: str) -> str:
    return hashlib.sha256(api_key.encode(errors="surrogatepass")).hexdigest()[:16]


def _name_of(api_key: str) -> str:
    return f"{_PREFIX}…{api_key.removeprefix(_PREFIX)[-4:]}"
