"""Settings of the protocols: their types, and which of several sources counts."""

import pytest
from mmengine.config import Config

from poa_mm.config.value_check import matches
from poa_mm.errors import UserError
from poa_mm.evaluation.backgrounds import BACKGROUNDS_DEFAULTS
from poa_mm.evaluation.clustering import CLUSTER_DEFAULTS
from poa_mm.evaluation.comparison import DATA_SETTINGS, TYPES, EvalOptions, merge_settings
from poa_mm.evaluation.knn_protocol import KNN_DEFAULTS
from poa_mm.evaluation.linear_protocol import LINEAR_DEFAULTS
from poa_mm.evaluation.robustness import ROBUSTNESS_DEFAULTS

DEFAULTS = dict(
    knn=KNN_DEFAULTS,
    linear=LINEAR_DEFAULTS,
    cluster=CLUSTER_DEFAULTS,
    robustness=ROBUSTNESS_DEFAULTS,
    backgrounds=BACKGROUNDS_DEFAULTS,
)


@pytest.mark.parametrize(
    ('key', 'value', 'words'),
    [
        ('knn.train', 3, 'text or a path or a dict'),
        ('knn.crop', 'abc', 'an integer'),
        ('knn.temperature', 'abc', 'a number'),
        ('knn.at_a_time', 'x', 'an integer'),
        ('knn.ks', 3, 'a list of integers'),
        ('linear.iters', 'x', 'an integer'),
        ('linear.learning_rates', 0.1, 'a list of numbers'),
        ('linear.learning_rates', 'x', 'a list of numbers'),
        ('linear.features', 'last', 'a list of texts'),
        ('cluster.restarts', 1.5, 'an integer'),
        ('cluster.normalize', 1, 'True or False'),
        ('robustness.ratios', 0.5, 'a list of numbers'),
        ('robustness.grids', 2, 'a list of integers or texts'),
        ('backgrounds.k', 'x', 'an integer'),
    ],
)
def test_a_setting_of_another_type(key, value, words):
    name, _, setting = key.partition('.')
    with pytest.raises(UserError, match=f'^{key} must be {words}, got {value!r}$'):
        merge_settings(Config({name: {setting: value}}), name, DEFAULTS[name], None, {})


def test_data_settings_of_knn_count_in_all_protocols_and_are_named_by_their_section():
    cfg = Config(dict(knn=dict(crop=48, resize=50, ks=(3,)), linear=dict(resize=60)))
    found = merge_settings(cfg, 'linear', LINEAR_DEFAULTS, None, {})
    assert (found['crop'], found['resize']) == (48, 60) and 'ks' not in found
    with pytest.raises(UserError, match=r'^knn\.resize must be an integer'):
        merge_settings(Config(dict(knn=dict(resize='x'))), 'linear', LINEAR_DEFAULTS, None, {})


def test_none_is_the_default():
    none = dict.fromkeys([*DATA_SETTINGS, *LINEAR_DEFAULTS])
    found = merge_settings(Config(dict(linear=none, knn=dict(crop=48))), 'linear', LINEAR_DEFAULTS, None, {})
    assert found == merge_settings(Config(), 'linear', LINEAR_DEFAULTS, None, {})


def test_every_setting_has_a_type_and_every_default_is_of_it():
    settings = {key: value for defaults in DEFAULTS.values() for key, value in defaults.items()}
    assert settings.keys() | set(DATA_SETTINGS) == TYPES.keys()
    assert [key for key, value in settings.items() if value is not None and not matches(value, TYPES[key])] == []


def test_nothing_to_compare():
    with pytest.raises(UserError, match='nothing to compare: give a checkpoint'):
        EvalOptions(Config())
