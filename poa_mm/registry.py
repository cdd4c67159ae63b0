"""Child registries of MMEngine's, scope ``poa_mm``.

Each names the packages that fill it, so a config finds a class without importing anything by hand. Some hold nothing
of ours: MMEngine warns where a default scope has no registry of the kind.
"""

from collections.abc import Iterator
from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry

from poa_mm.errors import UserError

SCOPES = ('', 'poa_mm', 'mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg')


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


def check_registered(node: Any, where: str) -> None:
    """Refuse types that a registry would have to import: ``type='subprocess.Popen'`` is any function of any module.

    For configs out of files of others; a user's own config may name whatever there is.

    Args:
        node: A config, or a part of it.
        where: Its origin, for the message.

    Raises:
        UserError: A ``type`` is neither a registered name nor such a name after the one of a toolbox.
    """
    for kind in _types(node):
        name = str(kind).rpartition('.')
        if not isinstance(kind, str) or name[0] not in SCOPES or not _is_registered(name[2]):
            raise UserError(
                f'{where} names the type {kind!r}, which is not in the registry of models; if it is a class from '
                'outside poa_mm, also give a config file that has it in custom_imports'
            )


def _types(node: Any) -> Iterator[Any]:
    if isinstance(node, dict) and 'type' in node:
        yield node['type']
    if isinstance(node, dict | list | tuple):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _types(child)


def _is_registered(name: str) -> bool:
    MODELS.import_from_location()
    registries = [MODELS.root]
    for registry in registries:
        if name in registry.module_dict:
            return True
        registries += registry.children.values()
    return False
