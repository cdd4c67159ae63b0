"""The command, from files to a page, for all families."""

from argparse import ArgumentParser

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from poa_mm.commands import visualize
from poa_mm.extraction import export_subnet
from poa_mm.models.heads import MultiPrototypeHead
from poa_mm.visualization.networks import open_heads, open_networks
from tests.helpers.networks import RESNET, SWIN, VIT

FAMILIES = {'vit': {**VIT, 'img_size': 32}, 'swin': SWIN, 'resnet': RESNET}
HEAD = dict(type='MultiPrototypeHead', num_prototypes=(6, 3), hidden_dims=8, bottleneck_dims=4)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i, size in enumerate([(70, 90), (120, 64), (40, 40), (100, 101)]):
        (tmp_path / 'photos' / f'class{i % 2}').mkdir(parents=True, exist_ok=True)
        image = cv2.resize(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), size[::-1])
        cv2.imwrite(str(tmp_path / 'photos' / f'class{i % 2}' / f'{i}.png'), image)
    return tmp_path / 'photos'


def write_checkpoint(path, config, backbone, patch_head=False):
    model = dict(backbone=config, head=HEAD, **(dict(patch_head=HEAD) if patch_head else {}))
    weights = {f'teacher.backbone.{k}': v for k, v in backbone.state_dict().items()}
    heads = {}
    for part in ('head', 'patch_head')[: 1 + patch_head]:
        torch.manual_seed(len(part))
        heads[part] = MultiPrototypeHead(backbone.feature_dims(), **{k: v for k, v in HEAD.items() if k != 'type'})
        weights.update({f'teacher.{part}.{k}': v for k, v in heads[part].state_dict().items()})
    views = dict(global_1=dict(size=32))
    cfg = Config(dict(model=model, train_dataloader=dict(dataset=dict(views=views))))
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, iter=7), state_dict=weights), path)
    return heads


def call(*arguments):
    parser = ArgumentParser()
    visualize.add_arguments(parser)
    visualize.run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.mark.parametrize('family', FAMILIES)
def test_a_checkpoint_and_a_folder_become_pictures(family, folder, tmp_path, random_backbone):
    backbone = random_backbone(FAMILIES[family])
    write_checkpoint(tmp_path / 'iter_7.pth', FAMILIES[family], backbone)
    out = tmp_path / 'out'
    call(tmp_path / 'iter_7.pth', '--images', folder, '--subnets', 'smallest', 'intact', '--number', 2, '--out', out)
    names = {path.name for path in out.glob('*.png')}
    expected = {'pca.png', 'correspondence_views.png', 'correspondence_neighbours.png', 'neighbours.png'}
    assert expected <= names
    attention = {'attention.png', 'attention_heads_1.png', 'attention_heads_2.png'}
    assert attention & names == (attention if family == 'vit' else set())
    assert {name for name in names if name.startswith('prototypes_patches')}
    page = (out / 'index.html').read_text()
    assert page.count('data:image/png;base64,') == len(names)
    assert 'src="data:' in page and 'http' not in page


@pytest.mark.parametrize('family', FAMILIES)
@torch.no_grad()
def test_features_are_those_of_the_backbone_position_by_position(family, tmp_path, random_backbone):
    backbone = random_backbone(FAMILIES[family])
    write_checkpoint(tmp_path / 'iter_7.pth', FAMILIES[family], backbone)
    (network,) = open_networks([tmp_path / 'iter_7.pth'], ['smallest'], side=70)
    assert network.side == 64
    pixels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    images, maps = network.features(pixels, batch_size=2)
    side = 64 // network.stride
    assert maps.shape[:3] == (3, side, side)
    ((expected, patches),) = backbone([network.normalized(pixels)], subnet='smallest')
    torch.testing.assert_close(images, expected)
    # Extracted alone, a Swin or a ResNet has one feature for each position of its last map.
    path = export_subnet(backbone, 'smallest', tmp_path, dict(img_size=32))
    (alone,) = open_networks([path], side=64)
    torch.testing.assert_close(alone.features(pixels)[1], maps, rtol=1e-3, atol=1e-3)
    assert not alone.heads and network.heads


