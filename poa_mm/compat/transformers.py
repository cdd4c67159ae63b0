"""mmpretrain beside a newer transformers than it supports."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from types import ModuleType


def leave_out_multimodal(dependency: ModuleType) -> None:
    """Let mmpretrain leave out its language models where transformers is version 5 or later.

    They use functions that transformers 5 removed, so that importing ``mmpretrain.models`` would fail. Without them
    mmpretrain registers placeholders, as it does where transformers is not installed.

    Args:
        dependency: The module ``mmpretrain.utils.dependency``; changed.
    """
    try:
        major = int(version('transformers').partition('.')[0])
    except PackageNotFoundError:
        return
    if major >= 5:
        dependency.WITH_MULTIMODAL = False
