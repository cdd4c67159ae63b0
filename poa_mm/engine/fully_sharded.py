"""Parameters, gradients and optimizer state divided among the processes: PyTorch's FSDP2, fitted to POA's step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import broadcast, is_main_process
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves, tree_map_only

from poa_mm.errors import UserError
from poa_mm.models.poa import POA

try:
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
    from torch.distributed.tensor import DTensor, distribute_tensor
except ImportError:  # PyTorch 2.4 and 2.5: no tensor is divided
    fully_shard, DTensor = None, ()


@MODEL_WRAPPERS.register_module()  # MMEngine's own registry: its runner looks a wrapper up without a scope
class FullyShardedPOA(nn.Module):
    """Divides a :class:`POA` among the processes (``fully_shard``, after Rajbhandari et al., "ZeRO", 2020).

    Each process keeps ``1 / processes`` of student, teacher, gradients and optimizer state, and gathers the parameters
    of a block when it runs. The steps are those of ``DistributedDataParallel``, and so are the checkpoints: they resume
    on any number of processes, divided or not.

    Processes run different sub-networks, some without blocks that others run, but must gather and reduce in the same
    order. Therefore only the teacher and the intact student do so, which run all blocks in all processes. The student's
    blocks, gathered by its intact pass, stay whole for the elastic passes and the backward pass. That pass goes
    through the elastic students first. When it reaches the intact one, block by block, the gradient of a block has all
    its terms: it is reduced, and the block's parameters are freed.

    In memory, a process has in each step the whole student and, in the backward pass, its whole gradient from elastic
    students, besides its share of all. With accumulation, gradients are kept whole until the last micro-batch.

    Args:
        module: The model, on its device. It is initialised here, before it is divided.

    Raises:
        UserError: PyTorch is too old, the model has no intact student, or it has an elastic teacher.
    """

    def __init__(self, module: POA) -> None:
        super().__init__()
        if fully_shard is None:
            raise UserError(f'FullyShardedPOA needs PyTorch 2.6 or later, this is {torch.__version__}')
        if 'intact' not in module.students or 'elastic' in module.teachers:
            raise UserError(
                'FullyShardedPOA needs an intact student and no elastic teacher, as processes exchange parameters and '
                f'gradients where all run the same blocks; got students={module.students}, teachers={module.teachers}'
            )
        module.init_weights()
        for value in module.state_dict().values():
            broadcast(value)
        for part, frees in parts_of(module):
            fully_shard(part, reshard_after_forward=frees)
        register_fsdp_forward_method(module, 'compute_losses')
        # Hooks may run the teacher alone before the first step, which must not take it for the root.
        module._get_fsdp_state()._lazy_init()
        self.module = module
        self.parts = [part for part in module.modules() if isinstance(part, FSDPModule)]
        self.syncs, self.passes = True, 0
        module.backbone.register_forward_hook(self._after_pass)
        module.register_load_state_dict_pre_hook(_divide_weights)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Forward pass of the model."""
        self.passes = 0
        self._reduce(False)
        return self.module(*args, **kwargs)

    def train_step(self, data: dict, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """One micro-batch, as in ``MMDistributedDataParallel``."""
        with optim_wrapper.optim_context(self):
            losses = self(**self.module.data_preprocessor(data, True), mode='loss')
        loss, log = self.module.parse_losses(losses)
        optim_wrapper.update_params(loss)
        return log

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients of forward passes within are kept and not reduced."""
        self.syncs = False
        try:
            yield
        finally:
            self.syncs = True

    def _after_pass(self, backbone: nn.Module, inputs: Any, output: Any) -> None:
        """The first pass through the student's backbone is the intact one, its backward pass the last."""
        self.passes += 1
        if self.passes == 1 and self.syncs:
            for tensor in tree_leaves(output):
                if tensor.requires_grad:
                    tensor.register_hook(lambda grad: self._reduce(True))

    def _reduce(self, now: bool) -> None:
        """Whether a part whose backward pass ends reduces its gradients and frees its parameters."""
        for part in self.parts:
            part.set_requires_gradient_sync(now, recurse=False)
            part.set_reshard_after_backward(now, recurse=False)


def is_divided(cfg: Mapping[str, Any]) -> bool:
    """Whether a config asks for :class:`FullyShardedPOA`."""
    return str((cfg.get('model_wrapper_cfg') or {}).get('type')).endswith('FullyShardedPOA')


def parts_of(model: POA) -> Iterator[tuple[nn.Module, bool]]:
    """The modules whose parameters, but for those of earlier ones, are gathered together.

    Yields:
        The blocks of a backbone, then the backbone, at last the model, which is left with the heads; and whether the
        parameters are freed after each pass.
    """
    for backbone, frees in ((model.backbone, False), (model.teacher.backbone, True)):
        for prefix in backbone.block_prefixes:
            for block in backbone.get_submodule(prefix.rstrip('.')):
                yield block, frees
        yield backbone, frees
    yield model, False


@contextmanager
def gathered(model: nn.Module, optimizer: Optimizer | None) -> Iterator[None]:
    """Within, ``state_dict()`` of both has whole tensors on the CPU in the main process, and ``None`` in others.

    All processes must enter it. Without divided parameters it does nothing.

    Args:
        model: The model itself, not its wrapper.
        optimizer: Its optimizer.
    """
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        yield
        return
    weights = _gather(model.state_dict())
    state = {} if optimizer is None else _gather(optimizer.state_dict())
    handles = [model.register_state_dict_post_hook(lambda model, found, prefix, meta: found.update(weights))]
    if optimizer is not None:
        handles.append(optimizer.register_state_dict_post_hook(lambda optimizer, found: state))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def local(value: Tensor) -> Tensor:
    """This process's share of a divided tensor, without gradient; another tensor itself."""
    return value.detach().to_local() if isinstance(value, DTensor) else value


def whole(value: Tensor) -> Tensor:
    """The whole of a divided tensor, for which all processes must call it; another tensor itself."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def divided_as(like: Tensor, value: Tensor) -> Tensor:
    """A whole tensor, which all processes have, divided as another one is; the tensor itself if that is whole."""
    if not isinstance(like, DTensor) or isinstance(value, DTensor) or value.shape != like.shape:
        return value
    value = value.to(like.device, like.dtype)
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)  # sends nothing


def divided_state(optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """An optimizer's ``state_dict`` with whole tensors, divided as the parameters of this optimizer."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group['params']]
    numbers = [number for group in state_dict['param_groups'] for number in group['params']]
    state = dict(state_dict['state'])
    for number, parameter in zip(numbers, parameters):
        if number in state:
            state[number] = {key: divided_as(parameter, value) for key, value in state[number].items()}
    return {**state_dict, 'state': state}


def _gather(state: Any) -> Any:
    main = is_main_process()

    def gather(value: DTensor) -> Tensor | None:
        value = value.full_tensor()
        return value.cpu() if main else None

    return tree_map_only(DTensor, gather, state)


def _divide_weights(module: nn.Module, state_dict: dict[str, Tensor], *_: Any) -> None:
    for name, like in module.state_dict().items():
        if name in state_dict:
            state_dict[name] = divided_as(like, state_dict[name])
