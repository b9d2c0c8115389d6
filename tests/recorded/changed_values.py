"""Recordings with one changed value of an answer each: the check should report it at its call, and nowhere else.

    python tests/recorded/changed_values.py [STEP]

prints how many of all values are reported, or of every third with STEP 3.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from chatarmin_os._json import copy_json
from chatarmin_os.drift import check_recording

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chatarmin_os._json import JSON

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.jsonl"))


class Counts(NamedTuple):
    """How many values were changed, how many were reported, and how many of these at their call alone."""

    changed: int
    reported: int
    reported_alone: int


def check_changed_values(recordings: Sequence[Path], path: Path, *, step: int = 1) -> Counts:
    """Change every value of the recordings, or every third with step 3, and check each changed recording at *path*."""
    changed = reported = alone = 0
    for lines, line, place in [*_places(recordings)][::step]:
        edited = [*lines]
        edited[line] = {**lines[line], "answer": _change(lines[line]["answer"], place)}
        path.write_text("\n".join(map(json.dumps, edited)) + "\n", encoding="utf-8")
        found = [drifted for drifted, _ in check_recording(path).drifted]
        changed += 1
        reported += bool(found)
        alone += found == [line + 1]
    return Counts(changed, reported, alone)


def _places(recordings: Sequence[Path]) -> Iterator[tuple[list[JSON], int, tuple[str | int, ...]]]:
    for recording in recordings:
        lines = [json.loads(line) for line in recording.read_text(encoding="utf-8").splitlines()]
        for number, content in enumerate(lines):
            if "answer" in content:
                yield from ((lines, number, place) for place in _leaves(content["answer"]))


def _leaves(content: JSON, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(content, (dict, list)):
        for key, inner in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _leaves(inner, (*place, key))
    elif place:
        yield place


def _change(content: JSON, place: tuple[str | int, ...]) -> JSON:
    """Return an answer with another value of the same type at one place."""
    content = copy_json(content)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    value = inner[place[-1]]
    if isinstance(value, bool):
        inner[place[-1]] = not value
    else:
        inner[place[-1]] = value + 1 if isinstance(value, (int, float)) else f"{value or ''}x"
    return content


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        step = int(sys.argv[1]) if len(sys.argv) > 1 else 1
        counts = check_changed_values(RECORDINGS, Path(folder) / "changed.jsonl", step=step)
    print(f"{counts.reported} of {counts.changed} reported, {counts.reported_alone} of them alone")  # noqa: T201
