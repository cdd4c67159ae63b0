import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

from poa_mm.registry import MODELS

BACKBONE = dict(
    type='ElasticVisionTransformer',
    img_size=16,
    patch_size=8,
    widths=(16, 32, 8),
    depths=(2, 4),
    head_dim=8,
    layer_scale_init_value=0.1,
)


def perturbed(seed):
    """A backbone with no two values alike, so that a wrong slice shows."""
    torch.manual_seed(seed)
    backbone = MODELS.build(BACKBONE)
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
    cfg = Config(dict(model=dict(type='POA', backbone=BACKBONE), randomness=dict(seed=3)))
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
    return lambda **changes: Config(dict(model=dict(type='POA', backbone={**BACKBONE, **changes})))
