"""Checks the types and keys of a config against the classes that they are passed to, before anything is built."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from mmengine import registry as registries
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.registry import Registry
from mmengine.runner import LogProcessor, Runner
from torch.utils.data import DataLoader

from poa_mm.errors import UserError

from .value_check import check_ranges, check_values

# Registries in which the types of a section are looked up.
DATA = ('DATASETS', 'DATA_SAMPLERS', 'TRANSFORMS', 'FUNCTIONS')
SECTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(('train_cfg', 'val_cfg', 'test_cfg'), ('LOOPS',)),
    'model': ('MODELS', 'TASK_UTILS', 'WEIGHT_INITIALIZERS'),
    'data_preprocessor': ('MODELS',),
    'model_wrapper_cfg': ('MODEL_WRAPPERS',),
    **dict.fromkeys(('train_dataloader', 'val_dataloader', 'test_dataloader'), DATA),
    **dict.fromkeys(('val_evaluator', 'test_evaluator'), ('METRICS', 'EVALUATOR')),
    'optim_wrapper': ('OPTIM_WRAPPERS', 'OPTIMIZERS'),
    'param_scheduler': ('PARAM_SCHEDULERS',),
    **dict.fromkeys(('default_hooks', 'custom_hooks'), ('HOOKS',)),
    'visualizer': ('VISUALIZERS', 'VISBACKENDS'),
    'log_processor': ('LOG_PROCESSORS',),
}
OTHER_SECTIONS = ('env_cfg', 'randomness', 'knn', 'linear', 'cluster', 'robustness', 'backgrounds')
# Keys that builders remove before the class is called.
REMOVED = {'type', '_scope_', '_delete_'}
REMOVED_IN = {
    'optim_wrapper': ('constructor', 'paramwise_cfg'),
    'param_scheduler': ('convert_to_iter_based',),
    'default_hooks': ('priority',),
    'custom_hooks': ('priority',),
}
# Dicts whose type is looked up elsewhere: functions and operators of mmcv, mmpretrain's batch augmentations, and parts
# of an initializer.
OTHER_LOOKUPS = ('nms', 'roi_layer', 'augments', 'override')
# Sections that may also be a list of dicts.
LISTS = ('param_scheduler', 'custom_hooks', 'val_evaluator', 'test_evaluator')
# Functions that a class passes its remaining keywords to.
PASSES_ON: dict[type, Callable] = {CheckpointHook: Runner.save_checkpoint}


class Place(NamedTuple):
    """Where in a config a node is: dotted key, section, and scope of its types."""

    key: str
    section: str
    scope: str | None

    def child(self, name: str | int) -> Place:
        return self._replace(key=f'{self.key}.{name}')


def check_config(cfg: Config) -> None:
    """Check the types and keys of all sections that a runner builds.

    Args:
        cfg: Its types are looked up in its ``default_scope``, by default ours, which imports the toolboxes that it
            names.

    Raises:
        UserError: A type does not exist, or a class does not take a key; with similar names.
    """
    check_sections(cfg)
    content = cfg.to_dict()
    check_values(content, Runner.__init__, '')
    for section in filter(content.__contains__, SECTIONS):
        _check(content[section], Place(section, section, content.get('default_scope') or 'poa_mm'))
    for name, target in dict(randomness=Runner.set_randomness, log_processor=LogProcessor).items():
        if isinstance(content.get(name), dict) and 'type' not in content[name]:
            _check_keys(content[name], [target], name)
    environment = content.get('env_cfg') or {}
    check_ranges(environment, 'env_cfg')
    check_ranges(environment.get('mp_cfg') or {}, 'env_cfg.mp_cfg')
    for name in ('train', 'val', 'test'):
        loader, loop = content.get(f'{name}_dataloader'), content.get(f'{name}_cfg')
        if isinstance(loader, dict):
            _check_loader(loader, f'{name}_dataloader')
        if isinstance(loop, dict) and 'type' not in loop:
            kinds = dict(
                train='EpochBasedTrainLoop' if loop.get('by_epoch') else 'IterBasedTrainLoop',
                val='ValLoop',
                test='TestLoop',
            )
            _check_keys(loop, [registries.LOOPS.get(kinds[name])], f'{name}_cfg', {'by_epoch'})


def check_sections(cfg: Config) -> None:
    """Check that every section and hook is a dict, for what reads a config before its types and keys are checked.

    Raises:
        UserError: One is neither a dict nor ``None``, nor a list of dicts where a runner takes one.
    """
    for name in (*SECTIONS, *OTHER_SECTIONS):
        value = cfg.get(name)
        parts = value if name in LISTS and isinstance(value, list | tuple) else [value]
        if not all(isinstance(part, dict | None) for part in parts):
            raise UserError(f'{name} must be a dict{" or a list of dicts" * (name in LISTS)}, got {value!r}')
    for name, hook in (cfg.get('default_hooks') or {}).items():
        if not isinstance(hook, dict | None):
            raise UserError(f'default_hooks.{name} must be a dict or None, got {hook!r}')


def _check(node: Any, place: Place) -> None:
    """Check a node of a section and all below it."""
    if isinstance(node, dict):
        place = place._replace(scope=node.get('_scope_', place.scope))
        extra = set(REMOVED_IN.get(place.section, ()))
        if 'constructor' in node and place.key == 'optim_wrapper':
            extra |= _check_constructor(node, place)
        if 'type' in node:
            kind = node['type']
            if not (isinstance(kind, str) or callable(kind)):
                raise UserError(f'{place.key}.type must be the name of a class, got {kind!r}')
            targets = _find(kind, place, SECTIONS[place.section]) if isinstance(kind, str) else [kind]
            _check_keys(node, targets, place.key, extra)
        else:
            check_ranges(node, place.key)
        for name, child in node.items():
            if place.key == 'default_hooks' and isinstance(child, dict) and 'type' not in child:
                others = [other for other in node if other != name]
                raise UserError(f'default_hooks.{name} has no type{_near(name, others)}')
            if name not in OTHER_LOOKUPS:
                _check(child, place.child(name))
    elif isinstance(node, (list, tuple)):
        for i, child in enumerate(node):
            _check(child, place.child(i))


def _check_loader(node: Mapping[str, Any], key: str) -> None:
    """Check what goes to PyTorch's ``DataLoader``."""
    _check_keys(node, [DataLoader], key, {'num_batch_per_epoch'})
    kind = (node.get('collate_fn') or {}).get('type') if isinstance(node.get('collate_fn'), dict) else None
    if isinstance(kind, str) and registries.FUNCTIONS.get(kind) is None:
        raise UserError(f'{key}.collate_fn.type: unknown {kind!r}; functions of poa_mm are named poa_mm.{kind}')


