"""A short soak: one disturbance; docs/reliability.md has the figures of a longer one."""

from benchmarks.soak import KINDS, soak


def test_a_disturbed_run_ends_as_the_undisturbed_one(tmp_path):
    found = soak(tmp_path, steps=12, every=6)
    assert sum(found[kind] for kind in KINDS) >= 1
    assert found['unexpected'] == [] and found['differing_weights'] == 0 and found['leftover_files'] == 0
    assert found['bad_images'] > 0
