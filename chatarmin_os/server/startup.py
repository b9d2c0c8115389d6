"""Why the service cannot start."""

from __future__ import annotations


class StartupError(Exception):
    """The service cannot start: a library is missing, a port is in use, or a state file cannot be used."""
