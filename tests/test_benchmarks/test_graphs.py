"""Compiled blocks have few graphs for all widths, and no breaks."""

from benchmarks import graphs


def test_count(config):
    assert graphs.count_graphs(config) == (6, 0, 3)
