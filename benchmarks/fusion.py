"""Kernels that ``torch.compile`` makes of the operations of a compiled region: a model of Inductor's fusion.

A region is one forward or backward pass through something compiled (a block, a function). Its matrix products,
convolutions and attention stay kernels of their own. The others join:

- pointwise operations, casts, copies to another layout and concatenations join what makes their inputs and what reads
  their results, unless one of those kernels lies in between;
- reductions of rows (norms, softmax, sums over the last axis) join the pointwise operations around them;
- reductions over rows (gradients of biases and norms) are kernels of their own and read their inputs again; only
  pointwise operations that serve nothing else join them;
- a read at computed positions (``index_select``) begins a kernel: what it reads must have been written;
- a cast to more bytes is never written: what reads its result reads what was cast, also in the backward pass.

A joined kernel reads each input once and writes what others read. Everything else never leaves the chip.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

POINTWISE = {
    *('abs', 'add', 'sub', 'rsub', 'mul', 'div', 'neg', 'reciprocal', 'exp', 'log', 'sqrt', 'rsqrt', 'pow', 'sigmoid'),
    *('where', 'eq', 'ne', 'lt', 'le', 'gt', 'ge', 'logical_not', 'logical_and', 'bitwise_not', 'clamp', 'maximum'),
    *('gelu', 'gelu_backward', 'relu', 'threshold_backward', 'silu', 'silu_backward', 'lerp', 'addcmul', 'masked_fill'),
    *('_to_copy', 'copy', 'clone', 'contiguous', 'cat', 'stack', 'constant_pad_nd', 'roll', 'repeat', 'slice_backward'),
    *('select_backward', 'fill', 'zero', 'zeros', 'zeros_like', 'ones', 'ones_like', 'new_zeros', 'new_ones', 'full'),
    *('full_like', 'new_full', 'arange', 'ceil', 'floor', 'isfinite', 'flip'),
}
ROWS = {
    *('native_layer_norm', 'native_layer_norm_backward', 'native_group_norm', 'native_group_norm_backward'),
    *('_softmax', '_softmax_backward_data', '_log_softmax', 'logsumexp', 'linalg_vector_norm'),
}
REDUCTIONS = {'sum', 'mean', 'amax', 'max'}
READS = {'index_select', 'index', 'gather', 'embedding'}
# Their gradients of weight and bias are reductions over rows of the first two inputs.
NORM_GRADIENTS = {'native_layer_norm_backward', 'native_group_norm_backward'}


class Access(NamedTuple):
    """A tensor that is read or written.

    Args:
        value: What it holds: other contents of the same memory are another value.
        part: Which part of the memory, so that a part that is read twice counts once.
        bytes: Its size.
    """

    value: int
    part: tuple
    bytes: int


@dataclass(frozen=True)
class Operation:
    """One kernel: floating-point operations and bytes read and written.

    ``region`` is the pass through something compiled, ``None`` outside; ``over_rows`` whether it reduces over rows.
    """

    name: str
    category: str
    flops: int
    bytes: int
    half: bool
    region: tuple | None = None
    reads: tuple[Access, ...] = ()
    writes: tuple[Access, ...] = ()
    over_rows: bool = False

    @property
    def kind(self) -> str:
        """``'alone'``, ``'joins'``, ``'reads'`` (at computed positions) or ``'over rows'``."""
        name = self.name if self.name in ROWS else self.name.removesuffix('_')
        if self.over_rows:
            return 'over rows'
        if name in READS:
            return 'reads'
        return 'joins' if name in POINTWISE | ROWS | REDUCTIONS else 'alone'


def fuse(operations: Sequence[Operation]) -> list[Operation]:
    """The kernels of a step: operations outside of regions as they are, those of each region joined."""
    operations = without_upcasts(operations)
    regions: dict[tuple, list[int]] = defaultdict(list)
    readers: dict[int, set[int]] = defaultdict(set)
    for place, operation in enumerate(operations):
        if operation.region is not None:
            regions[operation.region].append(place)
        for access in operation.reads:
            readers[access.value].add(place)
    kernels = [operation for operation in operations if operation.region is None]
    for places in regions.values():
        for group in join(operations, places, readers):
            kernels.append(kernel([operations[place] for place in group], set(group), readers))
            kernels += [
                norm_gradients(operations[place]) for place in group if operations[place].name in NORM_GRADIENTS
            ]
    return kernels


def without_upcasts(operations: Sequence[Operation]) -> list[Operation]:
    """Operations of regions read what was cast up to more bytes, which is never written, as it was before the cast."""
    source: dict[int, Access] = {}
    kept: list[Operation] = []
    for operation in operations:
        if operation.region is not None and operation.kind == 'joins':
            reads = tuple(source.get(access.value, access) for access in operation.reads)
            operation = replace(operation, reads=reads, bytes=sum(a.bytes for a in (*reads, *operation.writes)))
            if operation.name == '_to_copy' and reads[0].bytes < operation.writes[0].bytes:
                source[operation.writes[0].value] = reads[0]
        kept.append(operation)
    unread = source.keys() - {access.value for operation in kept for access in operation.reads}
    return [operation for operation in kept if not any(access.value in unread for access in operation.writes)]


def join(operations: Sequence[Operation], places: Iterable[int], readers: dict[int, set[int]]) -> list[list[int]]:
    """The operations of a region, by their places, in groups that become kernels."""
    maker: dict[int, int] = {}
    level: dict[int, int] = {}
    group: dict[int, list[int]] = {}
    for place in places:
        operation = operations[place]
        makers = {maker[access.value] for access in operation.reads if access.value in maker}
        apart = {m for m in makers if not joined(operations[m], operation)}
        if operation.kind == 'over rows':
            apart = {m for m in apart if not is_only_for(place, [(p, operations[p]) for p in group[m]], readers)}
        level[place] = max([level[m] + (m in apart) for m in makers], default=0)
        group[place] = [place]
        for m in makers - apart:
            if level[m] == level[place] and group[m] is not group[place]:
                merged = group[m] + group[place]
                for member in merged:
                    group[member] = merged
        for access in operation.writes:
            maker[access.value] = place
    return list({id(members): members for members in group.values()}.values())


def joined(maker: Operation, reader: Operation) -> bool:
    """Whether an operation can be in the kernel of the one whose result it reads."""
    return maker.kind in ('joins', 'reads') and reader.kind == 'joins'


def is_only_for(place: int, members: Sequence[tuple[int, Operation]], readers: dict[int, set[int]]) -> bool:
    """Whether pointwise operations serve only the reduction at a place, which then computes them as it reads."""
    places = {place, *(p for p, _ in members)}
    written = [readers[access.value] for _, operation in members for access in operation.writes]
    pointwise = all(operation.name.removesuffix('_') in POINTWISE for _, operation in members)
    return pointwise and all(found and found <= places for found in written)


def kernel(members: Sequence[Operation], places: set[int], readers: dict[int, set[int]]) -> Operation:
    """One kernel of several operations; it is of the category that moved most bytes."""
    largest = max(members, key=lambda operation: operation.bytes)
    if len(members) == 1:
        return largest
    made = {access.value for operation in members for access in operation.writes}
    reads = {(a.value, a.part): a.bytes for o in members for a in o.reads if a.value not in made}
    writes = {
        (a.value, a.part): a.bytes
        for o in members
        for a in o.writes
        if not readers[a.value] or readers[a.value] - places
    }
    moved = sum(reads.values()) + sum(writes.values())
    return replace(largest, name='fused', bytes=moved, flops=sum(o.flops for o in members), region=None)


def norm_gradients(operation: Operation) -> Operation:
    """The second kernel of a norm's backward pass, which reads gradient and input again."""
    moved = sum(access.bytes for access in operation.reads[:2])
    return replace(operation, name='sum', category='sums and adds', bytes=moved, region=None)
