"""Steps of one process over gloo that record what it sends and draws."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from poa_mm.elastic.sampler import relative_cost
from poa_mm.registry import MODELS

CONFIG = dict(
    type='poa_mm.POA',
    backbone=dict(
        type='ElasticVisionTransformer', img_size=16, patch_size=8, widths=(16, 32, 16), depths=(1, 3), head_dim=16
    ),
    head=dict(type='MultiPrototypeHead', num_prototypes=(24, 40), hidden_dims=16, bottleneck_dims=8),
    target=dict(type='SinkhornKnopp', num_iters=2),
)


class Losses(nn.Module):
    """DDP needs the whole step in one forward pass."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, subnet):
        masks = torch.tensor([[True, False, False, True]] * 4)
        crops = torch.randn(4, 3, 16, 16), torch.randn(4, 3, 8, 8)
        return self.model.compute_losses(*crops, masks, subnet=subnet, teacher_temp=0.05)['loss']


def run(steps: int) -> dict:
    """Bytes of every collective of the last step, and the costs of the draws of all steps."""
    torch.manual_seed(0)
    model = MODELS.build(CONFIG)
    ddp = DistributedDataParallel(Losses(model), broadcast_buffers=False)
    reduced, buckets, drawn = [], [], []
    real = dist.all_reduce

    def all_reduce(tensor, *args, **kwargs):
        reduced.append(tensor.numel() * tensor.element_size())
        return real(tensor, *args, **kwargs)

    def hook(group, bucket):
        buckets.append(bucket.buffer().numel() * bucket.buffer().element_size())
        return real(bucket.buffer(), group=group, async_op=True).get_future().then(lambda f: f.value()[0])

    dist.all_reduce = all_reduce  # the process ends after this
    ddp.register_comm_hook(None, hook)
    for step in range(steps):
        reduced.clear(), buckets.clear()
        subnet = model.sampler(step, dist.get_rank())
        drawn.append(relative_cost(model.backbone.space, subnet))
        ddp(subnet).backward()
    return dict(reduced=reduced, buckets=buckets, drawn=drawn)
