"""Checks of features that other libraries answer from memory, each made ready on loopback or without a network."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FEATURE, ORGANISATION = "ai_credit", "org_1"
_FOREVER_MILLISECONDS = 10**10

SCHEMATIC_PATH = f"/schematic/flags/{FEATURE}/check"
SCHEMATIC_ANSWER = {"data": {"flag": FEATURE, "value": True, "reason": "match"}, "params": {}}


def peers(url: str) -> tuple[dict[str, Callable[[], object]], list[str]]:
    """Return the checks of the peers that are installed, by name, and the names of those that are not."""
    found: dict[str, Callable[[], object]] = {}
    missing = []
    for distribution, (prepared, what) in _PEERS.items():
        try:
            check = prepared(url)
        except ImportError:
            missing.append(f"`{distribution}`")
        else:
            assert check() is True, distribution
            release = ".".join(version(distribution).split(".")[:2])
            found[f"{distribution} {release}: {what}"] = check
    return found, missing


def _schematic(url: str) -> Callable[[], object]:
    library, caches = import_module("schematic.client"), import_module("schematic.cache")
    settings = library.SchematicConfig(
        base_url=f"{url}/schematic",
        event_capture_url=f"{url}/schematic",
        cache_providers=[caches.LocalCache(1000, _FOREVER_MILLISECONDS)],
    )
    client = library.Schematic("benchmark", settings)
    return lambda: client.check_flag(FEATURE, company={"id": ORGANISATION})


def _launchdarkly(_: str) -> Callable[[], object]:
    library, test_data = import_module("ldclient"), import_module("ldclient.integrations.test_data")
    source = test_data.TestData.data_source()
    source.update(source.flag(FEATURE).variation_for_all(True))
    config = library.Config("benchmark", update_processor_class=source, send_events=False, diagnostic_opt_out=True)
    client = library.LDClient(config)
    context = library.Context.builder(ORGANISATION).kind("organisation").build()
    return lambda: client.variation(FEATURE, context, False)


def _posthog(url: str) -> Callable[[], object]:
    client = import_module("posthog").Posthog("benchmark", host=url, send=False, enable_local_evaluation=False)
    filters = {"groups": [{"properties": [], "rollout_percentage": 100}]}
    client.feature_flags = [{"id": 1, "key": FEATURE, "active": True, "filters": filters}]

    def check() -> object:
        return client.evaluate_flags(ORGANISATION, flag_keys=[FEATURE], only_evaluate_locally=True).is_enabled(FEATURE)

    return check


_PEERS: dict[str, tuple[Callable[[str], Callable[[], object]], str]] = {
    "schematichq": (_schematic, "`check_flag`, from its `LocalCache`"),
    "launchdarkly-server-sdk": (_launchdarkly, "`variation`, of `TestData`"),
    "posthog": (_posthog, "`evaluate_flags` and `is_enabled`, locally"),
}
