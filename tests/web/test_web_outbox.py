"""The outbox that the settings name, and the gate and the usage of a response that use it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import ChatarminOS, ConnectionFailed, InvalidInput, NotFoundError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.gate import UsageEvent
from chatarmin_os.outbox import OutboxUnavailable, Sender, SQLiteOutbox
from chatarmin_os.web.outbox import run_command
from chatarmin_os.web.services import Services
from chatarmin_os.web.settings import Settings, read
from chatarmin_os.web.usage import deliver, deliver_or_log

if TYPE_CHECKING:
    from pathlib import Path

CREDITS: dict[str, Any] = {"external_org_id": "org_1", "feature_code": "ai_credit"}
TRACK = "billing.trackUsage"


class World:
    """Services with an outbox, and the fake to which they lead."""

    def __init__(self, outbox: Any, **settings: Any) -> None:
        self.fake = FakeTransport(demo_catalogue())
        self.client = ChatarminOS(transport=self.fake)
        self.client.onboard(external_org_id="org_1", tier_code="free")
        settings = {"TRANSPORT": self.fake, "OUTBOX": outbox, **settings}
        self.services = Services(lambda: read(settings), Settings.make_cache)
        self.fake.calls.clear()

    @property
    def outbox(self) -> Any:
        """The outbox."""
        return self.services.outbox

    def remaining(self) -> Any:
        """Return the rest of the limit that the gate knows."""
        access = self.services.gate.check(**CREDITS).access
        assert access is not None
        return access.remaining

    def paths(self) -> list[str]:
        """Return the paths of the calls."""
        return [call.path for call in self.fake.calls]


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["text", "path"])
def test_path_is_an_outbox_in_a_file(tmp_path: Path, kind: Any) -> None:
    """A path makes an outbox there, once."""
    world = World(kind(tmp_path / "usage.db"))

    assert isinstance(world.outbox, SQLiteOutbox)
    assert world.outbox is world.outbox
    assert (tmp_path / "usage.db").is_file()
    world.services.close()


def test_outbox_may_be_given(tmp_path: Path) -> None:
    """An outbox stands for itself."""
    with SQLiteOutbox(tmp_path / "usage.db") as outbox:
        assert World(outbox).outbox is outbox


def test_there_may_be_no_outbox() -> None:
    """Without the setting no outbox is made, and usage is sent."""
    world = World(None)

    deliver(world.services, UsageEvent(**CREDITS, quantity=5))

    assert world.outbox is None
    assert TRACK in world.paths()


def test_url_is_refused_without_being_shown() -> None:
    """A URL may have a password."""
    settings = read({"OUTBOX": "redis://:secret@localhost"})

    with pytest.raises(InvalidInput) as raised:
        settings.ensure_valid()
    assert "secret" not in str(raised.value)


def test_usage_goes_into_the_outbox(tmp_path: Path) -> None:
    """Usage waits with its key and its instant, nothing is sent, and the gate subtracts it until it was."""
    world = World(tmp_path / "usage.db")
    event = UsageEvent(**CREDITS, quantity=5, idempotency_key="job-1")
    assert world.remaining() == 100

    deliver(world.services, event)

    assert TRACK not in world.paths()
    assert world.outbox.stats().ready == 1
    assert world.remaining() == 95
    assert Sender(world.services.client, world.outbox).drain().counted == 1
    assert world.remaining() == 95
    world.services.close()


def test_usage_is_stored_without_a_gate(tmp_path: Path) -> None:
    """A gate that cannot be made, as the key is missing, is no reason to lose usage."""
    world = World(tmp_path / "usage.db", TRANSPORT=None, API_KEY=" ", BASE_URL="https://localhost")

    deliver(world.services, UsageEvent(**CREDITS, quantity=5))

    assert world.outbox.stats().ready == 1
    world.services.close()


def test_usage_that_is_not_stored_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An outbox that cannot be opened changes no response; the log has the event."""
    world = World(tmp_path / "missing" / "usage.db")

    deliver_or_log(world.services, UsageEvent(**CREDITS, quantity=5, idempotency_key="job-1"), logging.getLogger("app"))

    assert '"idempotency_key": "job-1"' in caplog.text
    assert "OutboxUnavailable" in caplog.text


def test_gate_decides_without_its_outbox(tmp_path: Path) -> None:
    """An outbox that cannot be opened keeps nobody from a feature."""
    world = World(tmp_path / "missing" / "usage.db")

    assert world.remaining() == 100
    with pytest.raises(OutboxUnavailable):
        _ = world.outbox


def test_drain_without_the_procedure_names_the_setting(tmp_path: Path) -> None:
    """A wrong base URL is corrected in the settings, and not by an argument of Python."""
    world = World(tmp_path / "usage.db")
    world.outbox.put(**CREDITS, quantity=5)
    world.fake.fail(error=NotFoundError('No procedure found on path "a.b"', code="NOT_FOUND"), times=100)
    options = {"command": "drain", "follow": False, "deadline": None, "json": False}

    output, code = run_command(world.services, options)

    assert code == 1
    assert "no procedure 'a.b'" in output
    assert output.endswith("\ncheck BASE_URL of CHATARMIN_OS, which ends in /api/v1")
    assert json.loads(run_command(world.services, {**options, "json": True})[0])["stopped"] == "unauthorized"
    world.services.close()


def test_metered_block_ends_well_in_an_outage(tmp_path: Path) -> None:
    """The outbox takes the usage of a block that the service does not count."""
    world = World(tmp_path / "usage.db")
    world.fake.fail(TRACK, error=ConnectionFailed("lost"))

    with world.services.gate.metered(**CREDITS, quantity=5, idempotency_key="job-1") as use:
        pass

    assert use.result is None
    assert world.outbox.stats().ready == 1
    world.services.close()


@pytest.mark.parametrize(("command", "expected"), [("drain", 1), ("status", 0)])
def test_drain_into_the_fake_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, command: str, expected: int
) -> None:
    """A sender without a key would deliver to a service that ends with its process."""
    SQLiteOutbox(tmp_path / "usage.db").close()
    services = Services(lambda: read({"TRANSPORT": "fake", "OUTBOX": tmp_path / "usage.db"}), Settings.make_cache)
    options = {"command": command, "json": False, "follow": False, "deadline": None}

    _, code = run_command(services, options)

    assert code == 0
    assert (
        caplog.messages
        == ["CHATARMIN_OS.TRANSPORT is 'fake': usage goes to a service in the memory of this process"] * expected
    )
    services.close()
