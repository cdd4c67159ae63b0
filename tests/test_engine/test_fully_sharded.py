"""POA divided among processes against DistributedDataParallel, and its checkpoints on two, one and three processes."""

from types import SimpleNamespace

import pytest
import torch

from poa_mm.engine import Bf16GradientsHook, FullyShardedPOA
from poa_mm.errors import UserError
from poa_mm.registry import MODELS
from tests.helpers import sharded_runs as runs
from tests.helpers.networks import VIT
from tests.helpers.processes import in_processes


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    """Two processes, one that goes on from their checkpoint, then three that go on from its own."""
    folder = tmp_path_factory.mktemp('sharded')
    two = in_processes(
        2, runs.run_cases, folder, ['plain', 'divided', 'plain_hard', 'divided_hard', 'divided_compiled']
    )
    one = runs.run(folder / 'two_to_one', **runs.CASES['two_to_one'])
    return dict(two=two, one=one, three=in_processes(3, runs.run_cases, folder, ['one_to_three']), folder=folder)


def assert_same(found, expected, atol=2e-6):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=atol, msg=name)


@pytest.mark.parametrize(
    'reference, case', [('plain', 'divided'), ('plain_hard', 'divided_hard'), ('plain_hard', 'divided_compiled')]
)
def test_steps_are_those_of_ddp(results, reference, case):
    for result in results['two']:
        plain, divided = result[reference], result[case]
        torch.testing.assert_close(divided['losses'], plain['losses'], rtol=1e-5, atol=1e-6, equal_nan=True)
        torch.testing.assert_close(divided['features'], plain['features'], rtol=1e-4, atol=1e-5)
        assert divided['norms'] == pytest.approx(plain['norms'], rel=1e-4)
        assert_same(divided['weights'], plain['weights'], 1e-5 if case == 'divided_compiled' else 2e-6)
        assert plain['skipped'] == divided['skipped'] == (reference == 'plain_hard')


def test_every_process_has_its_share(results):
    """Tensors with one row, such as the class token, belong to the first process alone."""
    shares = [result['divided']['sizes'] for result in results['two']]
    for part, whole in results['two'][0]['plain']['sizes'].items():
        assert sum(share[part] for share in shares) == whole
        assert all(0.49 * whole < share[part] < 0.51 * whole for share in shares)


def test_checkpoint_is_that_of_ddp(results):
    plain, divided = (
        torch.load(results['folder'] / kind / f'iter_{runs.HALF}.pth', weights_only=False)
        for kind in ('plain', 'divided')
    )
    assert_same(divided['state_dict'], plain['state_dict'])
    assert divided['optimizer']['param_groups'] == plain['optimizer']['param_groups']
    plain, divided = plain['optimizer']['state'], divided['optimizer']['state']
    assert list(divided) == list(plain)
    for number, entry in plain.items():
        assert_same(divided[number], entry)


def test_two_to_one_to_three(results):
    expected = results['two'][0]['divided']
    half = runs.HALF
    torch.testing.assert_close(results['one']['losses'], expected['losses'][half : half + 1], rtol=1e-5, atol=1e-6)
    for result in results['three']:
        result = result['one_to_three']
        torch.testing.assert_close(result['losses'], expected['losses'][half + 1 :], rtol=1e-5, atol=1e-6)
        assert_same(result['weights'], expected['weights'])


def test_the_state_matters(results):
    """Without it the run goes on otherwise: what is compared above depends on it."""
    folder = results['folder']
    (folder / 'forgot').mkdir()
    forgot = torch.load(folder / f'two_to_one/iter_{runs.HALF + 1}.pth', weights_only=False)
    for entry in forgot['optimizer']['state'].values():
        entry['exp_avg_sq'].mul_(4)
    torch.save(forgot, folder / 'forgot' / 'iter_3.pth')
    result = runs.run(folder / 'went_on', 'plain', start=('forgot', 3))
    with pytest.raises(AssertionError):
        assert_same(result['weights'], results['two'][0]['divided']['weights'])


@pytest.mark.parametrize(
    'branches', [dict(students=('elastic',), intact_weight=0.0), dict(teachers=('intact', 'elastic'))]
)
def test_other_branches_are_refused(branches):
    head = dict(type='MultiPrototypeHead', num_prototypes=(4,), hidden_dims=4, bottleneck_dims=4)
    model = MODELS.build(dict(type='POA', backbone=VIT, head=head, **branches))
    with pytest.raises(UserError, match='needs an intact student and no elastic teacher'):
        FullyShardedPOA(model)


def test_gradients_in_bf16_are_refused():
    model = FullyShardedPOA.__new__(FullyShardedPOA)
    with pytest.raises(UserError, match='not with FullyShardedPOA'):
        Bf16GradientsHook().before_train(SimpleNamespace(model=model))
