import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

from poa_mm.models.backbones.vit import map_blocks
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT


def perturbed(seed):
    """A backbone with no two values alike, so that a wrong slice shows."""
    torch.manual_seed(seed)
    backbone = MODELS.build(VIT)
    for parameter in backbone.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return backbone.eval()


@pytest.fixture
def contents():
    """What MMEngine writes during pre-training."""
    teacher, student = perturbed(0), perturbed(1)
    state_dict = {f'teacher.backbone.{k}': v for k, v in teacher.state_dict().items()}
    state_dict.update({f'backbone.{k}': v for k, v in student.state_dict().items()})
    state_dict['teacher.head.weight'] = torch.zeros(3)
    cfg = Config(dict(model=dict(type='POA', backbone=VIT), randomness=dict(seed=3)))
    meta = dict(cfg=cfg.pretty_text, iter=12, epoch=0, seed=3, experiment_name='tiny', dataset_meta=dict())
    hub = dict(log_scalars={'train/loss': HistoryBuffer([1.0, 0.5], [1, 1])}, runtime_info={'iter': 11})
    return dict(meta=meta, state_dict=state_dict, message_hub=hub, optimizer=dict(state={0: torch.ones(2)}))


@pytest.fixture
def checkpoint(contents, tmp_path):
    torch.save(contents, tmp_path / 'iter_12.pth')
    return tmp_path / 'iter_12.pth'


@pytest.fixture
def tiny_config():
    """Makes a config with changes to the backbone."""
    return lambda **changes: Config(dict(model=dict(type='POA', backbone={**VIT, **changes})))


def _elastic_maps(backbone, images, subnet):
    """Maps from inside the elastic network."""
    kind, subnet = type(backbone).__name__, backbone.space.parse(subnet)
    if kind == 'ElasticResNet':
        return list(backbone._maps(images, None, subnet))
    if kind == 'ElasticSwinTransformer':
        stages = backbone._run_stages([backbone._embed(images, None, subnet.width)], subnet)
        normed = [(getattr(backbone, f'norm{i}')(x), size) for i, (x, (size,)) in enumerate(stages)]
        return [x.view(*size, -1).permute(0, 3, 1, 2) for x, size in normed]
    x = backbone._embed(images, None, subnet.width)
    n, length, _ = x.shape
    x, maps = x.flatten(0, 1), []
    for position, index in enumerate(backbone.space.active_blocks(subnet)[0], start=1):
        x = backbone.layers[index](x, [(n, length)])
        if position in map_blocks(subnet.depth):
            patches = x.view(n, length, -1)[:, 1:]
            maps.append(
                patches.unflatten(1, [side // backbone.patch_size for side in images.shape[-2:]]).permute(0, 3, 1, 2)
            )
    return maps


@pytest.fixture
def elastic_maps():
    """Maps ``(N, C, H, W)`` from inside an elastic network."""
    return _elastic_maps
