"""Checkpoints that survive a crash while they are written."""

from pathlib import Path

from mmengine.dist import all_gather_object, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from poa_mm.errors import NON_FINITE, RunStopped, UserError
from poa_mm.files import first_non_finite, remove_incomplete, write_atomically
from poa_mm.models.wrapping import unwrapped
from poa_mm.registry import HOOKS

from ..fully_sharded import local
from ..loops import BATCHES_DONE


@register_backend('atomic_local')
class AtomicLocalBackend(LocalBackend):
    """Local files that are either the old ones or complete new ones, never in between."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a temporary file in the same folder, then rename it."""
        write_atomically(filepath, lambda file: file.write(obj))

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text to a temporary file in the same folder, then rename it."""
        self.put(obj.encode(encoding), filepath)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """``CheckpointHook`` with a complete checkpoint at every moment once the first is written.

    MMEngine's deletes the old file before it writes the new one in place, and writes the pointer
    ``last_checkpoint`` in place too. Here the order is: new file under a temporary name, rename,
    pointer (the same way), and only then old files are deleted. What a crash leaves of a temporary
    file is removed at the next start. Arguments are those of ``CheckpointHook``; local disks only.

    A best checkpoint (``save_best``) is written whole too, but after the previous best is deleted.

    Raises:
        UserError: Another storage backend is asked for.
        RunStopped: Instead of saving weights that are not finite; exit code 3.
    """

    def __init__(self, **kwargs) -> None:
        for key in ('backend_args', 'file_client_args'):
            if kwargs.pop(key, None) is not None:
                raise UserError(f'AtomicCheckpointHook writes to local disks only, it does not take {key}.')
        if '://' in str(kwargs.get('out_dir')):
            raise UserError(f'AtomicCheckpointHook writes to local disks only, got out_dir={kwargs["out_dir"]}.')
        super().__init__(backend_args=dict(backend='atomic_local'), **kwargs)

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder and remove what a crash left."""
        super().before_train(runner)
        if is_main_process():
            remove_incomplete(self.out_dir, '.pth')

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        self._write(runner, self.filename_tmpl.format(step), self._keep(runner, step), meta, self.by_epoch)

    def save_within_epoch(self, runner: Runner, batches: int) -> None:
        """Save a run that counts epochs after some batches of the current one, for :class:`ResumableEpochLoop`.

        The file is ``epoch_E_iter_N.pth`` after ``E`` whole epochs and ``N`` iterations in all.
        """
        runner.message_hub.update_info(BATCHES_DONE, batches)
        self._write(runner, f'epoch_{runner.epoch}_iter_{runner.iter + 1}.pth', [], None, by_epoch=False)

    def after_train_epoch(self, runner: Runner) -> None:
        """Save, and delete the checkpoints from within epochs, which the new one replaces."""
        super().after_train_epoch(runner)
        if is_main_process() and self.by_epoch and Path(self.last_ckpt or '').name == f'epoch_{runner.epoch + 1}.pth':
            for path in Path(self.out_dir).glob('epoch_*_iter_*.pth'):
                path.unlink(missing_ok=True)

    def _write(self, runner: Runner, filename: str, expired: list[int], meta: dict | None, by_epoch: bool) -> None:
        weights = {name: local(value) for name, value in unwrapped(runner.model).state_dict().items()}
        # A process may have a share that is finite; all must stop.
        if bad := next(filter(None, all_gather_object(first_non_finite(weights))), None):
            raise RunStopped(
                f'{bad} holds NaN or infinite values after step {runner.iter + 1}, so no checkpoint is written; '
                'earlier ones stay',
                NON_FINITE,
            )
        self.last_ckpt = self.file_backend.join_path(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            pointer = Path(runner.work_dir) / 'last_checkpoint'
            self.file_backend.put_text(str(self.last_ckpt), pointer)
            for old in expired:
                Path(self.out_dir, self.filename_tmpl.format(old)).unlink(missing_ok=True)

    def _keep(self, runner: Runner, step: int) -> list[int]:
        """Enter ``step`` into the list of kept checkpoints; returns what falls out of it."""
        if self.max_keep_ckpts <= 0 or step in self.keep_ckpt_ids:
            return []
        expired = []
        while len(self.keep_ckpt_ids) >= self.max_keep_ckpts:
            expired.append(self.keep_ckpt_ids.popleft())
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        return expired
