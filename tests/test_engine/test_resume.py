"""A checkpoint of another model or optimizer is refused before anything of it is loaded."""

import copy

import pytest
import torch

from poa_mm.engine.hooks import StartCheckHook
from poa_mm.engine.resume import differing
from poa_mm.errors import UserError


@pytest.fixture
def checkpoint(make_runner, tmp_path):
    """Contents of a checkpoint after two steps, and a function that resumes from changed contents."""
    hooks = dict(checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=2))
    make_runner(steps=2, default_hooks=hooks).train()
    contents = torch.load(tmp_path / 'run/iter_2.pth', weights_only=False)

    def resume(contents):
        torch.save(contents, tmp_path / 'other.pth')
        runner = make_runner(
            steps=4, work_dir=tmp_path / 'resumed', resume=True, load_from=str(tmp_path / 'other.pth'),
            hooks=[StartCheckHook()],
        )  # fmt: skip
        before = copy.deepcopy(runner.model.state_dict())
        try:
            runner.train()
        except UserError as error:
            for name, value in runner.model.state_dict().items():
                assert torch.equal(value, before[name])
            raise error
        return runner

    return contents, resume


def test_its_own_checkpoint_is_resumed(checkpoint):
    contents, resume = checkpoint
    assert resume(contents).iter == 4


def weights(change):
    return lambda contents: change(contents['state_dict'])


def states(change):
    def of_all(contents):
        for state in contents['optimizer']['state'].values():
            change(state)

    return of_all


def first_group(change):
    return lambda contents: change(contents['optimizer']['param_groups'][0]['params'])


def short(state):
    state['exp_avg'] = state['exp_avg'].flatten()[:1].clone()


@pytest.mark.parametrize(
    'change, message',
    [
        (weights(lambda w: w.update({'backbone.norm.weight': torch.ones(5)})),
         r'backbone.norm.weight is \(5,\) float32 in the file and \(4,\) float32 in the model'),
        (weights(lambda w: w.update({'teacher.backbone.norm.weight': torch.ones(4, dtype=torch.float64)})),
         r'teacher.backbone.norm.weight is \(4,\) float64 in the file'),
        (weights(lambda w: w.pop('head.0.mlp.bias')), 'head.0.mlp.bias is not in the file'),
        (weights(lambda w: w.update(odd=torch.ones(1))), 'odd is not in the model'),
        (weights(lambda w: w.clear()), 'and [0-9]+ more'),
        (states(short), r'exp_avg of backbone.*is \(1,\) in the file'),
        (lambda c: c['optimizer']['state'].update({99: {}}), 'a state of parameter 99'),
        (lambda c: c['optimizer']['param_groups'].pop(), 'the optimizer has .* parameters in'),
        (first_group(lambda numbers: numbers.append(98)), 'the optimizer has .* parameters in'),
        (lambda c: c['optimizer'].pop('state'), 'the optimizer has no state'),
        (lambda c: c.pop('optimizer'), 'it lacks optimizer'),
        (lambda c: c['param_schedulers'].pop(), 'there are 1 schedulers in the file and 2 in the run'),
    ],
)  # fmt: skip
def test_another_checkpoint_is_refused_in_one_sentence(checkpoint, change, message):
    contents, resume = checkpoint
    change(contents)
    with pytest.raises(UserError, match=message) as stopped:
        resume(contents)
    assert '\n' not in str(stopped.value) and 'other.pth' in str(stopped.value)


def test_differing():
    ones = torch.ones(2)
    assert not list(differing(dict(a=ones), dict(a=ones)))
    assert list(differing(dict(a=ones, b=ones), dict(a=ones[:1], c=ones))) == [
        'a is (2,) float32 in the file and (1,) float32 in the model',
        'c is not in the file',
        'b is not in the model',
    ]
