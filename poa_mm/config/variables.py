"""Variables of a config (``steps = 1000``) set from outside, so that everything computed from them follows."""

from __future__ import annotations

import ast
import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmengine.config import Config

from poa_mm.arguments import unquoted
from poa_mm.errors import UserError, not_found


@dataclass
class ConfigFile:
    """One file of a config with its bases.

    Attributes:
        path: Absolute.
        text: Its Python source.
        assigned: Values of the assignments ``name = value`` at its top level.
        bases: Files of ``_base_``, in order; those of installed packages (``mmdet::...``) stay text.
    """

    path: Path
    text: str
    assigned: dict[str, ast.expr]
    bases: list[Path | str]

    @classmethod
    def read(cls, path: Path) -> ConfigFile:
        """Parse a file.

        Raises:
            UserError: It does not exist or is not valid Python.
        """
        if not path.is_file():
            raise UserError(f'config {not_found(path)}')
        if path.suffix != '.py':
            raise UserError(f'config {str(path)!r} must be a Python file, .py')
        try:
            text = path.read_text(encoding='utf-8')
            tree = ast.parse(text)
        except SyntaxError as error:
            raise UserError(f'{path}, line {error.lineno}: {error.msg}') from error
        except ValueError as error:  # not UTF-8; bytes of 0
            raise UserError(f'{path} is not Python: {error}') from error
        assigned = {
            node.targets[0].id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        }
        bases = ast.literal_eval(assigned['_base_']) if '_base_' in assigned else []
        bases = bases if isinstance(bases, (list, tuple)) else [bases]
        return cls(path, text, assigned, [name if '::' in name else (path.parent / name).resolve() for name in bases])

    def with_values(self, values: Mapping[str, Any]) -> str:
        """The source with other values assigned to names that it assigns."""
        lines = self.text.encode().splitlines(keepends=True)  # ast counts bytes, and lines that end in \n and \r alone
        nodes = {self.assigned[name]: value for name, value in values.items() if name in self.assigned}
        # From the end: positions stay.
        for node, value in sorted(nodes.items(), key=lambda item: (-item[0].lineno, -item[0].col_offset)):
            first, last = node.lineno - 1, node.end_lineno - 1
            rest = lines[last][node.end_col_offset :]
            lines[first : last + 1] = [lines[first][: node.col_offset] + repr(value).encode() + rest]
        return b''.join(lines).decode()

    def used_names(self) -> set[str]:
        """Names that any expression of the file reads, of its own and of its bases (``_base_.name``)."""
        used = set(re.findall(r'_base_\.(\w+)', self.text))
        for node in ast.walk(ast.parse(self.text)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                used.add(node.id)
        return used


def config_files(path: str | Path) -> list[ConfigFile]:
    """A config and all its bases, each once, the config first.

    Raises:
        UserError: One of them does not exist, is not valid Python, or is a base of itself.
    """

    def walk(path: Path, above: tuple[Path, ...] = ()) -> Iterator[ConfigFile]:
        if path in above:
            raise UserError(f'config {str(path)!r} is a base of itself')
        file = ConfigFile.read(path)
        yield file
        for base in file.bases:
            if isinstance(base, Path) and base.suffix == '.py':
                yield from walk(base, (*above, path))

    return list({file.path: file for file in walk(Path(path).expanduser().resolve())}.values())


def evaluate(path: str | Path) -> Config:
    """Run a config.

    Raises:
        UserError: A line of it raises an exception; those that come from this package's own code pass.
    """
    try:
        return Config.fromfile(path)
    except (UserError, ImportError):
        raise
    except Exception as error:  # a config is a program
        frames = traceback.extract_tb(error.__traceback__)
        last = max((i for i, frame in enumerate(frames) if frame.name == '<module>'), default=None)
        own = Path(__file__).parents[1].as_posix()
        if last is None or any(frame.filename.startswith(own) for frame in frames[last + 1 :]):
            raise
        place = frames[last]
        raise UserError(f'{Path(place.filename).name}, line {place.lineno}: {type(error).__name__}: {error}') from error


def read_with_variables(
    path: str, files: list[ConfigFile], values: Mapping[str, Any], texts: Mapping[str, str] = {}
) -> Config:
    """Evaluate a config with other values of some of its variables, in its bases too.

    Copies of the files are evaluated; ``{{ fileDirname }}`` still means the folder of the original.

    Args:
        path: The config, which becomes the ``filename`` of the result.
        files: From :func:`config_files`.
        values: Of names that at least one of the files assigns.
        texts: What was typed for them, where it was; a number takes the place of a text as it was typed.

    Raises:
        UserError: A value is not a number, or not True or False, where the config has one.
    """
    values = {name: _like(name, files, value, texts.get(name, str(value))) for name, value in values.items()}
    with TemporaryDirectory() as folder:
        copies = {file.path: Path(folder, str(i), file.path.name) for i, file in enumerate(files)}
        for file in files:
            bases = [str(copies.get(base, base)) for base in file.bases]
            text = file.with_values({**values, '_base_': bases})
            text = file.path.parent.as_posix().join(re.split(r'\{\{\s*fileDirname\s*\}\}', text))
            copies[file.path].parent.mkdir()
            copies[file.path].write_text(text, encoding='utf-8')
        cfg = evaluate(copies[files[0].path])
    return Config(cfg._cfg_dict, cfg_text=cfg.text, filename=path, env_variables=cfg.env_variables)


def _like(name: str, files: list[ConfigFile], value: Any, text: str) -> Any:
    """The value as the type of what the config assigns, where that is a number, a bool or a text."""
    for file in files:
        try:
            old = ast.literal_eval(file.assigned[name])
        except (KeyError, ValueError):
            continue
        if isinstance(old, str) and isinstance(value, (int, float)):
            return unquoted(text)
        kind, words = (bool, 'True or False') if isinstance(old, bool) else (int | float, 'a number')
        if isinstance(old, int | float) and not isinstance(value, kind):
            raise UserError(f'{name} must be {words}, as {old} in {file.path}, got {value!r}')
    return value
