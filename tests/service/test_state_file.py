"""What a service knows is kept in a file, which is a good one at every moment."""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import logging
import os
import random
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from chatarmin_os import ApiError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import CannotServe, StateFile
from chatarmin_os.server import state as _state_file
from chatarmin_os.server.products import Products
from chatarmin_os.server.view import view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os.server.products import Product

KEY = "os_sk_live_secret_of_the_tests"
SCRIPT = Path(__file__).with_name("keeping_state.py")
FULL = bool(os.environ.get("CHATARMIN_FULL"))
KILLS = 30 if FULL else 5
_log = logging.getLogger(__name__)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a state file may be."""
    return tmp_path / "state.json"


def _product(products: Products, api_key: str = KEY) -> Product:
    return products.of({"x-api-key": api_key})


def _create(product: Product, number: int = 1) -> None:
    product.answer("companies.create", "mutation", {"name": f"Company {number}", "externalOrgId": f"org_{number}"})


def _wait(is_so: Callable[[], bool]) -> None:
    while not is_so():
        time.sleep(0.001)


def test_what_was_kept_is_there_again(path: Path) -> None:
    """Each product with its id, name and state, and under the same key; calls and faults are not kept."""
    products = Products()
    with StateFile(path, products):
        _create(_product(products))
        _create(_product(products, "os_sk_other"), 2)
        _product(products).fake.fail(error="CONFLICT")
    again = Products()
    StateFile(path, again)

    assert [(one.id, one.name) for one in again] == [(one.id, one.name) for one in products]
    assert _product(again).fake.snapshot() == _product(products).fake.snapshot()
    assert _product(again).calls() == []
    _create(_product(again), 3)
    assert len(list(again)) == 2


def test_it_is_saved_while_it_is_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon after every change."""
    monkeypatch.setattr(_state_file, "_PAUSE", 0.001)
    products = Products()
    with StateFile(path, products):
        for number in range(1, 4):
            _create(_product(products), number)
            _wait(lambda number=number: f'"org_{number}"' in path.read_text(encoding="utf-8"))  # type: ignore[misc]


def test_only_changes_are_saved(path: Path) -> None:
    """Queries are none; what is arranged at the door is one."""
    products = Products()
    product = _product(products)
    file = StateFile(path, products)

    def is_saved() -> bool:
        path.write_text("", encoding="utf-8")
        file.save()
        return bool(path.read_text(encoding="utf-8"))

    assert not is_saved()
    product.answer("tiers.list", "query", None)
    product.happened(changed=False)
    assert not is_saved()
    _create(product)
    assert is_saved()
    assert not is_saved()
    product.happened()
    assert is_saved()
    _product(products, "os_sk_new")
    assert is_saved()
    assert not is_saved()


