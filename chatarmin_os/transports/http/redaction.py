"""Foreign text and JSON as they may be shown: without the key, and not long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._messages import printable
from chatarmin_os.trpc.client import map_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os._json import JSON

_MAX_MESSAGE = 600


class Redactor:
    """It removes the key wherever a service, or a library, writes it down."""

    def __init__(self, redact: Callable[[bytes], bytes]) -> None:
        self.redact = redact

    def redact_json(self, content: JSON) -> JSON:
        """Redact the keys and values of JSON, however deep, in place."""
        return map_text(content, self.redact_text)

    def redact_text(self, text: str) -> str:
        """Return the text without the key."""
        return self.redact(text.encode(errors="surrogatepass")).decode(errors="surrogatepass")

    def show(self, text: str, max_length: int = _MAX_MESSAGE) -> str:
        """Return foreign text for a message: without the key and control characters, and not long."""
        return printable(self.redact_text(text), max_length)
