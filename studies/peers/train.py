"""Trains a ViT with a method of the library lightly, for studies/vit_alone.yaml.

Runs in an environment of its own (``pip install lightly timm``), without poa_mm. Loss, heads and colours of the crops
are lightly's; network, number and sizes of the crops, images seen, optimizer, schedules, temperature and sizes of the
heads are those of configs/poa_vit_small.py in the setting of studies/_base_/tiny_vit.yaml.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Iterator

import torch
from lightly.data import LightlyDataset
from lightly.loss import DINOLoss, SwaVLoss
from lightly.models.modules import DINOProjectionHead, SwaVProjectionHead, SwaVPrototypes
from lightly.models.utils import update_momentum
from lightly.transforms import DINOTransform, SwaVTransform
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

HIDDEN, BOTTLENECK, PROTOTYPES = 512, 128, 2048
FROZEN = 0.4  # share of the steps without training the prototypes
MOMENTUM = 0.96, 0.99  # of DINO's teacher, at first and at last
TEMPERATURE = 0.02  # of its targets


class DINO(nn.Module):
    """Caron et al., "Emerging properties in self-supervised vision transformers", ICCV 2021."""

    transform = DINOTransform(
        global_crop_size=72, global_crop_scale=(0.32, 1.0), local_crop_size=36, local_crop_scale=(0.05, 0.32),
        n_local_views=4,
    )  # fmt: skip

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        heads = [DINOProjectionHead(backbone.embed_dim, HIDDEN, BOTTLENECK, PROTOTYPES) for _ in range(2)]
        heads[1].load_state_dict(heads[0].state_dict())
        self.backbone, self.head = backbone, heads[0]
        self.teacher = nn.ModuleList([copy.deepcopy(backbone), heads[1]]).requires_grad_(False)
        self.criterion = DINOLoss(PROTOTYPES, warmup_teacher_temp_epochs=0)

    def forward(self, views: list[Tensor], progress: float) -> Tensor:
        targets = [self.teacher[1](self.teacher[0](view)) for view in views[:2]]
        return self.criterion(targets, [self.head(self.backbone(view)) for view in views], teacher_temp=TEMPERATURE)

    def before_step(self, progress: float) -> None:
        if progress < FROZEN:
            for parameter in self.head.last_layer.parameters():
                parameter.grad = None

    def after_step(self, progress: float) -> None:
        momentum = cosine(progress, *MOMENTUM)
        update_momentum(self.backbone, self.teacher[0], momentum)
        update_momentum(self.head, self.teacher[1], momentum)

    def network(self) -> nn.Module:
        """What is evaluated."""
        return self.teacher[0]


class SwAV(nn.Module):
    """Caron et al., "Unsupervised learning of visual features by contrasting cluster assignments", NeurIPS 2020."""

    transform = SwaVTransform(
        crop_sizes=(72, 36), crop_counts=(2, 4), crop_min_scales=(0.32, 0.05), crop_max_scales=(1.0, 0.32)
    )

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = SwaVProjectionHead(backbone.embed_dim, HIDDEN, BOTTLENECK)
        self.prototypes = SwaVPrototypes(BOTTLENECK, PROTOTYPES)
        self.criterion = SwaVLoss()

    def forward(self, views: list[Tensor], progress: float) -> Tensor:
        self.prototypes.normalize()
        features = [nn.functional.normalize(self.head(self.backbone(view)), dim=1) for view in views]
        logits = [self.prototypes(feature) for feature in features]
        return self.criterion(logits[:2], logits[2:])

    def before_step(self, progress: float) -> None:
        if progress < FROZEN:
            for parameter in self.prototypes.parameters():
                parameter.grad = None

    def after_step(self, progress: float) -> None:
        pass

    def network(self) -> nn.Module:
        """What is evaluated."""
        return self.backbone


METHODS = dict(dino=DINO, swav=SwAV)


def cosine(progress: float, start: float, end: float) -> float:
    """Half a cosine from ``start`` to ``end``; ``progress`` runs from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def endless(loader: torch.utils.data.DataLoader) -> Iterator[list[Tensor]]:
    """The views of batch after batch."""
    while True:
        for views, *_ in loader:
            yield views


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('method', choices=METHODS)
    parser.add_argument('--images', required=True, metavar='DIR', help='any folder of images')
    parser.add_argument('--size', required=True, metavar='96x4', help='width x depth')
    parser.add_argument('--steps', type=int, required=True)
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', required=True, metavar='FILE.pth', help="timm's weights")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.manual_seed(args.seed)
    width, depth = map(int, args.size.split('x'))
    backbone = VisionTransformer(
        img_size=72, patch_size=12, embed_dim=width, depth=depth, num_heads=width // 32, init_values=0.1,
        num_classes=0, dynamic_img_size=True,
    )  # fmt: skip
    method = METHODS[args.method](backbone)
    images = LightlyDataset(args.images, transform=method.transform)
    loader = torch.utils.data.DataLoader(images, args.batch, shuffle=True, drop_last=True, num_workers=1)
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    decayed = [dict(params=[p for p in trained if p.ndim > 1]), dict(params=[p for p in trained if p.ndim <= 1])]
    optimizer = torch.optim.AdamW(decayed, betas=(0.9, 0.999))
    top = 0.004 * (args.batch / 1024) ** 0.5
    for step, views in zip(range(args.steps), endless(loader)):
        progress, warmup = step / args.steps, args.steps // 10
        rate = top * step / warmup if step < warmup else cosine((step - warmup) / (args.steps - warmup), top, 2e-5)
        for group, decay in zip(optimizer.param_groups, (cosine(progress, 0.04, 0.4), 0.0)):
            group.update(lr=rate, weight_decay=decay)
        loss = method(views, progress)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.5)
        method.before_step(progress)
        optimizer.step()
        method.after_step(progress)
        if step % 20 == 0 or step + 1 == args.steps:
            print(f'{step + 1}/{args.steps} loss {loss.item():.4f}', flush=True)
    torch.save(method.network().state_dict(), args.out)


if __name__ == '__main__':
    main()
