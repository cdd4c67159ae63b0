"""Trains a ViT with a method of the library lightly, for studies/vit_alone.yaml.

Runs in an environment of its own (``pip install lightly timm``), without poa_mm. Losses, heads and colours of the crops
are lightly's; network, images seen, optimizer, schedules, sizes of the heads, and number and sizes of DINO's crops are
those of configs/poa_vit_small.py in the setting of studies/_base_/tiny_vit.yaml.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Iterator

import torch
from lightly.data import LightlyDataset
from lightly.loss import DINOLoss, KoLeoLoss, NTXentLoss
from lightly.models.modules.heads import DenseCLProjectionHead, DINOProjectionHead
from lightly.models.utils import select_most_similar, update_momentum
from lightly.transforms import DenseCLTransform, DINOTransform
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

HIDDEN, BOTTLENECK, PROTOTYPES = 512, 128, 2048
FROZEN = 0.4  # share of the steps without training the prototypes
MOMENTUM = 0.99, 1.0  # of DINO's teacher, at first and at last
TEMPERATURE = 0.04  # of its targets
KOLEO = 0.1
QUEUE, QUEUE_TEMPERATURE = 4096, 0.2  # DenseCL's negatives


class DINO(nn.Module):
    """Caron et al., "Emerging properties in self-supervised vision transformers", ICCV 2021, with DINOv2's KoLeo loss.

    Without KoLeo, and with the temperature and the fast teacher of our recipe, whose targets are balanced by Sinkhorn,
    its outputs become uniform here.
    """

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
        self.koleo = KoLeoLoss()

    def forward(self, views: list[Tensor], progress: float) -> Tensor:
        targets = [self.teacher[1](self.teacher[0](view)) for view in views[:2]]
        features = [self.backbone(view) for view in views]
        loss = self.criterion(targets, [self.head(feature) for feature in features], teacher_temp=TEMPERATURE)
        return loss + KOLEO * sum(self.koleo(feature) for feature in features[:2])

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


class DenseCL(nn.Module):
    """Wang et al., "Dense contrastive learning for self-supervised visual pre-training", CVPR 2021."""

    transform = DenseCLTransform(input_size=72, min_scale=0.2)

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.student = nn.ModuleList([backbone, *(DenseCLProjectionHead(backbone.embed_dim, HIDDEN) for _ in range(2))])
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.criteria = nn.ModuleList([NTXentLoss(QUEUE_TEMPERATURE, (QUEUE, 128)) for _ in range(2)])

    def embed(self, branch: nn.ModuleList, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embedding of the class token (N, C), features and embeddings of the patches (N, L, C)."""
        backbone, image_head, patch_head = branch
        tokens = backbone.forward_features(view)
        return image_head(tokens[:, 0]), tokens[:, 1:], patch_head(tokens[:, 1:])

    def forward(self, views: list[Tensor], progress: float) -> Tensor:
        query, features, patches = self.embed(self.student, views[0])
        with torch.no_grad():
            key, key_features, key_patches = self.embed(self.teacher, views[1])
            key_patches = select_most_similar(features, key_features, key_patches)
        losses = (
            self.criteria[0](query, key),
            self.criteria[1](patches.flatten(0, 1), key_patches.flatten(0, 1)),
        )
        return sum(losses) / 2

    def before_step(self, progress: float) -> None:
        pass

    def after_step(self, progress: float) -> None:
        update_momentum(self.student, self.teacher, 0.99)

    def network(self) -> nn.Module:
        """What is evaluated."""
        return self.student[0]


METHODS = dict(dino=DINO, densecl=DenseCL)


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
