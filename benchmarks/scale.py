"""Predicts the time of a step on 1 to 1024 GPUs from counted operations and bytes, real draws and given rates."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.command import run
from poa_mm.arguments import add_cfg_options, positive, result_file

if TYPE_CHECKING:
    import numpy as np

    from poa_mm.elastic import SubnetSampler
    from poa_mm.models.poa import POA

MODES = ('per_rank', 'by_cost', 'shared')
PARTS = ('compute', 'waiting', 'gradients', 'Sinkhorn', 'data', 'checkpoint')


@dataclass(frozen=True)
class Machine:
    """Rates of the GPUs and of what connects them.

    Attributes:
        tflops: TFLOP/s of large products in half precision.
        fp32_tflops: TFLOP/s in fp32.
        bandwidth: TB/s of a GPU's memory.
        link: GB/s that a GPU sends to others of its node.
        network: GB/s that a GPU sends to other nodes.
        gpus_per_node: GPUs of a node.
        latency: Microseconds of a collective without data.
        overlap: Share of the gradients' reduction that is hidden behind the backward pass.
        loading: Images/s that the data pipeline makes per GPU.
        disk: GB/s at which a checkpoint is written.
        interval: Steps between checkpoints.
    """

    tflops: float = 790
    fp32_tflops: float = 50
    bandwidth: float = 4
    link: float = 300
    network: float = 40
    gpus_per_node: int = 8
    latency: float = 50
    overlap: float = 0.8
    loading: float = 1500
    disk: float = 1
    interval: int = 800

    def all_reduce(self, size: float, gpus: int) -> float:
        """Seconds of a ring all-reduce of ``size`` bytes, each GPU sends ``2 (n - 1) / n`` of it."""
        if gpus == 1:
            return 0.0
        rate = self.link if gpus <= self.gpus_per_node else self.network
        return 1e-6 * self.latency + 2 * (gpus - 1) / gpus * size / (1e9 * rate)


@dataclass(frozen=True)
class Traffic:
    """Bytes that a step reduces over the processes, and those of a checkpoint.

    Attributes:
        gradients: All gradients, in fp32; DDP splits them into buckets.
        sinkhorn: Every collective of the targets.
        checkpoint: Student, teacher and two moments of the optimizer.
    """

    gradients: int
    sinkhorn: tuple[int, ...]
    checkpoint: int


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m benchmarks.scale', description=__doc__)
    parser.add_argument('config', help='a pre-training config')
    parser.add_argument('--gpus', nargs='+', type=positive, default=[1, 8, 32, 128, 1024], help='numbers of GPUs')
    for name, value in vars(Machine()).items():
        parser.add_argument('--' + name.replace('_', '-'), type=type(value), default=value, help=f'({value})')
    parser.add_argument('--out', type=result_file, help='JSON file for the result')
    add_cfg_options(parser)
    return parser.parse_args(arguments)


def measure(args: argparse.Namespace) -> None:
    """Prints the table, in milliseconds."""
    from poa_mm.reporting.records import write_json
    from poa_mm.reporting.tables import markdown_table

    machine = Machine(**{name: getattr(args, name) for name in vars(Machine())})
    result = predict(args.config, args.cfg_options, machine, args.gpus)
    rows = [
        [str(row['gpus']), row['mode'], *(f'{1e3 * row[name]:.1f}' for name in (*PARTS, 'step'))]
        + [f'{row["images_per_second"]:.0f}']
        for row in result
    ]
    print(markdown_table(['GPUs', 'sampler', *(f'{name}, ms' for name in (*PARTS, 'step')), 'images/s'], rows))
    if args.out:
        write_json(args.out, dict(arguments=vars(args), result=result))


def predict(config: str, options: dict, machine: Machine, numbers: Sequence[int]) -> list[dict]:
    """Seconds of every part of a step, for every number of GPUs and mode of the sampler.

    ``compute`` is the mean over all draws, and ``waiting`` what the slowest process of each step adds to it. Between
    the smallest and the intact sub-network, both traced, time is taken to be linear in the relative cost.
    """
    import torch

    from benchmarks.fake_gpu import trace
    from benchmarks.trace import predict as roofline
    from benchmarks.training import check_pretraining
    from poa_mm.config import load_config
    from poa_mm.elastic import SubnetSampler
    from poa_mm.elastic.sampler import relative_cost
    from poa_mm.engine.fully_sharded import is_divided
    from poa_mm.errors import UserError
    from poa_mm.registry import MODELS

    cfg = load_config(config, options, None, 'none')
    check_pretraining(cfg)
    if is_divided(cfg):
        raise UserError(f'{config} divides its model among the GPUs, whose messages are not modelled')
    with torch.device('meta'):
        model = MODELS.build({'_scope_': 'poa_mm', **cfg.model})
    space, sent = model.backbone.space, traffic(model)
    smallest = min(space, key=lambda subnet: relative_cost(space, subnet))
    rates = (1e12 * machine.tflops, 1e12 * machine.fp32_tflops, 1e12 * machine.bandwidth)
    traces = [trace(config, options, subnet=str(subnet)) for subnet in (smallest, space.intact)]
    low, high = (roofline(traced, *rates)['seconds'] for traced in traces)
    images, lowest = traces[0].images, relative_cost(space, smallest)

    def seconds(cost: float) -> float:
        return low + (high - low) * (cost - lowest) / (1 - lowest)

    rows = []
    for gpus in numbers:
        for mode in MODES if gpus > 1 else MODES[:1]:
            drawn = costs(SubnetSampler(space, **{**(cfg.model.get('sampler') or {}), 'mode': mode}), gpus)
            parts = dict(
                compute=seconds(drawn.mean()),
                waiting=seconds(drawn.max(1).mean()) - seconds(drawn.mean()),
                gradients=(1 - machine.overlap) * machine.all_reduce(sent.gradients, gpus),
                Sinkhorn=sum(machine.all_reduce(size, gpus) for size in sent.sinkhorn),
            )
            parts['data'] = max(0.0, images / machine.loading - sum(parts.values()))
            parts['checkpoint'] = sent.checkpoint / (1e9 * machine.disk) / machine.interval
            step = sum(parts.values())
            rows.append(dict(gpus=gpus, mode=mode, **parts, step=step, images_per_second=gpus * images / step))
    return rows


def costs(sampler: SubnetSampler, processes: int, steps: int | None = None) -> np.ndarray:
    """Relative costs ``(steps, processes)`` of the sub-networks drawn; by default in two passes through the pool."""
    import numpy as np

    from poa_mm.elastic.sampler import relative_cost

    cost = {subnet: relative_cost(sampler.space, subnet) for subnet in sampler.copies}
    steps = range(2 * len(sampler.pool) if steps is None else steps)
    # One process after the other: the sampler keeps the order of a few.
    return np.array([[cost[sampler(step, rank)] for step in steps] for rank in range(processes)]).T


def traffic(model: POA) -> Traffic:
    """The bytes of a model with Sinkhorn-Knopp targets; one without values, on the meta device, will do."""
    student = sum(p.numel() for p in model.parameters() if p.requires_grad)
    teacher = sum(p.numel() for p in model.teacher.parameters())
    prototypes = [  # of images, then of patches
        len(layer.last_layer.weight_v) for head in (model.head, model.patch_head or model.head) for layer in head.heads
    ]
    collectives = [4 * sum(prototypes)] * (1 + model.target.num_iters)  # the largest exponents, then sums
    return Traffic(4 * student, tuple(collectives * len(model.teachers)), 4 * (3 * student + teacher))


if __name__ == '__main__':
    run(parse_args, measure)
