"""Predictions beside the truth, with samples of the three toolboxes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample
from PIL import Image

from poa_mm.errors import UserError
from poa_mm.visualization.canvas import rendered
from poa_mm.visualization.predictions import ShowPredictionsHook, draw_prediction

CLASSES = ('cat', 'dog', 'a class with a rather long name')
PALETTE = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
META = dict(classes=CLASSES, palette=PALETTE)


@pytest.fixture
def photo(tmp_path):
    """Grey, 40 x 60 pixels."""
    path = tmp_path / 'photo.png'
    Image.new('RGB', (60, 40), (100, 100, 100)).save(path)
    return dict(img_path=str(path))


def detected(photo):
    masks = np.zeros((2, 40, 60), np.uint8)
    masks[0, :20] = 1
    sample = DetDataSample(metainfo=photo)
    boxes, labels = torch.tensor([[0.0, 0, 60, 20], [30, 10, 60, 40]]), torch.tensor([0, 2])
    sample.gt_instances = InstanceData(bboxes=boxes, labels=labels, masks=BitmapMasks(masks, 40, 60))
    scores = torch.tensor([0.8, 0.1])
    sample.pred_instances = InstanceData(bboxes=boxes, labels=labels, scores=scores, masks=torch.tensor(masks).bool())
    return sample


def segmented(photo):
    sample = SegDataSample(metainfo=photo)
    labels = torch.zeros(1, 40, 60, dtype=torch.long)
    labels[:, 20:], labels[:, 30:] = 1, 255
    sample.gt_sem_seg, sample.pred_sem_seg = PixelData(data=labels), PixelData(data=torch.full_like(labels, 2))
    return sample


def key(figure):
    return {text.get_text() for legend in figure.legends for text in legend.get_texts()}


def test_class(photo):
    sample = DataSample(metainfo=photo).set_gt_label(0).set_pred_label(1).set_pred_score(torch.tensor([0.1, 0.7, 0.2]))
    (axes,) = draw_prediction(sample, META).axes
    assert axes.get_title(loc='left') == 'predicted: dog, 70 %\ntrue: cat'


def test_boxes_and_masks(photo):
    figure = draw_prediction(detected(photo), META, score_thr=0.3)
    truth, predicted = figure.axes
    boxes = [[p.get_bbox().bounds for p in axes.patches if isinstance(p, Rectangle)] for axes in (truth, predicted)]
    assert [len(each) // 2 for each in boxes] == [2, 1]  # each with a white rim
    assert boxes[0][-1] == pytest.approx((0.5, 0.25, 0.5, 0.75))
    picture = np.asarray(predicted.images[0].get_array())
    assert (picture[5, 5] == (177, 50, 50)).all() and (picture[30, 5] == 100).all()
    assert [text.get_text() for text in predicted.texts] == ['80'] and key(figure) == {CLASSES[0], CLASSES[2]}


def test_label_map(photo):
    figure = draw_prediction(segmented(photo), META)
    picture = np.asarray(figure.axes[0].images[0].get_array())
    colours = [tuple(int(0.35 * 100 + 0.65 * value) for value in PALETTE[label]) for label in (0, 1)]
    assert [tuple(picture[row, 0]) for row in (0, 25, 35)] == [*colours, (0, 0, 0)]
    assert key(figure) == set(CLASSES)


def test_nothing_is_cut(photo):
    """The border of every picture is white, up to the images themselves; a long class name fits in."""
    for sample in (detected(photo), segmented(photo)):
        figure = draw_prediction(sample, META)
        picture = rendered(figure)
        bottom = figure.axes[0].get_window_extent().y0
        below = picture[-int(bottom) :]
        assert (below != 255).any() and (below[:, [0, -1]] == 255).all() and (below[-1] == 255).all()


def test_other_predictions_are_refused(photo):
    with pytest.raises(UserError, match='can be drawn'):
        draw_prediction(DataSample(metainfo=photo), META)


def test_every_second_image_is_written(photo, tmp_path):
    hook = ShowPredictionsHook(str(tmp_path / 'shown'), interval=2)
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=SimpleNamespace(metainfo=META)))
    hook.before_test_epoch(runner)
    for batch, samples in enumerate([[segmented(photo)] * 2, [segmented(photo)]]):
        hook.after_test_iter(runner, batch, None, samples)
    assert sorted(path.name for path in (tmp_path / 'shown').iterdir()) == ['000000_photo.png', '000002_photo.png']
