"""POA: Pre-training Once for Models of All Sizes, for OpenMMLab."""

from .compat import ImportHook, OperatorFinder, QuietFinder, format_once, leave_out_multimodal
from .version import __version__ as __version__

# mmdet cannot be imported without mmcv's operators; a config imports poa_mm before it.
OperatorFinder.install()
QuietFinder.install()


def _read_checkpoints_safely(module) -> None:
    from .files.checkpoint_loader import install

    install(module)


# MMEngine's own loader executes code in checkpoints.
ImportHook.install('mmengine.runner.checkpoint', _read_checkpoints_safely)
# mmpretrain's language models cannot be imported with transformers 5.
ImportHook.install('mmpretrain.utils.dependency', leave_out_multimodal)
# MMEngine formats the config of a run again for every checkpoint.
ImportHook.install('yapf.yapflib.yapf_api', format_once)


def __getattr__(name: str):
    if name == 'load':  # imports torch and OpenMMLab only where it is used
        from .extraction.ready import load

        return load
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
