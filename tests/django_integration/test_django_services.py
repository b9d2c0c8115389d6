"""One client and one gate per process, made from the settings when they are first needed."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.test import override_settings

from chatarmin_os import ChatarminOS, InvalidInput
from chatarmin_os.django import get_client, get_gate, get_outbox
from chatarmin_os.fake import FakeTransport
from chatarmin_os.integrations.django import services
from chatarmin_os.transports import HTTPTransport

pytest_plugins = ["django_project.fixtures"]

ROOT = Path(__file__).parents[2]


def test_there_is_one_of_each() -> None:
    """Each call returns the same client and the same gate, which is that of the client; there is no outbox."""
    assert get_client() is get_client()
    assert get_gate() is get_gate()
    assert get_gate().client is get_client()
    assert get_outbox() is None


def test_overridden_settings_make_new_ones_and_restore() -> None:
    """Nested overrides have their own client and gate; what was there before comes back."""
    before = get_client(), get_gate()

    with override_settings(CHATARMIN_OS={"TRANSPORT": "fake"}):
        outer = get_client(), get_gate()
        with override_settings(CHATARMIN_OS={"TRANSPORT": "fake"}):
            inner = get_client(), get_gate()
        assert (get_client(), get_gate()) == outer
    assert (get_client(), get_gate()) == before

    assert len({*map(id, [*before, *outer, *inner])}) == 6


def test_there_is_one_outbox_of_the_settings_in_force() -> None:
    """Each call returns the same one; an override has its own, and what was there before comes back."""
    with override_settings(CHATARMIN_OS={"TRANSPORT": "fake", "OUTBOX": "django"}):
        outer = get_outbox()
        assert outer is get_outbox()
        with override_settings(CHATARMIN_OS={"TRANSPORT": "fake", "OUTBOX": "django"}):
            assert get_outbox() is not outer
        assert get_outbox() is outer
    assert get_outbox() is None


def test_forked_child_has_the_outbox(tmp_path: Path) -> None:
    """A child that is forked while its parent has an outbox in a file puts into the same one."""
    usage: dict[str, Any] = {"external_org_id": "org_1", "feature_code": "seats", "quantity": 1}
    with override_settings(CHATARMIN_OS={"TRANSPORT": "fake", "OUTBOX": tmp_path / "usage.db"}):
        outbox = get_outbox()
        assert outbox is not None
        outbox.put(**usage)
        child = os.fork()
        if child == 0:
            try:
                assert get_outbox() is outbox
                outbox.put(**usage)
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)

        assert os.waitstatus_to_exitcode(status) == 0
        assert outbox.stats().ready == 2
        outbox.close()


def test_other_settings_change_nothing() -> None:
    """Only CHATARMIN_OS has an effect."""
    before = get_client()

    with override_settings(DEBUG=True):
        assert get_client() is before


def test_client_of_an_override_is_closed() -> None:
    """When the settings are restored, the connections of the overriding client end."""

    class Closing(FakeTransport):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    transport = Closing()
    with override_settings(CHATARMIN_OS={"TRANSPORT": transport}):
        get_client()
        assert transport.closed == 0
    assert transport.closed == 1

    with override_settings(CHATARMIN_OS={"TRANSPORT": transport}):
        pass  # no client was made
    assert transport.closed == 1


def test_import_inside_an_override(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the module is imported inside an override, the end of that makes new services."""
    monkeypatch.setattr(services, "_services", [services._make()])
    before = get_client()

    services._follow(setting="CHATARMIN_OS", enter=False)

    assert get_client() is not before
    assert len(services._services) == 1


