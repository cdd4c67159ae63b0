"""Weighted k-nearest-neighbour classification on frozen features (POA, sec. 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from poa_mm.errors import UserError

from .features import FeatureReader, gather_rows
from .images import EvalImages

PAPER_KS = (10, 20, 100, 200)  # numbers of neighbours (POA, sec. 4.1)
TEMPERATURE = 0.07  # of the votes' weights (POA, sec. 4)
INDEX_BITS = 32
INDEX_MASK = (1 << INDEX_BITS) - 1
NOTHING = torch.iinfo(torch.int64).min  # below every packed similarity


class NeighbourSearch:
    """Finds the ``k`` most similar gallery images of every query; the gallery may come in pieces.

    The gallery is not stored, only the queries and their ``k`` best so far. The result does not
    depend on the order or the size of the pieces, nor on which process gets them: of equally similar images,
    the one with the lower index is nearer.

    Args:
        queries: L2-normalised features (Q, D), the same in all processes.
        k: Number of neighbours.
        name: Of the network, for messages.
        query_chunk: Queries that are compared at a time; bounds the memory.
        gallery_chunk: Gallery images that are compared at a time; smaller pieces wait for one another.

    Raises:
        UserError: If a feature is not finite.
    """

    def __init__(
        self,
        queries: Tensor,
        k: int,
        name: str = 'the network',
        query_chunk: int = 2048,
        gallery_chunk: int = 8192,
    ) -> None:
        check_finite(queries, name)
        self.queries, self.k, self.name = queries, k, name
        self.query_chunk, self.gallery_chunk = query_chunk, gallery_chunk
        self.best = torch.full((len(queries), k), NOTHING, dtype=torch.int64, device=queries.device)
        self._waiting: list[tuple[Tensor, Tensor]] = []

    def update(self, gallery: Tensor, index: Tensor) -> None:
        """Add gallery images.

        Args:
            gallery: L2-normalised features (G, D).
            index: Their numbers (G,), 0 to 2^32 - 1, each image's own.

        Raises:
            UserError: If a feature is not finite.
        """
        check_finite(gallery, self.name)
        self._waiting.append((gallery, index))
        if sum(len(piece) for piece, _ in self._waiting) >= self.gallery_chunk:
            self._compare()

    def result(self) -> tuple[Tensor, Tensor]:
        """Similarities and gallery indices (Q, k) over all processes, the nearest first.

        Raises:
            UserError: If the gallery has fewer than ``k`` images.
        """
        self._compare()
        # (processes, Q, k): every process has searched its own share of the gallery.
        best = gather_rows(self.best[None])
        best = best.transpose(0, 1).flatten(1).topk(self.k).values
        if len(best) and best[0, -1] == NOTHING:
            raise UserError(f'k = {self.k} is larger than the gallery ({int((best[0] != NOTHING).sum())} images)')
        return unpack(best)

    def _compare(self) -> None:
        if not self._waiting:
            return
        gallery = torch.cat([piece for piece, _ in self._waiting])
        index = torch.cat([numbers for _, numbers in self._waiting])
        self._waiting = []
        for piece, numbers in zip(gallery.split(self.gallery_chunk), index.split(self.gallery_chunk)):
            for queries, best in zip(self.queries.split(self.query_chunk), self.best.split(self.query_chunk)):
                candidates = torch.cat([best, pack(queries @ piece.T, numbers)], dim=1)
                best.copy_(candidates.topk(self.k).values)


def pack(similarity: Tensor, index: Tensor) -> Tensor:
    """Similarity and index in one int64 that sorts by the first, then by *lower* index."""
    bits = similarity.float().contiguous().view(torch.int32)
    order = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # integers that sort like the floats
    return (order.long() << INDEX_BITS) | (INDEX_MASK - index)


def unpack(packed: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse of :func:`pack`: similarities in fp32 and indices."""
    order = (packed >> INDEX_BITS).int()
    bits = order ^ ((order >> 31) & 0x7FFFFFFF)
    return bits.view(torch.float32), INDEX_MASK - (packed & INDEX_MASK)


