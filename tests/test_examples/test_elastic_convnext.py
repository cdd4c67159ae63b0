"""A family outside the package: pre-trained, extracted, evaluated and in a detector, with nothing but its file."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS as STATIC

from examples.elastic_convnext import ElasticConvNeXt
from poa_mm.engine.hooks.backbone_check import check_backbone
from poa_mm.extraction import export_subnet, load_pretrained, open_network
from poa_mm.models.backbones import describe_static, find_layer_depths
from poa_mm.registry import MODELS

# isort: split
import mmdet.models  # after poa_mm, which brings mmcv's operators

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'examples' / 'convnext_demo.py'
MASK_RCNN = Path(mmdet.__file__).parent / '.mim' / 'configs' / '_base_' / 'models' / 'mask-rcnn_r50_fpn.py'
WIDTHS = 'model.backbone.widths=(8,16,4)'
TINY = [
    'train_dataloader.batch_size=4', 'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
    'train_dataloader.dataset.dataset.num_samples=16', 'train_dataloader.sampler.batch_size=4',
    'optim_wrapper.batch_size=4', 'optim_wrapper.total_batch=4', 'train_cfg.max_iters=2',
    'default_hooks.checkpoint.interval=2', 'model.head.num_prototypes=(16,)', WIDTHS,
]  # fmt: skip


def run(tool, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """What two steps of pre-training leave behind."""
    folder = tmp_path_factory.mktemp('work')
    run('train.py', CONFIG, '--work-dir', folder, '--cfg-options', *TINY)
    return folder / 'iter_2.pth'


@pytest.fixture(scope='module')
def perturbed(checkpoint):
    """The teacher, with weights at which every parameter matters."""
    backbone, _ = load_pretrained(checkpoint)
    torch.manual_seed(0)
    for parameter in backbone.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return backbone


def test_pretraining_moves_student_and_teacher(checkpoint):
    student, teacher = (load_pretrained(checkpoint, branch=branch)[0] for branch in ('student', 'teacher'))
    assert isinstance(teacher, ElasticConvNeXt) and len(teacher.space) == 9
    torch.manual_seed(0)
    trained = [name for name, parameter in student.named_parameters() if parameter.requires_grad]
    moved = [name for name in trained if not torch.equal(student.get_parameter(name), teacher.get_parameter(name))]
    assert set(trained) - set(moved) <= {'mask_token'}  # the first steps have no masked patches


@torch.no_grad()
def test_every_member_in_mmpretrain(perturbed, tmp_path):
    for subnet in perturbed.space:
        path = export_subnet(perturbed, subnet, tmp_path, {})
        config = Config.fromfile(path.with_suffix('.py')).backbone
        network = STATIC.build(config)
        check_backbone(network, config.init_cfg)
        network.init_weights()
        network.eval()
        size = dict(family='ConvNeXt', width=subnet.width, depth=subnet.depth)
        assert describe_static(perturbed.static_config(subnet)) == size
        opened = open_network(path).backbone
        for shape in [(64, 64), (70, 96)]:
            images = torch.randn(2, 3, *shape)
            expected = network(images)[-1]
            torch.testing.assert_close(perturbed.image_features(images, subnet), expected, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(opened.image_features(images), expected, rtol=1e-5, atol=1e-5)


def test_knn_of_checkpoint_and_extracted_file(checkpoint, tmp_path):
    run('extract.py', checkpoint, '--out', tmp_path, '--subnets', '12x3')
    data = ['knn.train.num_samples=24', 'knn.val.num_samples=12', 'knn.ks=(5,)']
    networks = [CONFIG, checkpoint, tmp_path / '12x3.pth', '--subnets', '12x3']
    run('knn.py', *networks, '--workers', 0, '--out', tmp_path / 'knn.json', '--cfg-options', WIDTHS, *data)
    inside, alone = json.loads((tmp_path / 'knn.json').read_text())['results']
    assert (inside['kind'], alone['kind']) == ('pretrained', 'extracted')
    assert inside['family'] == alone['family'] == 'ConvNeXt' and inside['params'] == alone['params']
    assert inside['accuracy'] == alone['accuracy']


def test_files_do_not_import_it(checkpoint, tmp_path):
    """Without a config nothing is imported, whatever the file says: one sentence explains what to give."""
    run('extract.py', checkpoint, '--out', tmp_path, '--subnets', '12x3')
    program = 'import sys\nfrom poa_mm.extraction import open_network\n'
    for path in (checkpoint, tmp_path / '12x3.pth'):
        program += f'try:\n    open_network({str(path)!r})\nexcept ValueError as error:\n    print(error)\n'
    program += "assert not [name for name in sys.modules if name.startswith('examples')]"
    done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert "'ElasticConvNeXt', which is not in the registry of models" in first and 'custom_imports' in first
    assert 'mmpretrain.ConvNeXt is not a network of a known family' in second and 'custom_imports' in second


@torch.no_grad()
def test_maps_in_mask_rcnn(perturbed, tmp_path):
    path = export_subnet(perturbed, '12x3', tmp_path, {}, 'mmdet')
    cfg = Config.fromfile(MASK_RCNN).model
    cfg.backbone = Config.fromfile(path.with_suffix('.py')).backbone
    cfg.neck.in_channels = list(perturbed.map_channels('12x3'))
    model = MODELS.build({'_scope_': 'mmdet', **cfg})
    check_backbone(model.backbone, cfg.backbone.init_cfg)
    model.backbone.init_weights()
    model.eval()
    images = torch.randn(1, 3, 64, 96)
    stages = perturbed._stages(images, None, '12x3')
    for i, (got, x) in enumerate(zip(model.backbone(images), stages, strict=True)):
        expected = getattr(perturbed, f'norm{i}')(x).permute(0, 3, 1, 2)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert model.extract_feat(images)[0].shape[1:] == (256, 16, 24)


def test_layer_ids(perturbed):
    depths = find_layer_depths(perturbed.state_dict())
    ids = {
        'mask_token': 0, 'downsample_layers.0.1.weight': 0, 'stages.0.0.gamma': 1, 'downsample_layers.1.0.weight': 2,
        'stages.1.0.gamma': 2, 'stages.2.3.gamma': 6, 'downsample_layers.3.1.weight': 7, 'stages.3.0.gamma': 7,
        'norm3.weight': 8, 'norm0.bias': 8,
    }  # fmt: skip
    assert {name: depths(name)[0] for name in ids} == ids and depths.num_layers == 9
