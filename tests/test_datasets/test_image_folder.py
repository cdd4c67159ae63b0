"""Folders of images: the list, its cache, and what is decoded."""

import errno
import fcntl
import io
import os
import shutil
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS as ROOT_DATASETS
from PIL import Image

from poa_mm.datasets import ImageFolder, UnreadableImageError, open_class_folders, open_dataset, read_image
from poa_mm.datasets.decoding import EXTENSIONS, MAX_PIXELS, decode
from poa_mm.datasets.manifest import TICK, Manifest
from poa_mm.errors import UserError
from poa_mm.registry import DATASETS


def image(seed=0, size=(8, 6)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def write(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image(seed)).save(path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    root = tmp_path / 'images'
    names = ['b/2.png', 'b/10.png', 'a/x.PNG', 'a/deep/y.jpg', 'a/deep/z.jpeg', 'c d/ä.bmp', 'beside.png']
    for seed, name in enumerate(names):
        write(root / name, seed)
    (root / 'a/notes.txt').write_text('x')
    (root / '.hidden').mkdir()
    write(root / '.hidden/h.png')
    write(root / 'a/._x.png')
    settle(root)
    return root


def settle(root):
    """Age all folders, as if they had not changed for a minute."""
    for path in [root, *(p for p in root.rglob('*') if p.is_dir())]:
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 60_000_000_000))


@pytest.mark.parametrize('with_label', [False, True])
def test_same_items_as_mmpretrain(folder, with_label):
    (folder / 'a/._x.png').unlink(), (folder / '.hidden/h.png').unlink(), (folder / '.hidden').rmdir()
    pipeline = [dict(type='mmpretrain.LoadImageFromFile')]
    config = dict(type='mmpretrain.CustomDataset', data_root=str(folder), with_label=with_label, pipeline=pipeline)
    theirs, ours = DATASETS.build(config), ImageFolder(folder, with_label=with_label)
    assert len(ours) == len(theirs) == (6 if with_label else 7)
    number = {theirs.get_data_info(index)['img_path']: index for index in range(len(theirs))}
    for index in range(len(ours)):
        item = ours[index]
        expected = theirs[number.pop(item['img_path'])]
        assert item.get('gt_label') == expected.get('gt_label') and np.array_equal(item['img'], expected['img'])
    for name in ('a/deep', 'beside.png'):  # theirs orders whole paths: the same where folders hold only files
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
    ours, theirs = ImageFolder(folder, with_label=with_label), DATASETS.build(config)
    assert [ours.get_data_info(i)['img_path'] for i in range(4)] == [
        theirs.get_data_info(i)['img_path'] for i in range(4)
    ]
    assert ours.get_data_info(-1) == ours.get_data_info(len(ours) - 1)
    if with_label:
        assert ours.metainfo['classes'] == theirs.metainfo['classes'] == ('a', 'b', 'c d')
        assert ours.labels.tolist() == list(theirs.get_gt_labels())
    assert len(ours) == len(theirs) == 4


def test_what_is_left_out_is_logged(folder, monkeypatch):
    logged = []
    monkeypatch.setattr('poa_mm.datasets.image_folder.print_log', lambda message, *args: logged.append(message))
    for name in ('a/x.heic', 'b/y.heic', 'b/LICENSE'):
        (folder / name).write_text('x')
    ImageFolder(folder)
    assert logged == [f'{folder}: left out are files of other formats: 1 without extension, 2 .heic, 1 .txt']


def test_cache_is_used_and_notices_changes(folder, monkeypatch):
    scans = []
    scan = Manifest.scan.__func__
    monkeypatch.setattr(Manifest, 'scan', classmethod(lambda cls, root: scans.append(root) or scan(cls, root)))

    def names():
        dataset = ImageFolder(folder)
        return [os.path.relpath(dataset.get_data_info(i)['img_path'], folder) for i in range(len(dataset))]

    before = names()
    assert names() == before and len(scans) == 1
    write(folder / 'b/11.png')
    assert names() == sorted([*before, 'b/11.png'], key=lambda n: (n.split('/')[:-1], n)) and len(scans) == 2
    names()
    assert len(scans) == 3  # the folder has changed just now: the cache is not trusted yet
    settle(folder)
    names(), names()
    assert len(scans) == 4
    (folder / 'b/2.png').rename(folder / 'b/3.png')
    assert 'b/3.png' in names() and 'b/2.png' not in names()
    settle(folder), names()
    (folder / 'new/deep').mkdir(parents=True)
    write(folder / 'new/deep/n.png')
    assert 'new/deep/n.png' in names()
    settle(folder), names()
    for path in ('a/deep/y.jpg', 'a/deep/z.jpeg'):
        (folder / path).unlink()
    (folder / 'a/deep').rmdir()
    assert 'a/deep/y.jpg' not in names()


def test_a_damaged_or_unwritable_cache_is_passed_over(folder, tmp_path, monkeypatch):
    expected = [ImageFolder(folder).get_data_info(i) for i in range(7)]
    (cache,) = (tmp_path / 'cache/poa_mm').glob('*.npz')
    for content in (b'', b'PK\3\4 damaged', cache.read_bytes()[:-100]):
        cache.write_bytes(content)
        assert [ImageFolder(folder).get_data_info(i) for i in range(7)] == expected
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    assert len(ImageFolder(folder)) == 7


