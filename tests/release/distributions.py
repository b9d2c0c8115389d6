"""Build the wheel and the sdist of a commit: python tests/release/distributions.py FOLDER [COMMIT].

The same commit gives the same bytes at any time, in any directory, time zone and umask, with the same versions of
Python, setuptools and zlib. setuptools takes the times and modes of files from the file system, and the time of an
sdist from the clock. So a copy of the commit is built, and the sdist is packed again.
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, cast

ROOT = Path(__file__).parents[2]


def build(folder: Path, commit: str = "HEAD") -> list[Path]:
    """Build both into *folder*, and return their paths."""
    # 0022: the modes of the archive are those of git, 644 and 755.
    archive = _git("-c", "tar.umask=0022", "archive", "--format=tar", commit)
    epoch = int(_git("log", "-1", "--format=%ct", commit))
    with TemporaryDirectory() as scratch:
        source, built = Path(scratch) / "source", Path(scratch) / "built"
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(source, filter="data")
        command = [sys.executable, "-m", "build", "--outdir", str(built), str(source)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
        done = subprocess.run(  # noqa: S603 - our own command
            command, env=environment, umask=0o022, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        return [_publish(path, folder, epoch) for path in sorted(built.iterdir())]


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout  # noqa: S603, S607


def _publish(path: Path, folder: Path, epoch: int) -> Path:
    content = path.read_bytes()
    target = folder / path.name
    target.write_bytes(repack(content, epoch) if path.name.endswith(".tar.gz") else content)
    return target


def repack(sdist: bytes, epoch: int) -> bytes:
    """Return an sdist with the same files in the order of their names, all of one time and owner."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(sdist)) as given,
        gzip.GzipFile("", "wb", fileobj=packed, mtime=epoch) as compressed,
        tarfile.open(fileobj=cast("IO[bytes]", compressed), mode="w") as files,
    ):
        for member in sorted(given, key=lambda one: one.name):
            is_executable = member.isdir() or member.mode & 0o100
            entry = member.replace(
                mtime=epoch, mode=0o755 if is_executable else 0o644, uid=0, gid=0, uname="", gname="", deep=False
            )
            entry.pax_headers = {}
            files.addfile(entry, given.extractfile(member) if member.isfile() else None)
    return packed.getvalue()


if __name__ == "__main__":
    for distribution in build(Path(sys.argv[1]), *sys.argv[2:3]):
        print(distribution)
