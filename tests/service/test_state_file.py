"""The state file has all that the products of a service know, whatever happens to the process or to the file."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import random
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from waiting import until

from chatarmin_os import ApiError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import CannotServe, StartupError, StateFile
from chatarmin_os.server.products import Products
from chatarmin_os.server.view import view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os.server.product import Product

KEY = "os_sk_live_secret_of_the_tests"
SCRIPT = Path(__file__).with_name("save_state.py")
FULL = bool(os.environ.get("CHATARMIN_FULL"))
KILLS = 30 if FULL else 5
OTHER_FILE = "; --state names another file"
_log = logging.getLogger(__name__)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a state file that does not exist yet."""
    return tmp_path / "state.db"


def _product(products: Products, api_key: str = KEY) -> Product:
    return products.for_headers({"x-api-key": api_key})


def _create(product: Product, number: int = 1) -> None:
    product.answer("companies.create", "mutation", {"name": f"Company {number}", "externalOrgId": f"org_{number}"})


def _changed() -> Products:
    products = Products()
    _create(_product(products))
    return products


def _companies(products: Products, api_key: str = KEY) -> list[str]:
    return [row["name"] for row in _product(products, api_key).fake.snapshot()["companies"]]


def _in_file(path: Path) -> list[str]:
    """Return the names of the companies in a file, read by another process as a user would."""
    code = (
        "import sqlite3, sys, json\n"
        "from contextlib import closing\n"
        "with closing(sqlite3.connect(f'file:{sys.argv[1]}?immutable=1', uri=True)) as c:\n"
        "    rows = c.execute(\"SELECT value FROM entries WHERE table_name = 'companies' AND key >= 0\").fetchall()\n"
        "print(json.dumps([json.loads(row)['name'] for row, in rows]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)  # noqa: S603 - our own script
    names: list[str] = json.loads(done.stdout)
    return names


def _files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))  # noqa: PTH208 - names


