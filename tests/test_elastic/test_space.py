import pytest

from poa_mm.elastic import Subnet, SubnetSpace, choices, spaced_blocks
from poa_mm.errors import UserError


def vit_space():
    return SubnetSpace(range(384, 1025, 64), [range(12, 25)], names={'S': (384, 12), 'B': (768, 12), 'L': (1024, 24)})


def resnet_space():
    stages = [(3,), range(4, 9), range(6, 37), (3,)]
    return SubnetSpace((64, 96, 128), stages, None, {'R50': (64, (3, 4, 6, 3))})


@pytest.mark.parametrize('max_depth', [1, 4, 24])
def test_spaced_blocks_keep_both_ends_and_are_even(max_depth):
    for depth in range(1, max_depth + 1):
        blocks = spaced_blocks(depth, max_depth)
        assert len(set(blocks)) == depth and list(blocks) == sorted(blocks)
        assert blocks[0] == 0 and (depth == 1 or blocks[-1] == max_depth - 1)
        gaps = {b - a for a, b in zip(blocks, blocks[1:])}
        assert not gaps or max(gaps) - min(gaps) <= 1
    assert spaced_blocks(max_depth, max_depth) == tuple(range(max_depth))


def test_spaced_blocks_by_hand():
    assert spaced_blocks(12, 24) == (0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 23)


def test_sizes_of_the_three_families():
    swin = SubnetSpace((96, 112, 128), [(2,), (2,), range(6, 19), (2,)], 2)
    assert [len(vit_space()), len(swin), len(resnet_space())] == [143, 39, 465]
    assert all(len(set(space)) == len(space) for space in (vit_space(), swin, resnet_space()))
    assert swin.stage_depths(Subnet(96, 6)) == (2, 2, 6, 2)
    assert swin.active_blocks(Subnet(96, 6))[2] == spaced_blocks(6, 18)


def test_order_and_ends():
    space = vit_space()
    assert space.smallest == next(iter(space)) == Subnet(384, 12)
    assert space.intact == list(space)[-1] == Subnet(1024, 24)
    totals = [sum(depth) for depth in resnet_space().depths]
    assert totals == sorted(totals)


def test_parse_and_names():
    space = vit_space()
    assert space.parse('B') == space.parse('768x12') == space.parse(Subnet(768, 12))
    assert space.parse('intact') == space.parse('L')
    assert [space.name(s) for s in space.select(['S', '576x15', '384x12'])] == ['S', '576x15']
    assert len(space.select(['all'])) == 143
    assert space.select(['named']) == [space.parse(n) for n in 'SBL']
    assert str(resnet_space().parse('R50')) == '64x3-4-6-3'
    for subnet in resnet_space():
        assert resnet_space().parse(str(subnet)) == subnet


@pytest.mark.parametrize('text', ['', 'XL', '384', '400x12', '384x25', '384x012', '384x12-3', 'x12'])
def test_error_for_an_unknown_subnet_lists_what_is_allowed(text):
    with pytest.raises(UserError, match=r'allowed are widths 384, .*depths 12 to 24; names S, B, L'):
        vit_space().parse(text)


def test_depths_with_gaps_are_listed_one_by_one():
    assert 'depths 1, 3, 5;' in SubnetSpace([8], [(1, 3, 5)]).describe()


def test_a_list_of_sizes_or_a_range():
    assert list(choices('widths', (384, 1024, 128))) == [384, 512, 640, 768, 896, 1024]
    assert list(choices('depths', (2, 4))) == [2, 3, 4]
    assert choices('widths', [384, 576, 1024]) == [384, 576, 1024]
    with pytest.raises(UserError, match=r'widths must be \(first, last, step\) .* or a list, got \(384, 1024, 192\)'):
        choices('widths', (384, 1024, 192))


@pytest.mark.parametrize('widths, stages', [([], [(1,)]), ([64, 32], [(1,)]), ([32], [(2, 2)]), ([0], [(1,)])])
def test_bad_ranges(widths, stages):
    with pytest.raises(ValueError, match='ascending'):
        SubnetSpace(widths, stages)
