"""AdamW whose state is divided among the processes.

Not PyTorch's ``ZeroRedundancyOptimizer``: its ``state_dict`` in MMEngine waits for all processes, of which only the
main one saves; the fused optimizer inside never hears that a step is to be skipped; and on loading it puts AdamW's
step counts on the host, where the fused kernel cannot use them.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from mmengine.dist import all_gather_object, get_dist_info
from torch import Tensor
from torch.optim import AdamW

from poa_mm.errors import UserError
from poa_mm.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class ShardedAdamW(AdamW):
    """AdamW that keeps state for a share of the parameters only (ZeRO, stage 1: Rajbhandari et al., 2020).

    Every parameter belongs to one process, which updates it and sends it to the others: what is computed is AdamW,
    bit for bit, with the state of ``1 / processes`` of the parameters in each. All processes see all parameter
    groups, so schedulers, hooks, clipping and gradient scaling need not know of it. It is for data-parallel
    training, where all processes have the same gradients.

    Checkpoints are AdamW's own and fit any number of processes, sharded or not. Before one is written, all
    processes must call :meth:`consolidate`, as ``AtomicCheckpointHook`` does.

    Args:
        params: Parameters or groups of them; none can be added later.
        kwargs: Of ``torch.optim.AdamW``.
    """

    def __init__(self, params, **kwargs) -> None:
        super().__init__(params, **kwargs)
        self.rank, self.world_size = get_dist_info()
        self.all_params = [p for group in self.param_groups for p in group['params']]
        self.owners = share_out([p.numel() for p in self.all_params], self.world_size)
        self._fetched: dict[int, dict[str, Tensor]] | None = None

    def add_param_group(self, param_group: dict) -> None:
        """Refused once the parameters are shared out.

        Raises:
            UserError: If they are.
        """
        if hasattr(self, 'owners'):
            raise UserError('ShardedAdamW needs all its parameters from the start, a group cannot be added.')
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self) -> None:
        """Update this process's parameters and fetch the others."""
        self._fetched = None
        others = [(p, p.grad) for p, owner in zip(self.all_params, self.owners) if owner != self.rank]
        for param, _ in others:
            param.grad = None  # AdamW passes over such parameters and makes no state for them
        super().step()
        for param, grad in others:
            param.grad = grad
        if self.world_size > 1:
            pairs = zip(self.all_params, self.owners)
            sent = [dist.broadcast(param.data, owner, async_op=True) for param, owner in pairs]
            for work in sent:
                work.wait()

    def consolidate(self) -> None:
        """Bring the state of all processes to the main one, into the host's memory; all must call it."""
        mine = {
            index: {key: (value.shape, value.dtype) for key, value in self.state[param].items()}
            for index, param in enumerate(self.all_params)
            if param in self.state
        }
        self._fetched = {}
        for owner, entries in enumerate(all_gather_object(mine)):
            for index, entry in entries.items():
                state = {key: self._fetch(index, key, owner, *like) for key, like in entry.items()}
                if self.rank == 0 and owner != 0:
                    self._fetched[index] = {key: value.cpu() for key, value in state.items()}

    def _fetch(self, index: int, key: str, owner: int, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """One tensor of the state, from the process that has it to all."""
        param = self.all_params[index]
        if owner == self.rank:
            value = self.state[param][key].contiguous()
        else:
            value = torch.empty(shape, dtype=dtype, device=param.device)
        if self.world_size > 1:
            dist.broadcast(value, owner)
        return value

    def state_dict(self) -> dict:
        """AdamW's: in the main process the state of all parameters, in others of their own.

        Raises:
            RuntimeError: If :meth:`consolidate` was not called since the last step.
        """
        state_dict = super().state_dict()
        if self.world_size > 1:
            if self._fetched is None:
                raise RuntimeError('call consolidate() in all processes before state_dict().')
            state_dict['state'] = dict(sorted({**state_dict['state'], **self._fetched}.items()))
        return state_dict

    def load_state_dict(self, state_dict: dict) -> None:
        """Take this process's share of what :meth:`state_dict` (or AdamW's) gave."""
        mine = {i: entry for i, entry in state_dict['state'].items() if self.owners[i] == self.rank}
        super().load_state_dict({**state_dict, 'state': mine})


def share_out(sizes: list[int], processes: int) -> list[int]:
    """The process of every size; the largest first, each to the process that has least."""
    owners, totals = [0] * len(sizes), [0] * processes
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        owners[index] = totals.index(min(totals))
        totals[owners[index]] += sizes[index]
    return owners