@contextmanager
def _no_space() -> Iterator[None]:
    """Let this process write nothing beyond the first pages of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# Saving and loading


def test_state_file_restores_products(path: Path) -> None:
    """Each has its id, name and state, and the same key; logged calls and injected failures are not saved."""
    products = Products()
    with StateFile(path, products):
        _create(_product(products))
        _create(_product(products, "os_sk_other"), 2)
        _product(products).fake.fail(error="CONFLICT")
    restored = Products()
    StateFile(path, restored)

    assert [(one.id, one.name) for one in restored] == [(one.id, one.name) for one in products]
    assert _product(restored).fake.snapshot() == _product(products).fake.snapshot()
    assert _product(restored).calls() == []
    _create(_product(restored), 3)
    assert len(list(restored)) == 2


def test_state_file_restores_every_table(path: Path) -> None:
    """Rows that were changed or removed between two savings, too."""
    products = Products()
    product = _rich_product(products)
    with StateFile(path, products) as file:
        file.save()
        company = product.fake.snapshot()["companies"][0]["id"]
        product.answer("contacts.create", "mutation", {"companyId": company, "email": "b@b.example"})
        file.save()
        product.answer("links.reset", "mutation", {"deleteContacts": True, "resetMrr": True})
        product.fake.add_company("Wayne")
    restored = Products()
    StateFile(path, restored)

    assert _product(restored).fake.snapshot() == product.fake.snapshot()


def test_state_file_is_saved_while_it_is_open(path: Path) -> None:
    """Soon after every change."""
    products = Products()
    with StateFile(path, products, interval_seconds=0.001):
        for number in range(1, 4):
            _create(_product(products), number)
            until(lambda number=number: b'"org_%d"' % number in path.read_bytes())  # type: ignore[misc]


def test_state_file_alone_is_complete_after_a_saving(path: Path) -> None:
    """A copy of it needs no other file."""
    products = Products()
    with StateFile(path, products) as file:
        _create(_product(products))
        file.save()
        copy = path.with_name("copy.db")
        copy.write_bytes(path.read_bytes())
        restored = Products()
        StateFile(copy, restored)

    assert _companies(restored) == ["Company 1"]


def test_only_changes_are_saved(path: Path) -> None:
    """A query, or a touch, changes nothing; a mutation, or a test control, does."""
    products = Products()
    product = _product(products)
    file = StateFile(path, products)

    def is_saved() -> bool:
        before = path.read_bytes()
        file.save()
        return path.read_bytes() != before

    assert not is_saved()
    product.answer("tiers.list", "query", None)
    product.touch()
    _product(products, "os_sk_new")
    assert not is_saved()
    _create(product)
    assert is_saved()
    assert not is_saved()
    product.fake.add_company("Wayne")
    assert is_saved()
    assert not is_saved()


def test_only_changed_rows_are_written(path: Path) -> None:
    """One change among a thousand companies takes a few pages of the file."""
    products = Products()
    product = _product(products)
    for number in range(1_000):
        product.fake.add_company(f"Company {number}")
    file = StateFile(path, products)
    before = path.read_bytes()
    product.fake.add_company("Wayne")
    file.save()
    after = path.read_bytes()
    pages = [
        place for place in range(0, len(after), 4096) if after[place : place + 4096] != before[place : place + 4096]
    ]

    assert 0 < len(pages) < 10 < len(after) // 4096


def test_fake_that_was_passed_in_is_saved(path: Path) -> None:
    """With changes that are made in Python, which no call announces; an unchanged one is not written again."""
    fake = FakeTransport(demo_catalogue())
    products = Products({KEY: fake})
    with StateFile(path, products, interval_seconds=0.001) as file:
        fake.add_company("Acme")
        until(lambda: b"Acme" in path.read_bytes())
        file.save()
        before = path.read_bytes()
        file.save()
        assert path.read_bytes() == before
        fake.add_company("Wayne")
    assert b"Wayne" in path.read_bytes()


def test_fake_that_was_passed_in_is_restored(path: Path) -> None:
    """It stays in use, with its own clock; a file that is invalid in part changes nothing of it."""
    products = Products({KEY: FakeTransport(demo_catalogue())})
    StateFile(path, products).close()
    fake = FakeTransport()
    fake.add_company("Acme")
    whole = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO products VALUES ('x', 'y')")
    with pytest.raises(StartupError, match=r"products\[1\].id: expected 16 hexadecimal digits"):
        StateFile(path, Products({KEY: fake}))
    assert len(fake.snapshot()["companies"]) == 1

    path.write_bytes(whole)
    given = Products({KEY: fake})
    file = StateFile(path, given)
    assert _product(given).fake is fake
    assert fake.snapshot() == _product(products).fake.snapshot()
    fake.add_company("Wayne")
    file.save()
    assert b"Wayne" in path.read_bytes()


def test_forgotten_product_leaves_the_file(path: Path) -> None:
    """With its names and addresses; unchanged products, as of a thousand keys that only ask, are never in it."""
    products = Products()
    with StateFile(path, products) as file:
        _create(_product(products))
        _create(_product(products, "os_sk_other"), 2)
        for number in range(10):
            _product(products, f"os_sk_{number}").answer("tiers.list", "query", None)
        file.save()
        assert b"Company 1" in path.read_bytes()
        forgotten, other = list(products)[:2]
        products.forget_id(forgotten.id)
    restored = Products()
    StateFile(path, restored)

    assert [one.id for one in restored] == [other.id]
    assert b"Company 1" not in path.read_bytes()


def test_product_that_is_forgotten_and_created_again_is_saved(path: Path) -> None:
    """Its rows replace those of the old one."""
    products = Products()
    with StateFile(path, products) as file:
        _create(_product(products), 1)
        file.save()
        products.forget(KEY)
        _create(_product(products), 2)
    restored = Products()
    StateFile(path, restored)

    assert _companies(restored) == ["Company 2"]


def test_close_before_enter_saves_too(path: Path) -> None:
    """It does not need the thread that saves repeatedly."""
    products = Products()
    file = StateFile(path, products)
    _create(_product(products))
    file.close()

    assert b"org_1" in path.read_bytes()


@pytest.mark.slow
def test_calls_are_answered_while_a_large_state_is_saved(path: Path) -> None:
    """Ten thousand companies; the log has the longest wait of a call."""
    products = Products()
    product = _product(products)
    for number in range(10_000):
        product.fake.add_company(f"Company {number}", domain=f"d{number}.example")
    file = StateFile(path, products)
    started = time.perf_counter()
    json.dumps(product.fake.snapshot())
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
    for number in range(3):
        _create(product, number)
        file.save()
    ended.set()
    caller.join()

    _log.info(
        "10,000 companies: a snapshot as JSON %.0f ms, the longest call %.0f ms", 1000 * dumping, 1000 * max(waits)
    )
    assert len(_in_file(path)) == 10_003


# The place of the file


def test_state_file_is_for_its_owner_only(path: Path) -> None:
    """A new one is, as it has names and addresses; permissions that somebody has given stay."""
    products = Products()
    file = StateFile(path, products)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    _create(_product(products))
    file.save()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_api_key_is_not_in_the_file(path: Path) -> None:
    """Only its hash and its last four characters are."""
    StateFile(path, _changed()).close()
    content = path.read_bytes()

    assert KEY.encode() not in content
    assert KEY.removeprefix("os_sk_")[:-4].encode() not in content
    assert "os_sk_…ests".encode() in content


@pytest.mark.parametrize("exists", [True, False], ids=["target-exists", "target-is-missing"])
def test_symbolic_link_is_followed(tmp_path: Path, path: Path, *, exists: bool) -> None:
    """The link stays, and the file is written at its target."""
    folder = tmp_path / "folder"
    folder.mkdir()
    real = folder / "real.db"
    if exists:
        StateFile(real, Products()).close()
    path.symlink_to(Path("folder") / "real.db")
    StateFile(path, _changed()).close()

    assert path.is_symlink()
    assert b"org_1" in real.read_bytes()
    assert _files(folder) == ["real.db"]


def test_relative_path_belongs_to_the_folder_of_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may change its folder."""
    monkeypatch.chdir(tmp_path)
    products = Products()
    file = StateFile("state.db", products)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    _create(_product(products))
    file.save()

    assert b"org_1" in (tmp_path / "state.db").read_bytes()


