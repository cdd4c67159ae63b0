"""Counts the graphs that ``torch.compile`` makes of a config's blocks for all widths of its space.

Blocks run on the CPU as they are, so use few of them and small images: graphs are shared by blocks of one kind.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from benchmarks.command import run
from poa_mm.arguments import add_cfg_options

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m benchmarks.graphs', description=__doc__)
    parser.add_argument('config', help='a pre-training config')
    add_cfg_options(parser)
    return parser.parse_args(arguments)


def measure(args: argparse.Namespace) -> None:
    """Prints the number of graphs and of widths."""
    from benchmarks.training import check_pretraining
    from poa_mm.config import load_config

    cfg = load_config(args.config, args.cfg_options, None, 'none')
    check_pretraining(cfg)
    graphs, breaks, widths = count_graphs(cfg)
    print(f'{graphs} graphs of the blocks of teacher and student for {widths} widths, {breaks} breaks')


def count_graphs(cfg: Config) -> tuple[int, int, int]:
    """Graphs, breaks between them and widths.

    The teacher, the intact student and the elastic student of each width run forwards, in its smallest depth. Every
    other width has 3 images instead of 2: sizes of batches vary too.
    """
    import torch
    from mmengine.registry import DefaultScope
    from torch._dynamo.testing import CompileCounter
    from torch._dynamo.utils import counters

    from poa_mm.datasets.multi_crop import View
    from poa_mm.models.compiling import compile_backbone
    from poa_mm.registry import MODELS

    views = {name: View.from_config(name, view) for name, view in cfg.train_dataloader.dataset.views.items()}
    torch._dynamo.reset()
    counters.clear()
    counter = CompileCounter()
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'poa_mm')):
        student, teacher = (MODELS.build(cfg.model.backbone.to_dict()).train(mode) for mode in (True, False))
        for backbone in (student, teacher):
            compile_backbone(backbone, counter)
        smallest = {subnet.width: subnet for subnet in reversed(list(student.space))}
        for number, subnet in enumerate(smallest.values()):
            images = 2 + number % 2
            crops = [
                torch.zeros(2 * images, 3, views['global_1'].size, views['global_1'].size),
                torch.zeros(views['local'].number * images, 3, views['local'].size, views['local'].size),
            ]
            with torch.no_grad():
                teacher(crops[:1])
            for network in (None, subnet):
                student(crops, subnet=network)
    return counter.frame_count, sum(counters['graph_break'].values()), len(smallest)


if __name__ == '__main__':
    run(parse_args, measure)
