"""The step of another version of this project, in a process of its own.

This file is handed to ``python -c`` in the folder of the other version, so ``poa_mm`` in it is that version's.
"""

import json
import os
import sys


def main(path: str, options: dict, amp: str | None, device: str, arguments: dict) -> None:
    """A step for every line of the input, each answered by a line."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what else is printed must not be taken for an answer
    import torch

    from benchmarks import TrainingStep
    from poa_mm.launch import load_config

    # What TrainingStep.from_config does, which older revisions lack.
    cfg = load_config(path, options, None, 'none')
    if amp:
        cfg.optim_wrapper.amp_dtype = None if amp == 'none' else amp
    torch.backends.cudnn.benchmark = cfg.get('env_cfg', {}).get('cudnn_benchmark', False)
    step = TrainingStep(cfg, torch.device(device), **arguments)
    print(step.images, file=answers, flush=True)
    for _ in sys.stdin:
        step()
        if step.device.type == 'cuda':
            torch.cuda.synchronize()
        print('done', file=answers, flush=True)


if __name__ == '__main__':
    main(**json.loads(sys.argv[1]))
