"""Finds what would make the host wait for a device."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class NoSync(TorchDispatchMode):
    """Fails on what needs a value or a shape that only the device knows."""

    forbidden = (
        '_local_scalar_dense',
        'is_nonzero',
        'nonzero',
        'masked_select',
        'equal',
        'unique',
        'repeat_interleave',
    )

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in self.forbidden, func
        if name in ('index', 'index_put', 'index_put_'):  # boolean indexing counts its entries
            assert all(i is None or i.dtype != torch.bool for i in args[1]), func
        return func(*args, **(kwargs or {}))
