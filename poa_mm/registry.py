"""Child registries of MMEngine's, scope ``poa_mm``.

Each names the packages that fill it, so a config finds a class without importing anything by hand. Some hold nothing
of ours: MMEngine warns where a default scope has no registry of the kind.
"""

from collections.abc import Callable, Iterator, Sequence
from inspect import isclass
from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry

from poa_mm.errors import UserError

SCOPES = ('', 'poa_mm', 'mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg')
LAYERS = ('torch.nn.modules.', 'mmcv.cnn.bricks.', 'mmcv.ops.', 'mmpretrain.models.utils.norm')


def _child(name: str, *locations: str) -> Registry:
    parent = getattr(root, name)
    return Registry(parent.name, parent=parent, scope='poa_mm', locations=list(locations))


MODELS = _child('MODELS', 'poa_mm.models')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS', 'poa_mm.models')
DATASETS = _child('DATASETS', 'poa_mm.datasets')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'poa_mm.datasets')
TRANSFORMS = _child('TRANSFORMS', 'poa_mm.datasets')
FUNCTIONS = _child('FUNCTIONS', 'poa_mm.datasets')
HOOKS = _child('HOOKS', 'poa_mm.engine', 'poa_mm.evaluation', 'poa_mm.visualization')
LOOPS = _child('LOOPS', 'poa_mm.engine')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'poa_mm.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'poa_mm.engine')
OPTIMIZERS = _child('OPTIMIZERS', 'poa_mm.engine')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS', 'poa_mm.engine')
METRICS = _child('METRICS', 'poa_mm.evaluation')
VISBACKENDS = _child('VISBACKENDS', 'poa_mm.visualization')
VISUALIZERS = _child('VISUALIZERS', 'poa_mm.visualization')


def check_types(
    node: Any,
    where: str,
    allows: Callable[[type], bool] = lambda cls: False,
    registries: Sequence[Registry] = (MODELS,),
) -> None:
    """Refuse types that a config out of a file of others may not name: a registry builds any function by its path.

    A user's own config may name whatever there is.

    Args:
        node: A config, or a part of it.
        where: Its origin, for the message.
        allows: Whether a registered class may be named; plain layers (``'GN'``, ``'GELU'``) always may.
        registries: That build it.

    Raises:
        UserError: A ``type`` is not the name of such a class, alone or after the name of a toolbox.
    """
    for kind in _types(node):
        scope, _, name = str(kind).rpartition('.')
        known = isinstance(kind, str) and scope in SCOPES
        found = [cls for registry in registries for cls in _registered(registry, name)] if known else []
        if not found:
            raise UserError(
                f'{where} names the type {kind!r}, which is not in the registry of {registries[0].name}s; if it is a '
                'class from outside poa_mm, also give a config file that has it in custom_imports'
            )
        if not all(isclass(cls) and (cls.__module__.startswith(LAYERS) or allows(cls)) for cls in found):
            raise UserError(f'{where} names the type {kind!r}, which a file may not name there')


def _types(node: Any) -> Iterator[Any]:
    if isinstance(node, dict) and 'type' in node:
        yield node['type']
    if isinstance(node, dict | list | tuple):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _types(child)


def _registered(registry: Registry, name: str) -> Iterator[Any]:
    """What a registry's whole tree has under a name: a toolbox may build with the registry of another."""
    registry.import_from_location()
    registries = [registry.root]
    for registry in registries:
        if name in registry.module_dict:
            yield registry.module_dict[name]
        registries += registry.children.values()
