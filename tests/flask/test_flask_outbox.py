"""Usage of requests that is put into an outbox."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from flask_apps import ACME, Shop
from unwritable import UNWRITABLE

from chatarmin_os import ConnectionFailed, InvalidInput
from chatarmin_os.flask import Chatarmin
from chatarmin_os.integrations.flask.commands import group
from chatarmin_os.outbox import Sender, SQLiteOutbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TextIO

TRACK = "billing.trackUsage"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Return a shop with an outbox."""
    shop = Shop(OUTBOX=tmp_path / "usage.db")

    @shop.app.get("/<int:status>")
    def track(status: int) -> Any:
        shop.chatarmin.track_usage("ai_credit", 5, idempotency_key="job-1")
        assert _waiting(shop) == 0
        return "fine", status

    yield shop
    with shop.app.app_context():
        outbox = shop.chatarmin.outbox
        assert outbox is not None
        outbox.close()


def _waiting(shop: Shop) -> int:
    """Return how many events wait."""
    with shop.app.app_context():
        outbox = shop.chatarmin.outbox
        assert isinstance(outbox, SQLiteOutbox)
        assert outbox is shop.chatarmin.outbox
        return outbox.stats().ready


@pytest.mark.parametrize(("status", "count"), [(200, 1), (404, 0)])
def test_usage_is_stored_after_the_response(shop: Shop, status: int, count: int) -> None:
    """Usage of a request that succeeds waits in the outbox, and nothing is sent."""
    assert shop.browser.get(f"/{status}", headers=ACME).status_code == status

    assert _waiting(shop) == count
    assert TRACK not in shop.paths


def test_response_does_not_wait_for_the_service(shop: Shop) -> None:
    """While the service does not answer, usage is stored, and a sender reports it later."""
    shop.fake.fail(error=ConnectionFailed("lost"), times=1)

    shop.browser.get("/200", headers=ACME)
    assert len(shop.fake.calls) == 0

    with shop.app.app_context():
        assert shop.chatarmin.outbox is not None
        sender = Sender(shop.chatarmin.client, shop.chatarmin.outbox, random=lambda: 0.0)
    assert sender.drain().stopped == "outage"
    assert _waiting(shop) == 1


def test_usage_outside_of_a_request_is_stored(shop: Shop) -> None:
    """A job has its usage stored at once."""
    with shop.app.app_context():
        shop.chatarmin.track_usage("ai_credit", 5, external_org_id="org_1")

    assert _waiting(shop) == 1
    assert shop.paths == []


def test_metered_block_ends_well_in_an_outage(shop: Shop) -> None:
    """The outbox takes what the service does not count."""
    shop.fake.fail(TRACK, error=ConnectionFailed("lost"))

    with shop.app.test_request_context(headers=ACME), shop.chatarmin.metered("ai_credit", 5) as use:
        pass

    assert use.result is None
    assert _waiting(shop) == 1


def test_usage_that_is_not_stored_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An outbox that cannot be opened leaves the response as it is."""
    shop = Shop(OUTBOX=str(tmp_path / "missing" / "usage.db"))

    @shop.app.get("/")
    def track() -> str:
        shop.chatarmin.track_usage("ai_credit", 5, idempotency_key="job-1")
        return "fine"

    assert shop.browser.get("/", headers=ACME).text == "fine"
    _, _, event = caplog.text.partition("with its key: ")
    assert json.loads(event.splitlines()[0])["idempotency_key"] == "job-1"


def test_each_app_has_its_own_outbox(shop: Shop, tmp_path: Path) -> None:
    """Two apps of one process store their usage apart."""
    other = Shop(OUTBOX=SQLiteOutbox(tmp_path / "other.db"))

    for one in (shop, shop, other):
        with one.app.app_context():
            one.chatarmin.track_usage("ai_credit", 5, external_org_id="org_1")

    assert [_waiting(shop), _waiting(other)] == [2, 1]
    with other.app.app_context():
        assert other.chatarmin.outbox is not None
        other.chatarmin.outbox.close()


def test_outbox_of_django_is_refused() -> None:
    """Flask has no database of Django."""
    app = Flask("shop")
    app.config["CHATARMIN_OS"] = {"TRANSPORT": "fake", "OUTBOX": "django"}

    with pytest.raises(InvalidInput, match=r"OUTBOX: 'django' is the outbox of a Django project; pass a path"):
        Chatarmin(app)


# Commands


def _run(shop: Shop, *arguments: str) -> tuple[int, str]:
    """Return exit code and output of `flask chatarmin outbox`."""
    result = shop.app.test_cli_runner().invoke(args=["chatarmin", "outbox", *arguments])
    return result.exit_code, result.output


def test_commands_send_and_show_events(shop: Shop) -> None:
    """The commands are those of `chatarmin-os outbox`, with its exit codes."""
    with shop.app.app_context():
        shop.chatarmin.track_usage("ai_credit", 5, external_org_id="org_1")
        shop.chatarmin.track_usage("unknown", 5, external_org_id="org_1", idempotency_key="job-1")

    code, text = _run(shop, "drain", "--json")
    assert (code, json.loads(text)["counted"], json.loads(text)["refused"]) == (4, 1, 1)
    code, text = _run(shop, "dead")
    assert code == 4
    assert "job-1" in text
    assert _run(shop, "discard", "job-1") == (0, "1 event discarded.\n")
    assert _run(shop, "status")[0] == 0


def test_commands_make_no_file(tmp_path: Path) -> None:
    """An outbox that nobody has used yet is wrong usage, as is no command."""
    shop = Shop(OUTBOX=tmp_path / "usage.db")

    code, text = _run(shop, "status")

    assert code == 2
    assert text.startswith("flask chatarmin: CHATARMIN_OS.OUTBOX: ")
    assert list(tmp_path.iterdir()) == []
    assert _run(shop) == (
        2,
        "flask chatarmin: a command is missing; pass one of status, drain, dead, revive, discard\n",
    )
    assert _run(shop, "drain", "--deadline", "soon")[0] == 2
    assert _run(shop, "--help")[0] == 0
    assert "decide about dead events" in shop.app.test_cli_runner().invoke(args=["chatarmin", "--help"]).output


def test_commands_open_a_file_that_is_there(shop: Shop, tmp_path: Path) -> None:
    """An outbox of another process is opened as it is."""
    with shop.app.app_context():
        shop.chatarmin.track_usage("ai_credit", 5, external_org_id="org_1")
    other = Shop(OUTBOX=tmp_path / "usage.db")

    code, text = _run(other, "status", "--json")

    assert (code, json.loads(text)["ready"]) == (0, 1)
    _waiting(other)
    with other.app.app_context():
        assert other.chatarmin.outbox is not None
        other.chatarmin.outbox.close()


@pytest.mark.parametrize(("make", "code", "problem"), UNWRITABLE)
@pytest.mark.parametrize("arguments", [["outbox", "status"], ["outbox", "--help"], ["check", "org_1", "ai_credit"]])
def test_output_that_cannot_be_written(  # noqa: PLR0917 - the parameters of the test
    shop: Shop,
    make: Callable[[], TextIO],
    code: int,
    problem: str,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A pipe whose reader is gone is no error, and a full disk is one: as of `chatarmin-os`."""
    with shop.app.app_context(), make() as stream:
        assert shop.chatarmin.outbox is not None
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit) as ended:
            group.main(arguments, standalone_mode=False)
        monkeypatch.undo()

    assert ended.value.code == code
    assert capsys.readouterr().err == (f"flask chatarmin: {problem}" if problem else "")
