"""``poa test --show-dir``."""

import torch
from mmengine.config import Config
from mmpretrain.engine import VisualizationHook
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer

from poa_mm.commands.test import prepare_test


def test_every_image_of_a_classifier_is_drawn(tmp_path):
    """mmpretrain's own default is every 5000th."""
    checkpoint = tmp_path / 'x.pth'
    checkpoint.touch()
    cfg = Config(
        dict(
            test_dataloader=dict(batch_size=2),
            test_evaluator=dict(type='Accuracy'),
            default_hooks=dict(visualization=dict(type='VisualizationHook', enable=False)),
            visualizer=dict(type='UniversalVisualizer'),
        )
    )
    prepare_test(cfg, str(checkpoint), None, str(tmp_path / 'shown'))
    options = dict(cfg.default_hooks.visualization)
    assert options.pop('type') == 'VisualizationHook'
    UniversalVisualizer.get_instance('test_every_image')
    hook = VisualizationHook(**options)
    for batch in range(2):
        samples = [DataSample().set_gt_label(0).set_pred_label(1) for _ in range(2)]
        hook.after_test_iter(None, batch, dict(inputs=torch.zeros(2, 3, 64, 64)), samples)
    assert sorted(path.name for path in (tmp_path / 'shown').iterdir()) == [f'{i}_0.png' for i in range(4)]
