"""Checks that a checkpoint is of this model and optimizer, before anything of it is loaded.

MMEngine loads what fits and only logs the rest, and a fused optimizer that runs with the state of other shapes writes
outside of its tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.optim import Optimizer

from poa_mm.errors import UserError, listed
from poa_mm.files import load_weights
from poa_mm.models.wrapping import plain_weights, unwrapped


def check_resume(path: str, runner: Runner) -> None:
    """Compare the weights, the optimizer's state and the schedulers of a checkpoint with those of a runner.

    Args:
        path: The checkpoint.
        runner: With its model, optimizer wrapper and schedulers built.

    Raises:
        UserError: If the file is not of a training run, or anything differs in name, number, shape or type.
    """
    contents = load_weights(path)
    missing = [key for key in ('meta', 'message_hub', 'optimizer') if not isinstance(contents.get(key), dict)]
    if missing:
        raise UserError(f'cannot resume from {path}: it lacks {", ".join(missing)}')
    model = unwrapped(runner.model)
    problems = [*differing(plain_weights(contents), model.state_dict())]
    if isinstance(runner.optim_wrapper, OptimWrapper):
        problems += differing_state(contents['optimizer'], runner.optim_wrapper.optimizer, model)
    problems += _differing_schedulers(contents.get('param_schedulers'), runner.param_schedulers)
    if problems:
        differences = listed(problems, 3, '; ')
        raise UserError(f'cannot resume from {path}, which is of another model or optimizer: {differences}')


def differing(found: Mapping[str, Any], expected: Mapping[str, Tensor]) -> Iterator[str]:
    """What differs in name, shape or type between weights, one text each."""
    for name in dict.fromkeys([*expected, *found]):
        if name not in found:
            yield f'{name} is not in the file'
        elif name not in expected:
            yield f'{name} is not in the model'
        elif (is_ := _kind(found[name])) != (should := _kind(expected[name])):
            yield f'{name} is {is_} in the file and {should} in the model'


def differing_state(found: Mapping[str, Any], optimizer: Optimizer, model: nn.Module) -> Iterator[str]:
    """What of an optimizer's saved state does not belong to its parameters, one text each."""
    groups, state = found.get('param_groups'), found.get('state')
    if not isinstance(groups, list) or not isinstance(state, dict):
        yield 'the optimizer has no state in the file'
        return
    sizes = [len(group['params']) for group in groups], [len(group['params']) for group in optimizer.param_groups]
    if sizes[0] != sizes[1]:
        yield (
            f'the optimizer has {sum(sizes[0])} parameters in {len(groups)} groups in the file, '
            f'{sum(sizes[1])} in {len(optimizer.param_groups)} in the run, or distributed otherwise'
        )
        return
    names = {parameter: name for name, parameter in model.named_parameters()}
    numbers = [number for group in groups for number in group['params']]
    parameters = [parameter for group in optimizer.param_groups for parameter in group['params']]
    for number, parameter in zip(numbers, parameters):
        for key, value in state.get(number, {}).items():
            # Counters of steps are scalars.
            if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                name = names.get(parameter, f'parameter {number}')
                yield f'{key} of {name} is {tuple(value.shape)} in the file, the parameter {tuple(parameter.shape)}'
    for number in state.keys() - set(numbers):
        yield f'the optimizer has a state of parameter {number} in the file, which no group has'


def _differing_schedulers(found: Any, expected: Any) -> Iterator[str]:
    if found is None or expected is None or isinstance(expected, dict) or isinstance(found, dict):
        return
    if len(found) != len(expected):
        yield f'there are {len(found)} schedulers in the file and {len(expected)} in the run'


def _kind(value: Any) -> str:
    return f'{tuple(value.shape)} {str(value.dtype).removeprefix("torch.")}'
