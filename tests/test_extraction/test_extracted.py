"""The extracted network as an object: its file keeps everything, and nothing in the file can become code."""

import ast

import pytest
import torch
from mmengine.config import Config

from poa_mm.errors import UserError
from poa_mm.extraction import ExtractedNetwork, export_subnet, load_pretrained


@pytest.fixture
def pretrained(checkpoint):
    return load_pretrained(checkpoint)


def test_file_keeps_everything(pretrained, tmp_path):
    backbone, source = pretrained
    path = export_subnet(backbone, '24x3', tmp_path, source)
    network = ExtractedNetwork.load(path)
    described = ExtractedNetwork.describe(backbone, '24x3', 'mmpretrain', source)
    assert network.meta == described.meta and described.weights == {}
    assert (network.subnet, network.name, network.feature_dims, network.channels) == ('24x3', '24x3', 24, [24] * 4)
    assert network.space == dict(type='ElasticVisionTransformer', widths=[16, 24, 32], stages=[[2, 3, 4]])
    assert network.inputs['mean'] == [123.675, 116.28, 103.53] and network.img_size == 16
    assert network.source['iteration'] == 12
    again = network.save(tmp_path / 'again')
    assert again.with_suffix('.py').read_text() == path.with_suffix('.py').read_text()
    loaded = ExtractedNetwork.load(again).weights
    assert loaded.keys() == network.weights.keys()
    assert all(torch.equal(loaded[name], value) for name, value in network.weights.items())


def test_scales_are_what_is_folded_in(pretrained, tmp_path):
    """Every extracted weight is a leading slice of the intact one times its scale."""
    backbone, source = pretrained
    network = ExtractedNetwork.load(export_subnet(backbone, '16x4', tmp_path, source))
    assert network.scales.keys() == network.weights.keys() and set(network.scales.values()) == {1.0, 2.0}
    intact = backbone.state_dict()
    for name, value in network.weights.items():
        if 'qkv' not in name:
            part = intact[name][tuple(slice(size) for size in value.shape)]
            torch.testing.assert_close(value, part * network.scales[name])
    assert network.scales['layers.3.attn.qkv.weight'] == 2.0 and network.scales['ln1.weight'] == 1.0


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('iter', '12\nimport os; os.system("touch owned")\n#'),
        ('iter', 1.5),
        ('seed', [3]),
        ('experiment_name', b'x'),
    ],
)
def test_values_of_a_checkpoint_are_checked_by_type(contents, key, value, tmp_path):
    contents['meta'][key] = value
    torch.save(contents, tmp_path / 'iter_12.pth')
    backbone, source = load_pretrained(tmp_path / 'iter_12.pth')
    with pytest.raises(UserError, match='of an extracted network must be'):
        export_subnet(backbone, '16x2', tmp_path / 'out', source)
    assert not (tmp_path / 'out').exists()


def test_names_cannot_leave_the_comment(pretrained, tmp_path):
    backbone, source = pretrained
    source['checkpoint'] = "x.pth'\nraise SystemExit\n'"
    path = export_subnet(backbone, '16x2', tmp_path, source).with_suffix('.py')
    assert {type(node) for node in ast.parse(path.read_text()).body} == {ast.Assign}
    assert Config.fromfile(path).backbone.img_size == 16
    source['checkpoint'] = '{{ fileDirname }}.pth'
    with pytest.raises(UserError, match='checkpoint of an extracted network must be text'):
        export_subnet(backbone, '16x2', tmp_path, source)


def test_files_that_are_not_extracted_networks(checkpoint, pretrained, tmp_path):
    with pytest.raises(UserError, match='is not an extracted sub-network'):
        ExtractedNetwork.load(checkpoint)
    path = export_subnet(pretrained[0], '16x2', tmp_path, pretrained[1])
    contents = torch.load(path)
    for change, message in (
        (dict(num_params='1'), 'num_params of an extracted network must be an integer'),
        (dict(config=dict(arch=3)), 'must name its type'),
        (dict(mean=[1.0, b'2', 3.0]), 'mean of an extracted network must be a list or None'),
    ):
        torch.save({**contents, 'meta': {**contents['meta'], **change}}, path)
        with pytest.raises(UserError, match=message):
            ExtractedNetwork.load(path)
    del contents['meta']['scales']
    torch.save(contents, path)
    with pytest.raises(UserError, match='lacks scales: extract it again'):
        ExtractedNetwork.load(path)
