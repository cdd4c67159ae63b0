"""Reading a backbone out of a pre-training checkpoint, and refusing what is none."""

import os

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from poa_mm.extraction import build_backbone, export_subnet, load_pretrained
from poa_mm.extraction.checkpoint import read_config


class RunsCode:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize('branch, prefix', [('teacher', 'teacher.backbone.'), ('student', 'backbone.')])
def test_branches(checkpoint, contents, branch, prefix):
    backbone, meta = load_pretrained(checkpoint, branch=branch)
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, contents['state_dict'][prefix + name]), name
    assert not backbone.training
    assert meta.pop('cfg').randomness.seed == 3
    assert (meta.pop('mean')[2], meta.pop('std')[2], meta.pop('img_size')) == (103.53, 57.375, None)
    source = dict(checkpoint=str(checkpoint), branch=branch, iteration=12, seed=3, experiment_name='tiny', data=None)
    assert meta == source


def test_under_the_scope_of_another_toolbox(checkpoint):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        assert len(load_pretrained(checkpoint)[0].space) == 9


def test_nothing_in_the_file_is_executed(contents, tmp_path):
    contents['message_hub'] = RunsCode(tmp_path / 'from_pickle')
    contents['meta']['cfg'] += f'\nimport os\nx = os.mkdir({str(tmp_path / "from_config")!r})\n'
    torch.save(contents, tmp_path / 'evil.pth')
    backbone, meta = load_pretrained(tmp_path / 'evil.pth')
    assert len(backbone.space) == 9 and meta['cfg'].x is None
    assert not (tmp_path / 'from_pickle').exists() and not (tmp_path / 'from_config').exists()
    torch.load(tmp_path / 'evil.pth', weights_only=False)  # the trap does work
    assert (tmp_path / 'from_pickle').exists()


def test_read_config_is_what_mmengine_reads():
    values = dict(
        a=dict(type='X', sizes=(1, 2), none=None, number=-1.5e-7, flag=True, nested=[dict(b=1), []]),
        odd={1: 2, 'a.b': dict(c='d'), 'x y': "it's"},
        words='multi\nline "quoted"',
    )
    text = Config(values).pretty_text
    assert read_config(text).to_dict() == Config.fromstring(text, '.py').to_dict()


def _save(tmp_path, content):
    torch.save(content, tmp_path / 'x.pth')
    return tmp_path / 'x.pth'


def test_what_is_no_checkpoint(contents, checkpoint, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.pth' does not exist"):
        load_pretrained(tmp_path / 'nowhere.pth')
    (tmp_path / 'text.pth').write_text('hello')
    with pytest.raises(ValueError, match='not a PyTorch checkpoint'):
        load_pretrained(tmp_path / 'text.pth')
    (tmp_path / 'cut.pth').write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(ValueError, match='is truncated'):
        load_pretrained(tmp_path / 'cut.pth')
    with pytest.raises(ValueError, match='holds a Tensor'):
        load_pretrained(_save(tmp_path, torch.ones(2)))
    with pytest.raises(ValueError, match='lacks meta or state_dict'):
        load_pretrained(_save(tmp_path, dict(weight=torch.ones(2))))
    with pytest.raises(ValueError, match=r'no weights named teacher\.backbone'):
        load_pretrained(_save(tmp_path, dict(meta={}, state_dict={'head.x': torch.ones(2)})))
    backbone, meta = load_pretrained(checkpoint)
    extracted = export_subnet(backbone, '16x2', tmp_path, meta)
    with pytest.raises(ValueError, match=r'extracted sub-network \(16x2\)'):
        load_pretrained(extracted)
    with pytest.raises(ValueError, match=r"branch must be one of .*'ema'"):
        load_pretrained(checkpoint, branch='ema')


def test_config_of_another_space(checkpoint, contents, tmp_path, tiny_config):
    load_pretrained(checkpoint, tiny_config())
    with pytest.raises(ValueError, match=r'another space.*checkpoint.*widths 16, 24, 32.*config.*widths 16, 32;'):
        load_pretrained(checkpoint, tiny_config(widths=(16, 32, 16)))
    with pytest.raises(ValueError, match=r'patch_embed\.projection\.weight is \(32, 3, 8, 8\).*\(32, 3, 4, 4\)'):
        load_pretrained(checkpoint, tiny_config(patch_size=4, img_size=8))
    with pytest.raises(ValueError, match=r'gamma1\.weight is \(32,\) in the checkpoint, missing'):
        load_pretrained(checkpoint, tiny_config(layer_scale_init_value=0))
    del contents['meta']['cfg']
    bare = _save(tmp_path, contents)
    with pytest.raises(ValueError, match='holds no config'):
        load_pretrained(bare)
    assert load_pretrained(bare, tiny_config())[0].space.intact.width == 32
    with pytest.raises(ValueError, match='another space than the config'):
        load_pretrained(bare, tiny_config(depths=(2, 3)))


def test_untrained_backbone(tiny_config):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, again, other = (build_backbone(tiny_config(), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)  # the caller's random state stays
    assert torch.equal(first.pos_embed, again.pos_embed) and not torch.equal(first.pos_embed, other.pos_embed)
    with pytest.raises(ValueError, match=r'no model\.backbone'):
        build_backbone(Config(dict(model=dict(type='Other'))))


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_non_finite_weights_are_refused(contents, tmp_path, value):
    contents['state_dict']['teacher.backbone.pos_embed'][0, 0, 3] = value
    torch.save(contents, tmp_path / 'bad.pth')
    with pytest.raises(ValueError, match='pos_embed of the teacher holds NaN or infinite values'):
        load_pretrained(tmp_path / 'bad.pth')
    load_pretrained(tmp_path / 'bad.pth', branch='student')
