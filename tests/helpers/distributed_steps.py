"""Steps of ``test_distributed.py``: each case on the share of the batch of one process."""

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.model import MMDistributedDataParallel

from poa_mm.registry import MODELS

B, V, P = 6, 3, 16  # images, local crops of each, patches of a global crop
SIZES = dict(img_size=32, patch_size=8, widths=(32, 64, 16), depths=(2, 4), head_dim=16)
NO_KOLEO = dict(loss_weights=dict(koleo=0.0))
SHARED = dict(sampler=dict(mode='shared'))
HEAD = dict(type='MultiPrototypeHead', num_prototypes=(40, 72), hidden_dims=48, bottleneck_dims=24)
CASES = {
    'sinkhorn': dict(**SHARED, **NO_KOLEO),
    'centering': dict(**SHARED, **NO_KOLEO, target=dict(type='Centering', num_prototypes=(40, 72))),
    'elastic teacher': dict(**SHARED, **NO_KOLEO, teachers=('intact', 'elastic')),
    'patch loss off': dict(**SHARED, **NO_KOLEO),
    'patch heads, loss off': dict(**SHARED, **NO_KOLEO, patch_head=HEAD),
    'no patch in one process': dict(**SHARED, **NO_KOLEO),
    'koleo': SHARED,
    'per rank': dict(sampler=dict(mode='per_rank')),
}
# A step at which the two processes draw different sub-networks in the mode per_rank.
STEP = 2


def build(case):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='POA',
            backbone=dict(type='ElasticVisionTransformer', **SIZES, layer_scale_init_value=0.5),
            head=HEAD,
            schedule=dict(temp_start=0.05, temp_final=0.05, patch_loss_start=None if case.endswith('off') else 0),
            **CASES[case],
        )
    )
    for parameter in model.parameters():  # weights at which every term matters
        torch.nn.init.normal_(parameter, std=0.3) if parameter.ndim > 1 else parameter.data.uniform_(0.2, 1)
    return model


def batch(case):
    """The batch of all processes; the first half of the images has more masked patches."""
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(2, B, P, generator=generator) < torch.linspace(0.6, 0.1, B)[:, None]
    masks[0, 1] = masks[1, 4] = False
    masks[:, 0, 0] = masks[:, -1, 0] = True
    if case == 'no patch in one process':
        masks[:, B // 2 :] = False
    return dict(
        global_crops=torch.randn(2 * B, 3, 32, 32, generator=generator),
        local_crops=torch.randn(V * B, 3, 16, 16, generator=generator),
        masks=masks.flatten(0, 1),
    )


def share(inputs, rank, world_size):
    """The images of one process: crops are ordered crop by crop."""
    return {k: v.unflatten(0, (-1, B)).chunk(world_size, 1)[rank].flatten(0, 1) for k, v in inputs.items()}


def run(model, inputs):
    """Losses, gradients and buffers (where centres are) after one forward and backward pass."""
    draw = dict(step=STEP, rank=get_rank(), seed=0)
    losses = model(inputs={**inputs, **draw}, mode='loss')
    losses['loss'].backward()
    module = getattr(model, 'module', model)
    return dict(
        losses={name: value.detach() for name, value in losses.items()},
        grads={n: p.grad for n, p in module.named_parameters() if p.grad is not None},
        buffers=dict(module.target.named_buffers()),
    )


def run_all():
    """Results of all cases in this process."""
    found = {}
    for case in CASES:
        model = MMDistributedDataParallel(build(case), broadcast_buffers=False)
        found[case] = run(model, share(batch(case), get_rank(), get_world_size()))
    return found
