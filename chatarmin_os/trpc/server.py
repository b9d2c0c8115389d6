"""The server's half of tRPC, without I/O: a request in, a response out.

It behaves as @trpc/server 11.25 and 10.45 were observed to do. Version 11 reports most refusals call by call, version
10 refuses the whole request. Differences from them, on purpose:

- An unexpected exception is a defect of the fake: the response has neither its message nor its traceback; the log does.
- Forms and binary bodies are not accepted. Version 11 takes `multipart/form-data` and `application/octet-stream`, but
  the clients here send neither.
- An input is JSON once it is read: dates are text, big integers are integers, sets are lists, zero has no sign. Values
  that superjson does not know or refuses to follow stay unchanged, because the client's decoder reads them.
- A list or object that occurs twice in an output is written twice, without a mark that both are the same.
- Integers beyond those of JavaScript are written in plain JSON, where `JSON.stringify` fails for a bigint.
- A streamed response is sent at once.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import parse_qsl

from chatarmin_os._unset import UNSET
from chatarmin_os.errors import CODES, ApiError, TransportError
from chatarmin_os.trpc import javascript, superjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chatarmin_os._request import Kind

_log = logging.getLogger("chatarmin_os")

_METHODS: dict[str, str] = {"query": "GET", "mutation": "POST"}
_JSON, _JSONL, _TEXT = "application/json", "application/jsonl", "text/plain;charset=UTF-8"
_MULTI_STATUS = 207
_BATCH_INPUT_ERROR = '"input" needs to be an object when doing a batch call'
_ONLY_11 = frozenset({"PAYMENT_REQUIRED", "UNSUPPORTED_MEDIA_TYPE", "PRECONDITION_REQUIRED"})
_ONLY_11 |= {"BAD_GATEWAY", "SERVICE_UNAVAILABLE", "GATEWAY_TIMEOUT"}


class Dialect(NamedTuple):
    """The version and the transformer of tRPC."""

    version: Literal[10, 11] = 11
    transformer: Literal["auto", "json", "superjson"] = "auto"
    """`auto`: that of each request."""


class Request(NamedTuple):
    """A received request."""

    method: str
    target: str
    """The path and query after the base URL: `tiers.get?input=...`."""
    headers: Mapping[str, str]
    """By lower-case names."""
    body: bytes | None
    """None: it was too large to be read."""


class Response(NamedTuple):
    """A response to send."""

    status: int
    body: bytes
    headers: dict[str, str]


class Procedure(NamedTuple):
    """The implementation of one path."""

    kind: Kind
    run: Callable[[Callable[[], Any]], Any]
    """Returns the output or raises `ApiError`; its argument returns the input (`UNSET`: none)."""
    to_dates: Callable[[Any], Any] | None = None
    """Turns the text of dates in an output into datetimes, which superjson marks; needs outputs that are JSON."""


class _Outcome(NamedTuple):
    """The outcome of one call."""

    status: int
    content: dict[str, Any]
    """A result or an error, before the transformer has encoded it."""
    allow: str | None = None
    is_json: bool = False
    """Whether the content is JSON already."""


def respond(request: Request, find: Callable[[str], Procedure | None], dialect: Dialect) -> Response:
    """Return the response to *request*; *find* returns the procedure at a path.

    Raises:
        TransportError: A procedure raised it, so that the response is lost.

    Example:
        >>> hello = Procedure("query", lambda read: {"input": read()})
        >>> respond(Request("GET", "hello?input=1", {}, b""), {"hello": hello}.get, Dialect()).body
        b'{"result": {"data": {"input": 1}}}'
    """
    if request.method == "HEAD":
        return Response(204, b"", {})
    return (_Exchange11 if dialect.version == 11 else _Exchange10)(request, find, dialect).respond()  # noqa: PLR2004


class _Exchange(ABC):
    """The handling of one request, as far as both versions share it."""

    version: int
    refusal_type: str
    """The content type if the whole request is refused."""
    vary: str | None
    encoding: str
    """The encoding of a body."""
    json_error: str
    """The code if an input is not JSON."""
    superjson_error: str
    """The code if superjson cannot read it."""

    def __init__(self, request: Request, find: Callable[[str], Procedure | None], dialect: Dialect) -> None:
        self.request, self.find = request, find
        self.path, _, query = request.target.partition("?")
        parameters: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=None):
            parameters.setdefault(name, value)
        self.is_batch = self.is_batch_flag(parameters.get("batch", ""))
        self.problem: tuple[str, str] | None = None  # the code and the message if the input cannot be read
        self.content: Any = UNSET
        self.inputs: dict[str, Any] | None = None  # by the index of their call, once they are read
        if request.method == "GET":
            text = self.query_input(parameters.get("input"))
        elif request.body is None:
            text, self.problem = None, ("PAYLOAD_TOO_LARGE", "PAYLOAD_TOO_LARGE")
        else:
            text = request.body.decode(self.encoding, errors="replace") or None
        self.size = len(text or "")
        if text is not None:
            try:
                self.content = javascript.parse(text)
            except ValueError as error:
                self.problem = (self.json_error, f"the input is not JSON: {error}")
        self.is_superjson = dialect.transformer == "superjson" or (
            dialect.transformer == "auto" and _has_envelopes(self.content, is_batch=self.is_batch)
        )

    @abstractmethod
    def is_batch_flag(self, flag: str) -> bool:
        """Return whether this value of the parameter `batch` allows several calls."""

    @abstractmethod
    def query_input(self, text: str | None) -> str | None:
        """Return the input in a parameter of a query."""

    @abstractmethod
    def parse_paths(self) -> list[str]:
        """Return the path of each call.

        Raises:
            ApiError: The whole request is refused.
        """

    @abstractmethod
    def wants_stream(self) -> bool:
        """Return whether the client has asked for a stream."""

    @abstractmethod
    def call(self, path: str, index: int) -> _Outcome:
        """Run a call."""

    @abstractmethod
    def stream(self, outcomes: list[_Outcome]) -> Response:
        """Return the response as a stream."""

    def respond(self) -> Response:
        try:
            paths = self.parse_paths()
        except ApiError as refusal:
            return self.refuse(refusal, self.refusal_type)
        outcomes = [self.call(path, index) for index, path in enumerate(paths)]
        try:
            response = self.stream(outcomes) if self.wants_stream() else self.respond_at_once(outcomes)
        except (TypeError, ValueError, RecursionError):
            _log.exception("%s: an output is not JSON", self.path)
            return self.refuse(
                ApiError.from_code("INTERNAL_SERVER_ERROR", "Internal server error: an output is not JSON")
            )
        allowed = next((outcome.allow for outcome in outcomes if outcome.allow), None)
        return response._replace(headers={**response.headers, "allow": allowed}) if allowed else response

    def respond_at_once(self, outcomes: list[_Outcome]) -> Response:
        statuses = {outcome.status for outcome in outcomes}
        envelopes = [self.encode(outcome) for outcome in outcomes]
        status = statuses.pop() if len(statuses) == 1 else _MULTI_STATUS
        return self.write(status, envelopes if self.is_batch else envelopes[0])

    def refuse(self, refusal: ApiError, content_type: str = _JSON) -> Response:
        """Return the response that refuses the whole request."""
        outcome = _Outcome(*self.error_envelope(refusal))
        return self.write(outcome.status, self.encode(outcome), content_type)

    def write(self, status: int, content: Any, content_type: str = _JSON) -> Response:
        headers = {"content-type": content_type}
        if self.vary:
            headers["vary"] = self.vary
        return Response(status, json.dumps(content, allow_nan=False).encode(), headers)

    def run(self, path: str, procedure: Procedure, index: int) -> _Outcome:
        """Run the procedure of a call."""
        try:
            output = procedure.run(lambda: self.read(index))
        except ApiError as refusal:
            return _Outcome(*self.error_envelope(refusal, path))
        except TransportError:
            raise
        except Exception:  # noqa: BLE001 - the other calls of the batch get their responses
            _log.exception("%s failed", path)
            failure = ApiError.from_code("INTERNAL_SERVER_ERROR", "Internal server error: a defect of the fake")
            return _Outcome(*self.error_envelope(failure, path))
        if procedure.to_dates is None:
            return _Outcome(200, {"result": {"data": output}})
        output = procedure.to_dates(output) if self.is_superjson else output
        return _Outcome(200, {"result": {"data": output}}, is_json=True)

    def read(self, index: int) -> Any:
        """Return the input of a call; `UNSET`: none.

        Raises:
            ApiError: An input of the request cannot be read.
        """
        if self.inputs is None:
            self.inputs = self.decode_inputs()
        return self.inputs.get(str(index), UNSET)

    def decode_inputs(self) -> dict[str, Any]:
        """Return all inputs by the index of their call, decoded by the transformer.

        Raises:
            ApiError: One of them cannot be read.
        """
        if self.problem:
            raise ApiError.from_code(*self.problem)
        if not self.is_batch:
            inputs = {} if self.content is UNSET else {"0": self.content}
        elif isinstance(self.content, dict):
            inputs = self.content
        else:
            raise ApiError.from_code("BAD_REQUEST", _BATCH_INPUT_ERROR)
        repeats = superjson.Repeats(self.size)
        try:
            return (
                {index: _decode_envelope(one, repeats) for index, one in inputs.items()}
                if self.is_superjson
                else inputs
            )
        except (ValueError, RecursionError) as error:
            raise ApiError.from_code(self.superjson_error, f"the input is not superjson: {error}") from None

    def error_envelope(self, refusal: ApiError, path: str | None = None) -> tuple[int, dict[str, Any]]:
        """Return status and envelope of a refusal; a code that the version does not know has no number."""
        known = None if self.version < 11 and refusal.code in _ONLY_11 else CODES.get(refusal.code)  # noqa: PLR2004
        status = refusal.http_status if known or refusal.code not in CODES else None
        status = status or (known.http_status if known else 500)
        data = {"code": refusal.code, "httpStatus": status}
        if path is not None:
            data["path"] = path
        number = known.number if known else UNSET
        return status, {"error": {"message": refusal.message, "code": number, "data": {**data, **(refusal.data or {})}}}

    def encode(self, outcome: _Outcome) -> dict[str, Any]:
        """Return an envelope, encoded by the transformer."""
        content = outcome.content
        if not self.is_superjson:
            envelope: dict[str, Any] = content if outcome.is_json else javascript.to_json(content)
            return envelope
        if "error" in content:
            return {"error": superjson.encode(content["error"])}
        return {"result": {"data": superjson.encode(content["result"]["data"])}}


class _Exchange11(_Exchange):
    version, refusal_type, vary = 11, _TEXT, "trpc-accept, accept"
    encoding, json_error, superjson_error = "utf-8-sig", "BAD_REQUEST", "BAD_REQUEST"

    def is_batch_flag(self, flag: str) -> bool:
        return flag == "1"

    def query_input(self, text: str | None) -> str | None:
        return text or None

    def wants_stream(self) -> bool:
        headers = self.request.headers
        if "trpc-accept" in headers:
            return headers["trpc-accept"] == _JSONL
        return _JSONL in [one.strip() for one in headers.get("accept", "").split(",")]

    def parse_paths(self) -> list[str]:
        if self.request.method != "GET":
            content_type = self.request.headers.get("content-type")
            if not content_type:
                raise ApiError.from_code("UNSUPPORTED_MEDIA_TYPE", "Missing content-type header")
            if content_type.partition(";")[0].strip().lower() != _JSON:
                raise ApiError.from_code("UNSUPPORTED_MEDIA_TYPE", f'Unsupported content-type "{content_type}')
        path = self.path.removesuffix("/")
        try:
            path = javascript.decode_uri(path)
        except ValueError:
            raise ApiError.from_code("BAD_REQUEST", f'Invalid URL-encoding in path "{path}"') from None
        paths = path.split(",") if self.is_batch else [path]
        kinds = list(dict.fromkeys(known.kind for path in paths if (known := self.find(path))))
        if len(kinds) > 1:
            raise ApiError.from_code("BAD_REQUEST", f"Cannot mix procedure types in call: {', '.join(kinds)}")
        if self.wants_stream() and not self.is_batch:
            raise ApiError.from_code("BAD_REQUEST", "Streaming requests must be batched (you can do a batch of 1)")
        given = {} if self.content is UNSET else self.content
        if self.is_batch and isinstance(given, dict):  # inputs without a call are ignored
            self.content = {index: given[index] for index in map(str, range(len(paths))) if index in given}
        return paths

    def call(self, path: str, index: int) -> _Outcome:
        procedure, method = self.find(path), self.request.method
        if procedure is None:
            message = f'No procedure found on path "{path}"'
            return _Outcome(*self.error_envelope(ApiError.from_code("NOT_FOUND", message), path))
        allowed = _METHODS[procedure.kind]
        if method != allowed:
            message = f'Unsupported {method}-request to {procedure.kind} procedure at path "{path}"'
            return _Outcome(
                *self.error_envelope(ApiError.from_code("METHOD_NOT_SUPPORTED", message), path), allow=allowed
            )
        return self.run(path, procedure, index)

    def stream(self, outcomes: list[_Outcome]) -> Response:
        """Return all outcomes in one line, as all are known."""
        head = {str(index): [[outcome.content]] for index, outcome in enumerate(outcomes)}
        response = self.write(200, superjson.encode(head) if self.is_superjson else javascript.to_json(head))
        return response._replace(body=response.body + b"\n")


class _Exchange10(_Exchange):
    version, refusal_type, vary = 10, _JSON, None
    encoding, json_error, superjson_error = "utf-8", "PARSE_ERROR", "INTERNAL_SERVER_ERROR"

    def is_batch_flag(self, flag: str) -> bool:
        return bool(flag)

    def query_input(self, text: str | None) -> str | None:
        return text

    def wants_stream(self) -> bool:
        return self.is_batch and self.request.headers.get("trpc-batch-mode") == "stream"

    def parse_paths(self) -> list[str]:
        if self.request.body is None and self.problem:
            raise ApiError.from_code(*self.problem)
        if self.request.method not in _METHODS.values():
            raise ApiError.from_code("METHOD_NOT_SUPPORTED", f"Unexpected request method {self.request.method}")
        self.inputs = self.decode_inputs()
        if not self.is_batch:
            return [self.path]
        try:
            return javascript.decode_uri(self.path).split(",")
        except ValueError:
            raise ApiError.from_code("INTERNAL_SERVER_ERROR", "URI malformed") from None

    def call(self, path: str, index: int) -> _Outcome:
        procedure = self.find(path)
        wanted = next(kind for kind, method in _METHODS.items() if method == self.request.method)
        if procedure is None or procedure.kind != wanted:
            message = f'No "{wanted}"-procedure on path "{path}"'
            return _Outcome(*self.error_envelope(ApiError.from_code("NOT_FOUND", message), path))
        return self.run(path, procedure, index)

    def stream(self, outcomes: list[_Outcome]) -> Response:
        """Return one envelope a line, as its client reads them."""
        lines = [f'"{i}":{json.dumps(self.encode(one), allow_nan=False)}\n' for i, one in enumerate(outcomes)]
        headers = {"content-type": _JSON, "vary": "trpc-batch-mode"}
        return Response(200, ("{" + ",".join(lines) + "}").encode(), headers)


def _has_envelopes(content: Any, *, is_batch: bool) -> bool:
    inputs = content.values() if is_batch and isinstance(content, dict) else [content]
    return any(isinstance(one, dict) and "json" in one and one.keys() <= {"json", "meta"} for one in inputs)


def _decode_envelope(envelope: Any, repeats: superjson.Repeats) -> Any:
    """Return the value in an envelope of superjson; without `json` it is undefined, as in superjson itself."""
    if envelope is None:
        raise ValueError("null is not an envelope")
    if not isinstance(envelope, dict) or "json" not in envelope:
        return UNSET
    meta = envelope.get("meta")
    is_undefined = isinstance(meta, dict) and meta.get("values") == ["undefined"]
    return UNSET if is_undefined else superjson.decode(envelope, repeats)
