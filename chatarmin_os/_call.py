"""A call as it goes to the service."""

from __future__ import annotations

from copy import copy

from attrs import field, frozen

from chatarmin_os._json import JSON, copy_json, private_repr
from chatarmin_os._request import Kind
from chatarmin_os.errors import ChatarminError


@frozen
class Call:
    """One call as it travels, in the wire's names.

    Attributes:
        path: The procedure's path, such as `"features.check"`.
        kind: `"query"` reads, `"mutation"` changes.
        input: The input as JSON; None where the procedure has none. A repr shortens e-mail addresses in it.
        safe_to_repeat: Whether carrying it out twice is as good as once.
    """

    path: str
    kind: Kind
    input: JSON = field(default=None, repr=private_repr)
    safe_to_repeat: bool = False


def copy_error(error: ChatarminError) -> ChatarminError:
    """Return an error that tells the same, of no request yet; what a user may change in one does not change in both."""
    twin = copy(error)
    twin.request = None
    twin.__dict__.update({name: copy_json(value) for name, value in vars(twin).items()})
    twin.__cause__, twin.__context__ = error.__cause__, error.__context__
    twin.__suppress_context__ = error.__suppress_context__
    return twin
