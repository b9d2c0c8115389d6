"""Add modules that are imported by name when they are needed, and the page of the local service."""  # noqa: N999 - PyInstaller names hooks so

from __future__ import annotations

from typing import Any


def hook(hook_api: Any) -> None:
    """Add every module except the plugin, which would include pytest, and every data file."""
    from PyInstaller.utils.hooks import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
        collect_data_files,
        collect_submodules,
    )

    hook_api.add_imports(*collect_submodules("chatarmin_os", filter=_is_needed))
    hook_api.add_datas(collect_data_files("chatarmin_os"))


def _is_needed(name: str) -> bool:
    return not name.endswith(".pytest") and not name.startswith("chatarmin_os._pyinstaller")