def _check_constructor(node: Mapping[str, Any], place: Place) -> set[str]:
    """Check ``paramwise_cfg`` against its constructor; keys that the constructor takes out of the wrapper's config."""
    (constructor, *_) = _find(node['constructor'], place.child('constructor'), ('OPTIM_WRAPPER_CONSTRUCTORS',))
    read = _paramwise_keys(constructor)
    check_ranges(node.get('paramwise_cfg') or {}, 'optim_wrapper.paramwise_cfg')
    for name in node.get('paramwise_cfg') or ():
        if read and name not in read:
            raise UserError(
                f'optim_wrapper.paramwise_cfg.{name} is not read by {constructor.__name__}{_near(name, read)}; '
                f'it reads {", ".join(sorted(read))}'
            )
    return set(getattr(constructor, 'wrapper_keys', ()))


@cache
def _paramwise_keys(constructor: type) -> set[str]:
    """Keys of ``self.paramwise_cfg`` that MMEngine's and the toolboxes' constructors read, found in their sources."""
    sources = (inspect.getsource(cls) for cls in constructor.__mro__[:-1])
    return set(re.findall(r"paramwise_cfg(?:\.get\(|\[)'(\w+)'", ''.join(sources)))


def _find(name: str, place: Place, names: Collection[str]) -> Iterator[Callable]:
    """Yield everything of a name in some registries.

    Raises:
        UserError: There is nothing.
    """
    found, known = False, set()
    for registry in names:
        with getattr(registries, registry).switch_scope_and_registry(place.scope) as scoped:
            target = scoped.get(name)
            known |= set(_names(scoped, '.' in name))
        if target is not None:
            found = True
            yield target
    near = _near(name, known)
    # Toolboxes have further lookups inside models; their own error is as good where no name is similar.
    if not found and (near or place.section != 'model'):
        key = place.key if place.key.endswith('.constructor') else f'{place.key}.type'
        raise UserError(f'{key}: there is no {name!r}{near}')


