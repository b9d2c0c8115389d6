"""The base class of requests, and the interface that sends them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, runtime_checkable

from chatarmin_os import _pydantic
from chatarmin_os._pickling import AcrossVersions

Kind = Literal["query", "mutation"]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Request(AcrossVersions, _pydantic.Instance, Generic[T_co]):
    """A call with checked arguments; `client.send(request)` returns the type in brackets.

    A request is an immutable attrs object: build it once, send it as often as you like, `attrs.evolve` it.

    Attributes:
        path: The procedure's path on the wire.
        kind: `"query"` or `"mutation"`.
        result: The type of the result: a model, `list[model]`, or `model | None`.
        safe_to_repeat: Whether running the call twice has the same effect as running it once.
        may_be_empty: Whether an empty answer is accepted, as a model of Nones; the service's README shows no result.

    Raises:
        InvalidInput: An invalid argument, which the error names; nothing was sent.

    Example:
        >>> from chatarmin_os import GetTierInput
        >>> client.send(GetTierInput(tier_code="pro")).name
        'Pro'
    """

    __slots__ = ()

    path: ClassVar[str]
    kind: ClassVar[Kind]
    result: ClassVar[Any]
    safe_to_repeat: ClassVar[bool] = True
    may_be_empty: ClassVar[bool] = False

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON, for queues that store JSON: `{"path": ..., "input": ...}`.

        `chatarmin_os.request_from_json` returns an equal request: same call, same idempotency key. The JSON shares no
        list or mapping with this request.

        Example:
            >>> from chatarmin_os import FeatureCheckInput
            >>> FeatureCheckInput(company_id="comp_1", feature_code="seats").to_json()
            {'path': 'features.check', 'input': {'companyId': 'comp_1', 'featureCode': 'seats'}}
        """
        # The converter knows requests and errors, and errors know requests; besides, cattrs is slow to import.
        from chatarmin_os._converter import to_call

        call = to_call(self)
        return {"path": call.path, "input": call.input}


@runtime_checkable  # beartype and pydantic check arguments with isinstance
class Sender(Protocol):
    """The part of a client that resources need."""

    @abstractmethod
    def send(self, request: Request[T]) -> T:
        """Send one request and return its result."""
