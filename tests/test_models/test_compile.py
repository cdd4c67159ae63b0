"""Compiled blocks compute the same, and are not compiled for every sub-network."""

import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounter

import poa_mm.models  # noqa: F401
from poa_mm.errors import UserError
from poa_mm.models import compiling
from poa_mm.models.compiling import compile_backbone, missing_compiler
from poa_mm.models.losses import fused
from poa_mm.registry import MODELS
from tests.helpers import twins
from tests.helpers.networks import SWIN_TWO_STAGES, VIT

CONFIG = dict(
    type='POA',
    backbone={**VIT, 'img_size': 32, 'widths': (16, 64, 8), 'drop_path_rate': 0.2},
    head=dict(type='MultiPrototypeHead', num_prototypes=(40,), hidden_dims=48, bottleneck_dims=24),
)


def test_seven_widths_and_three_compilations():
    torch.manual_seed(0)
    plain = MODELS.build(CONFIG).double()  # images of noise have like features, and KoLeo magnifies their rounding
    compiled = copy.deepcopy(plain)
    counter = CompileCounter()
    for backbone in (compiled.backbone, compiled.teacher.backbone):
        compile_backbone(backbone, backend=counter)
    globals_, locals_ = torch.randn(6, 3, 32, 32).double(), torch.randn(6, 3, 16, 16).double()
    masks = torch.arange(16).expand(6, 16) < 5
    for seed, width in enumerate(plain.backbone.space.widths):
        subnet = f'{width}x{2 + seed % 3}'
        losses = []
        for model in (plain, compiled):
            torch.manual_seed(seed)  # drop path draws samples
            losses.append(model.compute_losses(globals_, locals_, masks, subnet=subnet, teacher_temp=0.05)['loss'])
            model.zero_grad()
            losses[-1].backward()
        torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)
        for a, b in zip(plain.parameters(), compiled.parameters()):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)
    assert len(plain.backbone.space.widths) == 7
    assert counter.frame_count == 3  # teacher, intact student, all sliced widths


@pytest.mark.parametrize(
    'option, device, compiled',
    [(None, 'cpu', False), (None, 'cuda', True), (True, 'cpu', True), (True, 'cuda', True), (False, 'cuda', False)],
)
def test_option(monkeypatch, option, device, compiled):
    monkeypatch.setattr('poa_mm.models.poa.missing_compiler', lambda device: None)
    model = MODELS.build({**CONFIG, 'compile_blocks': option})
    model.compile_for(torch.device(device))
    blocks = [*model.backbone.layers, *model.teacher.backbone.layers]
    assert all((block._compiled_call_impl is not None) == compiled for block in blocks)
    assert model.state_dict().keys() == MODELS.build(CONFIG).state_dict().keys()
    copy.deepcopy(model)


def test_without_a_compiler(monkeypatch, caplog):
    """One sentence and eager blocks, or an error where the config insists."""
    monkeypatch.setattr('poa_mm.models.poa.missing_compiler', lambda device: 'there is no gcc')
    model = MODELS.build(CONFIG)
    with caplog.at_level('WARNING'):
        model.compile_for(torch.device('cuda'))
    assert all(block._compiled_call_impl is None for block in model.backbone.layers)
    with pytest.raises(UserError, match='compile_blocks=True needs a compiler, but there is no gcc'):
        MODELS.build({**CONFIG, 'compile_blocks': True}).compile_for(torch.device('cuda'))


def test_missing_compiler(monkeypatch, tmp_path):
    gpu, cpu = torch.device('cuda'), torch.device('cpu')
    monkeypatch.setenv('PATH', str(tmp_path))
    for name in ('CC', 'CXX'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(compiling, 'find_spec', lambda name: None)
    assert 'Triton' in missing_compiler(gpu) and 'C++' in missing_compiler(cpu)
    monkeypatch.setattr(compiling, 'find_spec', lambda name: object())
    assert 'a C compiler' in missing_compiler(gpu)
    for name in ('gcc', 'g++'):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setattr(compiling.sysconfig, 'get_path', lambda name: str(tmp_path))
    assert 'python3-dev' in missing_compiler(gpu) and 'python3-dev' in missing_compiler(cpu)
    (tmp_path / 'Python.h').touch()
    assert missing_compiler(gpu) is None and missing_compiler(cpu) is None


@pytest.mark.skipif(missing_compiler(torch.device('cpu')) is not None, reason='needs a C++ compiler')
@pytest.mark.parametrize(
    'case', [('chunked_cross_entropy', 6, 21, 'bfloat16', True), ('sinkhorn', 6, 20, True)], ids=lambda case: case[0]
)
def test_losses_as_inductor_compiles_them(case, monkeypatch):
    monkeypatch.setattr(fused, '_compiled', {})
    twins.check_equal(*case)


def test_swin_with_drop_path_is_one_graph():
    swin = MODELS.build({'_scope_': 'poa_mm', **SWIN_TWO_STAGES, 'drop_path_rate': 0.2}).train()
    rates = swin.drop_path_rates[1]
    assert 0 < rates[0] < rates[1] == 0.2
    counter = CompileCounter()
    block = swin.stages[1].blocks[1]
    block.compile(backend=counter, fullgraph=True)  # a break would raise
    for images in (6, 7):
        sizes = [(images, 8, 8), (images, 4, 4)]
        (kept,) = swin.draw_kept([(n, h * w) for n, h, w in sizes], rates[1:], torch.device('cpu'))
        assert None not in kept
        block(torch.randn(80 * images, 64), sizes, 2, kept).sum().backward()
    assert counter.frame_count <= 2