def test_place_without_a_file_is_refused(tmp_path: Path) -> None:
    """With the reason in one line; a pipe is not waited for."""
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    reasons = {
        tmp_path / "missing" / "state.db": "No such file or directory",
        tmp_path / "file" / "state.db": "Not a directory",
        tmp_path: "it is not a regular file",
        tmp_path / "pipe": "it is not a regular file",
        Path(os.devnull): "it is not a regular file",
        tmp_path / "loop": "it is a symbolic link",
    }
    for path, reason in reasons.items():
        with pytest.raises(StartupError) as caught:
            StateFile(path, Products())
        assert str(caught.value) == f"cannot open {path}: {reason}{OTHER_FILE}"
    assert CannotServe is StartupError


# Failing writes


def test_failed_saving_is_retried(path: Path) -> None:
    """The service goes on, the last state stays in the file, and `problem` says why."""
    products = Products()
    message = f"cannot write {path}: disk I/O error{OTHER_FILE}"
    messages: list[str] = []
    with StateFile(path, products, notify=messages.append, interval_seconds=0.001) as file:
        before = path.read_bytes()
        with _no_space():
            _create(_product(products))
            until(lambda: bool(messages))
            assert (file.problem, path.read_bytes()) == (message, before)
        until(lambda: len(messages) == 2)
        assert file.problem is None
        assert b"org_1" in path.read_bytes()
    assert messages == [message, f"{path} is written again"]


def test_failed_last_saving_raises(path: Path) -> None:
    """The end of the service reports that the state is not saved."""
    products = Products()
    file = StateFile(path, products)
    _create(_product(products))
    with _no_space(), pytest.raises(StartupError, match=r"cannot write .*: disk I/O error"):
        file.close()


