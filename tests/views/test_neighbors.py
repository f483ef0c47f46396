"""Ordered pairs of neighbors, against the grid."""

from __future__ import annotations

from ssl_pipelines.views.neighbors import DIRECTIONS, neighbors


def test_all_forty_ordered_pairs_and_what_swapping_them_does():
    pairs, labels = neighbors(3)
    assert len(pairs) == 40
    table = {tuple(pair): label for pair, label in zip(pairs.tolist(), labels.tolist(), strict=True)}
    assert len(table) == 40
    for (first, second), label in table.items():
        assert table[second, first] == 7 - label
        assert (first // 3 + DIRECTIONS[label][0], first % 3 + DIRECTIONS[label][1]) == (second // 3, second % 3)
    assert [table[4, other] for other in (0, 1, 2, 3, 5, 6, 7, 8)] == list(range(8))
