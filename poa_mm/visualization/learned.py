"""All pictures of what networks learned, on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from poa_mm.models.backbones import ElasticVisionTransformer
from poa_mm.reporting.pictures import save_figure

from .attention import class_attention, draw_attention, draw_heads
from .correspondence import correct, draw_pairs, mutual_matches, view_pair
from .neighbours import draw_neighbours, nearest
from .networks import ShownNetwork
from .page import Section
from .pca import draw_pca
from .prototypes import assign, draw_groups, shared_by_images, shared_by_patches

NEIGHBOURS = 4
GROUPS, MEMBERS = 6, 8  # rows and columns of the prototypes' pictures


class LearnedPictures:
    """Draws networks side by side.

    Args:
        networks: The networks.
        images: All images ``(H, W, 3)`` uint8 RGB; neighbours and prototypes are looked for in all of them.
        number: The first so many are shown in the other pictures.
        out: Folder of the PNG files.
    """

    def __init__(self, networks: Sequence[ShownNetwork], images: Sequence[np.ndarray], number: int, out: Path) -> None:
        self.networks, self.out = networks, out
        self.pixels = [network.pixels(images) for network in networks]
        self.features = [network.features(pixels)[0] for network, pixels in zip(networks, self.pixels)]
        self.chosen = list(range(min(number, len(images))))

    def draw(self) -> list[Section]:
        """Write all pictures that these networks allow; returns them in the order of the page."""
        sections = [*self.attention(), self.pca(), self.view_correspondence()]
        if len(self.pixels[0]) > 1:
            sections += [self.neighbour_correspondence(), self.neighbours()]
        return sections + self.prototypes()

    def attention(self) -> list[Section]:
        """Attention of the class token: the mean of the heads side by side, then the heads of each network."""
        heading, found, sections = 'Self-attention of the class token', [], []
        for network, pixels in zip(self.networks, self.pixels):
            if isinstance(network.backbone, ElasticVisionTransformer):
                shown = pixels[self.chosen]
                found.append((network.label, shown, class_attention(network, shown)))
        if not found:
            return []
        text = (
            'Mean over the heads of the last block, each image scaled to its own maximum.'
            ' Only a ViT has a class token, so Swin and ResNet are not in this picture.'
        )
        sections.append(self._section(heading, text, 'attention', draw_attention(found)))
        for i, (label, shown, maps) in enumerate(found):
            text = f'{label}: every head of the last block.'
            sections.append(self._section(heading, text, f'attention_heads_{i + 1}', draw_heads(shown, maps)))
        return sections

    def pca(self) -> Section:
        """Patch features as colours."""
        columns = [
            (network.label, network.features(pixels[self.chosen])[1])
            for network, pixels in zip(self.networks, self.pixels)
        ]
        text = (
            'The first three principal components of the patch features as red, green and blue. The components are'
            ' common to all images of a network; those of the other networks are rotated to the first one.'
        )
        return self._section('Patch features', text, 'pca', draw_pca(self.pixels[0][self.chosen], columns))

    def view_correspondence(self) -> Section:
        """Nearest patches between an image and a view of it, where the truth is known."""
        rows, columns, shares = [], [], []
        for network, pixels in zip(self.networks, self.pixels):
            pairs = [
                view_pair(pixels[i].permute(1, 2, 0).contiguous().numpy(), seed) for seed, i in enumerate(self.chosen)
            ]
            rows = rows or [(pair.image, pair.view) for pair in pairs]
            maps = [network.features(network.pixels([pair.image, pair.view]))[1] for pair in pairs]
            found = [mutual_matches(*pair) for pair in maps]
            side = network.side // network.stride
            truth = [correct(matches, pair, side) for matches, pair in zip(found, pairs)]
            columns.append((network.label, found, truth))
            shares.append(f'{network.label} {100 * torch.cat(truth).float().mean():.0f} %')
        text = (
            "An image and a random view of it: the 20 most similar of the patches that are each other's nearest, green"
            f' where the two lie within one patch of each other. Share of green among all: {", ".join(shares)}.'
        )
        return self._section('Correspondence of patches', text, 'correspondence_views', draw_pairs(rows, columns))

    def neighbour_correspondence(self) -> Section:
        """Nearest patches between an image and its nearest neighbour by the last network."""
        partners = nearest(self.features[-1], self.chosen, 1)[0][:, 0].tolist()
        columns = []
        for network, pixels in zip(self.networks, self.pixels):
            first, second = (network.features(pixels[list(index)])[1] for index in (self.chosen, partners))
            columns.append((network.label, [mutual_matches(a, b) for a, b in zip(first, second)], None))
        pictures = self.pixels[0].permute(0, 2, 3, 1).numpy()
        rows = [(pictures[i], pictures[j]) for i, j in zip(self.chosen, partners)]
        text = (
            f'An image and its nearest neighbour by {self.networks[-1].label}: the 20 most similar of the patches that'
            " are each other's nearest."
        )
        figure = draw_pairs(rows, columns)
        return self._section('Correspondence of patches', text, 'correspondence_neighbours', figure)

    def neighbours(self) -> Section:
        """The nearest images of every chosen one."""
        columns = [(n.label, *nearest(f, self.chosen, NEIGHBOURS)) for n, f in zip(self.networks, self.features)]
        text = f'The nearest among {len(self.pixels[0])} images by the cosine similarity of image features.'
        figure = draw_neighbours(self.pixels[0], self.chosen, columns)
        return self._section('Nearest neighbours', text, 'neighbours', figure)

    def prototypes(self) -> list[Section]:
        """What shares a prototype, for networks of a checkpoint: an extracted file has no heads."""
        sections = []
        for i, (network, pixels, features) in enumerate(zip(self.networks, self.pixels, self.features)):
            if not network.heads:
                continue
            images = shared_by_images(*assign(network.heads['image'], features), GROUPS, MEMBERS)
            # Batch by batch: all maps at once would not fit into memory.
            parts = [network.features(batch)[1].flatten(1, 2) for batch in pixels.split(16)]
            found = [assign(network.heads['patch'], part.flatten(0, 1)) for part in parts]
            shape = (len(pixels), -1)
            ids, logits = (torch.cat([f[j] for f in found]).view(shape) for j in (0, 1))
            patches = shared_by_patches(ids, logits, GROUPS, MEMBERS)
            side = network.side // network.stride
            for kind, groups in (('images', images), ('patches', patches)):
                if groups:
                    text = f'{network.label}: {kind} that share a prototype of the head with the fewest, a row each.'
                    figure = draw_groups(pixels, groups, side)
                    sections.append(self._section('Prototypes', text, f'prototypes_{kind}_{i + 1}', figure))
        return sections

    def _section(self, heading: str, text: str, name: str, figure: Figure) -> Section:
        return Section(heading, text, save_figure(figure, self.out / f'{name}.png'))
