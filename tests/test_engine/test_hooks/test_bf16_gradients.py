from types import SimpleNamespace

import torch
from mmengine.model import MMDistributedDataParallel

from poa_mm.engine import Bf16GradientsHook
from tests.helpers.processes import in_processes


def gradients():
    """Those of a layer, plain and as processes exchange them."""
    layer, x = torch.nn.Linear(16, 8), torch.randn(4, 16)
    plain = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
    wrapped = MMDistributedDataParallel(layer, gradient_as_bucket_view=True)
    Bf16GradientsHook().before_train(SimpleNamespace(model=wrapped))
    torch.nn.parallel.DistributedDataParallel.forward(wrapped, x).square().sum().backward()
    return [parameter.grad for parameter in layer.parameters()], plain


def test_gradients_are_rounded():
    """In a process of its own: a model that outlives its group was seen to wait for the group's threads for ever."""
    ((found, plain),) = in_processes(1, gradients)
    assert len(found) == len(plain) == 2
    for gradient, expected in zip(found, plain):
        assert torch.equal(gradient, expected.bfloat16().float())


def test_one_process_is_left_alone():
    Bf16GradientsHook().before_train(SimpleNamespace(model=torch.nn.Linear(2, 2)))
