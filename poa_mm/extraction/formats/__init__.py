"""What an extracted sub-network looks like to a toolbox: one module each.

Every module has two functions: ``network(backbone, subnet)``, the config of the network, and
``weights(backbone, subnet, extracted)``, what its loader wants of the weights that
:meth:`ElasticBackbone.extract` gives.
"""

from types import ModuleType

from poa_mm.errors import UserError

from . import mmdet, mmpretrain, mmseg

FORMATS: dict[str, ModuleType] = {'mmpretrain': mmpretrain, 'mmdet': mmdet, 'mmseg': mmseg}

__all__ = ['FORMATS', 'find_format']


def find_format(name: str) -> ModuleType:
    """The module of a format.

    Raises:
        UserError: If there is no such format.
    """
    if name not in FORMATS:
        raise UserError(f'format must be one of {list(FORMATS)}, got {name!r}')
    return FORMATS[name]
