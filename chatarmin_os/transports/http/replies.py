"""The meaning of a complete response: the envelopes in it, or why it is not the service's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._messages import without_query
from chatarmin_os.errors import ApiError, InvalidResponse, RateLimitError, ServerError
from chatarmin_os.transports.http import retry
from chatarmin_os.transports.http.failures import Failure
from chatarmin_os.trpc import client
from chatarmin_os.trpc.superjson import Repeats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatarmin_os._call import Call
    from chatarmin_os.transports.http.channel import Reply
    from chatarmin_os.transports.http.redaction import Redactor
    from chatarmin_os.transports.http.retry import Repeat
    from chatarmin_os.trpc.client import Envelope

_MAX_EXCERPT, _MAX_REASON = 200, 80
_OK, _NOT_FOUND = 200, 404


class Replies:
    """It reads the responses of one host."""

    def __init__(self, host: str, redactor: Redactor) -> None:
        self._host, self._redactor = host, redactor

    def parse_envelopes(self, reply: Reply, calls: Sequence[Call]) -> list[Envelope] | Failure:
        """Return an envelope for each call, or one with the error of the whole request."""
        try:
            content = client.parse(reply.body)
            items = content if len(calls) > 1 and isinstance(content, list) else [content]
            repeats = Repeats(len(reply.body))
            envelopes = [envelope for item in items if (envelope := client.parse_envelope(item, repeats))]
        except (ValueError, RecursionError) as error:
            return self.unexpected(reply, f"invalid JSON ({self._redactor.show(str(error), _MAX_REASON)})")
        is_refused_whole = len(calls) > 1 and isinstance(content, dict) and envelopes and envelopes[0].error is not None
        if len(envelopes) != len(items) or not (len(envelopes) == len(calls) or is_refused_whole):
            return self.unexpected(reply, f"no tRPC envelope for each of {len(calls)} call(s)")
        return envelopes

    def unexpected(self, reply: Reply, reason: str, repeat: Repeat | None = None) -> Failure:
        """Return the failure for a response that is not the service's; its status says which calls may be retried."""
        text = without_query(reply.body[: 4 * _MAX_EXCERPT].decode(errors="replace"))
        excerpt = self._redactor.show(text, _MAX_EXCERPT)
        content_type = self._redactor.show(reply.content_type, _MAX_REASON)
        if text.lstrip()[:1] == "<" and reply.status in {_OK, _NOT_FOUND}:
            reason = "not a tRPC response but a page; check the base URL"
        message = f"{self._host}: status {reply.status}, {reason}: {content_type}: {excerpt!r}"
        wait = retry.retry_after(reply.status, reply.retry_after)
        error = InvalidResponse(message, retry_after=wait, http_status=reply.status)
        return Failure(error, repeat or retry.after_status(reply.status))

    def to_error(self, reply: Reply, envelope: Envelope, call: Call) -> ApiError:
        """Return the exception for the refusal of a call."""
        error = self._redactor.redact_json(envelope.error)
        refusal = client.to_error(error, status=reply.status, path=call.path, request_id=reply.request_id)
        if isinstance(refusal, (RateLimitError, ServerError)):
            # The status of a batch belongs to none of its calls, and the batch has one header for all of them.
            refusal.retry_after = retry.retry_after(refusal.http_status or 0, reply.retry_after)
        return refusal
