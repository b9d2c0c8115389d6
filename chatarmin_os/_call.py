"""One call in wire names: the input of every transport."""

from __future__ import annotations

from copy import copy

from attrs import field, frozen

from chatarmin_os._json import JSON, copy_json, private_repr
from chatarmin_os._request import Kind
from chatarmin_os.errors import ChatarminError


@frozen
class Call:
    """One call in wire names.

    Attributes:
        path: The procedure's path, such as `"features.check"`.
        kind: `"query"` reads, `"mutation"` changes.
        input: The input as JSON; None if the procedure has no input. The repr shortens e-mail addresses in it.
        safe_to_repeat: Whether running it twice has the same effect as running it once.

    Example:
        >>> from chatarmin_os.transports import Call
        >>> client.transport.send(Call("tiers.list", "query"))[0]
        {'code': 'free', 'name': 'Free'}
    """

    path: str
    kind: Kind
    input: JSON = field(default=None, repr=private_repr)
    safe_to_repeat: bool = False


def copy_error(error: ChatarminError) -> ChatarminError:
    """Return an equal error without a request, which shares no JSON with *error*."""
    clone = copy(error)
    clone.request = None
    clone.__dict__.update({name: copy_json(value) for name, value in vars(clone).items()})
    clone.__cause__, clone.__context__ = error.__cause__, error.__context__
    clone.__suppress_context__ = error.__suppress_context__
    return clone
