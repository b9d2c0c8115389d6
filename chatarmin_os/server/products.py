"""One product for each API key: its fake, and what was called."""

from __future__ import annotations

import gc
import hashlib
import json
import marshal
import re
import secrets
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

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
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from chatarmin_os._json import JSON
    from chatarmin_os._request import Kind
    from chatarmin_os.fake import Catalogue
    from chatarmin_os.fake.state import State
    from chatarmin_os.server.call_log import Received

Mishap = Literal["refused", "lost"]

_FORMAT = "chatarmin_os serve 1"
_PREFIX = "os_sk_"
_MOST_PRODUCTS = 1_000  # a loop that makes up keys must not fill the memory
_ID = re.compile("[0-9a-f]{16}")
_NAME = re.compile(f"{_PREFIX}….{{0,4}}", re.DOTALL)


class Product:
    """What one API key leads to.

    Attributes:
        id: What it is called where its key must not be shown.
        name: The key by its beginning and its last four characters.
        fake: The fake that answers.
        version: Another number whenever something has happened to it; also after a restart.
        next_expiry: When the next access expires, as far as somebody has looked.
    """

    def __init__(
        self, id: str, name: str, fake: FakeTransport, log: CallLog | None = None, *, is_given: bool = False
    ) -> None:
        self.id, self.name, self.fake = id, name, fake
        self._log = log or CallLog()
        self._is_given = is_given  # by a test, which may look at its calls
        self._is_loaded = False
        self.version = secrets.randbits(40)
        self.next_expiry: datetime | None = None
        self._changes = 0
        self._entries: deque[int] = deque()  # of the log
        self._count = 0
        self._lock = threading.Lock()

    def happened(self, *, changed: bool = True) -> None:
        """Count that something happened."""
        with self._lock:
            self.version += 1
            self._changes += changed

    def notice_expiry(self) -> None:
        """Count it as well if an access has expired: nobody does that, it happens."""
        if self.next_expiry is not None and self.next_expiry <= self.fake.service.now():
            self.happened(changed=False)

    @property
    def edition(self) -> object:
        """What is another when its snapshot may be another."""
        if not self._is_given:
            return self._changes
        # Version 2 of marshal writes equal values equally, whoever else has them in hand.
        return hashlib.sha256(self._copied(version=2)).digest()

    @property
    def is_given(self) -> bool:
        """Whether its fake was made in Python and passed in."""
        return self._is_given

    @property
    def is_fresh(self) -> bool:
        """Whether it is as it was made: nobody has tried to change it, so that nothing is lost without it."""
        return not (self._is_given or self._is_loaded or self._changes)

    @property
    def may_change_unseen(self) -> bool:
        """Whether its fake may change without this object, for a test has it too."""
        return self._is_given

    @property
    def count(self) -> int:
        """How many calls were received since the last reset."""
        return self._count

    def calls(self, after: float = 0, *, last: int = MAX_CALLS) -> list[Received]:
        """Return the calls that are kept with a higher number than *after*, oldest first, at most the *last* ones."""
        return self._log.read(self._entries, after, last)

    def forget_calls(self) -> None:
        """Forget the calls, and count from 1 again."""
        with self._lock:
            self._log.clear(self._entries)
            self._count = 0

    def answer(self, path: str, kind: Kind, given: JSON, mishap: Mishap | None = None) -> JSON:
        """Return what the fake answers, and write down that it was called; *mishap* befalls the call.

        Raises:
            ApiError: The fake refuses.
            TransportError: The answer is to be lost.
        """
        started = perf_counter()
        answer: JSON = None
        error: dict[str, str] | None = {"code": "INTERNAL_SERVER_ERROR", "message": "A defect of the fake"}
        try:
            if mishap == "refused":
                given = None  # nobody has looked at it
                raise ApiError.from_code("SERVICE_UNAVAILABLE", "Refused on purpose: a failure was asked for")
            answer = self._answer(path, kind, given)
            error = None
        except InvalidInput as refusal:
            given = "(cannot be shown)"  # it is no JSON that anybody could write, or is nested without end
            error = {"code": "BAD_REQUEST", "message": str(refusal)}
            raise ApiError.from_code("BAD_REQUEST", str(refusal)) from None
        except ApiError as refusal:
            error = {"code": refusal.code, "message": refusal.message}
            raise
        except ChatarminError as failure:
            error = {"code": "LOST", "message": str(failure)}
            raise
        finally:
            if mishap == "lost":
                error = {"code": "LOST", "message": "Carried out, and the answer lost on purpose"}
            milliseconds = round((perf_counter() - started) * 1000, 3)
            received = Call(path, kind, None if given is UNSET else given)
            self._write_down(received, answer, error, milliseconds)
        return answer

    def _answer(self, path: str, kind: Kind, given: JSON) -> JSON:
        known = PROCEDURES.get(path)
        if given is None and ROUTES[path].shape:  # which is not the same as none
            raise ApiError.from_code("BAD_REQUEST", "input: expected an object, got null")
        call = Call(path, kind, None if given is UNSET else given, known is not None and known.safe_to_repeat)
        try:
            return self.fake.send(call)
        finally:
            if not self._is_given:
                self.fake.calls.clear()  # they are written down here, and only the last ones kept

    def _write_down(self, call: Call, answer: JSON, error: dict[str, str] | None, ms: float) -> None:
        at = timestamp_text(self.fake.service.now())
        with self._lock:
            self._count += 1
            self.version += 1
            self._changes += call.kind == "mutation"
            received: Received = {
                "number": self._count,
                "at": at,
                "path": call.path,
                "kind": call.kind,
                "input": call.input,
                "answer": answer,
                "error": error,
                "ms": ms,
            }
            self._log.append(self._entries, received)

    def snapshot_text(self) -> Iterator[str]:
        """Yield the JSON of the fake's snapshot, table by table; other threads wait while one table is written."""
        copy = self._copied()
        with _no_collection():
            tables: dict[str, Any] = marshal.loads(copy)  # noqa: S302 - our own
        for index, name in enumerate(list(tables)):
            yield f"{', ' if index else '{'}{json.dumps(name)}: {json.dumps(tables.pop(name))}"
        yield "}"

    def _copied(self, version: int = marshal.version) -> bytes:
        """Return the tables; the fake waits meanwhile, and marshal is several times as fast as anything else."""
        from chatarmin_os.fake import snapshot as snapshots  # it takes cattrs along, which is needed for nothing else

        with self.fake.service.read() as state:
            return marshal.dumps(dict(snapshots.tables(state)), version)

    def restore(self, snapshot: JSON) -> None:
        """Let the fake know what a snapshot holds, and nothing else.

        Raises:
            ValueError: It is none.
        """
        self.take(self.fake.service.load(snapshot))

    def take(self, state: State) -> None:
        """Let the fake know what *state* holds, and nothing else."""
        self.fake.replace(state)
        self._is_loaded = True
        self.forget_calls()

    def reset(self) -> None:
        """Forget all but the catalogue."""
        self.fake.reset()
        self.forget_calls()


