"""MMEngine formats the config of a run anew for its log, its work dir, its visualizer and each of its checkpoints."""

from __future__ import annotations

from functools import wraps
from types import ModuleType


def format_once(yapf_api: ModuleType) -> None:
    """Let yapf return the last text again when it is asked for it again: a recipe takes it a second or two.

    Args:
        yapf_api: The module ``yapf.yapflib.yapf_api``; changed.
    """
    format_code, last = yapf_api.FormatCode, {}

    @wraps(format_code)
    def format_code_once(*args, **kwargs):
        nonlocal last
        key, known = repr((args, kwargs)), last  # another thread may replace it meanwhile
        if key not in known:
            last = known = {key: format_code(*args, **kwargs)}
        return known[key]

    yapf_api.FormatCode = format_code_once
