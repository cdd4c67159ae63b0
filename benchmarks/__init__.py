"""Where the time of a training step goes, on a CPU or a GPU."""

from .largest import largest_batch, no_memory, release_memory
from .operations import OperationCounter, product_rate, square_product_rate
from .report import benchmark, compare, describe
from .revisions import compare_revision
from .step import TrainingStep
from .stopwatch import Stopwatch, spread
from .straggling import slowest, straggling

__all__ = [
    'OperationCounter',
    'Stopwatch',
    'TrainingStep',
    'benchmark',
    'compare',
    'compare_revision',
    'describe',
    'largest_batch',
    'no_memory',
    'product_rate',
    'release_memory',
    'slowest',
    'spread',
    'square_product_rate',
    'straggling',
]
