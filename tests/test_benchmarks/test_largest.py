import pytest
import torch

from benchmarks.largest import fits, largest_batch, search
from benchmarks.training import TrainingStep


@pytest.mark.parametrize('capacity', [2, 3, 7, 31, 100, 1000])
def test_search(capacity):
    tried = []

    def fits(images):
        tried.append(images)
        return images <= capacity

    found = search(fits, start=2, limit=300)
    assert found <= min(capacity, 300) < found + max(2, found / 16 + 1)
    assert len(tried) == len(set(tried)) < 16 and max(tried) <= 300


def test_nothing_fits():
    with pytest.raises(ValueError, match='no memory for a step of 4 images'):
        search(lambda images: False, start=4, limit=300)


def test_a_step_that_runs_out_of_memory_leaves_the_next_one_whole(config, monkeypatch):
    step = TrainingStep(config, torch.device('cpu'), 'intact')
    real = step.model.compute_losses

    def limited(global_crops, *args, **kwargs):
        loss = real(global_crops, *args, **kwargs)
        if len(global_crops) > 2 * 5:
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate')
        return loss

    monkeypatch.setattr(step.model, 'compute_losses', limited)
    told = []
    assert largest_batch(step, limit=12, log=told.append) == 5
    assert told[0].startswith('2 images: enough memory') and any(line.startswith('8 images: no') for line in told)
    assert step.images == 10 and next(step.batches)['inputs']['global_crops'].shape[0] == 10
    assert not fits(step, 6) and all(p.grad is None for p in step.model.parameters())
    assert fits(step, 4)

    def broken(*args, **kwargs):
        raise RuntimeError('something else')

    monkeypatch.setattr(step.model, 'compute_losses', broken)
    with pytest.raises(RuntimeError, match='something else'):
        fits(step, 2)
