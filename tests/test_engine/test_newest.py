"""Which checkpoint an interrupted run continues from."""

import random
import shutil

import pytest
import torch

from poa_mm.engine.newest import find_damage, newest_intact
from poa_mm.errors import UserError


@pytest.fixture
def work_dir(tmp_path):
    for number in (5, 10, 20):
        torch.save(dict(state_dict=dict(a=torch.randn(500)), meta=dict(iter=number)), tmp_path / f'iter_{number}.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_20.pth'))
    return tmp_path


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_newest_by_number_with_or_without_a_pointer(work_dir):
    assert newest_intact(work_dir) == work_dir / 'iter_20.pth'
    (work_dir / 'last_checkpoint').write_text('/elsewhere/iter_20.pth')  # copied from there
    assert newest_intact(work_dir) == work_dir / 'iter_20.pth'
    (work_dir / 'last_checkpoint').unlink()
    assert newest_intact(work_dir) == work_dir / 'iter_20.pth'
    assert newest_intact(work_dir / 'nowhere') is None
    shutil.copytree(work_dir, work_dir / 'copy')
    assert newest_intact(work_dir / 'copy') == work_dir / 'copy/iter_20.pth'


def test_a_pointer_alone_is_followed(work_dir, tmp_path_factory):
    other = tmp_path_factory.mktemp('other')
    (other / 'last_checkpoint').write_text(str(work_dir / 'iter_10.pth'))
    assert newest_intact(other) == work_dir / 'iter_10.pth'
    (other / 'last_checkpoint').write_text(str(work_dir / 'gone.pth'))
    with pytest.raises(UserError, match=r'gone\.pth.* does not exist'):
        newest_intact(other)


def test_damage_falls_back_to_the_next_older(work_dir):
    newest = work_dir / 'iter_20.pth'
    whole = newest.read_bytes()
    flip(newest, whole.index(b'data/0') + 300)
    assert 'Bad CRC-32' in find_damage(newest) or 'checksum' in find_damage(newest)
    assert newest_intact(work_dir) == work_dir / 'iter_10.pth'
    newest.write_bytes(whole[:-20])
    assert newest_intact(work_dir) == work_dir / 'iter_10.pth'
    (work_dir / 'iter_10.pth').write_bytes(b'')
    assert newest_intact(work_dir) == work_dir / 'iter_5.pth'
    (work_dir / 'iter_5.pth').write_text('text')
    with pytest.raises(UserError, match=r'all 3 checkpoints in .* are damaged'):
        newest_intact(work_dir)


def test_any_flipped_byte_is_found_or_harmless(work_dir):
    """300 places of the file; where nothing is found, the contents are what they were."""
    path = work_dir / 'iter_20.pth'
    whole, expected = path.read_bytes(), torch.load(path)
    found = 0
    for place in random.Random(0).sample(range(len(whole)), 300):
        flip(path, place)
        if find_damage(path):
            found += 1
        else:
            contents = torch.load(path)
            assert torch.equal(contents['state_dict']['a'], expected['state_dict']['a']), place
            assert contents['meta'] == expected['meta'], place
        path.write_bytes(whole)
    assert found > 150
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        assert find_damage(path), size
