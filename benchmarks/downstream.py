"""Operations and A100-hours of fine-tuning detectors and segmentors, counted on the meta device.

python -m benchmarks.downstream configs/coco/cascade_mask_rcnn_vits_3x.py configs/ade20k/upernet_vits_160k.py
"""

from __future__ import annotations

import argparse

from . import command

COCO_IMAGES = 117_266  # of train2017, those with objects
COCO_SIZE = 640, 1088  # the middle of the short sides, at the usual 5 : 3, padded to a multiple of 32
ADE20K_SIZE = 512, 512


def parse_args(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m benchmarks.downstream', description=__doc__.splitlines()[0])
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='recipes for COCO or ADE20K')
    return parser.parse_args(arguments)


def count(args: argparse.Namespace) -> None:
    """Print a table of the recipes."""
    from poa_mm.config import load_config
    from poa_mm.engine.plan import A100_RATE
    from poa_mm.reporting.tables import markdown_table

    rows = []
    for name in args.configs:
        cfg = load_config(name, {}, None, 'none')
        (forward, trained), images = forward_operations(cfg), seen_images(cfg)
        total = (3 if trained else 1) * forward * images  # a backward pass takes two forward passes
        rows.append(
            [name, f'{forward / 1e9:.0f}', f'{images:,}', f'{total / 1e18:.3g}', f'{total / A100_RATE / 3600:.0f}']
        )
    print(markdown_table(['recipe', 'GFLOP forward', 'images seen', 'EFLOP', 'A100-hours'], rows))


def seen_images(cfg) -> int:
    """Images of a whole run of a recipe."""
    if 'max_epochs' in cfg.train_cfg:
        return cfg.train_cfg.max_epochs * COCO_IMAGES
    return cfg.train_cfg.max_iters * cfg.optim_wrapper.lr_scaling.base_batch_size


def forward_operations(cfg) -> tuple[int, bool]:
    """Operations of one image in training, forward; a multiplication and an addition are two.

    Of a detector: backbone, neck, RPN, and heads on as many boxes as the recipe samples, a quarter of them with masks.
    Of a segmentor: backbone, neck, decoder and auxiliary head. Also returns whether the backbone is trained.
    """
    import torch
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import init_default_scope
    from torch.utils.flop_counter import FlopCounterMode

    from poa_mm.registry import MODELS

    init_default_scope(cfg.default_scope)
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).to('meta').eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if cfg.default_scope == 'mmseg':
            maps = model.extract_feat(torch.empty(1, 3, *ADE20K_SIZE, device='meta'))
            model.decode_head(maps)
            if model.with_auxiliary_head:
                model.auxiliary_head(maps)
        else:
            model.rpn_head(model.extract_feat(torch.empty(1, 3, *COCO_SIZE, device='meta')))
            head, settings = model.roi_head, model.train_cfg.rcnn
            stages = isinstance(head.bbox_head, torch.nn.ModuleList)
            for i, setting in enumerate(settings if stages else [settings]):
                boxes = setting.sampler.num
                (head.bbox_head[i] if stages else head.bbox_head)(torch.empty(boxes, 256, 7, 7, device='meta'))
                (head.mask_head[i] if stages else head.mask_head)(torch.empty(boxes // 4, 256, 14, 14, device='meta'))
    return counter.get_total_flops(), any(p.requires_grad for p in model.backbone.parameters())


if __name__ == '__main__':
    command.run(parse_args, count)
