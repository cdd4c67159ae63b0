"""From a checked config to a runner that trains or tests, and a step that was skipped to its cause."""

from .runner import build_runner, enable_amp, open_data, prepare_processes, set_resume

__all__ = ['build_runner', 'enable_amp', 'open_data', 'prepare_processes', 'set_resume']
