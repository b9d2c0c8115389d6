"""An app for gunicorn: the client of the whole app makes calls when the app is imported, so before gunicorn forks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from echoing import asked

from chatarmin_os import ChatarminOS

if TYPE_CHECKING:
    from collections.abc import Callable

client = ChatarminOS(timeout=60)
warmth = [asked(client, f"warm_{call}") for call in range(3)]


def app(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]) -> list[bytes]:
    """Answer with the name of the feature whose code is the path."""
    code = environ["PATH_INFO"].removeprefix("/")
    name = str(client.features.check(company_id="c", feature_code=code).feature_name)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [name.encode()]
