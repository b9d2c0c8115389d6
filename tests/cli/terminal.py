"""A terminal, for commands with a prompt."""

from __future__ import annotations

import io


class Terminal(io.StringIO):
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True
