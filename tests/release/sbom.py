"""Write the SBOM of a wheel, as CycloneDX JSON: python tests/release/sbom.py WHEEL PYTHON FILE.

PYTHON is that of an environment without pip into which the wheel, and nothing else, was installed: the SBOM lists what
users get, with versions, licences and dependencies. The exit code is 1 if it lacks a dependency of the wheel, or has
anything that none of them needs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from email.parser import BytesParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement  # pytest needs it too
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from email.message import Message


def metadata_of(wheel: Path) -> Message:
    """Return the metadata of a wheel."""
    with zipfile.ZipFile(wheel) as files:
        (name,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(files.read(name))


def requirements_of(metadata: Message) -> list[Requirement]:
    """Return the dependencies without those of extras."""
    found = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    return [one for one in found if one.marker is None or "extra" not in str(one.marker)]


def sbom(wheel: Path, python: str) -> dict[str, Any]:
    """Return the SBOM that cyclonedx-py makes of the environment of *python*, with the wheel as its subject."""
    metadata = metadata_of(wheel)
    project = {"name": metadata["Name"], "version": metadata["Version"]}
    lines = [f"{key} = {json.dumps(value)}" for key, value in project.items()]
    lines.append(f"dependencies = {json.dumps([str(one) for one in requirements_of(metadata)])}")
    with TemporaryDirectory() as scratch:
        pyproject = Path(scratch) / "pyproject.toml"  # the project's own has no table of that name
        pyproject.write_text("\n".join(["[project]", *lines]), encoding="utf-8")
        command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--mc-type", "library"]
        command += ["--pyproject", str(pyproject), python]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode:
        sys.exit(done.stderr)
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def problems(content: dict[str, Any], needed: set[str]) -> list[str]:
    """Return why an SBOM does not describe a package with the dependencies *needed*.

    Example:
        >>> attrs = {"name": "attrs", "version": "26.1.0", "bom-ref": "a"}
        >>> subject = {"ref": "root", "dependsOn": ["a"]}
        >>> bom = {"metadata": {"component": {"bom-ref": "root"}}, "components": [attrs], "dependencies": [subject]}
        >>> problems(bom, {"attrs"})
        []
        >>> problems(bom, {"attrs", "idna"})
        ['the SBOM lacks idna']
        >>> problems(bom | {"components": [attrs, {"name": "pip", "version": "26", "bom-ref": "p"}]}, {"attrs"})
        ['nothing needs pip']
    """
    names = {one["bom-ref"]: canonicalize_name(one["name"]) for one in content.get("components", [])}
    edges = {one["ref"]: one.get("dependsOn", []) for one in content["dependencies"]}
    reached: set[str] = set()
    waiting = [content["metadata"]["component"]["bom-ref"]]
    while waiting:
        new = {*edges.get(waiting.pop(), [])} - reached
        reached |= new
        waiting += new
    direct = {names.get(ref) for ref in edges.get(content["metadata"]["component"]["bom-ref"], [])}
    return [f"the SBOM lacks {name}" for name in sorted(needed - direct)] + [
        f"nothing needs {name}" for ref, name in names.items() if ref not in reached
    ]


def main(wheel: Path, python: str, file: Path) -> None:
    """Write and check the SBOM."""
    content = sbom(wheel, python)
    found = problems(content, {canonicalize_name(one.name) for one in requirements_of(metadata_of(wheel))})
    if found:
        sys.exit("\n".join(found))
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(file.name, *sorted(f"{one['name']} {one['version']}" for one in content["components"]), sep="\n  ")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
