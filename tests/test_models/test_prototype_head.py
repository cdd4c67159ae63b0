import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from poa_mm.models.heads import MultiPrototypeHead


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = MultiPrototypeHead(16, (12, 20), hidden_dims=24, bottleneck_dims=8)
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    return head


def plain_twin(head, size):
    """The same head from PyTorch's own layers, for features of ``size`` out of 16."""
    mlp, last = head.mlp, weight_norm(nn.Linear(8, len(head.last_layer.weight_g), bias=False), dim=0)
    first = nn.Linear(size, 24)
    first.weight.data = mlp[0].weight.data[:, :size] * 16 / size
    first.bias.data = mlp[0].bias.data
    last.parametrizations.weight.original0.data = head.last_layer.weight_g.data
    last.parametrizations.weight.original1.data = head.last_layer.weight_v.data
    body = nn.Sequential(first, *mlp[1:])
    return lambda x: last(nn.functional.normalize(body(x), dim=-1))


@pytest.mark.parametrize('size', [16, 8])
def test_equals_plain_layers(head, size):
    x = torch.randn(5, size)
    for logits, one in zip(head(x), head.heads):
        torch.testing.assert_close(logits, plain_twin(one, size)(x), rtol=1e-4, atol=1e-4)


def test_prototypes_once_for_several_calls(head):
    prototypes = head.prototypes()
    x = torch.randn(5, 16)
    for with_, without in zip(head(x, prototypes), head(x)):
        assert torch.equal(with_, without)


def test_start():
    head = MultiPrototypeHead(16, (12,))
    (prototypes,) = head.prototypes()
    torch.testing.assert_close(prototypes.norm(dim=1), torch.ones(12))  # gain 1
    assert all((layer.bias == 0).all() for layer in head.heads[0].mlp[::2])
    assert abs(head.heads[0].mlp[2].weight.std() - 0.02) < 0.002


def test_bf16_logits_near_fp32(head):
    x = torch.randn(5, 16)
    with torch.autocast('cpu', torch.bfloat16):
        half = head(x)
    for a, b in zip(half, head(x)):
        torch.testing.assert_close(a.float(), b, rtol=0.05, atol=0.1)


def test_no_head():
    with pytest.raises(ValueError, match='at least one head'):
        MultiPrototypeHead(16, ())