def test_a_disk_without_locks_keeps_the_cache(folder, tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(fcntl, 'flock', refuse)
    assert len(ImageFolder(folder)) == 7
    monkeypatch.setattr(Manifest, 'scan', lambda root: pytest.fail('read again'))
    assert len(ImageFolder(folder)) == 7


def test_a_full_disk_does_not_end_the_run(folder, tmp_path, monkeypatch):
    def refuse(number):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', refuse)
    assert len(ImageFolder(folder)) == 7 and not list((tmp_path / 'cache/poa_mm').glob('*.npz'))


def test_links_in_a_ring(folder):
    (folder / 'a/ring').symlink_to(folder)
    assert len(ImageFolder(folder)) == 7


def test_many_names_are_listed_and_reopened_fast(tmp_path):
    """20,000 empty files; docs/reliability.md has the figures for ten million."""
    root = tmp_path / 'many'
    for number in range(20):
        (root / f'{number:03}').mkdir(parents=True)
        for name in range(1000):
            os.close(os.open(root / f'{number:03}/{name:06}.jpg', os.O_CREAT))
    settle(root)
    start = time.perf_counter()
    first = Manifest.open(root, tmp_path / 'lists')
    cold, start = time.perf_counter() - start, time.perf_counter()
    again = Manifest.open(root, tmp_path / 'lists')
    assert len(first) == len(again) == 20_000 and again.name(12_345) == '000345.jpg'
    assert again.read_at == first.read_at and time.perf_counter() - start < 1 and cold < 10
    assert TICK > 0


def test_no_images_is_one_sentence(tmp_path):
    (tmp_path / 'empty/a').mkdir(parents=True)
    for path, message in [('empty', 'holds no images'), ('nowhere', 'does not exist')]:
        with pytest.raises(UserError, match=message):
            open_dataset(dict(type='ImageFolder', data_root=str(tmp_path / path)))
    write(tmp_path / 'full/a/x.png')
    (tmp_path / 'full/b').mkdir()
    with pytest.raises(UserError, match='class folders without images: b'):
        open_class_folders(tmp_path / 'full')


def test_a_folder_that_may_not_be_read_is_one_sentence(folder, monkeypatch):
    scandir, scanned = os.scandir, []

    def refuse(path):
        scanned.append(path)
        if str(path).endswith('deep'):
            raise PermissionError(errno.EACCES, 'Permission denied', path)
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    with pytest.raises(UserError, match=rf"^the data '{folder}/a/deep' cannot be read: Permission denied$"):
        open_dataset(dict(type='ImageFolder', data_root=str(folder)))
    assert len(scanned) == len(set(scanned))  # once


@pytest.mark.parametrize('extension', EXTENSIONS)
def test_every_format_is_decoded(extension, tmp_path):
    lossless = extension in ('.bmp', '.png', '.ppm', '.tif', '.tiff')
    file = Image.fromarray(image(size=(32, 32)))
    file = file.convert('L') if extension == '.pgm' else file
    file.save(tmp_path / f'x{extension}')
    decoded = ImageFolder(tmp_path, cache=tmp_path / 'cache')[0]['img']
    assert decoded.shape == (32, 32, 3) and decoded.dtype == np.uint8
    with Image.open(tmp_path / f'x{extension}') as saved:
        expected = np.asarray(saved.convert('RGB'))[..., ::-1]
    error = np.abs(decoded.astype(int) - expected).mean()
    assert error == 0 if lossless else error < 4


def huge_png(width, height):
    """A header that promises more pixels than memory; a row of data."""

    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b'\0' * (1 + 3 * width))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', data) + chunk(b'IEND', b'')


@pytest.mark.parametrize('kind', ['ImageFolder', 'mmpretrain.CustomDataset'])
def test_huge_images_are_refused_by_their_header(kind, tmp_path, monkeypatch):
    (tmp_path / 'x.png').write_bytes(huge_png(20_000, 20_000))
    config = dict(type=kind, data_root=str(tmp_path))
    if kind != 'ImageFolder':
        config.update(with_label=False, pipeline=[dict(type='mmpretrain.LoadImageFromFile')])
    dataset = open_dataset(config)
    monkeypatch.setattr(cv2, 'imdecode', lambda *args: pytest.fail('decoded'))
    with pytest.raises(UnreadableImageError, match=r'x\.png: the image (has 20000 x 20000|is too large)') as stopped:
        read_image(dataset, 0)
    assert '\n' not in str(stopped.value)


def test_the_header_is_checked_once(folder, monkeypatch):
    checked = []
    for module in ('decoding', 'reading'):
        monkeypatch.setattr(f'poa_mm.datasets.{module}.check_pixels', checked.append)
    read_image(ImageFolder(folder), 0)
    assert len(checked) == 1


def test_the_limit(monkeypatch):
    file = io.BytesIO()
    Image.fromarray(image()).save(file, 'png')
    assert MAX_PIXELS == 2**27
    monkeypatch.setattr('poa_mm.datasets.decoding.MAX_PIXELS', 48)
    assert np.array_equal(decode(file.getvalue()), image()[..., ::-1])
    monkeypatch.setattr('poa_mm.datasets.decoding.MAX_PIXELS', 47)
    with pytest.raises(UserError, match='8 pixels, more than the limit of 47'):
        decode(file.getvalue())


@pytest.mark.parametrize('content', [b'', b'\0', b'GIF89a', b'not an image', huge_png(4, 4)[:40]])
def test_what_is_not_an_image(content):
    with pytest.raises(UserError, match='not an image of a known format') as stopped:
        decode(content)
    assert '\n' not in str(stopped.value)


def test_registered():
    assert DATASETS.get('ImageFolder') is ImageFolder and 'ImageFolder' not in ROOT_DATASETS.module_dict