def test_settings_are_read_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key may come from the environment at the first call; until then nothing fails."""
    monkeypatch.delenv("OS_API_KEY", raising=False)

    with override_settings(CHATARMIN_OS=None):
        with pytest.raises(InvalidInput, match="OS_API_KEY"):
            get_gate()
        monkeypatch.setenv("OS_API_KEY", "os_sk_test")
        assert isinstance(get_client().transport, HTTPTransport)


def test_settings_reach_client_and_gate() -> None:
    """The options are those of the settings, with the defaults that the documentation names."""
    with override_settings(CHATARMIN_OS={"API_KEY": "os_sk_test", "BASE_URL": "https://localhost:1/api/v1"}):
        assert "https://localhost:1/api/v1" in repr(get_client().transport)
        assert "os_sk_test" not in repr(vars(get_client()))


def test_invalid_settings_are_named() -> None:
    """All problems are in one error."""
    with (
        override_settings(CHATARMIN_OS={"TRANSPRT": "fake", "TIMEOUT": "soon"}),
        pytest.raises(InvalidInput, match=r"TRANSPRT.*TIMEOUT"),
    ):
        get_client()


def test_threads_get_the_same() -> None:
    """Threads that come first at the same time get the same client and gate."""
    found: list[Any] = []
    barrier = Barrier(20)

    def ask() -> None:
        barrier.wait()
        found.append((get_gate(), get_client()))

    with override_settings(CHATARMIN_OS={"TRANSPORT": "fake"}):
        threads = [Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len({(id(gate), id(client)) for gate, client in found}) == 1
    assert found[0][0].client is found[0][1]


def test_forked_child_has_client_and_gate() -> None:
    """A child that is forked while its parent has a client uses the same one, with its own connections."""
    with override_settings(CHATARMIN_OS={"TRANSPORT": "fake"}):
        get_client().onboard(external_org_id="org_1", tier_code="free")
        child = os.fork()
        if child == 0:
            decision = get_gate().check(external_org_id="org_1", feature_code="seats")
            os._exit(0 if decision.allowed else 1)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


class Shared(FakeTransport):
    """A fake whose decisions may be shared."""

    def fingerprint(self) -> str:
        """Return the name of the product."""
        return "product"


def test_cache_is_shared() -> None:
    """With CACHE a second process, here a second gate, asks the cache and not the service."""
    fake = Shared.from_snapshot(_snapshot())
    options = {"TRANSPORT": fake, "CACHE": "default"}
    caches["default"].clear()
    for _ in range(2):
        with override_settings(CHATARMIN_OS=options):
            assert get_gate().check(external_org_id="org_1", feature_code="seats")

    assert len(fake.calls) == 1


def _snapshot() -> Any:
    from chatarmin_os.fake import demo_catalogue

    fake = FakeTransport(demo_catalogue())
    ChatarminOS(transport=fake).onboard(external_org_id="org_1", tier_code="free")
    return fake.snapshot()


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("chatarmin_os.django", "django", "django"),
        ("chatarmin_os.django.test", "django", "django"),
        ("chatarmin_os.django.rest_framework", "rest_framework", "rest"),
    ],
    ids=["django", "test", "rest-framework"],
)
def test_missing_framework_is_named(module: str, missing: str, extra: str) -> None:
    """Without the framework the import fails with the command that installs it."""
    code = f"import sys; sys.modules[{missing!r}] = None; import {module}"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603

    assert f"ImportError: {module.removesuffix('.test')} needs" in done.stderr
    assert f"pip install 'chatarmin-os[{extra}]'" in done.stderr


@pytest.mark.parametrize(
    ("file", "missing"),
    [("__init__.py", "django"), ("rest_framework.py", "rest_framework.exceptions")],
    ids=["django", "rest-framework"],
)
def test_file_needs_its_framework(file: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, in this process."""
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(ImportError, match=r"pip install 'chatarmin-os\["):
        runpy.run_path(str(ROOT / "chatarmin_os" / "integrations" / "django" / file))


def test_nothing_imports_a_framework() -> None:
    """`import chatarmin_os` imports neither Django nor this integration."""
    code = "import sys, chatarmin_os; print([name for name in sys.modules if 'django' in name])"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stdout == "[]\n"


class BrokenCache(BaseCache):
    """A cache that fails, or that has what nobody put there."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        """Take what it has; blank for a cache that fails."""
        super().__init__(params)
        self._found = location

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:  # noqa: ARG002 - the interface
        """Return what it has."""
        if not self._found:
            raise ConnectionError("no cache")
        return self._found

    def set(self, key: str, value: Any, timeout: Any = None, version: int | None = None) -> None:  # noqa: ARG002
        """Fail, or forget."""
        if not self._found:
            raise ConnectionError("no cache")


@pytest.mark.parametrize(
    "found", ["", "garbage", '{"features": []}', "[" * 5_000], ids=["fails", "text", "json", "deep"]
)
def test_broken_cache_is_a_miss(found: str) -> None:
    """If the cache fails, or has garbage, the service is asked, and its answer counts."""
    broken = {"BACKEND": f"{__name__}.BrokenCache", "LOCATION": found}
    fake = Shared.from_snapshot(_snapshot())
    with override_settings(
        CACHES={"default": broken, "other": broken}, CHATARMIN_OS={"TRANSPORT": fake, "CACHE": "other"}
    ):
        allowed = get_gate().check(external_org_id="org_1", feature_code="seats").allowed
        denied = get_gate().check(external_org_id="org_1", feature_code="sso").allowed

    assert (allowed, denied) == (True, False)
    assert len(fake.calls) == 1


def test_cache_that_is_missing_is_named() -> None:
    """The error names the alias."""
    with (
        override_settings(CHATARMIN_OS={"TRANSPORT": "fake", "CACHE": "missing"}),
        pytest.raises(InvalidInput, match="missing"),
    ):
        get_gate()
