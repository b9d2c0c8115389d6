"""The products by API key: one for each."""

from __future__ import annotations

import hashlib
import re
import threading
from typing import TYPE_CHECKING

from chatarmin_os._input import at_field
from chatarmin_os._json import describe
from chatarmin_os.errors import ApiError, InvalidInput
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server.call_log import CallLog
from chatarmin_os.server.product import Product
from chatarmin_os.server.timeline import Logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from chatarmin_os._json import JSON
    from chatarmin_os.fake import Catalogue
    from chatarmin_os.fake.state import State

_PREFIX = "os_sk_"
MAX_PRODUCTS = 1_000
"""A further key is refused: a loop that makes up keys must not fill the memory."""

_ID = re.compile("[0-9a-f]{16}")
_NAME = re.compile(f"{_PREFIX}….{{0,4}}", re.DOTALL)


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
        self._log, self._timelines = CallLog(), Logs()
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
        product = Product(_id_of(api_key), _name_of(api_key), fake, self._log, self._timelines, is_given=True)
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
                self._products[product_id] = Product(product_id, _name_of(api_key), fake, self._log, self._timelines)
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
            product = Product(row["id"], row["name"], FakeTransport(now=self._now), self._log, self._timelines)
        try:
            return product, product.fake.service.load(row.get("snapshot"))
        except ValueError as error:
            raise InvalidInput(str(error)).at("snapshot") from None


def _id_of(api_key: str) -> str:
    return hashlib.sha256(api_key.encode(errors="surrogatepass")).hexdigest()[:16]


def _name_of(api_key: str) -> str:
    return f"{_PREFIX}…{api_key.removeprefix(_PREFIX)[-4:]}"
