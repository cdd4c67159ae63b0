"""Two gloo processes against one with the doubled batch."""

import pytest
import torch

from tests.helpers import distributed_steps as steps
from tests.helpers.processes import in_processes

WORLD_SIZE = 2


@pytest.fixture(scope='module')
def two():
    """The results of both processes, case by case."""
    results = in_processes(WORLD_SIZE, steps.run_all)
    return {case: [result[case] for result in results] for case in steps.CASES}


def mean(values):
    return {k: sum(v[k] for v in values) / len(values) for k in values[0]}


def assert_equal(two, losses, grads):
    """Losses are means over the processes, gradients are averaged and the same in both."""
    found = mean([result['losses'] for result in two])
    assert found.keys() == losses.keys()
    for name, value in losses.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)
    assert two[0]['grads'].keys() == two[1]['grads'].keys() == grads.keys()
    for name, grad in grads.items():
        assert torch.equal(two[0]['grads'][name], two[1]['grads'][name])
        assert (two[0]['grads'][name] - grad).norm() <= 1e-5 * grad.norm(), name


@pytest.mark.parametrize('case', [case for case in steps.CASES if case not in ('koleo', 'per rank')])
def test_equal_one_process_with_the_doubled_batch(two, case):
    inputs = steps.batch(case)
    counts = [int(steps.share(inputs, rank, WORLD_SIZE)['masks'].sum()) for rank in range(WORLD_SIZE)]
    assert counts[0] > counts[1] and (counts[1] == 0) == (case == 'no patch in one process')
    one = steps.run(steps.build(case), inputs)
    for result in (one, *two[case]):  # weight 0, and neighbours are those of one process
        for name in ('intact_koleo', 'elastic_koleo'):
            del result['losses'][name]
    assert_equal(two[case], one['losses'], one['grads'])
    for name, buffer in one['buffers'].items():
        assert buffer.any()
        for result in two[case]:
            torch.testing.assert_close(result['buffers'][name], buffer, rtol=1e-5, atol=1e-6)


class Given(torch.nn.Module):
    """Targets of one process's images, from a model that has seen the images of all."""

    def __init__(self, inner, inputs, rank):
        super().__init__()
        self.inner, self.rank = inner, rank
        self.patches = steps.share(dict(x=torch.arange(inputs['masks'].numel()).view(-1, steps.P)), rank, WORLD_SIZE)
        self.patches = self.patches['x'].flatten()
        self.masks = inputs['masks'].flatten()
        self.seen = {}

    def forward(self, logits, temperature):
        if not self.seen:  # the model's first call: all images
            self.seen = self.inner(logits, temperature)
            return self.seen
        position = self.masks.cumsum(0) - 1
        mine = position[self.patches[self.masks[self.patches]]]
        images = [steps.share(dict(x=t), self.rank, WORLD_SIZE)['x'] for t in self.seen['image']]
        return {'image': images, 'patch': [t[mine] for t in self.seen['patch']]}


@pytest.mark.parametrize('case', ['koleo', 'per rank'])
def test_equal_the_mean_of_shares_with_common_targets(two, case):
    """KoLeo's neighbours and a sub-network of one's own are a matter of one process, targets are not."""
    inputs = steps.batch(case)
    results, subnets = [], []
    for rank in range(WORLD_SIZE):
        model = steps.build(case)
        model.target = Given(model.target, inputs, rank)
        subnets.append(model.sampler(steps.STEP, rank))
        with torch.no_grad():
            doubled = model(inputs={**inputs, 'step': steps.STEP, 'rank': rank, 'seed': 0}, mode='loss')
        model.sampler = lambda step, rank, seed, subnet=subnets[-1]: subnet
        results.append(steps.run(model, steps.share(inputs, rank, WORLD_SIZE)))
    losses, grads = (mean([result[key] for result in results]) for key in ('losses', 'grads'))
    assert_equal(two[case], losses, grads)
    assert (subnets[0] != subnets[1]) == (case == 'per rank')
    for name in ('intact_koleo', 'elastic_koleo'):  # the check has power: one batch of all is another thing
        assert not torch.isclose(losses[name], doubled[name], rtol=1e-2)