class Products:
    """The products by API key; each is made when its key is first seen."""

    def __init__(self, fakes: Mapping[str, FakeTransport] | None = None, *, catalogue: Catalogue | None = None) -> None:
        """Begin with *fakes* by their API keys; others begin with a copy of *catalogue*, default the demo catalogue."""
        self._catalogue = demo_catalogue() if catalogue is None else catalogue
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
            ValueError: No key begins so, or that is no fake.
        """
        if not isinstance(api_key, str) or not api_key.startswith(_PREFIX):
            raise ValueError(f"an API key begins with {_PREFIX}")
        if not isinstance(fake, FakeTransport):
            raise ValueError(f"expected a FakeTransport, got {describe(fake)}")  # noqa: TRY004 - one error for wrong use
        product = Product(_id(api_key), _name(api_key), fake, self._log, is_given=True)
        with self._lock:
            self._products[product.id] = product

    def forget(self, api_key: str) -> None:
        """Let *api_key* lead to a new product when it is next seen."""
        self.forget_id(_id(api_key))

    def forget_id(self, id: str) -> bool:
        """Forget the product that has an id, and return whether there was one."""
        with self._lock:
            product = self._products.pop(id, None)
        if product is None:
            return False
        product.forget_calls()
        return True

    def of(self, headers: Mapping[str, str]) -> Product:
        """Return the product of a request's API key.

        Raises:
            ApiError: There is no key, or none of this service.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        api_key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        if not api_key:
            told = f"Missing API key: send Authorization: Bearer {_PREFIX}... or x-api-key"
            raise ApiError.from_code("UNAUTHORIZED", told)
        if not api_key.startswith(_PREFIX):
            raise ApiError.from_code("UNAUTHORIZED", f"Invalid API key: here any key does that begins with {_PREFIX}")
        return self._products.get(_id(api_key)) or self._made(api_key)

    def _made(self, api_key: str) -> Product:
        name = _id(api_key)
        with self._lock:
            if name not in self._products:
                self._make_space()
                self._products[name] = Product(name, _name(api_key), FakeTransport(self._catalogue), self._log)
            return self._products[name]

    def _make_space(self) -> None:
        """Drop the oldest product that nobody has changed if there are too many.

        Raises:
            ApiError: There is none.
        """
        if len(self._products) < _MOST_PRODUCTS:
            return
        fresh = next((product for product in self._products.values() if product.is_fresh), None)
        if fresh is None:
            raise ApiError.from_code(
                "TOO_MANY_REQUESTS",
                f"{len(self._products)} products are served already, one for each API key; use one of their keys, or "
                "forget some: by Forget on the page, `forget` of the control API, `chatarmin-os serve --forget`",
            )
        del self._products[fresh.id]
        fresh.forget_calls()

    def with_id(self, id: str) -> Product:
        """Return the product that has an id.

        Raises:
            ApiError: There is none.
        """
        product = self._products.get(id)
        if product is None:
            raise ApiError.from_code("NOT_FOUND", "No such product; `products` lists them")
        return product

    def edition(self) -> tuple[tuple[str, object], ...]:
        """Return what is another when a snapshot of any product may be another."""
        return tuple((product.id, product.edition) for product in self)

    def state_text(self) -> Iterator[str]:
        """Yield the JSON of all products, piece by piece; it has no API key, only what one can be recognised by."""
        yield f'{{"format": {json.dumps(_FORMAT)}, "products": ['
        for index, product in enumerate(product for product in self if not product.is_fresh):
            yield (",\n" if index else "\n") + json.dumps({"id": product.id, "name": product.name})[:-1]
            yield ', "snapshot": '
            yield from product.snapshot_text()
            yield "}"
        yield "\n]}\n"

    def load(self, content: JSON) -> None:
        """Take the products out of what `state_text` had yielded.

        A fake that was given is served still, and knows what was kept of it instead of what it knew.

        Raises:
            ValueError: It is nothing of the kind, or broken; the place is named.
        """
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f"no state of this version: expected the format {_FORMAT!r}")
        rows = content.get("products")
        if not isinstance(rows, list):
            raise InvalidInput(f"expected a list, got {describe(rows)}").at("products")
        loaded: dict[str, tuple[Product, State]] = {}
        for index, row in enumerate(rows):
            product, state = at_field(f"products[{index}]", self._loaded)(row)
            if product.id in loaded:
                raise InvalidInput(f"the id {product.id!r} stands twice").at(f"products[{index}]")
            loaded[product.id] = product, state
        for product, state in loaded.values():
            product.take(state)
            self._products[product.id] = product

    def _loaded(self, row: JSON) -> tuple[Product, State]:
        """Return a product of a state file, and what its fake is to know.

        Raises:
            InvalidInput: It is broken; the place is named.
        """
        if not isinstance(row, dict):
            raise InvalidInput(f"expected an object, got {describe(row)}")
        for key, pattern, expected in (("id", _ID, "16 hexadecimal digits"), ("name", _NAME, f"{_PREFIX}… and 4 more")):
            value = row.get(key)
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise InvalidInput(f"expected {expected}, got {describe(value)}").at(key)
        product = self._products.get(row["id"]) or Product(row["id"], row["name"], FakeTransport(), self._log)
        try:
            return product, product.fake.service.load(row.get("snapshot"))
        except ValueError as error:
            raise InvalidInput(str(error)).at("snapshot") from None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Make many objects without the collector looking at all there are again and again, which stops all threads."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()


def _id(api_key: str) -> str:
    return hashlib.sha256(api_key.encode(errors="surrogatepass")).hexdigest()[:16]


def _name(api_key: str) -> str:
    return f"{_PREFIX}…{api_key.removeprefix(_PREFIX)[-4:]}"
