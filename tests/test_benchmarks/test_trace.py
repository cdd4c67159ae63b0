"""The recipes' steps on fake tensors that pose as those of a GPU."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import fake_gpu as fake
from benchmarks import trace
from benchmarks.fake_gpu import GPU, HostWaitError, MixedDevicesError, fake_gpu, on_device

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.fixture
def recorder():
    with fake_gpu() as recorder:
        yield recorder


def test_operations_by_hand(recorder):
    x = torch.randn(8, 16, device=GPU)
    weight = nn.Parameter(torch.randn(32, 16, device=GPU))
    recorder.operations.clear()
    y = F.gelu(x @ weight.t())
    product, gelu = recorder.operations
    assert (product.name, product.category, product.flops) == ('mm', 'products', 2 * 8 * 16 * 32)
    assert product.bytes == 4 * (8 * 16 + 16 * 32 + 8 * 32) and not product.half
    assert (gelu.category, gelu.flops, gelu.bytes) == ('GELU', 0, 2 * 4 * 8 * 32)
    recorder.operations.clear()
    y.sum().backward()
    assert {o.name: o.flops for o in recorder.operations if o.flops} == {'mm': 2 * 8 * 16 * 32}
    assert on_device(weight.grad)


def test_in_place_operations_read_and_write(recorder):
    x, y = torch.zeros(2, 10, device=GPU)
    recorder.operations.clear()
    x.add_(y)
    torch.ones(5)  # on the host
    x.expand(100, 10).sum()
    assert [o.bytes for o in recorder.operations] == [3 * 40, 40 + 4]


def test_autocast_is_that_of_a_gpu(recorder):
    x, norm = torch.randn(4, 8, device=GPU, dtype=torch.bfloat16), nn.LayerNorm(8, device=GPU)
    with torch.autocast('cuda', dtype=torch.bfloat16):
        assert norm(x).dtype == torch.float32
        assert F.linear(norm(x), torch.randn(8, 8, device=GPU)).dtype == torch.bfloat16


WAITS = [
    lambda x: x.sum().item(),
    lambda x: x.cpu(),
    lambda x: x.to('cpu'),
    lambda x: x.tolist(),
    lambda x: bool(x[0]),
    lambda x: x.nonzero(),
    lambda x: x[x > 0],
]


@pytest.mark.parametrize('wait', WAITS)
def test_host_waits_are_found(recorder, wait):
    with pytest.raises(HostWaitError):
        wait(torch.ones(3, device=GPU))


def test_mixed_devices_are_found(recorder):
    x = torch.ones(3, device=GPU)
    assert x.device == GPU and torch.zeros(3).device.type == 'cpu'
    assert (x + torch.ones(())).device == GPU  # a number may come from the host
    with pytest.raises(MixedDevicesError):
        x + torch.ones(3)
    assert (x + torch.ones(3).to(x.device)).device == GPU


def test_prediction_is_the_roofline():
    from benchmarks.fake_gpu import Operation, Trace

    operations = [
        Operation('mm', 'products', flops=1000, bytes=10, half=True),
        Operation('mm', 'products', flops=1000, bytes=10, half=False),
        Operation('add', 'sums', flops=0, bytes=50, half=False),
    ]
    found = trace.predict(Trace(images=4, subnet='a', operations=operations), 100.0, 50.0, 5.0)
    assert found['categories']['products'] == dict(calls=2, flops=2000, bytes=20, seconds=10 + 20)
    assert found['seconds'] == 40 and found['images_per_second'] == 0.1 and found['bytes_per_image'] == 17.5


# Fewer blocks than the recipe has, which are all alike, and the gigabytes that the step may move per image.
# Lower a bound with every change that lowers the number.
RECIPES = {
    'poa_vitl.py': (dict(depths=(2, 4)), 2.35),
    'poa_swinb.py': (dict(depths=(2, 4)), 5.0),
    'poa_resnet152.py': (dict(depths=((2, 2), (2, 2), (2, 4), (2, 2))), 4.1),
}


@pytest.mark.parametrize('config', RECIPES)
def test_recipe(config):
    """No mixed devices and no host wait, which would raise, and a bounded number of bytes."""
    changes, bound = RECIPES[config]
    traced = fake.trace(str(CONFIGS / config), {f'model.backbone.{key}': value for key, value in changes.items()})
    found = trace.predict(traced, 790e12, 50e12, 4e12)
    assert {'products', 'norms', 'cross-entropies', 'Sinkhorn', 'heads'} <= set(found['categories'])
    assert 0.9 * bound < found['bytes_per_image'] / 1e9 < bound