def _names(registry: Registry | None, dotted: bool) -> Iterator[str]:
    """Names in a registry and those above it, or with their scopes in its whole family."""
    while registry is not None:
        yield from registry.module_dict
        if dotted and registry.parent is None:
            for child in registry.children.values():
                yield from (f'{child.scope}.{name}' for name in child.module_dict)
        registry = registry.parent


def _check_keys(node: Mapping[str, Any], targets: Iterable[Callable], key: str, removed: Iterable[str] = ()) -> None:
    """Check that one of some classes or functions takes all keys of a dict.

    Raises:
        UserError: None does.
    """
    wrong = []
    for target in targets:
        allowed = keywords(target)
        if 'norm' in key.rpartition('.')[2] and allowed is not None:
            allowed = allowed | {'requires_grad'}
        unknown = [] if allowed is None else [name for name in node if name not in {*allowed, *REMOVED, *removed}]
        if not unknown:
            check_values(node, target, key)
            for path, inner in getattr(target, 'nested_arguments', {}).items():
                _check_nested(node, path, inner, key)
            return
        wrong.append((unknown[0], target, allowed))
    if not wrong:
        return
    name, target, allowed = wrong[0]
    raise UserError(
        f'{key}.{name} is not an argument of {target.__name__}{_near(name, allowed)}; '
        f'it takes {", ".join(sorted(allowed))}'
    )


def _check_nested(node: Mapping[str, Any], path: str, target: Callable, key: str) -> None:
    """Check a dict that a class passes to another one; ``path`` is where it is in the config of the first."""
    for name in path.split('.'):
        node = node.get(name) if isinstance(node, dict) else None
    if isinstance(node, dict):
        _check_keys(node, [target], f'{key}.{path}')


@cache
def keywords(target: Callable) -> frozenset[str] | None:
    """Keywords that a function or the constructor of a class takes; ``None`` for any.

    ``**kwargs`` of a constructor is followed to the constructors of its base classes where all that is done with it is
    passing it to ``super().__init__`` and reading single keys.
    """
    if not inspect.isclass(target):
        names, rest, _ = _parameters(target)
        return None if rest else names
    allowed = set()
    for cls in target.__mro__[:-1]:
        if '__init__' not in vars(cls):
            continue
        names, rest, function = _parameters(cls.__init__)
        allowed |= names - {'self'}
        if rest is None:
            return frozenset(allowed)
        if cls in PASSES_ON:
            return frozenset(allowed) | keywords(PASSES_ON[cls]) - {'self'}
        read = _keys_read(function, rest)
        if read is None:
            return None
        allowed |= read
    return frozenset(allowed)


def _parameters(function: Callable) -> tuple[frozenset[str], str | None, Callable]:
    """Names of the parameters of a function, that of its ``**kwargs``, and the function without decorators."""
    function = inspect.unwrap(function)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return frozenset(), 'unknown', function
    rest = [p.name for p in parameters if p.kind is p.VAR_KEYWORD]
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return frozenset(names), rest[0] if rest else None, function


def _keys_read(function: Callable, rest: str) -> set[str] | None:
    """Keys of ``**rest`` that a constructor reads itself; ``None`` if it has another use than ``super().__init__``."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError):
        return None
    known, keys = set(), set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id='super')), attr='__init__')):
                known |= {id(keyword.value) for keyword in node.keywords if keyword.arg is None}
            case ast.Call(func=ast.Attribute(value=ast.Name() as name, attr='pop' | 'get' | 'setdefault')):
                known.add(id(name))
                keys |= _constants(node.args[:1])
            case ast.Subscript(value=ast.Name() as name):
                known.add(id(name))
                keys |= _constants([node.slice])
            case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[ast.Name() as name]):
                known.add(id(name))
                keys |= _constants([node.left])
    used = {id(node) for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == rest}
    return keys if used <= known else None


def _constants(nodes: list[ast.expr]) -> set[str]:
    return {node.value for node in nodes if isinstance(node, ast.Constant)}


def _near(name: str, known: Collection[str]) -> str:
    names = {each.lower(): each for each in known}
    near = [names[each] for each in difflib.get_close_matches(name.lower(), names, n=3)]
    return f'; near are {", ".join(near)}' if near else ''
