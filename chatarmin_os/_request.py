"""What every request is."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Literal, TypeVar

from chatarmin_os import _pydantic
from chatarmin_os._pickling import AcrossVersions

Kind = Literal["query", "mutation"]
T_co = TypeVar("T_co", covariant=True)


class Request(AcrossVersions, _pydantic.Instance, Generic[T_co]):
    """One call with its arguments checked; `client.send(request)` returns what the type parameter says.

    A request is an immutable attrs object: build it once, send it as often as you like, `attrs.evolve` it.
    Building one raises `InvalidInput`, naming the argument, before anything is sent.

    Attributes:
        path: The procedure's path on the wire.
        kind: `"query"` or `"mutation"`.
        result: What an answer becomes: a model, `list[model]`, or `model | None`.
        safe_to_repeat: Whether carrying it out twice is as good as once.
        may_be_empty: Whether an empty answer is accepted, as a model of Nones; the service's README shows no result.
    """

    __slots__ = ()

    path: ClassVar[str]
    kind: ClassVar[Kind]
    result: ClassVar[Any]
    safe_to_repeat: ClassVar[bool] = True
    may_be_empty: ClassVar[bool] = False

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON, for queues that store JSON: `{"path": ..., "input": ...}`.

        `chatarmin_os.request_from_json` returns the equal request: same call, same idempotency key. It shares no list
        or mapping with this request.

        Example:
            >>> from chatarmin_os import FeatureCheckInput
            >>> FeatureCheckInput(company_id="comp_1", feature_code="seats").to_json()
            {'path': 'features.check', 'input': {'companyId': 'comp_1', 'featureCode': 'seats'}}
        """
        from chatarmin_os._converter import to_call  # cattrs takes as long to import as all else

        call = to_call(self)
        return {"path": call.path, "input": call.input}
