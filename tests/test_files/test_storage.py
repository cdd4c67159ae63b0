"""Reading files that may be anything: nothing in them runs, and what is wrong is said in one sentence."""

import builtins
import io
import os
import pickle
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import MultiStepLR

from poa_mm.errors import UserError
from poa_mm.files import load_weights, remove_incomplete, write_atomically, write_text
from poa_mm.files.unpickling import CALLS, Inert, InertUnpickler


class Runs:
    """Calls a function with arguments where it is unpickled."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.call


@pytest.fixture
def traps(tmp_path):
    """Objects of which each makes a folder of its own when it is unpickled, by another way."""

    def trap(name, function, *arguments):
        return name, Runs(function, *arguments)

    folder = tmp_path / 'sprung'
    folder.mkdir()
    script = 'import os; os.mkdir({!r})'
    return folder, dict(
        [
            trap('function', os.mkdir, str(folder / 'function')),
            trap('shell', os.system, f'mkdir {folder / "shell"}'),
            trap('exec', builtins.exec, script.format(str(folder / 'exec'))),
            trap('eval', builtins.eval, f'__import__("os").mkdir({str(folder / "eval")!r})'),
        ]
    )


def test_nothing_in_a_pickle_runs(traps):
    folder, objects = traps
    text = pickle.dumps(objects)
    found = InertUnpickler(io.BytesIO(text)).load()
    assert found.keys() == objects.keys() and all(isinstance(value, Inert) for value in found.values())
    assert not list(folder.iterdir())
    pickle.loads(text)  # the traps do work
    assert sorted(path.name for path in folder.iterdir()) == sorted(objects)


def test_nothing_in_a_checkpoint_runs(traps, tmp_path):
    folder, objects = traps
    weights = OrderedDict(weight=torch.arange(6.0).view(2, 3), half=torch.ones(2, dtype=torch.bfloat16))
    torch.save(dict(state_dict=weights, **objects), tmp_path / 'evil.pth')
    contents = load_weights(tmp_path / 'evil.pth')
    assert not list(folder.iterdir())
    assert contents['state_dict'].keys() == weights.keys()
    for name, value in weights.items():
        assert torch.equal(contents['state_dict'][name], value) and contents['state_dict'][name].dtype == value.dtype


@pytest.mark.parametrize(
    'name',
    [
        ('torch', 'load'),
        ('torch', 'hub'),
        ('torch', 'ops.os.system'),
        ('torch', 'compile'),
        ('torch._utils', 'os'),
        ('torch._utils', '__builtins__'),
        ('collections', 'namedtuple'),
        ('builtins', 'getattr'),
        ('os', 'system'),
        ('no_such_module', 'anything'),
    ],
)
def test_only_what_tensors_are_made_of_is_looked_up(name):
    found = InertUnpickler(io.BytesIO()).find_class(*name)
    assert issubclass(found, Inert) and found.name == '.'.join(name)


def test_what_tensors_are_made_of():
    unpickler = InertUnpickler(io.BytesIO())
    assert unpickler.find_class('torch', 'Size') is torch.Size and unpickler.find_class('torch', 'half') is torch.half
    assert unpickler.find_class('torch._utils', '_rebuild_tensor_v2') is CALLS['torch._utils', '_rebuild_tensor_v2']
    assert unpickler.find_class('collections', 'OrderedDict') is OrderedDict


def test_milestones_of_a_scheduler(tmp_path):
    """Every detector has them: without, none could be tested or resumed."""
    scheduler = MultiStepLR(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 1.0), [27, 33])
    state = {key: value for key, value in scheduler.state_dict().items() if key != 'optimizer'}
    torch.save(dict(state_dict={}, param_schedulers=[state]), tmp_path / 'epoch_12.pth')
    found = load_weights(tmp_path / 'epoch_12.pth')['param_schedulers'][0]['milestones']
    assert found == Counter({27: 1, 33: 1}) and type(found) is Counter
    found = InertUnpickler(io.BytesIO()).find_class('collections', 'Counter')
    assert not isinstance(found, type) and isinstance(found([1, 1]), Inert)


def test_objects_of_any_shape_are_passed_over(tmp_path):
    """With state, as members of lists and sets, as keys, with items: MMEngine's log and NumPy's numbers are such."""
    odd = [HistoryBuffer([1.0], [1]), np.float64(2), np.arange(3), {Runs(len, 'key'): 1}, {Runs(len, 'member')}]
    torch.save(dict(state_dict=dict(a=torch.ones(2)), odd=odd), tmp_path / 'odd.pth')
    contents = load_weights(tmp_path / 'odd.pth')
    assert torch.equal(contents['state_dict']['a'], torch.ones(2)) and len(contents['odd']) == 5
    inert = contents['odd'][0]
    inert.append(1), inert.extend([1])
    assert not inert


def test_what_is_no_file_of_weights(tmp_path):
    def refused(kind, message):
        with pytest.raises(kind, match=message) as stopped:
            load_weights(path)
        assert str(path) in str(stopped.value) and '\n' not in str(stopped.value)

    path = tmp_path / 'x.pth'
    refused(ValueError, 'does not exist')
    path.write_bytes(b'')
    refused(ValueError, 'truncated')
    path.write_bytes(pickle.dumps(dict(a=1)))
    refused(ValueError, 'not a PyTorch checkpoint')
    torch.save(dict(a=torch.randn(500)), path)
    whole = path.read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        refused(ValueError, 'truncated')
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('readme.txt', 'no weights')
    refused(ValueError, 'a checkpoint that PyTorch cannot read')
    for content in ([1, 2], torch.ones(1), Runs(dict)):
        torch.save(content, path)
        refused(ValueError, 'it holds a ')
    torch.save(dict(state_dict=[1]), path)
    refused(ValueError, 'its state_dict is a list, not a dict')
    path = tmp_path
    refused(ValueError, 'checkpoint .* is a folder, not a file')


def with_pickle(path, change):
    """A file of ``torch.save`` whose pickle is changed."""
    whole = io.BytesIO()
    torch.save(dict(a=torch.ones(2)), whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            text = source.read(name)
            target.writestr(name, change(text) if name.endswith('data.pkl') else text)
    return path


def test_a_damaged_pickle_inside_a_whole_archive(tmp_path):
    path = with_pickle(tmp_path / 'damaged.pth', lambda text: text[: len(text) // 2])
    with pytest.raises(ValueError, match='a checkpoint that PyTorch cannot read') as stopped:
        load_weights(path)
    assert '\n' not in str(stopped.value)


def test_no_way_through_the_attributes_of_what_is_allowed(tmp_path):
    """Since protocol 4 a name may have dots; those of a function lead to all builtins."""

    def word(text):
        return b'\x8c' + bytes([len(text)]) + text.encode()

    code = f'import os; os.mkdir({str(tmp_path / "sprung")!r})'
    builtin = word('torch._utils') + word('_rebuild_tensor_v2.__builtins__.get') + b'\x93' + word('exec') + b'\x85R'
    path = with_pickle(tmp_path / 'evil.pth', lambda text: b'\x80\x04' + builtin + word(code) + b'\x85R.')
    with pytest.raises(ValueError):
        load_weights(path)
    assert not (tmp_path / 'sprung').exists()


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'new folder' / 'result.json'
    assert write_text(str(path), 'first µ') == path and path.read_text(encoding='utf-8') == 'first µ'

    def breaks_off(file):
        assert Path(file.name).parent == path.parent and Path(file.name) != path
        file.write(b'half')
        raise RuntimeError('a bug')

    with pytest.raises(RuntimeError, match='a bug'):
        write_atomically(path, breaks_off)
    assert path.read_text(encoding='utf-8') == 'first µ' and list(path.parent.iterdir()) == [path]


def test_a_killed_process_leaves_the_old_file(tmp_path):
    path = write_text(tmp_path / 'iter_3.pth', 'old')
    child = os.fork()
    if child == 0:  # dies while it writes, without any cleaning up
        write_atomically(path, lambda file: (file.write(b'half'), file.flush(), os._exit(9)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert path.read_text() == 'old' and len(list(tmp_path.iterdir())) == 2
    remove_incomplete(tmp_path, '.json')
    assert len(list(tmp_path.iterdir())) == 2
    remove_incomplete(tmp_path, '.pth')
    assert list(tmp_path.iterdir()) == [path]


def test_what_the_machine_cannot_write_is_one_sentence(tmp_path, monkeypatch):
    def full(file):
        with open('/dev/full', 'wb') as disk:
            torch.save(dict(a=torch.ones(1000)), disk)

    path = tmp_path / 'x.pth'
    with pytest.raises(UserError, match=f'cannot write {path}: No space left on device'):
        write_atomically(path, full)
    assert not list(tmp_path.iterdir())
    path.write_text('a file, not a folder')
    with pytest.raises(UserError, match=r'cannot write .*x\.pth/y: (Not a directory|File exists)'):
        write_text(path / 'y', 'text')


def test_data_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, 'fsync', lambda fd: done.append(os.readlink(f'/proc/self/fd/{fd}')) or fsync(fd))
    monkeypatch.setattr(Path, 'replace', lambda self, target: done.append('rename') or replace(self, target))
    write_text(tmp_path / 'x.json', '{}')
    assert done[0].endswith('.incomplete') and done[1:] == ['rename', str(tmp_path)]
