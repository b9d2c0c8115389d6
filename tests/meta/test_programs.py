"""The programs that tests start."""

from __future__ import annotations

import os

import pytest
from programs import missing


@pytest.mark.parametrize("program", ["trpc_client", "trpc_server"])
def test_ci_has_node(program: str) -> None:
    """Without Node a run leaves tests out, and only CI forbids that."""
    is_ci = bool(os.environ.get("CI"))

    assert not is_ci or missing(program) is None
