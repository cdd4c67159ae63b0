"""Change a module of a library when it is imported, without importing it before."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class ImportHook(MetaPathFinder):
    """Calls ``change`` with the module ``name`` right after Python has executed it.

    Args:
        name: Full name of the module.
        change: Called with it.
    """

    def __init__(self, name: str, change: Callable[[ModuleType], None]) -> None:
        self.name, self.change = name, change

    @classmethod
    def install(cls, name: str, change: Callable[[ModuleType], None]) -> None:
        """Call ``change`` now if the module is imported already, otherwise once it is; a second call does nothing."""
        if name in sys.modules:
            change(sys.modules[name])
        elif not any(isinstance(finder, cls) and finder.name == name for finder in sys.meta_path):
            sys.meta_path.insert(0, cls(name, change))

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None):
        """Called by Python for every module that is imported."""
        if fullname != self.name:
            return None
        spec: ModuleSpec | None = PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self.change(module)

            spec.loader.exec_module = exec_module
        return spec