def test_heads_are_the_teachers(tmp_path, random_backbone):
    backbone = random_backbone(FAMILIES['vit'])
    heads = write_checkpoint(tmp_path / 'iter_7.pth', FAMILIES['vit'], backbone, patch_head=True)
    found = open_heads(tmp_path / 'iter_7.pth', 32)
    features = torch.randn(4, 32)
    for kind, part in (('image', 'head'), ('patch', 'patch_head')):
        for a, b in zip(found[kind](features), heads[part](features)):
            torch.testing.assert_close(a, b)
    assert open_heads(tmp_path / 'iter_7.pth', 32, 'student') == {}


def test_by_default_a_run_of_seed_shows_its_student(tmp_path, random_backbone):
    backbone = random_backbone(FAMILIES['vit'])
    weights = {f'backbone.{k}': v for k, v in backbone.state_dict().items()}
    views = dict(global_1=dict(size=32))
    cfg = Config(dict(model=dict(backbone=FAMILIES['vit']), train_dataloader=dict(dataset=dict(views=views))))
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, iter=7), state_dict=weights), tmp_path / 'iter_7.pth')
    (network,) = open_networks([tmp_path / 'iter_7.pth'], ['intact'])
    torch.testing.assert_close(network.backbone.state_dict(), backbone.state_dict())


def test_images_are_resized_and_cropped(tmp_path, random_backbone):
    write_checkpoint(tmp_path / 'iter_7.pth', FAMILIES['vit'], random_backbone(FAMILIES['vit']))
    (network,) = open_networks([tmp_path / 'iter_7.pth'], ['intact'])
    assert network.side == 64  # twice 32
    image = np.zeros((128, 256, 3), np.uint8)
    image[:, 64:192] = (10, 20, 30)
    (pixels,) = network.pixels([image])
    assert pixels.shape == (3, 64, 64)
    assert (pixels.flatten(1).float().mean(1) - torch.tensor([10.0, 20, 30])).abs().max() < 1


def test_images_of_a_config(tmp_path, random_backbone):
    write_checkpoint(tmp_path / 'iter_7.pth', FAMILIES['vit'], random_backbone(FAMILIES['vit']))
    (tmp_path / 'own.py').write_text("knn = dict(val=dict(type='DemoDataset', num_samples=8, image_size=48))")
    file, config = tmp_path / 'iter_7.pth', tmp_path / 'own.py'
    call(file, '--images', config, '--subnets', 'smallest', '--number', 1, '--out', tmp_path / 'out')
    assert (tmp_path / 'out/neighbours.png').is_file()


@pytest.mark.parametrize(
    'arguments, message',
    [
        ([], 'nothing to show'),
        (['{file}'], 'give a folder with --images'),
        (['{file}', '--images', '{tmp}/none'], 'does not exist'),
        (['{file}', '--images', '{tmp}/out'], 'no images'),
        (['{file}', '--size', '7', '--images', '{tmp}'], 'smaller than a patch of 32x4, 8 pixels'),
        (['{file}', '{file}', '--images', '{tmp}'], "two networks have the name 'iter_7 32x4'"),
    ],
)
def test_mistakes_are_one_sentence(arguments, message, tmp_path, random_backbone):
    write_checkpoint(tmp_path / 'iter_7.pth', FAMILIES['vit'], random_backbone(FAMILIES['vit']))
    arguments = [a.format(file=tmp_path / 'iter_7.pth', tmp=tmp_path) for a in arguments]
    with pytest.raises(ValueError, match=message):
        call(*arguments, '--subnets', 'intact', '--out', tmp_path / 'out')


def test_a_recipes_first_crops(folder, tmp_path):
    options = ('--cfg-options', f'data_root={folder}', 'train_dataloader.dataset.views.local.number=1')
    call('--inputs', 'configs/poa_vit_small.py', *options, '--number', 2, '--out', tmp_path / 'out')
    assert (tmp_path / 'out/index.html').read_text().count('data:image/png;base64,') == 1
    height, width = cv2.imread(str(tmp_path / 'out/inputs.png')).shape[:2]
    assert 1.2 < width / height < 1.5  # two rows of three crops
