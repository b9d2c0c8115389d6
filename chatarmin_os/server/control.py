"""The control API: the test controls of `FakeTransport` for tests in other languages.

It is at `/__fake__/` and speaks tRPC as the service does: queries by GET, mutations by POST. Names and arguments are
those of `FakeTransport`.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial, wraps
from inspect import signature
from typing import TYPE_CHECKING

from chatarmin_os._json import describe, short_repr
from chatarmin_os._messages import closest
from chatarmin_os._unset import UNSET
from chatarmin_os.errors import CODES, ApiError
from chatarmin_os.fake.router import ROUTES
from chatarmin_os.fake.transport import LOST
from chatarmin_os.trpc.server import Procedure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chatarmin_os._json import JSON
    from chatarmin_os.server.product import Product
    from chatarmin_os.server.products import Products

    Control = Callable[[Product], Callable[..., JSON]]

MAX_INJECTED_FAILURES = 1_000

PRODUCT_HEADER = "x-fake-product"
"""A header that names a product by its id, for callers without its API key."""


def procedure(products: Products, headers: Mapping[str, str], name: str) -> Procedure | None:
    """Return the procedure with a name, None if the name is unknown."""
    if name == "products":
        return Procedure("query", lambda _: [_summary(product) for product in products])
    if name == "forget":
        forget = partial(_forget, products)
        return Procedure("mutation", lambda read: _run(forget, _product(products, headers), read()))
    if name in _QUERIES:
        return Procedure("query", lambda read: _run(_QUERIES[name], _product(products, headers), read()))
    if name in _MUTATIONS:
        return Procedure("mutation", lambda read: _run_and_touch(name, _product(products, headers), read()))
    return None


def _product(products: Products, headers: Mapping[str, str]) -> Product:
    return products.with_id(headers[PRODUCT_HEADER]) if PRODUCT_HEADER in headers else products.for_headers(headers)


def _summary(product: Product) -> JSON:
    with product.fake.service.read() as state:
        return {
            "id": product.id,
            "key": product.name,
            "companies": len(state.companies),
            "calls": product.count,
        }


def _forget(products: Products, product: Product) -> Callable[[], None]:
    def forget() -> None:
        if product.is_given:
            raise ValueError(
                "the fake of this product was passed in from Python, so only Python can forget it; use `reset`"
            )
        products.forget_id(product.id)

    return forget


def _run_and_touch(name: str, product: Product, given: JSON) -> JSON:
    try:
        if name == "call":  # logged as a call
            return _run(_MUTATIONS[name], product, given)
        with product.controlled(name, given):
            return _run(_MUTATIONS[name], product, given)
    finally:
        product.touch()


def _run(control: Control, product: Product, given: JSON) -> JSON:
    """Call a test control of a product with the arguments in an input.

    Raises:
        ApiError: The arguments are invalid.
    """
    function = control(product)
    arguments = {} if given in (UNSET, None) else given
    if not isinstance(arguments, dict):
        raise ApiError.from_code("BAD_REQUEST", f"expected an object of arguments, got {describe(given)}")
    problem = _wrong_arguments(function, arguments)
    if problem:
        raise ApiError.from_code("BAD_REQUEST", f"{problem}; it takes {_parameters(function)}")
    try:
        return function(**arguments)
    except ValueError as error:
        raise ApiError.from_code("BAD_REQUEST", str(error)) from None


def _wrong_arguments(function: Callable[..., JSON], arguments: Mapping[str, JSON]) -> str | None:
    """Return the problem if an argument is unknown or missing."""
    parameters = signature(function).parameters
    for name in arguments:
        if name not in parameters:
            return f"unknown argument: {short_repr(name)}"
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            return f"missing argument: {name!r}"
    return None


def _parameters(function: Callable[..., JSON]) -> str:
    names = [
        name if parameter.default is parameter.empty else f"{name} (optional)"
        for name, parameter in signature(function).parameters.items()
    ]
    return ", ".join(names) or "no arguments"


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name}: expected an integer of at least 0, got {describe(value)}")
    return value


def _calls(product: Product, *, after: int = 0) -> JSON:
    return product.calls(_count("after", after))


def _call_details(product: Product, *, number: int) -> JSON:
    call = product.call(_count("number", number))
    if call is None:
        raise ValueError(f"number: the call {number} is not kept any more, or was never made")
    return dict(call)


def _optional_count(name: str, value: object) -> int | None:
    return None if value is None else _count(name, value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected text, got {describe(value)}")  # noqa: TRY004 - one error for wrong use
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name}: expected true or false, got {describe(value)}")  # noqa: TRY004 - one error for wrong use
    return value


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "before": _optional_count,
    "call_limit": _count,
    "call_search": _text,
    "calls_before": _optional_count,
    "company": _text,
    "limit": _count,
    "search": _text,
    "since": _optional_count,
    "skip": _count,
    "stripe_limit": _count,
    "with_access": _flag,
}
"""The arguments of a view, and what checks each."""


def _checked(function: Callable[..., JSON], product: Product) -> Callable[..., JSON]:
    """Return a view of a product that checks its arguments."""

    @wraps(function)
    def run(product: Product, **given: object) -> JSON:
        return function(product, **{name: _CHECKS[name](name, value) for name, value in given.items()})

    return partial(run, product)


# The views are imported late: a start is faster without them.
def _company(product: Product) -> Callable[..., JSON]:
    from chatarmin_os.server.company_view import company_view

    return _checked(company_view, product)


def _company_snapshot(product: Product) -> Callable[..., JSON]:
    from chatarmin_os.server.export import company_snapshot

    return _checked(company_snapshot, product)


def _view(product: Product) -> Callable[..., JSON]:
    from chatarmin_os.server.view import view

    return _checked(view, product)


def _advance(product: Product, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> JSON:
    try:
        by = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"expected numbers of days, hours, minutes and seconds: {error}") from None
    product.fake.advance(by)


def _fail(product: Product, *, error: str, path: str | None = None, times: int = 1, after: bool = False) -> JSON:
    if error != LOST and (not isinstance(error, str) or error not in CODES):
        near = closest(error, CODES) if isinstance(error, str) else None
        hint = f"did you mean {near}?" if near else f"the codes are {', '.join(CODES)}"
        raise ValueError(f"error: expected a code of tRPC, or {LOST}, got {describe(error)}; {hint}")
    if len(product.fake.injected_failures) >= MAX_INJECTED_FAILURES:
        raise ValueError(f"{MAX_INJECTED_FAILURES} failures are waiting for their calls already; `reset` deletes them")
    product.fake.fail(path, error=error, times=times, after=after)


def _call(product: Product, *, path: str, input: JSON = UNSET) -> JSON:
    route = ROUTES.get(path) if isinstance(path, str) else None
    if route is None:
        raise ValueError(f"path: no procedure {describe(path)}")
    return product.answer(path, route.kind, input)


_QUERIES: dict[str, Control] = {
    "call_details": lambda product: partial(_call_details, product),
    "calls": lambda product: partial(_calls, product),
    "company": _company,
    "company_snapshot": _company_snapshot,
    "mrr": lambda product: product.fake.mrr,
    "snapshot": lambda product: product.fake.snapshot,
    "view": _view,
}

_MUTATIONS: dict[str, Control] = {
    "add_company": lambda product: product.fake.add_company,
    "add_feature": lambda product: product.fake.add_feature,
    "add_tier": lambda product: product.fake.add_tier,
    "advance": lambda product: partial(_advance, product),
    "call": lambda product: partial(_call, product),
    "fail": lambda product: partial(_fail, product),
    "reset": lambda product: product.reset,
    "restore": lambda product: product.restore,
    "stripe.add_checkout_session": lambda product: product.fake.stripe.add_checkout_session,
    "stripe.add_subscription": lambda product: product.fake.stripe.add_subscription,
    "stripe.cancel": lambda product: product.fake.stripe.cancel,
    "stripe.complete": lambda product: product.fake.stripe.complete,
    "stripe.renew": lambda product: product.fake.stripe.renew,
}
