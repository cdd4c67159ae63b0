"""Predictions beside the truth: classes, boxes and masks, label maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image, ImageOps

from poa_mm.errors import UserError
from poa_mm.registry import HOOKS
from poa_mm.reporting.pictures import save_figure

WIDTH, HEAD, LINE = 4.2, 0.25, 0.2  # inches: of an image, of its title, of a line of the key
KEY_COLUMNS = 6
UNLABELLED = 255


@HOOKS.register_module()
class ShowPredictionsHook(Hook):
    """Draws what a classifier, a detector or a segmentor predicts for test images, one PNG file each.

    Files are named by the image's number in the test data and its own name: ``000012_dog.png``. Names of classes are in
    a key below the images, so none is cut or hides another; the number in a box is its score in %.

    Args:
        out_dir: Folder of the pictures.
        interval: Draw every so many images.
        score_thr: Of a detector, only boxes with at least this score.

    Raises:
        UserError: The interval is not positive.
    """

    def __init__(self, out_dir: str, interval: int = 1, score_thr: float = 0.3) -> None:
        if interval < 1:
            raise UserError(f'interval of ShowPredictionsHook must be at least 1, got {interval}')
        self.out_dir, self.interval, self.score_thr = Path(out_dir), interval, score_thr
        self.seen = 0

    def before_test_epoch(self, runner: Runner) -> None:
        """Count from 0 again."""
        self.seen = 0

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any, outputs: Sequence) -> None:
        """Draw the images of a batch whose turn it is."""
        for sample in outputs:
            number = self.seen * get_world_size() + get_rank()  # as the sampler deals images out
            self.seen += 1
            if number % self.interval == 0:
                figure = draw_prediction(sample, runner.test_dataloader.dataset.metainfo, self.score_thr)
                save_figure(figure, self.out_dir / f'{number:06d}_{Path(sample.img_path).stem}.png')


def draw_prediction(sample: Any, metainfo: Mapping[str, Any], score_thr: float = 0.3) -> Figure:
    """The picture of one test image.

    Args:
        sample: A ``DataSample``, ``DetDataSample`` or ``SegDataSample`` with predictions in the original image's size.
        metainfo: Of the data set: ``classes``, and ``palette`` where it has one.
        score_thr: Of a detector, only boxes with at least this score.

    Raises:
        UserError: It has predictions of another kind.
    """
    with Image.open(sample.img_path) as file:
        image = np.asarray(ImageOps.exif_transpose(file).convert('RGB'))
    classes = metainfo.get('classes') or ()
    if 'pred_label' in sample:
        return _draw_classes(image, sample, classes)
    names = {}
    if 'pred_instances' in sample:
        figure, axes = _pair(image)
        colours = _colours(metainfo, len(classes))
        predicted = sample.pred_instances
        predicted = predicted[predicted.scores >= score_thr]
        for one, instances in zip(axes, (sample.get('gt_instances'), predicted)):
            names |= _draw_instances(one, image, instances, colours)
    elif 'pred_sem_seg' in sample:
        figure, axes = _pair(image)
        colours = _colours(metainfo, len(classes))
        for one, labels in zip(axes, (sample.get('gt_sem_seg'), sample.pred_sem_seg)):
            names |= _draw_label_map(one, image, labels, colours)
    else:
        raise UserError('predictions can be drawn of classes, instances and label maps; this model has others')
    _add_key(figure, [(classes[i], colour) for i, colour in sorted(names.items())])
    return figure


def _draw_classes(image: np.ndarray, sample: Any, classes: Sequence[str]) -> Figure:
    """The image with the predicted class above it, red where it is wrong."""

    def names(labels: Any) -> str:
        return ', '.join(str(classes[i]) if classes else str(i) for i in labels.tolist())

    figure, axes = _sheet(image, 1, lines=2)
    truth = sample.get('gt_label')
    text = names(sample.pred_label)
    if 'pred_score' in sample:
        text += f', {100 * sample.pred_score.max():.0f} %'
    right = truth is None or set(truth.tolist()) & set(sample.pred_label.tolist())
    _fit_title(axes[0], f'predicted: {text}' + (f'\ntrue: {names(truth)}' if truth is not None else ''))
    axes[0].title.set_color('black' if right else '#b3261e')
    return figure


def _draw_instances(axes: Axes, image: np.ndarray, instances: Any, colours: np.ndarray) -> dict[int, np.ndarray]:
    """Boxes and masks; returns the colour of each class that is there."""
    if instances is None:
        return {}
    height, width = image.shape[:2]
    boxes = instances.bboxes
    boxes = np.asarray(getattr(boxes, 'tensor', boxes))
    masks = instances.get('masks')
    masks = masks.to_ndarray() if hasattr(masks, 'to_ndarray') else masks
    picture = image.astype(float)
    for i, label in enumerate(instances.labels.tolist()):
        if masks is not None:
            hidden = np.asarray(masks[i]).astype(bool)
            picture[hidden] = 0.5 * picture[hidden] + 0.5 * colours[label]
    axes.images[0].set_data(picture.astype(np.uint8))
    scores = instances.get('scores')
    for i, ((left, top, right, bottom), label) in enumerate(zip(boxes, instances.labels.tolist())):
        place = dict(xy=(left / width, top / height), width=(right - left) / width, height=(bottom - top) / height)
        axes.add_patch(Rectangle(**place, fill=False, linewidth=3, edgecolor='white'))
        axes.add_patch(Rectangle(**place, fill=False, linewidth=1.6, edgecolor=colours[label] / 255))
        if scores is not None:
            corner = min(max(left / width, 0) + 0.005, 0.96), min(max(top / height, 0) + 0.008, 0.96)
            text = axes.text(*corner, f'{100 * scores[i]:.0f}', fontsize=6, color='black', va='top')
            text.set_path_effects([withStroke(linewidth=2, foreground='white')])
    return {label: colours[label] for label in instances.labels.tolist()}


def _draw_label_map(axes: Axes, image: np.ndarray, labels: Any, colours: np.ndarray) -> dict[int, np.ndarray]:
    """The map over the image, black where nothing is labelled; returns the colour of each class that is there."""
    if labels is None:
        return {}
    labels = np.asarray(labels.data.cpu()).squeeze(0)
    known = (labels != UNLABELLED) & (labels < len(colours))
    picture = 0.35 * image
    picture[known] += 0.65 * colours[labels[known]]
    picture[~known] = 0
    axes.images[0].set_data(picture.astype(np.uint8))
    return {label: colours[label] for label in np.unique(labels[known]).tolist()}


def _colours(metainfo: Mapping[str, Any], classes: int) -> np.ndarray:
    """RGB of each class ``(classes, 3)``, 0 to 255: the data set's own or evenly spaced hues."""
    palette = metainfo.get('palette')
    if palette is not None and len(palette) >= classes and not isinstance(palette, str):
        return np.asarray(palette, float)
    return 255 * colormaps['hsv'](np.linspace(0, 1, classes, endpoint=False))[:, :3]


