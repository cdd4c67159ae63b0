"""``poa test --show-dir``."""

from mmengine.config import Config

from poa_mm.commands.test import prepare_test
from poa_mm.registry import HOOKS


def test_predictions_of_all_toolboxes_are_drawn_by_one_hook(tmp_path):
    checkpoint = tmp_path / 'x.pth'
    checkpoint.touch()
    for hook in (None, dict(type='VisualizationHook', enable=False), dict(type='DetVisualizationHook', score_thr=0.6)):
        cfg = Config(dict(test_dataloader=dict(batch_size=2), test_evaluator=dict(type='Accuracy')))
        if hook:
            cfg.default_hooks = dict(visualization=hook)
        prepare_test(cfg, str(checkpoint), None, tmp_path / 'shown', 3)
        built = HOOKS.build(cfg.default_hooks.visualization)
        assert (built.out_dir, built.interval) == (tmp_path / 'shown', 3)
        assert built.score_thr == (hook or {}).get('score_thr', 0.3)
