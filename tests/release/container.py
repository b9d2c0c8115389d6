"""Build the image of the Dockerfile and run it: python tests/release/container.py.

Where no builder runs (Docker or Podman), the output says so, and what the Dockerfile copies is installed by its own
command into a new environment instead. Either way the service has to answer its own health check, and keep its state.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
IMAGE = "chatarmin-os-check"
PORT = "3001"
_ATTEMPTS, _PAUSE_SECONDS = 240, 0.5


class Instruction(NamedTuple):
    """A line of a Dockerfile.

    Attributes:
        name: Such as `RUN`.
        text: What follows.
    """

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words of a command that is written as JSON."""
        found: list[str] = json.loads(self.text[self.text.index("[") :])
        return found


def instructions(text: str) -> list[Instruction]:
    r"""Return the instructions of a Dockerfile in their order.

    Example:
        >>> instructions("# a comment\nFROM python:3.13-slim\nRUN a && \\\n    b\n")
        [Instruction(name='FROM', text='python:3.13-slim'), Instruction(name='RUN', text='a && b')]
    """
    joined = re.sub(r"\\\n\s*", "", text)
    lines = [line.strip() for line in joined.splitlines()]
    return [Instruction(*line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


def find_builder() -> str | None:
    """Return the program that builds and runs images here; None if it is missing, or its service does not run."""
    for name in ("docker", "podman"):
        if shutil.which(name) and _succeeds(name, "info"):
            return name
    return None


def _succeeds(*command: str) -> bool:
    return not subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode  # noqa: S603 - our own commands


def _run(*command: str, folder: Path = ROOT) -> str:
    """Return the output of a command that has to succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - the same
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def _await(*check: str) -> None:
    """Wait until a health check succeeds."""
    for _ in range(_ATTEMPTS):
        if _succeeds(*check):
            return
        time.sleep(_PAUSE_SECONDS)
    sys.exit(f"the service is not healthy: {' '.join(check)}")


def check_image(builder: str, found: dict[str, Instruction]) -> None:
    """Build the image, run it, and ask it for its health and its user."""
    _run(builder, "build", "-t", IMAGE, ".")
    container = _run(builder, "run", "-d", "--rm", IMAGE, "--state", "/state/fake.db").strip()
    try:
        _await(builder, "exec", container, *found["HEALTHCHECK"].words)
        if _run(builder, "exec", container, "id", "-u").strip() == "0":
            sys.exit("the container runs as root")
        _run(builder, "exec", container, "test", "-s", "/state/fake.db")
    finally:
        _run(builder, "stop", container)
        _run(builder, "rmi", IMAGE)


def check_commands(dockerfile: list[Instruction], found: dict[str, Instruction]) -> None:
    """Copy, install and run as the Dockerfile does, in an environment and on a free port."""
    with TemporaryDirectory() as scratch:
        source, programs, state = Path(scratch) / "source", Path(scratch) / "venv" / "bin", Path(scratch) / "fake.db"
        source.mkdir()
        for *names, target in (one.text.split() for one in dockerfile if one.name == "COPY"):
            for name in names:
                _copy(ROOT / name, source / target / ("" if target == name else name))
        venv.create(programs.parent, with_pip=True)
        (install,) = (one.text for one in dockerfile if one.name == "RUN" and one.text.startswith("pip "))
        _run("sh", "-c", f"{programs}/{install}", folder=source)
        shutil.rmtree(source)
        with _serving([str(programs / found["ENTRYPOINT"].words[0]), *found["ENTRYPOINT"].words[1:]], state) as port:
            health = [word.replace(f":{PORT}/", f":{port}/") for word in found["HEALTHCHECK"].words]
            _await(str(programs / health[0]), *health[1:])
        if not state.stat().st_size:
            sys.exit("the service saved no state")


def _copy(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(path, target)


@contextmanager
def _serving(command: list[str], state: Path) -> Iterator[str]:
    """Run the service, and yield the port that it found."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    options = ["--port", "0", "--state", str(state)]
    with subprocess.Popen([*command, *options], env=variables, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - the same
        assert process.stdout
        try:
            yield re.findall(r":(\d+)/", process.stdout.readline())[0]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
    if process.returncode:
        sys.exit(f"the service ended with exit code {process.returncode}")


def main() -> None:
    """Check the Dockerfile by the means that are here."""
    dockerfile = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    found = {one.name: one for one in dockerfile}
    builder = find_builder()
    if builder:
        check_image(builder, found)
        print(f"the image was built and run by {builder}")
    else:
        check_commands(dockerfile, found)
        print("NO IMAGE WAS BUILT: no builder of containers runs here; the commands of the Dockerfile work")


if __name__ == "__main__":
    main()