def test_a_fake_that_was_given_is_saved_as_it_is_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python too, where no call tells of it; and not again and again while it stays the same."""
    monkeypatch.setattr(_state_file, "_PAUSE", 0.001)
    fake = FakeTransport(demo_catalogue())
    products = Products({KEY: fake})
    with StateFile(path, products) as file:
        fake.add_company("Acme")
        _wait(lambda: b"Acme" in path.read_bytes())
        _wait(lambda: file._saved == products.edition())
        before = path.stat()
        file.save()
        assert path.stat().st_ino == before.st_ino
        file._stopped.set()
        fake.add_company("Wayne")
    assert b"Wayne" in path.read_bytes()


def test_a_fake_that_was_given_knows_again_what_was_kept(path: Path) -> None:
    """It is served still, with its own clock; a state of which a part is broken changes nothing of it."""
    products = Products({KEY: FakeTransport(demo_catalogue())})
    StateFile(path, products).__exit__(None, None, None)
    fake = FakeTransport()
    fake.add_company("Acme")
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace("\n]}", ",\n1]}"), encoding="utf-8")
    with pytest.raises(CannotServe, match=r"products\[1\]: expected an object, got int 1"):
        StateFile(path, Products({KEY: fake}))
    assert len(fake.snapshot()["companies"]) == 1

    path.write_text(whole, encoding="utf-8")
    given = Products({KEY: fake})
    file = StateFile(path, given)
    assert _product(given).fake is fake
    assert fake.snapshot() == _product(products).fake.snapshot()
    fake.add_company("Wayne")
    file.save()
    assert b"Wayne" in path.read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\n", b"{}", b"[]", b"null", b"notes of mine", b"\xff\xfe", b'{"format": "chatarmin_os serve 2"}',
        b'{"format": "chatarmin_os serve 1"}', b'{"format": "chatarmin_os serve 1", "products": {}}',
        b'{"format": "chatarmin_os serve 1", "products": [1]}',
        b'{"format": "chatarmin_os serve 1", "products": [{"id": 1, "name": "n", "snapshot": {}}]}',
        b'{"format": "chatarmin_os serve 1", "products": [{"id": "i", "name": 1, "snapshot": {}}]}',
        b'{"format": "chatarmin_os serve 1", "products": [{"id": "i", "name": "n"}]}',
        b'{"format": "chatarmin_os serve 1", "products": [{"id": "i", "name": "n", "snapshot": {}}]}',
        b"[" * 100_000, b"9" * 5000,
    ],
    ids=lambda content: content[:60].decode("latin-1"),
)  # fmt: skip
def test_what_is_no_state_stays_as_it_is(path: Path, content: bytes) -> None:
    """It is not overwritten, and the refusal is a line that says what to do."""
    path.write_bytes(content)
    with pytest.raises(CannotServe) as caught:
        StateFile(path, Products())

    assert path.read_bytes() == content
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith("; --state names another file")
    assert "\n" not in str(caught.value)
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - names


def test_a_half_of_a_state_stays_as_it_is(path: Path) -> None:
    """Wherever it was cut; so does one in which something contradicts the rest."""
    products = Products()
    _create(_product(products))
    StateFile(path, products)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:end])
        with pytest.raises(CannotServe, match="is no state of the fake, and stays as it is: "):
            StateFile(path, Products())
        assert path.read_bytes() == whole[:end]
    path.write_bytes(whole.replace(b"org_1", b"org_2", 1).replace(b'"companyId": "', b'"companyId": "x', 1))
    with pytest.raises(CannotServe, match="the snapshot is broken: there is no company"):
        StateFile(path, Products())


def test_a_place_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Below what is no folder, or where something else than a file is; a pipe is not waited for."""
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    places = [(tmp_path / "file" / "state.json", "Not a directory")]
    places += [(path, "it is no regular file") for path in (tmp_path, tmp_path / "pipe", Path(os.devnull))]
    for path, told in places:
        with pytest.raises(CannotServe) as caught:
            StateFile(path, Products())
        assert str(caught.value) == f"cannot read {path}: {told}; --state names another file"


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Before anything is served."""
    path = tmp_path / "none" / "state.json"
    with pytest.raises(CannotServe) as caught:
        StateFile(path, Products())
    assert str(caught.value) == f"cannot write {path}: No such file or directory; --state names another file"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), OSError("broken")])
def test_what_cannot_be_written_later_is_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """The service goes on, the last good file stays, and `problem` says why."""
    monkeypatch.setattr(_state_file, "_PAUSE", 0.001)
    products = Products()
    told = f"cannot write {path}: {error.strerror or error}; --state names another file"

    def refused(*_: Any) -> None:
        raise error

    with StateFile(path, products) as file:
        before = path.read_bytes()
        with monkeypatch.context() as full:
            full.setattr(Path, "replace", refused)
            _create(_product(products))
            _wait(lambda: file.problem is not None)
            assert (file.problem, path.read_bytes()) == (told, before)
            assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - names
        _wait(lambda: file.problem is None)
        assert b"org_1" in path.read_bytes()
    with pytest.raises(CannotServe, match="cannot write"), StateFile(path, products):  # noqa: PT012 - saved at its end
        monkeypatch.setattr(Path, "replace", refused)
        _create(_product(products), 2)


@pytest.mark.parametrize("makes", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_by_now_stays(path: Path, makes: Callable[[Path], None]) -> None:
    """It is told, and the file is written again when there is room for it."""
    products = Products()
    file = StateFile(path, products)
    path.unlink()
    makes(path)
    _create(_product(products))
    for _ in range(2):
        with pytest.raises(CannotServe) as caught:
            file.save()
        assert str(caught.value) == f"cannot write {path}: it is no regular file; --state names another file"
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - names
    path.rename(path.with_name("moved"))
    file.save()

    assert (file.problem, b"org_1" in path.read_bytes()) == (None, True)


def test_it_is_for_its_owner_only(path: Path) -> None:
    """Where it is new, for it has addresses of people; permissions that were given stay."""
    products = Products()
    file = StateFile(path, products)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for mode in (0o640, 0o444):
        path.chmod(mode)
        _create(_product(products), mode)
        file.save()
        assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_one(
    tmp_path: Path,
    path: Path,
    exists: bool,  # noqa: FBT001 - pytest's
) -> None:
    """What it leads to is written, there; also if it is not there yet, and when the process moves elsewhere."""
    folder = tmp_path / "folder"
    folder.mkdir()
    real = folder / "real.json"
    if exists:
        StateFile(real, Products())
    path.symlink_to(Path("folder") / "real.json")
    products = Products()
    file = StateFile(path, products)
    _create(_product(products))
    file.save()

    assert path.is_symlink()
    assert b"org_1" in real.read_bytes()
    assert os.listdir(folder) == ["real.json"]  # noqa: PTH208 - names


def test_a_link_to_itself_is_told(path: Path) -> None:
    """And stays."""
    path.symlink_to(path)
    with pytest.raises(CannotServe, match=r"cannot read .*symbolic links"):
        StateFile(path, Products())
    assert path.is_symlink()


def test_a_relative_path_is_that_of_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the process goes then."""
    monkeypatch.chdir(tmp_path)
    products = Products()
    file = StateFile("state.json", products)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    _create(_product(products))
    file.save()

    assert b"org_1" in (tmp_path / "state.json").read_bytes()


