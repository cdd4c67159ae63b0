"""MMEngine's runner, for less on the screen and for models that are divided among the processes."""

from functools import partial

from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from poa_mm.models.wrapping import unwrapped

from .fully_sharded import FullyShardedPOA, gathered
from .interrupt import start_worker
from .screen import ScreenFilter, screens


class PoaRunner(Runner):
    """MMEngine's runner with a :class:`ScreenFilter`, where the config has a ``progress`` hook.

    It can train a :class:`FullyShardedPOA`, and its checkpoints of one are those of a model that is not divided.
    """

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build the logger and filter what it shows."""
        logger = super().build_logger(*args, **kwargs)
        if self.cfg.get('default_hooks', {}).get('progress'):
            for handler in screens(logger):
                handler.addFilter(ScreenFilter())
        return logger

    @staticmethod
    def build_dataloader(*args, **kwargs) -> DataLoader:
        """Build a dataloader whose workers outlive the signal that asks the run to stop."""
        loader = Runner.build_dataloader(*args, **kwargs)
        loader.worker_init_fn = partial(start_worker, loader.worker_init_fn)
        return loader

    def _init_model_weights(self) -> None:
        if not isinstance(self.model, FullyShardedPOA):  # which has done it before it was divided
            super()._init_model_weights()

    def resume(self, filename: str, *args, **kwargs) -> None:
        """Go on from a checkpoint; for a divided model it stays in the host's memory, where all of it fits."""
        if isinstance(self.model, FullyShardedPOA):
            kwargs.setdefault('map_location', 'cpu')
        super().resume(filename, *args, **kwargs)

    def save_checkpoint(self, *args, **kwargs) -> None:
        """Save in the main process what all processes have; all must call it."""
        with gathered(unwrapped(self.model), getattr(self.optim_wrapper, 'optimizer', None)):
            super().save_checkpoint(*args, **kwargs)
