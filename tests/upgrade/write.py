"""Write the files of this folder's tests, with the version that is installed: python tests/upgrade/write.py [FOLDER].

FOLDER is by default the folder of that version, and must not exist. Another version is written with a clean environment
into which that version, with nothing else, was installed:

    git archive COMMIT | tar -x -C old && python3 -m venv v && v/bin/pip install ./old
    v/bin/python -I tests/upgrade/write.py

A folder is never written again: its files are those of users who upgrade. `0.1.0` was written from the last commit of
that version, d51662e, under Python 3.11.
"""

from __future__ import annotations

import base64
import json
import pickle
import shutil
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # no package, and isolated mode leaves it out

import upgrade_samples as samples

from chatarmin_os import ChatarminOS, __version__
from chatarmin_os.fake.server import FakeService, StateFile
from chatarmin_os.transports import RecordingTransport
from chatarmin_os.transports.redactors import personal_data

if TYPE_CHECKING:
    from collections.abc import Iterator

PAID = ["price_pro_base"]


def write_snapshot(folder: Path) -> None:
    """Write the state of a fake."""
    fake = samples.prepared_fake()
    samples.use(ChatarminOS(transport=fake), fake.stripe.add_checkout_session(PAID))
    _write_json(folder / "snapshot.json", fake.snapshot())


def write_recording(folder: Path, name: str, **options: Any) -> None:
    """Record the calls of the sample, by ids that tests know."""
    fake = samples.prepared_fake()
    session = fake.stripe.add_checkout_session(PAID)
    with ChatarminOS(transport=RecordingTransport(fake, folder / name, **options)) as client:
        company = samples.use(client, session)
        samples.facts(client)
    text = (folder / name).read_text(encoding="utf-8")
    text = text.replace(company, samples.COMPANY).replace(session, samples.SESSION)
    (folder / name).write_text(text, encoding="utf-8")


def write_pickles(folder: Path) -> None:
    """Pickle requests, models and errors as queues and caches do."""
    groups = {"requests": samples.requests(), "models": samples.models(), "errors": samples.errors()}
    pickles = {
        group: {name: base64.b64encode(pickle.dumps(one, protocol=4)).decode() for name, one in objects.items()}
        for group, objects in groups.items()
    }
    _write_json(folder / "pickles.json", pickles)


def write_public_names(folder: Path) -> None:
    """Write the names and parameters that programs may use."""
    lines = (" ".join([name, *parameters]) for name, parameters in samples.public_names().items())
    (folder / "public_names.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_state(folder: Path) -> None:
    """Save two products as `chatarmin-os serve --state` does."""
    fake = samples.prepared_fake()
    samples.use(ChatarminOS(transport=fake), fake.stripe.add_checkout_session(PAID))
    service = FakeService({"os_sk_upgrade_1": fake, "os_sk_upgrade_2": samples.prepared_fake()})
    with TemporaryDirectory() as scratch:  # a server keeps other files next to it
        with StateFile(Path(scratch) / "state", service.products):
            pass
        shutil.copy(Path(scratch) / "state", folder / "state")


def write_requests_as_json(folder: Path) -> None:
    """Write requests as queues that store JSON do."""
    _write_json(folder / "requests.json", {name: one.to_json() for name, one in samples.requests().items()})


def write_outboxes(folder: Path) -> None:
    """Write outboxes with an event that is ready, one that was tried, and a dead one."""
    from redis_server import RedisServer

    from chatarmin_os.outbox import RedisOutbox, SQLiteOutbox

    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "outbox.db"
        with closing(SQLiteOutbox(path, now=samples.NOON.timestamp)) as outbox:
            service = _fill(outbox)
        shutil.copy(path, folder / "outbox.db")
        _write_json(folder / "outbox_service.json", service)
    options = ("--appendonly", "yes", "--aof-use-rdb-preamble", "no")  # commands, which every Redis can read
    with TemporaryDirectory() as scratch, RedisServer(Path(scratch), *options) as server:
        with closing(RedisOutbox(server.client, now=samples.NOON.timestamp)) as outbox:
            service = _fill(outbox)
        (log,) = Path(scratch).glob("appendonlydir/*.incr.aof")
        commands = list(_commands(log.read_bytes()))
        _write_json(folder / "redis_outbox.json", {"service": service, "commands": commands})


def _fill(outbox: Any) -> Any:
    """Fill an outbox; return a snapshot of the service."""
    from chatarmin_os.outbox import Sender

    fake = samples.prepared_fake()
    client = ChatarminOS(transport=fake)
    client.onboard(external_org_id="org_1", tier_code="free")
    outbox.put(external_org_id="org_1", feature_code="teapot", quantity=1, idempotency_key="dead")
    sender = Sender(client, outbox, now=samples.NOON.timestamp, random=lambda: 0.0)
    sender.drain()
    fake.fail("billing.trackUsage", error="lost", after=True)
    of = {"external_org_id": "org_1", "feature_code": "ai_credit"}
    outbox.put(**of, quantity=2.5, idempotency_key="tried", metadata={"job": 17})
    sender.drain()
    outbox.put(**of, quantity=5, idempotency_key="ready")
    return fake.snapshot()


def _commands(log: bytes) -> Iterator[list[str]]:
    """Yield the commands of a log that Redis appends to, except those about transactions and databases."""
    lines = iter(log.split(b"\r\n"))
    for head in lines:
        if not head.startswith(b"*"):  # comments and the end
            continue
        words = [next(lines).decode() for _ in range(2 * int(head[1:]))][1::2]
        if words[0].upper() not in {"SELECT", "MULTI", "EXEC"}:
            yield words


def write_checkpoint(folder: Path) -> None:
    """Write the checkpoint of a backfill with one row that failed."""
    from chatarmin_os.backfill import Backfill

    fake = samples.prepared_fake()
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "checkpoint"
        Backfill(lambda: ChatarminOS(transport=fake), checkpoint=path, workers=1).run(samples.rows())
        shutil.copy(path, folder / "checkpoint")
    _write_json(folder / "checkpoint_service.json", fake.snapshot())


def write_gate_records(folder: Path) -> None:
    """Write the records that gates share: of a linked organisation, and of one that the service does not know."""
    from chatarmin_os.gate import Gate

    fake = samples.prepared_fake()
    samples.use(ChatarminOS(transport=fake), fake.stripe.add_checkout_session(PAID))
    records = samples.Records()
    gate = Gate(ChatarminOS(transport=samples.Identified(fake)), shared=records)
    for organisation in ("org_1", "org_unknown"):
        gate.check(external_org_id=organisation, feature_code="ai_credit")
    _write_json(folder / "gate_records.json", records.values)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main(folder: Path) -> None:
    """Write everything that this version writes."""
    folder.mkdir()
    write_public_names(folder)
    write_snapshot(folder)
    write_recording(folder, "recording.jsonl")
    write_recording(folder, "recording_redacted.jsonl", redact=personal_data)
    write_pickles(folder)
    write_state(folder)
    if __version__ == "0.1.0":
        return
    write_recording(folder, "recording_with_prologue.jsonl", prologue=True)
    write_requests_as_json(folder)
    write_outboxes(folder)
    write_checkpoint(folder)
    write_gate_records(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / __version__)