@pytest.mark.parametrize("create", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_place_that_is_taken_later_is_reported(path: Path, create: Callable[[Path], None]) -> None:
    """The file is written again when its place is free."""
    products = Products()
    file = StateFile(path, products)
    path.unlink()
    create(path)
    _create(_product(products))
    for _ in range(2):
        with pytest.raises(StartupError) as caught:
            file.save()
        assert str(caught.value) == f"cannot write {path}: it is not a regular file{OTHER_FILE}"
    path.rename(path.with_name("moved"))
    file.save()

    assert (file.problem, b"org_1" in path.read_bytes()) == (None, True)


@pytest.mark.slow
def test_killed_server_leaves_its_last_saved_state(path: Path) -> None:
    """SIGKILL comes at random moments, mostly during a write; no other file is left after the next start."""
    moments = random.Random(11)  # noqa: S311 - nothing secret
    known = 0
    for _ in range(KILLS):
        with subprocess.Popen([sys.executable, str(SCRIPT), str(path)], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own script
            assert process.stdout
            for _ in range(100):
                process.stdout.readline()
            time.sleep(moments.random() / 2)
            process.kill()
        products = Products()
        StateFile(path, products).close()
        companies = sum(len(product.fake.service.state.companies) for product in products)
        assert companies >= known
        known = companies
        assert _files(path.parent) == [path.name]
    _log.info("%d companies after %d kills", known, KILLS)
    assert known > 0


# Other servers and other files


def test_second_server_is_refused(path: Path) -> None:
    """By whatever name it opens the file, until the first one has ended."""
    first = Products()
    link = path.with_name("link.db")
    link.symlink_to(path)
    with StateFile(path, first) as file:
        _create(_product(first))
        for name in (path, link):
            with pytest.raises(StartupError) as caught:
                StateFile(name, Products())
            assert str(caught.value) == f"{name} is in use by another server{OTHER_FILE}"
        file.save()
        with pytest.raises(StartupError, match="is in use by another server"):
            StateFile(path, _changed())
    restored = Products()
    StateFile(path, restored)
    assert _companies(restored) == ["Company 1"]


def test_second_process_is_refused(path: Path) -> None:
    """Until the first one is killed."""
    with subprocess.Popen([sys.executable, str(SCRIPT), str(path)], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own script
        assert process.stdout
        process.stdout.readline()
        with pytest.raises(StartupError, match="is in use by another server"):
            StateFile(path, Products())
        process.send_signal(signal.SIGKILL)
    StateFile(path, Products())


def test_processes_that_start_at_once_do_not_share_a_file(path: Path) -> None:
    """One of them gets the file that none has created yet; the others are refused."""
    command = [sys.executable, str(SCRIPT), str(path)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own script
        for _ in range(4)
    ]
    until(lambda: sum(process.poll() is not None for process in processes) == 3)
    (running,) = [process for process in processes if process.poll() is None]
    assert running.stdout
    assert running.stdout.readline()
    running.kill()
    errors = [process.communicate()[1] for process in processes if process is not running]
    running.communicate()

    assert all("is in use by another server" in error for error in errors)


def test_removed_file_is_created_again(path: Path) -> None:
    """Even if nothing has changed, so that no other server takes its place."""
    products = _changed()
    messages: list[str] = []
    file = StateFile(path, products, tell=messages.append)  # its name in version 0.1.0
    for _ in range(2):
        path.unlink()
        file.save()
        assert b"org_1" in path.read_bytes()
        with pytest.raises(StartupError, match="is in use by another server"):
            StateFile(path, Products())
    assert messages == [f"{path} was removed, and is created again"] * 2
    _create(_product(products), 2)
    file.save()
    assert b"org_2" in path.read_bytes()


def test_file_of_another_server_is_not_overwritten(path: Path) -> None:
    """The other one took the place of a removed file; its products stay after it has ended, too."""
    products, others = Products(), _changed()
    file = StateFile(path, products)
    path.unlink()
    second = StateFile(path, others)
    _create(_product(products), 2)
    for number in (3, 4):
        with pytest.raises(StartupError, match="is in use by another server"):
            file.save()
        assert file.problem == f"{path} is in use by another server{OTHER_FILE}"
        _create(_product(others), number)
        second.save()
    second.close()
    with pytest.raises(StartupError, match="is in use by another server"):
        file.save()
    assert _in_file(path) == ["Company 1", "Company 3", "Company 4"]
    StateFile(path, Products()).close()

    path.unlink()
    file.save()
    assert (file.problem, _in_file(path)) == (None, ["Company 2"])


def test_another_server_is_reported_without_a_change(path: Path) -> None:
    """Once while the service runs, and at its end."""
    other = path.with_name("other.db")
    messages: list[str] = []
    with (  # noqa: PT012 - raised at the end of the block
        closing(StateFile(other, _changed())),
        pytest.raises(StartupError) as caught,
        StateFile(path, Products(), notify=messages.append, interval_seconds=0.001),
    ):
        other.replace(path)
        until(lambda: bool(messages))
    assert messages == [str(caught.value)] == [f"{path} is in use by another server{OTHER_FILE}"]
    assert _in_file(path) == ["Company 1"]


def _rename_over(replacement: Path, path: Path) -> None:
    replacement.replace(path)


def _copy_over(replacement: Path, path: Path) -> None:
    path.write_bytes(replacement.read_bytes())
    replacement.unlink()


@pytest.mark.parametrize("replace", [_rename_over, _copy_over], ids=["renamed", "copied"])
def test_file_that_replaces_the_state_file_is_kept(path: Path, replace: Callable[[Path, Path], None]) -> None:
    """It stays in place until something changes, no other server gets it, and then it has another name."""
    products = _changed()
    messages: list[str] = []
    file = StateFile(path, products, notify=messages.append)
    replacement = path.with_name("replacement.db")
    others = Products()
    _create(_product(others, "os_sk_other"), 7)
    StateFile(replacement, others).close()
    replace(replacement, path)
    file.save()
    assert (_in_file(path), messages) == (["Company 7"], [])
    with pytest.raises(StartupError, match="is in use by another server"):
        StateFile(path, Products())
    for number in (2, 3):
        _create(_product(products), number)
        file.save()
    file.close()

    assert _in_file(path) == ["Company 1", "Company 2", "Company 3"]
    assert _in_file(path.with_name("state.db.replaced")) == ["Company 7"]
    assert _files(path.parent) == ["state.db", "state.db.replaced"]
    assert messages == [f"{path} was replaced or changed while the service ran; that file is kept as {path}.replaced"]


def test_each_file_that_replaces_the_state_file_is_kept(path: Path) -> None:
    """A second one gets a number."""
    products = Products()
    file = StateFile(path, products)
    for number in (1, 2):
        replacement = path.with_name("replacement.db")
        others = Products()
        _create(_product(others, "os_sk_other"), 6 + number)
        StateFile(replacement, others).close()
        replacement.replace(path)
        _create(_product(products), number)
        file.save()
    file.close()

    names = {
        "state.db": ["Company 1", "Company 2"],
        "state.db.replaced": ["Company 7"],
        "state.db.replaced-2": ["Company 8"],
    }
    assert {name: _in_file(path.with_name(name)) for name in _files(path.parent)} == names


def test_file_that_replaces_the_state_file_is_loaded_at_the_next_start(path: Path) -> None:
    """Nothing has changed in the meantime."""
    file = StateFile(path, _changed())
    replacement = path.with_name("replacement.db")
    others = Products()
    _create(_product(others), 7)
    StateFile(replacement, others).close()
    replacement.replace(path)
    file.close()
    restored = Products()
    StateFile(path, restored)

    assert _companies(restored) == ["Company 7"]


def test_foreign_file_that_somebody_put_in_place_is_not_overwritten(path: Path) -> None:
    """It is reported until it is gone."""
    products = Products()
    file = StateFile(path, products)
    path.unlink()
    path.write_text("notes of mine", encoding="utf-8")
    _create(_product(products))
    with pytest.raises(StartupError, match="is not a state file of `chatarmin-os serve` and was left unchanged"):
        file.save()
    assert path.read_text(encoding="utf-8") == "notes of mine"
    path.unlink()
    file.save()
    assert _in_file(path) == ["Company 1"]


INVALID = [
    (b"\n", "Expecting value"),
    (b"notes of mine", "Expecting value"),
    (b"\xff\xfe", "can't decode byte 0xff"),
    (b"null", "expected the format 'chatarmin_os serve 1'"),
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
]  # fmt: skip


@pytest.mark.parametrize(("content", "reason"), INVALID, ids=range(len(INVALID)))
def test_foreign_file_is_refused_unchanged(path: Path, content: bytes, reason: str) -> None:
    """One line names the file, the place in it, and the option to change."""
    path.write_bytes(content)
    with pytest.raises(StartupError) as caught:
        StateFile(path, Products())

    message = str(caught.value)
    assert message.startswith(f"{path} is not a state file of `chatarmin-os serve` and was left unchanged: ")
    assert message.endswith(OTHER_FILE)
    assert reason in message
    assert "\n" not in message
    assert path.read_bytes() == content
    assert _files(path.parent) == [path.name]


def test_foreign_database_is_refused_unchanged(path: Path) -> None:
    """Also one of a later version of this package."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(StartupError, match=r"is not a state file .*: it is the database of another application"):
        StateFile(path, Products())
    assert path.read_bytes() == before

    path.unlink()
    StateFile(path, _changed()).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(StartupError, match=r"cannot open .*: it has format 9, and this version of chatarmin_os reads"):
        StateFile(path, Products())


def test_truncated_file_is_refused_unchanged(path: Path) -> None:
    """Wherever it was cut."""
    StateFile(path, _changed()).close()
    whole = path.read_bytes()
    for end in range(97, len(whole) - 1, 1_999):
        path.write_bytes(whole[:end])
        with pytest.raises(StartupError):
            StateFile(path, Products())
        assert path.read_bytes() == whole[:end]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE entries SET value = '{' WHERE table_name = 'links' AND key = 0", "Expecting property name"),
        (
            "UPDATE entries SET value = '1' WHERE table_name = 'links' AND key = 0",
            "the snapshot is broken: expected an object at $.links[0]",
        ),
        ("UPDATE entries SET value = x'ff' WHERE table_name = 'links' AND key = 0", "can't decode byte 0xff"),
        ("DELETE FROM entries WHERE table_name = 'companies' AND key = 0", "it lacks the company"),
        ("DELETE FROM entries WHERE table_name = 'companies' AND key < 0", "its rows contradict each other"),
        ("UPDATE entries SET key = 7 WHERE table_name = 'companies' AND key = 0", "its rows contradict each other"),
        ("UPDATE entries SET product_id = 'x' WHERE table_name = 'companies'", "its rows contradict each other"),
        ("UPDATE entries SET value = '1' WHERE table_name = 'mrr' AND key = -1", "its rows contradict each other"),
        ("UPDATE entries SET table_name = 'stripe' WHERE table_name = 'links'", "its rows contradict each other"),
        ("DELETE FROM entries", "not a snapshot of this version"),
    ],
)
def test_invalid_rows_are_refused_unchanged(path: Path, statement: str, reason: str) -> None:
    """Rows that somebody has edited need not make sense."""
    products = Products()
    _rich_product(products)
    StateFile(path, products).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    before = path.read_bytes()
    with pytest.raises(StartupError) as caught:
        StateFile(path, Products())

    assert f"{path} is not a state file of `chatarmin-os serve` and was left unchanged: " in str(caught.value)
    assert reason in str(caught.value)
    assert path.read_bytes() == before


def test_missing_table_is_reported(path: Path) -> None:
    """SQLite says which."""
    StateFile(path, _changed()).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE entries")
    with pytest.raises(StartupError, match=r"cannot read .*: no such table: entries"):
        StateFile(path, Products())


# Files of version 0.1.0, which are JSON


def _rich_product(products: Products) -> Product:
    """Return a product with a row in every table."""
    product = _product(products)
    ask = product.answer
    sign_up = {
        "externalOrgId": "org_1",
        "hints": {"companyName": "Acme"},
        "tierCode": "pro",
        "contactEmail": "a@b.example",
    }
    company = ask("onboard", "mutation", sign_up)["companyId"]
    usage = {"companyId": company, "featureCode": "ai_credit", "quantity": 5, "idempotencyKey": "job-1"}
    ask("billing.trackUsage", "mutation", usage)
    session = product.fake.stripe.add_checkout_session(["price_pro_base"])
    ask("billing.claimCheckout", "mutation", {"companyId": company, "checkoutSessionId": session})
    return product


def _json_state() -> dict[str, Any]:
    """Return the state of a product with a row in every table, as version 0.1.0 wrote it."""
    product = _rich_product(Products())
    rows = [{"id": product.id, "name": product.name, "snapshot": product.fake.snapshot()}]
    return {"format": "chatarmin_os serve 1", "products": rows}


def test_json_of_version_0_1_is_converted(path: Path) -> None:
    """It happens once and keeps the permissions; a conversion that was killed halfway is no obstacle."""
    state = _json_state()
    path.write_text(json.dumps(state), encoding="utf-8")
    path.chmod(0o640)
    for suffix in ("", "-wal", "-journal"):
        path.with_name(f".{path.name}.converted{suffix}").write_text("half", encoding="utf-8")
    for _ in range(2):
        products = Products()
        StateFile(path, products).close()
        assert _product(products).fake.snapshot() == state["products"][0]["snapshot"]
        assert path.read_bytes().startswith(b"SQLite format 3\0")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert _files(path.parent) == [path.name]


@pytest.mark.slow
def test_conversion_that_is_killed_leaves_the_old_file_or_the_new_one(path: Path) -> None:
    """SIGKILL comes at random moments; whichever file is there has all products."""
    moments = random.Random(13)  # noqa: S311 - nothing secret
    state = _json_state()
    text = json.dumps(state)
    for _ in range(KILLS):
        path.write_text(text, encoding="utf-8")
        with subprocess.Popen([sys.executable, str(SCRIPT), str(path)], stdout=subprocess.PIPE) as process:  # noqa: S603 - our own script
            time.sleep(moments.random())
            process.kill()
        products = Products()
        StateFile(path, products).close()
        assert _product(products).fake.snapshot() == state["products"][0]["snapshot"]
        path.unlink()


def test_json_that_a_server_of_version_0_1_uses_is_refused(path: Path) -> None:
    """That version locks the file in another way."""
    content = json.dumps(_json_state())
    path.write_text(content, encoding="utf-8")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StartupError, match="is in use by another server"):
            StateFile(path, Products())
    assert path.read_text(encoding="utf-8") == content


def test_json_that_another_server_converts_first_is_read_from_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening the file and locking it."""
    path.write_text(json.dumps(_json_state()), encoding="utf-8")
    flock = fcntl.flock
    servers: list[str] = []

    def convert_first(descriptor: int, operation: int) -> None:
        if not servers:
            servers.append("first")
            StateFile(path, Products()).close()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", convert_first)
    products = Products()
    StateFile(path, products)

    assert servers == ["first"]
    assert _companies(products) == ["Acme"]


def test_json_with_a_duplicate_product_is_refused(path: Path) -> None:
    """Nobody could say which of the two is meant."""
    state = _json_state()
    state["products"] *= 2
    path.write_text(json.dumps(state), encoding="utf-8")

    with pytest.raises(StartupError, match=r"products\[1\]: duplicate id '[0-9a-f]{16}'"):
        StateFile(path, Products())


def test_large_foreign_file_is_not_read(path: Path) -> None:
    """It is refused before the memory is full."""
    with path.open("wb") as file:
        file.truncate(2**40)

    with pytest.raises(StartupError, match=r"cannot open .*: it is larger than 1,073,741,824 bytes"):
        StateFile(path, Products())


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from _places(inner, (*place, key))


def _replace_at(state: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = state.copy()
    copy[place[0]] = _replace_at(copy[place[0]], place[1:], value)
    return copy


ODD = ["null", "true", "-1", "0", "1.5", "9" * 400, "-" + "9" * 5000, "1e400", "NaN",
       '""', '"x"', '"' + "9" * 400 + '"',
       '"2026-01-01"', '"+275760-09-13T00:00:00.000Z"', '"\\ud800"', '"\\u0000"', "[]", "[1]", "{}", '{"a": 1}',
       "[" * 90 + "]" * 90, "[" * 100_000]  # fmt: skip


def _open_or_refuse(path: Path, products: Products) -> StateFile | str:
    """Return the state file, or the reason of its refusal."""
    try:
        return StateFile(path, products)
    except StartupError as error:
        return str(error)


@pytest.mark.slow
def test_file_with_any_value_anywhere_is_refused_or_works(path: Path) -> None:
    """A refusal names the file and the place in one line; accepted products can be asked, changed, viewed and saved."""
    state, mark = _json_state(), "HERE"
    state["products"][0]["snapshot"]["catalogue"]["tiers"] = state["products"][0]["snapshot"]["catalogue"]["tiers"][2:3]
    company = state["products"][0]["snapshot"]["companies"][0]["id"]
    of_company = {"companyId": company}
    usage = {**of_company, "featureCode": "ai_credit", "quantity": 1}
    cases = [(place, odd) for place in _places(state) for odd in ODD]
    refused = accepted = 0
    for place, odd in cases if FULL else random.Random(7).sample(cases, 500):  # noqa: S311 - nothing secret
        text = json.dumps(_replace_at(state, place, mark)).replace(f'"{mark}"', odd)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        products = Products()
        opened = _open_or_refuse(path, products)
        if isinstance(opened, str):
            refused += 1
            assert opened.startswith(f"{path} is not a state file of `chatarmin-os serve` and was left unchanged: ")
            assert opened.isprintable()
            assert path.read_text(encoding="utf-8") == text
            continue
        accepted += 1
        for product in products:
            for call, kind, input_ in (
                ("features.listAccess", "query", of_company),
                ("billing.trackUsage", "mutation", usage),
                ("links.reset", "mutation", {"resetMrr": True}),
            ):
                with suppress(ApiError):
                    product.answer(call, kind, input_)  # type: ignore[arg-type]
            assert json.dumps(view(product), allow_nan=False)
        opened.close()

    assert refused > 2 * accepted > 20
