import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from poa_mm.engine import LayerDecayOptimWrapperConstructor, PoaOptimWrapper
from tests.helpers.processes import in_processes


class NoSync(TorchDispatchMode):
    """Fails on everything for which the host would wait for a device."""

    forbidden = ('_local_scalar_dense', 'is_nonzero', 'nonzero', 'masked_select', 'equal')

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func.overloadpacket.__name__ not in self.forbidden, func
        return func(*args, **(kwargs or {}))


def _build(model, separately=True, max_norm=0.05, **kwargs):
    clip_grad = None if max_norm is None else dict(max_norm=max_norm, separately=separately)
    cfg = dict(
        type='poa_mm.PoaOptimWrapper',
        optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.04, fused=True),
        clip_grad=clip_grad,
        **kwargs,
    )
    return LayerDecayOptimWrapperConstructor(cfg)(model)


def _x(seed, n=4):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


def _train(model, wrapper, x):
    with wrapper.optim_context(model):
        loss = model(dict(x=x))['loss']
    wrapper.update_params(loss)


def _state(model, wrapper):
    """Everything that a skipped step must leave alone."""
    state = {k: v.clone() for k, v in model.state_dict().items()}
    for i, entry in wrapper.optimizer.state_dict()['state'].items():
        state |= {f'{i}.{k}': v.clone() for k, v in entry.items()}
    return state


def _assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


