"""Checks the values of a config against the annotations of the classes that they are passed to, and against ranges."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from poa_mm.errors import UserError


def _numbers(allowed: Callable[[float], bool]) -> Callable[[Any], bool]:
    """Whether all numbers of a value, also in sequences and dicts, are allowed; other objects are not numbers."""

    def check(value: Any) -> bool:
        if isinstance(value, Mapping):
            return all(map(check, value.values()))
        if isinstance(value, list | tuple):
            return all(map(check, value))
        return _is_number(value) and -math.inf < value < math.inf and bool(allowed(value))

    return check


def _is_dict(value: Any) -> bool:
    return isinstance(value, Mapping)


def _pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))


POSITIVE = _numbers(lambda x: x > 0), 'above 0'
NOT_NEGATIVE = _numbers(lambda x: x >= 0), 'at least 0'
FROM_1 = _numbers(lambda x: x >= 1 and x == int(x)), 'an integer of at least 1'
LEVELS = ('CRITICAL', 'ERROR', 'WARNING', 'INFO', 'DEBUG')
START_METHODS = ('fork', 'spawn', 'forkserver')
# By name of the argument, the same in our classes, PyTorch's and OpenMMLab's.
RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    'drop_path_rate': (_numbers(lambda x: 0 <= x < 1), 'at least 0 and below 1'),
    'layer_decay_rate': (_numbers(lambda x: 0 < x <= 1), 'above 0 and at most 1'),
    'betas': (lambda x: _pair(x) and min(x) >= 0 and max(x) < 1, 'two numbers of at least 0 and below 1'),
    'mask_ratio': (_numbers(lambda x: 0 <= x <= 1), 'from 0 to 1'),
    'interval': (_numbers(lambda x: x == -1 or (x >= 1 and x == int(x))), 'an integer of at least 1, or -1 for never'),
    'seed': (_numbers(lambda x: 0 <= x < 2**32 and x == int(x)), 'an integer from 0 to 2^32 - 1'),
    'num_workers': (_numbers(lambda x: x >= 0 and x == int(x)), 'an integer of at least 0'),
    'log_level': (lambda x: x in LEVELS, f'one of {", ".join(LEVELS)}'),
    'vis_backends': (lambda x: isinstance(x, list | tuple) and all(map(_is_dict, x)), 'a list of dicts'),
    'mp_start_method': (lambda x: x in START_METHODS, f'one of {", ".join(START_METHODS)}'),
    **dict.fromkeys(('dataset', 'optimizer', 'mp_cfg', 'dist_cfg'), (_is_dict, 'a dict')),
    **dict.fromkeys(('lr', 'student_temp', 'max_norm'), POSITIVE),
    **dict.fromkeys(
        ('weight_decay', 'loss_weights', 'warmup', 'temp_steps', 'patch_loss_start', 'final'), NOT_NEGATIVE
    ),
    **dict.fromkeys(('head_dim', 'patch_size', 'num_prototypes', 'hidden_dims', 'bottleneck_dims'), FROM_1),
    **dict.fromkeys(
        ('img_size', 'batch_size', 'total_batch', 'max_iters', 'max_epochs', 'grid', 'window_size'), FROM_1
    ),
}

WORDS = {
    **{int: 'an integer', float: 'a number', bool: 'True or False', str: 'text', Path: 'a path', type(None): 'None'},
    **{list: 'a list', tuple: 'a list', Sequence: 'a list', dict: 'a dict', Mapping: 'a dict'},
}
PLURALS = {
    **{int: 'integers', float: 'numbers', str: 'texts', dict: 'dicts', Mapping: 'dicts'},
    **{list: 'lists', tuple: 'lists', Sequence: 'lists'},
}


def check_values(node: Mapping[str, Any], target: Callable, key: str) -> None:
    """Check the arguments of one class or function.

    Args:
        node: Part of a config.
        target: That it is passed to. Annotations are read of this package and of MMEngine's ``Runner``; those of
            other libraries are often narrower than what they take.
        key: Dotted key of the node, for messages.

    Raises:
        UserError: A value is of another type than annotated, or out of range.
    """
    hints = annotations(target) if _is_ours(target) else {}
    for name, value in node.items():
        if name in hints and not matches(value, hints[name]):
            raise UserError(f'{key}{"." * bool(key)}{name} must be {describe(hints[name])}, got {value!r}')
    check_ranges(node, key)


def check_ranges(node: Mapping[str, Any], key: str) -> None:
    """Check values that are known by name; ``None`` and configs of objects are not numbers.

    Raises:
        UserError: A value is out of range.
    """
    for name, value in node.items():
        if name not in RANGES or value is None or (isinstance(value, Mapping) and 'type' in value):
            continue
        allowed, text = RANGES[name]
        if not allowed(value):
            raise UserError(f'{key}{"." * bool(key)}{name} must be {text}, got {value!r}')


@cache
def annotations(target: Callable) -> dict[str, Any]:
    """Annotations of the arguments of a function or, first class first, of the constructors of a class."""
    functions = [target]
    if inspect.isclass(target):
        functions = [vars(cls)['__init__'] for cls in target.__mro__[:-1] if '__init__' in vars(cls)]
    found = {}
    for function in functions:
        try:
            hints = get_type_hints(function)
            parameters = inspect.signature(function).parameters
        except (NameError, TypeError, ValueError, AttributeError):  # names for type checkers alone; written in C
            continue
        for name, hint in hints.items():
            if name in parameters and name not in found:
                # Some are annotated without their default of None.
                found[name] = hint | None if parameters[name].default is None else hint
    return found


def matches(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type; unknown kinds of annotations match everything.

    An integer is a float, a list is a tuple (configs on a command line), a dict is any class (its config).
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(matches(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    kind = origin or hint
    if kind in (int, float):
        return _is_number(value) and (kind is float or isinstance(value, int))
    if kind in (bool, str, type(None)):
        return isinstance(value, kind)
    if kind in (list, tuple, Sequence):
        if not isinstance(value, list | tuple):
            return False
        if kind is tuple and arguments and arguments[-1] is not ...:
            return len(value) == len(arguments) and all(map(matches, value, arguments))
        return not arguments or all(matches(item, arguments[0]) for item in value)
    if kind in (dict, Mapping):
        return isinstance(value, Mapping)
    if kind is Path:
        return isinstance(value, str | Path)
    return True


def describe(hint: Any) -> str:
    """An annotation in words of a config."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return ' or '.join(dict.fromkeys(map(describe, arguments)))
    if origin is tuple and arguments and arguments[-1] is not ...:
        return f'({", ".join(describe(argument) for argument in arguments)})'
    if origin in (list, tuple, Sequence) and arguments:
        items = arguments[0]
        kinds = get_args(items) if get_origin(items) in (Union, types.UnionType) else (items,)
        words = dict.fromkeys(PLURALS.get(get_origin(kind) or kind, describe(kind)) for kind in kinds)
        return f'a list of {" or ".join(words)}'
    if origin is Literal:
        return ' or '.join(map(repr, arguments))
    return WORDS.get(origin or hint, str(getattr(hint, '__name__', hint)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_ours(target: Callable) -> bool:
    module = getattr(target, '__module__', '') or ''
    return module.partition('.')[0] == 'poa_mm' or getattr(target, '__qualname__', '') == 'Runner.__init__'
