"""Checks of the outbox that an option or the settings name: is it there, and is it emptied."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from chatarmin_os.cli.doctor.findings import Finding, failure, ok, warning
from chatarmin_os.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os.cli.doctor.examination import Examination
    from chatarmin_os.outbox import Outbox, OutboxStats

_REPAIR = "let the application use it: it sets the file aside, keeps the events that can be read, and logs how many"


def check_outbox(examination: Examination) -> Iterator[Finding]:
    """Look into the outbox within the deadline: a database or a Redis may not answer."""
    from chatarmin_os._sqlite_errors import CorruptFileError, FileInUseError, NoDatabaseError, SQLiteFileError
    from chatarmin_os.outbox.errors import OutboxError

    named = _named(examination)
    if named is None:
        yield ok("none: neither --outbox nor the setting OUTBOX names one")
        return
    place, look = named
    try:
        stats = _within(examination.seconds, look)
    except _MissingFileError as error:
        yield warning(f"{place}: {error}", "nothing to do before the first put; otherwise check the path")
    except InvalidInput as error:
        yield failure(f"{place}: {error.problem}", error.hint or "check the path")
    except (CorruptFileError, NoDatabaseError) as error:
        yield failure(f"{place}: {error}; it was left unchanged", _REPAIR)
    except FileInUseError as error:
        advice = "end the other program, such as a shell of SQLite, then run it again"
        yield failure(f"{place}: {error}", advice)
    except (OutboxError, SQLiteFileError) as error:
        yield failure(f"{place}: {error}", "see the page Outbox, and the log of the application")
    except TimeoutError:
        yield failure(f"{place}: no answer within {examination.seconds:g} s", "check its server and the network")
    else:
        yield ok(f"{place}: nothing was put yet") if stats is None else _about(place, stats)


class _MissingFileError(Exception):
    """The file is missing, as it is before the application has put something."""


def _named(examination: Examination) -> tuple[str, Callable[[], OutboxStats | None]] | None:
    """Return how to name the outbox and how to look into it; None without an outbox."""
    from chatarmin_os.outbox.looking import look_at

    url, project = examination.given.outbox, examination.project
    seconds = examination.seconds / 2  # a file in use is no server that does not answer
    if url is not None:
        return "--outbox", lambda: look_at(url, seconds)
    outbox = project.settings.outbox if project else None
    if project is None or outbox is None:
        return None
    place = f"{project.place}.OUTBOX"
    if outbox == "django":
        return place, lambda: _stats_of(project.open_database_outbox)
    if isinstance(outbox, str):
        return place, lambda: _look_at_file(outbox, seconds)
    return place, lambda: _stats_of(lambda: outbox)


def _look_at_file(path: str, seconds: float) -> OutboxStats | None:
    from chatarmin_os.outbox.looking import look_at

    if not Path(path).exists() and Path(path).absolute().parent.is_dir():
        raise _MissingFileError(f"{path} does not exist yet")
    return look_at(path, seconds)


def _stats_of(open_it: Callable[[], Outbox]) -> OutboxStats:
    with open_it() as outbox:
        return outbox.stats()


def _within(seconds: float, act: Callable[[], OutboxStats | None]) -> OutboxStats | None:
    """Return the result of a function, or raise its error, or `TimeoutError`."""
    results: list[OutboxStats | None] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(act())
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            errors.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]


def _about(place: str, stats: OutboxStats) -> Finding:
    from chatarmin_os.outbox.records import OLD_SECONDS
    from chatarmin_os.outbox.report import age

    oldest = age(stats.oldest_age)
    text = f"{place}: {stats.ready} ready, {stats.leased} leased, {stats.dead} dead"
    text += f", the oldest {oldest} old" if oldest else ""
    values = {"ready": stats.ready, "leased": stats.leased, "dead": stats.dead, "oldest_age": stats.oldest_age}
    advice = []
    if stats.dead:
        advice.append("list dead events with the command `dead`, then `revive` or `discard` them")
    if stats.oldest_age is not None and stats.oldest_age > OLD_SECONDS:
        advice.append("run a sender with the key of this product")
    return warning(text, "; ".join(advice), **values) if advice else ok(text, **values)
