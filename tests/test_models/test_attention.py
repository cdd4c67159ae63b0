import pytest
import torch
import torch.nn.functional as F

from poa_mm.errors import UserError
from poa_mm.models.backbones.attention import BACKENDS, attend, choose_attention


@pytest.mark.parametrize('with_bias', [True, False])
@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_equals_scaled_dot_product_attention(dtype, tolerance, with_bias):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 10, 8, dtype=dtype, requires_grad=True) for _ in range(3))
    bias = torch.randn(3, 10, 10) if with_bias else None
    out = attend(q, k, v, bias)
    assert out.dtype == dtype
    gradients = torch.autograd.grad(out.float().square().sum(), (q, k, v))
    exact = [t.detach().float().requires_grad_() for t in (q, k, v)]
    expected = F.scaled_dot_product_attention(*exact, attn_mask=bias)
    torch.testing.assert_close(out.float(), expected, rtol=tolerance, atol=tolerance)
    for got, want in zip(gradients, torch.autograd.grad(expected.square().sum(), exact)):
        torch.testing.assert_close(got.float(), want, rtol=4 * tolerance, atol=8 * tolerance)


def test_choice_of_the_kernel():
    cuda = torch.backends.cuda
    flags = (cuda.flash_sdp_enabled, cuda.mem_efficient_sdp_enabled, cuda.cudnn_sdp_enabled)
    try:
        for number, backend in enumerate(BACKENDS):
            choose_attention(backend)
            assert [flag() for flag in flags] == [i == number for i in range(3)]
    finally:
        choose_attention(None)
    assert all(flag() for flag in flags)
    with pytest.raises(UserError, match="got 'falsh'"):
        choose_attention('falsh')