def vote(
    similarity: Tensor, labels: Tensor, ks: Sequence[int], temperature: float = TEMPERATURE, chunk: int = 4096
) -> dict[int, Tensor]:
    """Classes that the neighbours vote for, weighted by softmax of similarity / temperature.

    The softmax's denominator is the same for all neighbours of a query and left out. Of classes with equal
    votes, the first wins. In fp64 on the CPU, so that the sum of the votes is the same every time.

    Args:
        similarity: (Q, K), the nearest first.
        labels: Classes of the neighbours (Q, K).
        ks: How many neighbours vote, each at most K.
        temperature: Of the weights.
        chunk: Queries at a time.

    Returns:
        For each k the predicted classes (Q,), on the CPU.
    """
    similarity, labels = similarity.double().cpu(), labels.cpu()
    weights = ((similarity - similarity[:, :1]) / temperature).exp()
    classes = int(labels.max()) + 1
    predictions: dict[int, list[Tensor]] = {k: [] for k in sorted(set(ks))}
    for weight, label in zip(weights.split(chunk), labels.split(chunk)):
        votes = torch.zeros((len(weight), classes), dtype=torch.float64)
        counted = 0
        for k in predictions:
            votes.scatter_add_(1, label[:, counted:k], weight[:, counted:k])
            counted = k
            predictions[k].append(votes.argmax(dim=1))
    return {k: torch.cat(parts) for k, parts in predictions.items()}


def evaluate_knn(
    reader: FeatureReader,
    train: EvalImages,
    val: EvalImages,
    ks: Sequence[int] = PAPER_KS,
    temperature: float = TEMPERATURE,
) -> dict[str, dict[int, float]]:
    """Accuracy of every network of a reader, over all processes; each image is read once.

    Args:
        reader: Runs the networks.
        train: The gallery; each process reads and searches its share.
        val: The queries.
        ks: Numbers of neighbours.
        temperature: Of the votes' weights.

    Returns:
        For each network and each k the accuracy in per cent; the same in all processes.

    Raises:
        UserError: If a k does not fit the gallery, no image can be read, or a feature is not finite.
    """
    check_ks(ks, len(train), temperature)
    queries, val_labels, _ = reader.collect(val, 'val')
    searches = {name: NeighbourSearch(queries.pop(name), max(ks), name) for name in reader.networks}
    train_labels = search_gallery(reader, train, {name: [search] for name, search in searches.items()})
    return {
        name: neighbour_accuracy(search.result(), train_labels, val_labels, ks, temperature)
        for name, search in searches.items()
    }


def search_gallery(
    reader: FeatureReader, train: EvalImages, searches: Mapping[str, Sequence[NeighbourSearch]]
) -> Tensor:
    """Search this process's share of the gallery for all networks.

    Returns:
        Classes of all images of the gallery (G,), by their numbers; 0 where an image could not be read.
    """
    seen = [torch.zeros((0, 2), dtype=torch.int64, device=reader.device)]
    for features, labels, index in reader.batches(train, 'train'):
        for name, of_network in searches.items():
            for search in of_network:
                search.update(features[name], index)
        seen.append(torch.stack([index, labels], dim=1))
    index, labels = gather_rows(torch.cat(seen)).unbind(dim=1)
    return labels.new_zeros(len(train)).index_put((index,), labels)


def paper_ks(gallery: int) -> list[int]:
    """Those of :data:`PAPER_KS` of which a gallery of so many images has enough; else all its images."""
    return [k for k in PAPER_KS if k <= gallery] or [gallery]


def check_ks(ks: Sequence[int], gallery: int, temperature: float) -> None:
    """Check the settings before anything is computed.

    Raises:
        UserError: If a k is not between 1 and the size of the gallery, or the temperature not positive.
    """
    if not ks or min(ks) < 1 or max(ks) > gallery:
        raise UserError(f'k must be from 1 to the size of the gallery ({gallery} images), got {list(ks)}')
    if not temperature > 0:
        raise UserError(f'temperature must be positive, got {temperature}')


def check_finite(features: Tensor, name: str) -> None:
    """Check that features are finite.

    Raises:
        UserError: If one is NaN or infinite.
    """
    bad = int((~features.isfinite()).any(dim=1).sum())
    if bad:
        raise UserError(f'{bad} of {len(features)} features of {name} are not finite: its weights are broken')


def neighbour_accuracy(
    neighbours: tuple[Tensor, Tensor],
    train_labels: Tensor,
    val_labels: Tensor,
    ks: Sequence[int],
    temperature: float,
) -> dict[int, float]:
    """Accuracy in per cent for every k, from what :meth:`NeighbourSearch.result` gives."""
    similarity, index = neighbours
    predicted = vote(similarity, train_labels[index], ks, temperature)
    return {k: 100 * (classes == val_labels.cpu()).double().mean().item() for k, classes in predicted.items()}
