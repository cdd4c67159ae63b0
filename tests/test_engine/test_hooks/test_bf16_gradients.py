from types import SimpleNamespace

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel

from poa_mm.engine import Bf16GradientsHook


def test_gradients_are_rounded(tmp_path):
    layer, x = torch.nn.Linear(16, 8), torch.randn(4, 16)
    plain = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
    dist.init_process_group('gloo', store=dist.FileStore(str(tmp_path / 'store'), 1), rank=0, world_size=1)
    try:
        wrapped = MMDistributedDataParallel(layer, gradient_as_bucket_view=True)
        Bf16GradientsHook().before_train(SimpleNamespace(model=wrapped))
        torch.nn.parallel.DistributedDataParallel.forward(wrapped, x).square().sum().backward()
    finally:
        dist.destroy_process_group()
    for parameter, expected in zip(layer.parameters(), plain):
        assert torch.equal(parameter.grad, expected.bfloat16().float())


def test_one_process_is_left_alone():
    Bf16GradientsHook().before_train(SimpleNamespace(model=torch.nn.Linear(2, 2)))
