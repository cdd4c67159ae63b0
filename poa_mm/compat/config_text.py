"""MMEngine formats the config of a run anew for its log, its work dir, its visualizer and each of its checkpoints."""

from __future__ import annotations

from types import ModuleType


def format_once(yapf_api: ModuleType) -> None:
    """Let yapf return the last text again when it is asked for it again: a recipe takes it a second or two.

    Args:
        yapf_api: The module ``yapf.yapflib.yapf_api``; changed.
    """
    format_code, last = yapf_api.FormatCode, {}

    def format_code_once(code: str, **settings):
        key = code, repr(settings)
        if key not in last:
            found = format_code(code, **settings)
            last.clear()
            last[key] = found
        return last[key]

    yapf_api.FormatCode = format_code_once