def _pair(image: np.ndarray) -> tuple[Figure, list[Axes]]:
    figure, axes = _sheet(image, 2, lines=1)
    for one, title in zip(axes, ('truth', 'predicted')):
        one.set_title(title, fontsize=9, pad=3)
    return figure, axes


def _sheet(image: np.ndarray, columns: int, lines: int) -> tuple[Figure, list[Axes]]:
    """A figure of an image, side by side with itself, with lines of text above."""
    height = WIDTH * image.shape[0] / image.shape[1]
    head = HEAD * lines
    figure = Figure(figsize=(columns * WIDTH, height + head), dpi=110, facecolor='white')
    axes = []
    for i in range(columns):
        one = figure.add_axes((i / columns + 0.004, 0, 1 / columns - 0.008, height / (height + head)))
        one.imshow(image, extent=(0, 1, 1, 0), aspect='auto')
        one.set(xlim=(0, 1), ylim=(1, 0))
        one.axis('off')
        axes.append(one)
    return figure, axes


def _fit_title(axes: Axes, text: str) -> None:
    """Write above the image in letters that are small enough for the longest line."""
    longest = max(len(line) for line in text.splitlines())
    axes.set_title(text, fontsize=min(9, 9 * 58 / longest), pad=3, loc='left')


def _add_key(figure: Figure, entries: Sequence[tuple[str, np.ndarray]]) -> None:
    """Names and colours of the classes below the images, in room of their own."""
    if not entries:
        return
    lines = -(-len(entries) // KEY_COLUMNS)
    width, height = figure.get_size_inches()
    room = lines * LINE + 0.1
    figure.set_size_inches(width, height + room)
    for axes in figure.axes:
        left, bottom, across, up = axes.get_position().bounds
        axes.set_position((left, (bottom * height + room) / (height + room), across, up * height / (height + room)))
    patches = [Patch(facecolor=colour / 255, edgecolor='#555555', label=name) for name, colour in entries]
    figure.legend(
        handles=patches,
        loc='lower center',
        ncols=min(KEY_COLUMNS, len(entries)),
        fontsize=8,
        frameon=False,
        borderaxespad=0.2,
        columnspacing=1.2,
    )
