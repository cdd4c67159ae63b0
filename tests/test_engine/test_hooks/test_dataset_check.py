import json
from types import SimpleNamespace

import pytest
from torch import nn

from poa_mm.engine import DatasetCheckHook

CLASSES = ('cat', 'dog', 'cow')


def runner(tmp_path, categories, classes=CLASSES, num_classes=3, wrap=False, loop='_val_loop'):
    path = tmp_path / 'some.json'
    path.write_text(json.dumps(dict(categories=[dict(id=i, name=name) for i, name in enumerate(categories)])))
    dataset = SimpleNamespace(ann_file=str(path), metainfo=dict(classes=classes), cat2label={})
    if wrap:
        dataset = SimpleNamespace(dataset=SimpleNamespace(datasets=[SimpleNamespace(), dataset]))
    model = nn.Module()
    for name, number in (('roi_head', None), ('rpn_head', 1), ('backbone', 1000)):
        model.add_module(name, nn.Module())
        getattr(model, name).num_classes = number
    model.roi_head.add_module('bbox_head', nn.Module())
    model.roi_head.bbox_head.num_classes = num_classes
    loops = dict(_train_loop=dict(dataloader=dict()), _val_loop=None, _test_loop=None)
    loops[loop] = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    return SimpleNamespace(model=model, **loops)


@pytest.mark.parametrize('loop', ['_train_loop', '_val_loop', '_test_loop'])
def test_what_fits(tmp_path, loop):
    DatasetCheckHook().before_run(runner(tmp_path, CLASSES, loop=loop))
    DatasetCheckHook(allow_dropped=True).before_run(runner(tmp_path, ('eel', *CLASSES), loop=loop))


@pytest.mark.parametrize('wrap', [False, True])
@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(categories=('cat', 'dog')), r"some.json has no category 'cow' of the 3 classes .* it has 'cat', 'dog'"),
        (dict(categories=('cat', 'dog', 'cow', 'eel')), r"categories that are not classes of its dataset, 'eel'"),
        (dict(categories=('dog', 'cat', 'cow')), r"another order .* 'dog', 'cat', 'cow' and 'cat', 'dog', 'cow'"),
        (dict(num_classes=80), r'model.roi_head.bbox_head has num_classes=80, but .* has 3 classes'),
        (dict(categories='abcdefg', classes=tuple('abcdefgh')), r"'h' of the 8 .* 'a', 'b', 'c', 'd', 'e' and 2 more"),
    ],
)
def test_what_does_not(tmp_path, change, message, wrap):
    with pytest.raises(ValueError, match=message):
        DatasetCheckHook().before_run(runner(tmp_path, **{'categories': CLASSES, **change}, wrap=wrap))


def test_other_data_is_none_of_its_business(tmp_path):
    other = runner(tmp_path, ('eel',))
    del other._val_loop.dataloader.dataset.cat2label
    DatasetCheckHook().before_run(other)


def test_only_the_main_process_reads(tmp_path, monkeypatch):
    monkeypatch.setattr('poa_mm.engine.hooks.dataset_check.is_main_process', lambda: False)
    DatasetCheckHook().before_run(runner(tmp_path, ('eel',)))