@pytest.mark.parametrize('separately', [True, False])
def test_clipping_against_torch(tiny_model, separately):
    model = tiny_model()
    reference = copy.deepcopy(model)
    wrapper = _build(model, separately, max_norm=0.05)
    reference(dict(x=_x(0)))['loss'].backward()
    trained = [p for p in reference.parameters() if p.requires_grad]
    backbone = list(reference.backbone.parameters())
    heads = list(reference.head.parameters())
    for params in [backbone, heads] if separately else [trained]:
        assert nn.utils.clip_grad_norm_(params, 0.05) > 0.05  # or nothing is tested
    decay = [p for n, p in reference.named_parameters() if p.requires_grad and (p.ndim > 1 or 'token' in n)]
    flat = [p for n, p in reference.named_parameters() if p.requires_grad and not (p.ndim > 1 or 'token' in n)]
    optimizer = torch.optim.AdamW([dict(params=decay), dict(params=flat, weight_decay=0)], 0.01, weight_decay=0.04)
    # Two steps: the first step of Adam does not depend on the scale of the gradient.
    optimizer.step()
    optimizer.zero_grad()
    _train(model, wrapper, _x(0))
    reference(dict(x=_x(1)))['loss'].backward()
    norms = [nn.utils.clip_grad_norm_(p, 0.05) for p in ([backbone, heads] if separately else [trained])]
    optimizer.step()
    _train(model, wrapper, _x(1))

    torch.testing.assert_close(model.state_dict(), reference.state_dict(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(list(wrapper.grad_norms.values()), norms, rtol=1e-4, atol=1e-6)
    names = ['grad_norm_backbone', 'grad_norm_heads'] if separately else ['grad_norm']
    assert list(wrapper.grad_norms) == names


def test_no_clipping(tiny_model):
    model = tiny_model()
    wrapper = _build(model, max_norm=None)
    model(dict(x=_x(0)))['loss'].backward()
    before = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    wrapper._clip_grad()
    after = [p.grad for p in model.parameters() if p.grad is not None]
    torch.testing.assert_close(after, before, rtol=0, atol=0)


@pytest.mark.parametrize('amp_dtype', [None, 'bfloat16', 'float16'])
@pytest.mark.parametrize('first', [True, False])
def test_non_finite_step_changes_nothing(tiny_model, amp_dtype, first):
    model = tiny_model()
    wrapper = _build(model, amp_dtype=amp_dtype)
    if not first:
        _train(model, wrapper, _x(0))
        assert wrapper.finite == 1
    before = _state(model, wrapper)
    _train(model, wrapper, torch.full((4, 3), torch.inf))
    after = _state(model, wrapper)
    if first:
        # Adam makes its state at the first call; it must be the empty one.
        assert all(not v.any() for k, v in after.items() if k not in before)
        after = {k: v for k, v in after.items() if k in before}
    _assert_same(before, after)
    assert wrapper.finite == 0 and wrapper.skipped_steps == 1
    assert all(p.grad is None for p in model.parameters())

    _train(model, wrapper, _x(1))
    assert wrapper.finite == 1 and wrapper.skipped_steps == 1
    assert not torch.equal(model.backbone.patch_embed.weight, before['backbone.patch_embed.weight'])


def test_good_steps_do_not_notice_a_skipped_one(tiny_model):
    plain, skipping = tiny_model(), tiny_model()
    plain_wrapper, skipping_wrapper = _build(plain), _build(skipping)
    for seed in range(3):
        _train(plain, plain_wrapper, _x(seed))
        _train(skipping, skipping_wrapper, _x(seed))
        _train(skipping, skipping_wrapper, torch.full((4, 3), torch.nan))
    _assert_same(_state(plain, plain_wrapper), _state(skipping, skipping_wrapper))
    assert skipping_wrapper.skipped_steps == 3


def test_infinite_loss_with_finite_gradients_is_skipped(tiny_model):
    model = tiny_model()
    wrapper = _build(model)
    before = _state(model, wrapper)
    wrapper.update_params(model(dict(x=_x(0)))['loss'] + torch.inf)
    assert wrapper.finite == 0
    after = _state(model, wrapper)
    _assert_same(before, {k: after[k] for k in before})


def test_finite_loss_with_infinite_gradients_is_skipped(tiny_model):
    model = tiny_model()
    wrapper = _build(model)
    weight = model.head[0].mlp.weight
    loss = model(dict(x=_x(0)))['loss'] + (weight * 0).abs().sqrt().sum()  # gradient 0 * inf
    assert loss.isfinite()
    before = weight.clone()
    wrapper.update_params(loss)
    assert wrapper.finite == 0 and torch.equal(weight, before)


def test_one_bad_accumulation_step_skips_the_whole_step(tiny_model):
    model = tiny_model()
    wrapper = _build(model, accumulative_counts=2)
    before = _state(model, wrapper)
    _train(model, wrapper, torch.full((4, 3), torch.inf))
    _train(model, wrapper, _x(0))
    after = _state(model, wrapper)
    _assert_same(before, {k: after[k] for k in before})
    assert wrapper.skipped_steps == 1
    _train(model, wrapper, _x(0))
    _train(model, wrapper, _x(1))
    assert wrapper.finite == 1


def test_accumulation_equals_a_big_batch(tiny_model):
    small, big = tiny_model(), tiny_model()
    small_wrapper, big_wrapper = _build(small, accumulative_counts=2), _build(big)
    for seed in range(3):
        x = _x(seed, 8)
        _train(small, small_wrapper, x[:4])
        _train(small, small_wrapper, x[4:])
        _train(big, big_wrapper, x)
    torch.testing.assert_close(small.state_dict(), big.state_dict(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('amp_dtype', ['bfloat16', 'float16'])
def test_autocast_on_the_cpu(tiny_model, amp_dtype):
    model, reference = tiny_model(), tiny_model()
    wrapper, fp32 = _build(model, amp_dtype=amp_dtype), _build(reference)
    seen = []
    model.backbone.layers[0].register_forward_hook(lambda *args: seen.append(args[-1].dtype))
    for seed in range(3):
        _train(model, wrapper, _x(seed))
        _train(reference, fp32, _x(seed))
    assert seen == [getattr(torch, amp_dtype)] * 3
    assert wrapper.skipped_steps == 0
    assert (wrapper.loss_scaler is not None) == (amp_dtype == 'float16')
    # Norms are of the unscaled gradients.
    torch.testing.assert_close(wrapper.grad_norms, fp32.grad_norms, rtol=0.1, atol=1e-3)


def test_gradient_scaler_backs_off(tiny_model):
    model = tiny_model()
    wrapper = _build(model, amp_dtype='float16')
    _train(model, wrapper, _x(0))
    scale = wrapper.loss_scaler.get_scale()
    _train(model, wrapper, torch.full((4, 3), torch.inf))
    assert wrapper.loss_scaler.get_scale() == scale / 2


@pytest.mark.parametrize('amp_dtype', [None, 'bfloat16', 'float16'])
def test_no_device_sync(tiny_model, amp_dtype):
    model = tiny_model()
    wrapper = _build(model, amp_dtype=amp_dtype)
    _train(model, wrapper, _x(0))  # the gradient scaler is made at the first call
    with wrapper.optim_context(model):
        loss = model(dict(x=_x(1)))['loss']
    # The CPU kernels of the optimizer and of the scaler read scalars, as those of a GPU do not.
    calls = []
    wrapper.optimizer.step = lambda: calls.append(wrapper.optimizer.found_inf)
    if wrapper.loss_scaler is not None:
        wrapper.loss_scaler.update = lambda: None
        wrapper.loss_scaler.unscale_ = lambda optimizer: None
    with NoSync():
        wrapper.update_params(loss)
    assert calls == [0]
    with pytest.raises(AssertionError), NoSync():
        float(wrapper.finite)  # the guard does see a sync


def test_state_dict(tiny_model):
    model = tiny_model()
    wrapper = _build(model, amp_dtype='float16')
    _train(model, wrapper, _x(0))
    _train(model, wrapper, torch.full((4, 3), torch.inf))
    saved = copy.deepcopy(wrapper.state_dict())
    other_model = copy.deepcopy(model)
    other = _build(other_model, amp_dtype='float16')
    other.load_state_dict(copy.deepcopy(saved))
    assert other.skipped_steps == 1
    assert other.loss_scaler.state_dict() == wrapper.loss_scaler.state_dict()
    _train(model, wrapper, _x(1))
    _train(other_model, other, _x(1))
    _assert_same(_state(model, wrapper), _state(other_model, other))
    # A checkpoint of another precision loads too.
    bf16 = _build(copy.deepcopy(model), amp_dtype='bfloat16')
    bf16.load_state_dict(saved)
    assert bf16.skipped_steps == 1


def test_no_all_reduce_in_accumulation_steps(tiny_model):
    class Wrapped(nn.Module):
        entered = 0

        def no_sync(self):
            Wrapped.entered += 1
            return torch.no_grad()

    wrapper = _build(tiny_model(), accumulative_counts=2)
    for inner, entered in [(0, 1), (1, 1), (2, 2)]:
        wrapper._inner_count = inner
        with wrapper.optim_context(Wrapped()):
            pass
        assert Wrapped.entered == entered


def test_wrong_values(tiny_model):
    param = [nn.Parameter(torch.zeros(1))]
    with pytest.raises(ValueError, match='AdamW with fused=None'):
        PoaOptimWrapper(torch.optim.AdamW(param))
    with pytest.raises(ValueError, match='SGD'):
        PoaOptimWrapper(torch.optim.SGD(param, 0.1, fused=True))
    optimizer = torch.optim.AdamW(param, fused=True)
    with pytest.raises(ValueError, match="'fp8'"):
        PoaOptimWrapper(optimizer, amp_dtype='fp8')
    with pytest.raises(ValueError, match='max_nrm'):
        PoaOptimWrapper(optimizer, clip_grad=dict(max_nrm=1))
    with pytest.raises(ValueError, match='max_norm'):
        PoaOptimWrapper(optimizer, clip_grad=dict(max_norm=0))
    with pytest.raises(ValueError, match='separately'):
        PoaOptimWrapper(optimizer, clip_grad=dict(max_norm=1, separately=True))
    with pytest.raises(ValueError, match='accumulative_counts'):
        PoaOptimWrapper(optimizer, accumulative_counts=0)
    with pytest.raises(ValueError, match='follows from total_batch'):
        PoaOptimWrapper(optimizer, total_batch=8, batch_size=4, accumulative_counts=2)
    with pytest.raises(ValueError, match='go together, got 8 and None'):
        PoaOptimWrapper(optimizer, total_batch=8)


def steps_of_a_process():
    """Which of four optimizer steps are taken where losses are infinite in one process or the other."""
    rank = dist.get_rank()
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Linear(3, 2))
    wrapper = PoaOptimWrapper(torch.optim.AdamW(model.parameters(), 0.1, fused=True), accumulative_counts=2)
    # (optimizer step, rank, micro-step) of a loss that is infinite in this process only, gradients being finite
    bad = {(1, 0, 0), (2, 1, 1)}
    kept = []
    for step in range(4):
        for micro in range(2):
            x = torch.randn(4, 3, generator=torch.Generator().manual_seed(100 * step + 10 * micro + rank))
            with wrapper.optim_context(model):
                loss = model(x).square().mean()
            wrapper.update_params(loss + torch.inf if (step, rank, micro) in bad else loss)
        kept.append(int(wrapper.finite))
    return kept, int(wrapper.skipped_steps), model.module.weight.detach()


def test_processes_agree_on_skipping():
    (*found, weight), (*other, other_weight) = in_processes(2, steps_of_a_process)
    assert found == other == [[1, 0, 0, 1], 2]
    assert torch.equal(weight, other_weight) and weight.isfinite().all()
