"""A part of the mistakes of users; ``python -m tests.helpers.mistakes`` tries all of them."""

import pytest

from tests.helpers.mistakes import SMALL, WORDS, mistakes, try_all

EVERY = 10  # a few seconds


@pytest.mark.usefixtures('configs_are_not_printed')
def test_each_ends_in_one_sentence_that_names_it(tmp_path):
    chosen = list(mistakes())[3::EVERY]
    found = list(try_all(tmp_path, chosen))
    assert len(found) == len(chosen) > 40
    assert [result for result in found if result.kind != 'sentence'] == []


def test_there_are_enough_and_none_twice():
    lines = [' '.join(arguments) for arguments, _ in mistakes()]
    assert len(lines) == len(set(lines)) >= 233 and all(word for _, word in mistakes())


def test_what_is_right_counts_as_accepted(tmp_path):
    train = ['train', WORDS['DEMO'], '--work-dir', 'run', '--cfg-options', *SMALL]
    knn = ['knn', 'iter_5.pth', '--train', 'train', '--val', 'val', '--workers', '0', '--k', '3']
    found = list(try_all(tmp_path, [(train, ''), (knn, '')]))
    assert [result.kind for result in found] == ['accepted', 'accepted'], found