def test_no_key_is_in_it(path: Path) -> None:
    """Only its hash, and its last four characters."""
    products = Products()
    _create(_product(products))
    StateFile(path, products)
    text = path.read_text(encoding="utf-8")

    assert KEY not in text
    assert KEY.removeprefix("os_sk_")[:-4] not in text
    assert json.loads(text)["products"][0]["name"] == "os_sk_…ests"


def test_what_others_left_is_cleared_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of those who were killed amid writing; and no others, whatever they are called."""
    strange = path.with_name("st[a]te.json")
    left = [path.with_name(f".{strange.name}.{pid}.tmp") for pid in (1, 99999)]
    others = [path.with_name(name) for name in (".state.json.1.tmp", ".st[a]te.json.1", ".st[a]te.json.x.tmp")]
    for file in (*left, *others):
        file.write_text("half", encoding="utf-8")
    StateFile(strange, Products())
    assert sorted(path.parent.iterdir()) == sorted([strange, *others])

    left[0].write_text("half", encoding="utf-8")
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: os.unlink("/proc/none"))  # noqa: PTH108 - as the system refuses
    with pytest.raises(CannotServe):  # which is about writing, not about what was left
        StateFile(strange, _changed())


def _changed() -> Products:
    products = Products()
    _create(_product(products))
    return products


def test_whoever_is_killed_leaves_a_good_file(path: Path) -> None:
    """Amid writing, mostly; nothing that was saved is lost, and no half file is left after the next start."""
    moments = random.Random(11)  # noqa: S311 - nothing secret
    known = 0
    left = 0
    for _ in range(KILLS):
        with subprocess.Popen([sys.executable, str(SCRIPT), str(path)], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own script
            assert process.stdout
            process.stdout.readline()
            time.sleep(moments.random() / 2)
            process.kill()
        left += len(list(path.parent.iterdir())) - 1
        products = Products()
        StateFile(path, products)
        companies = sum(len(product.fake.service.state.companies) for product in products)
        assert companies >= known
        known = companies
        assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - names
    _log.info("%d companies after %d kills, %d of which left half a file", known, KILLS, left)
    assert known > 0


def test_a_call_waits_no_longer_than_one_product_takes_to_write(path: Path) -> None:
    """With ten thousand companies; how long that is, is in the log."""
    products = Products()
    product = _product(products)
    for number in range(10_000):
        product.fake.add_company(f"Company {number}", domain=f"d{number}.example")
    file = StateFile(path, products)
    started = time.perf_counter()
    "".join(product.snapshot_text())
    dumping = time.perf_counter() - started
    waits = [0.0]
    ended = threading.Event()

    def call() -> None:
        while not ended.is_set():
            started = time.perf_counter()
            product.answer("tiers.list", "query", None)
            waits.append(time.perf_counter() - started)

    caller = threading.Thread(target=call)
    caller.start()
    saving = 0.0
    for number in range(3):
        _create(product, number)
        started = time.perf_counter()
        file.save()
        saving = max(saving, time.perf_counter() - started)
    ended.set()
    caller.join()

    _log.info(
        "10,000 companies: writing JSON %.0f ms, saving %.0f ms, the longest call %.0f ms",
        *(1000 * seconds for seconds in (dumping, saving, max(waits))),
    )
    assert len(json.loads(path.read_text(encoding="utf-8"))["products"][0]["snapshot"]["companies"]) == 10_003


@pytest.mark.parametrize("is_on", [True, False])
def test_saving_leaves_the_collector_as_it_was(
    path: Path,
    is_on: bool,  # noqa: FBT001 - pytest's
) -> None:
    """It is off for a moment; whoever wants it off altogether keeps it off."""
    products = Products()
    _create(_product(products))
    before = gc.isenabled()
    (gc.enable if is_on else gc.disable)()
    try:
        StateFile(path, products)
        assert gc.isenabled() == is_on
    finally:
        (gc.enable if before else gc.disable)()


def test_two_servers_do_not_keep_one_file(path: Path) -> None:
    """The second is refused, by whatever name it comes; when the first has ended, or was killed, another may."""
    first = Products()
    link = path.with_name("link.json")
    link.symlink_to(path)
    with StateFile(path, first) as file:
        _create(_product(first))
        for name in (path, link):
            with pytest.raises(CannotServe) as caught:
                StateFile(name, Products())
            assert str(caught.value) == f"{name} is kept by another server; --state names another file"
        file.save()  # which puts another file there: it is kept as well
        with pytest.raises(CannotServe, match="is kept by another server"):
            StateFile(path, _changed())
    again = Products()
    StateFile(path, again)
    assert len(_product(again).fake.snapshot()["companies"]) == 1


def test_another_process_is_refused_too(path: Path) -> None:
    """Until it is killed; what it had saved is there."""
    with subprocess.Popen([sys.executable, str(SCRIPT), str(path)], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own script
        assert process.stdout
        process.stdout.readline()
        with pytest.raises(CannotServe, match="is kept by another server"):
            StateFile(path, Products())
        process.kill()
    StateFile(path, Products())


def test_of_two_that_make_it_one_keeps_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is later finds the file, and that it is kept; nothing is written over."""
    kept: list[StateFile] = []
    link = os.link

    def slow(*given: Any) -> None:
        if not kept:
            kept.append(None)  # type: ignore[arg-type]  # so that the quicker one is not slow too
            kept[0] = StateFile(path, _changed())
        link(*given)

    monkeypatch.setattr(os, "link", slow)
    with pytest.raises(CannotServe, match="is kept by another server"):
        StateFile(path, Products())
    assert b"org_1" in path.read_bytes()
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - names


