"""Child registries of MMEngine's, scope ``poa_mm``.

Each names the packages that fill it, so a config finds a class without importing anything by hand. Some hold nothing
of ours: MMEngine warns where a default scope has no registry of the kind.
"""

from mmengine import registry as root
from mmengine.registry import Registry


def _child(name: str, *locations: str) -> Registry:
    parent = getattr(root, name)
    return Registry(parent.name, parent=parent, scope='poa_mm', locations=list(locations))


MODELS = _child('MODELS', 'poa_mm.models', 'poa_mm.distillation')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS', 'poa_mm.models')
DATASETS = _child('DATASETS', 'poa_mm.datasets')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'poa_mm.datasets')
TRANSFORMS = _child('TRANSFORMS', 'poa_mm.datasets')
FUNCTIONS = _child('FUNCTIONS', 'poa_mm.datasets')
HOOKS = _child('HOOKS', 'poa_mm.engine', 'poa_mm.evaluation')
LOOPS = _child('LOOPS', 'poa_mm.engine')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'poa_mm.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'poa_mm.engine')
OPTIMIZERS = _child('OPTIMIZERS', 'poa_mm.engine')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS', 'poa_mm.engine')
METRICS = _child('METRICS', 'poa_mm.evaluation')
VISBACKENDS = _child('VISBACKENDS', 'poa_mm.reporting')
VISUALIZERS = _child('VISUALIZERS', 'poa_mm.reporting')