@pytest.mark.parametrize("has_locks", [True, False])
def test_who_starts_clears_nothing_away_that_is_being_written(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_locks: bool,  # noqa: FBT001 - pytest's
) -> None:
    """Whoever is slower is told that the file is kept; without locks it loads what the quicker one has made."""
    kept: list[StateFile] = []
    fsync = os.fsync

    def slow(descriptor: int) -> None:
        if not kept:
            kept.append(None)  # type: ignore[arg-type]  # so that the quicker one is not slow too
            kept[0] = StateFile(path, _changed())
        fsync(descriptor)

    def refused(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(os, "fsync", slow)
    products = Products()
    if has_locks:
        with pytest.raises(CannotServe, match="is kept by another server"):
            StateFile(path, products)
    else:
        monkeypatch.setattr(fcntl, "flock", refused)
        StateFile(path, products)
        assert len(_product(products).fake.snapshot()["companies"]) == 1
    assert b"org_1" in path.read_bytes()
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - names


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_file_that_is_cleared_away_amid_writing_is_written_anew(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_gone: bool,  # noqa: FBT001 - pytest's
) -> None:
    """Between its making and its lock another server may take it for a leftover, and be about to clear it away."""
    touch = Path.touch
    locks: list[IO[bytes]] = []

    def looked_at(beside: Path, *given: Any, **more: Any) -> None:
        touch(beside, *given, **more)
        if not locks:
            locks.append(beside.open("rb"))
            fcntl.flock(locks[0], fcntl.LOCK_EX)
            if is_gone:
                beside.unlink()

    monkeypatch.setattr(Path, "touch", looked_at)
    StateFile(path, _changed())
    locks[0].close()

    assert b"org_1" in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - names


def test_a_file_that_was_removed_is_made_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing has changed, so that no other server takes the place; and amid a writing."""
    products = Products()
    file = StateFile(path, products)
    path.unlink()
    file.save()
    with pytest.raises(CannotServe, match="is kept by another server"):
        StateFile(path, Products())

    fsync = os.fsync

    def removed(descriptor: int) -> None:
        path.unlink()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", removed)
    _create(_product(products))
    file.save()
    assert b"org_1" in path.read_bytes()
    with pytest.raises(CannotServe, match="is kept by another server"):
        StateFile(path, Products())


@pytest.mark.parametrize("is_late", [True, False])
def test_what_another_server_keeps_by_now_is_not_overwritten(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_late: bool,  # noqa: FBT001 - pytest's
) -> None:
    """It came when the file was removed, perhaps amid a writing; what it leaves stays when it has ended, too."""
    products, others = Products(), _changed()
    file = StateFile(path, products)
    path.unlink()
    second: list[StateFile] = []
    link = os.link

    def slow(*given: Any) -> None:
        if not second:
            second.append(None)  # type: ignore[arg-type]  # so that the quicker one is not slow too
            second[0] = StateFile(path, others)
        link(*given)

    if is_late:
        monkeypatch.setattr(os, "link", slow)
    else:
        second.append(StateFile(path, others))
    _create(_product(products), 2)
    for number in (3, 4):
        with pytest.raises(CannotServe, match="is kept by another server"):
            file.save()
        assert file.problem == f"{path} is kept by another server; --state names another file"
        _create(_product(others), number)
        second[0].save()
    second[0].__exit__(None, None, None)
    with pytest.raises(CannotServe, match="is kept by another server"):
        file.save()
    left = path.read_bytes()
    assert [number for number in range(6) if f"org_{number}".encode() in left] == [1, 3, 4]
    StateFile(path, Products()).__exit__(None, None, None)  # which nobody keeps by now

    path.unlink()
    file.save()
    assert (file.problem, b"org_2" in path.read_bytes()) == (None, True)


def test_another_server_is_told_of_without_a_change(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once while it runs, and at its end."""
    monkeypatch.setattr(_state_file, "_PAUSE", 0.001)
    other = path.with_name("other.json")
    told: list[str] = []
    second = StateFile(other, _changed())
    with pytest.raises(CannotServe) as caught, StateFile(path, Products(), tell=told.append):  # noqa: PT012 - at its end
        other.replace(path)
        _wait(lambda: bool(told))
    assert told == [str(caught.value)] == [f"{path} is kept by another server; --state names another file"]
    assert b"org_1" in path.read_bytes()
    del second


def test_a_file_that_people_replaced_is_kept_from_then_on(path: Path) -> None:
    """As an editor does: it stays as it is until something changes, and no other server takes it."""
    products = Products()
    file = StateFile(path, products)
    edited = path.with_name("edited")
    edited.write_bytes(path.read_bytes() + b"\n")
    edited.replace(path)
    file.save()
    assert path.read_bytes().endswith(b"\n\n")
    with pytest.raises(CannotServe, match="is kept by another server"):
        StateFile(path, Products())
    _create(_product(products))
    file.save()

    assert b"org_1" in path.read_bytes()


def test_a_file_system_without_links_will_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first file is put in place as the later ones are."""

    def refused(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    StateFile(path, _changed())

    assert b"org_1" in path.read_bytes()
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - names


def test_a_file_that_is_replaced_meanwhile_is_locked_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock on what is not there any more would keep nothing."""
    StateFile(path, Products())
    flock, calls = fcntl.flock, []

    def replaced(descriptor: int, how: int) -> None:
        flock(descriptor, how)
        calls.append(descriptor)
        if len(calls) == 1:
            other = path.with_name("other")
            other.write_bytes(path.read_bytes())
            other.replace(path)

    monkeypatch.setattr(fcntl, "flock", replaced)
    kept = StateFile(path, Products())
    monkeypatch.undo()

    assert kept.problem is None
    assert len(calls) == 3  # and the file that it saved
    with pytest.raises(CannotServe, match="is kept by another server"):
        StateFile(path, Products())


def test_a_file_system_without_locks_will_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network drives have none: better kept without one than not at all."""

    def refused(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    products = Products()
    with StateFile(path, products):
        _create(_product(products))

    assert b"org_1" in path.read_bytes()


def test_trouble_is_told_when_it_comes_and_when_it_goes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once each, and not only at the end."""
    monkeypatch.setattr(_state_file, "_PAUSE", 0.001)
    told: list[str] = []
    products = Products()

    def refused(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with StateFile(path, products, tell=told.append):
        with monkeypatch.context() as full:
            full.setattr(Path, "replace", refused)
            _create(_product(products))
            _wait(lambda: len(told) == 1)
        _wait(lambda: len(told) == 2)
    assert told == [
        f"cannot write {path}: No space left on device; --state names another file",
        f"{path} is written again",
    ]


def test_leaving_before_entering_saves_too(path: Path) -> None:
    """Nothing depends on the thread that saves meanwhile."""
    products = Products()
    file = StateFile(path, products)
    _create(_product(products))
    file.__exit__(None, None, None)

    assert b"org_1" in path.read_bytes()


def _state() -> dict[str, Any]:
    """Return the state of a product in which there is something of everything."""
    products = Products()
    product = _product(products)
    ask = product.answer
    given = {
        "externalOrgId": "org_1",
        "hints": {"companyName": "Acme"},
        "tierCode": "pro",
        "contactEmail": "a@b.example",
    }
    company = ask("onboard", "mutation", given)["companyId"]
    usage = {"companyId": company, "featureCode": "ai_credit", "quantity": 5, "idempotencyKey": "job-1"}
    ask("billing.trackUsage", "mutation", usage)
    session = product.fake.stripe.add_checkout_session(["price_pro_base"])
    ask("billing.claimCheckout", "mutation", {"companyId": company, "checkoutSessionId": session})
    state: dict[str, Any] = json.loads("".join(products.state_text()))
    return state


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from _places(inner, (*place, key))


def _with(state: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = state.copy()
    copy[place[0]] = _with(copy[place[0]], place[1:], value)
    return copy


ODD = ["null", "true", "-1", "0", "1.5", "9" * 400, "-" + "9" * 5000, "1e400", "NaN",
       '""', '"x"', '"' + "9" * 400 + '"',
       '"2026-01-01"', '"+275760-09-13T00:00:00.000Z"', '"\\ud800"', '"\\u0000"', "[]", "[1]", "{}", '{"a": 1}',
       "[" * 90 + "]" * 90, "[" * 100_000]  # fmt: skip


def _opened(path: Path, products: Products) -> StateFile | str:
    """Return the state file, or why it is refused."""
    try:
        return StateFile(path, products)
    except CannotServe as error:
        return str(error)


def test_a_file_with_anything_anywhere_is_refused_or_good(path: Path) -> None:
    """One line says which file it is, and where it is broken; what is taken can be asked, changed and saved."""
    state, mark = _state(), "HERE"
    state["products"][0]["snapshot"]["catalogue"]["tiers"] = state["products"][0]["snapshot"]["catalogue"]["tiers"][2:3]
    company = state["products"][0]["snapshot"]["companies"][0]["id"]
    of_company = {"companyId": company}
    usage = {**of_company, "featureCode": "ai_credit", "quantity": 1}
    cases = [(place, odd) for place in _places(state) for odd in ODD]
    refused = taken = 0
    for place, odd in cases if FULL else random.Random(7).sample(cases, 500):  # noqa: S311 - nothing secret
        text = json.dumps(_with(state, place, mark)).replace(f'"{mark}"', odd)
        path.write_text(text, encoding="utf-8")
        products = Products()
        opened = _opened(path, products)
        if isinstance(opened, str):
            refused += 1
            assert opened.startswith(f"{path} is no state of the fake, and stays as it is: ")
            assert opened.isprintable()
            assert path.read_text(encoding="utf-8") == text
            continue
        taken += 1
        for product in products:
            for call, kind, given in (
                ("features.listAccess", "query", of_company),
                ("billing.trackUsage", "mutation", usage),
                ("links.reset", "mutation", {"resetMrr": True}),
            ):
                with suppress(ApiError):
                    product.answer(call, kind, given)  # type: ignore[arg-type]
            assert json.dumps(view(product), allow_nan=False)
        opened.save()
        opened.__exit__(None, None, None)

    assert refused > 2 * taken > 20


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe", "it is not UTF-8"),
        (b"[]", "expected the format 'chatarmin_os serve 1'"),
        (b'{"format": "chatarmin_os serve 2", "products": []}', "expected the format 'chatarmin_os serve 1'"),
        (b'{"format": "chatarmin_os serve 1"}', "products: expected a list, got None"),
        (b'{"format": "chatarmin_os serve 1", "products": {}}', "products: expected a list, got dict {}"),
        (b'{"format": "chatarmin_os serve 1", "products": [1]}', "products[0]: expected an object, got int 1"),
        (b'{"format": "chatarmin_os serve 1", "products": [{"id": 1}]}', "products[0].id: expected 16 hexadecimal"),
        (b'{"format": "chatarmin_os serve 1", "products": [{"id": "0123456789abcdef", "name": "os_sk_live_key"}]}',
         "products[0].name: expected os_sk_"),
        (b'{"format": "chatarmin_os serve 1", "products": [{"id": "0123456789abcdef", "name": "os_sk_\xe2\x80\xa6"}]}',
         "products[0].snapshot: not a snapshot of this version"),
        (b"[" * 100_000, ""),
        (b"9" * 5_000, ""),
    ],
)  # fmt: skip
def test_the_place_is_named(path: Path, content: bytes, told: str) -> None:
    """Of what is wrong with a file."""
    path.write_bytes(content)

    with pytest.raises(CannotServe) as caught:
        StateFile(path, Products())

    assert str(path) in str(caught.value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_product_stands_once(path: Path) -> None:
    """Of two, nobody could say which is meant."""
    state = _state()
    state["products"] *= 2
    path.write_text(json.dumps(state), encoding="utf-8")

    with pytest.raises(CannotServe, match=r"products\[1\]: the id '[0-9a-f]{16}' stands twice"):
        StateFile(path, Products())


def test_a_file_that_is_far_too_large_is_not_read(path: Path) -> None:
    """It is said before the memory is full."""
    with path.open("wb") as file:
        file.truncate(2**40)

    with pytest.raises(CannotServe, match=r"it is larger than 1,073,741,824 bytes"):
        StateFile(path, Products())


def test_a_forgotten_product_is_gone_from_the_file(path: Path) -> None:
    """And one that nobody has changed is never in it: a thousand keys that only ask do not fill it."""
    products = Products()
    with StateFile(path, products) as file:
        _create(_product(products))
        _create(_product(products, "os_sk_other"), 2)
        for number in range(10):
            _product(products, f"os_sk_{number}").answer("tiers.list", "query", None)
        file.save()
        kept = [row["id"] for row in json.loads(path.read_text(encoding="utf-8"))["products"]]
        assert kept == [one.id for one in list(products)[:2]]
        products.forget_id(kept[0])
    again = Products()
    StateFile(path, again)

    assert [one.id for one in again] == kept[1:]
    assert not again.forget_id(kept[0])
