"""Small crops are as large as the large ones and the encoder ask, where the user has not said."""

from __future__ import annotations

import pytest

from ssl_pipelines.methods.registry import method_config

OWN = {"ibot": [12, 16, 24, 48, 96]}  # a masked ViT's crops are whole patches of small images too
WITH_FEWEST = [24, 24, 24, 48, 96]


@pytest.mark.parametrize("name", ["swav", "deepcluster_v2", "dino", "ibot"])
def test_small_crops_follow_the_large_ones(name):
    given = method_config(name, {"views": {"groups": {"local": {"size": 20}}}})
    for large, small in zip([28, 32, 56, 96, 224], OWN.get(name, WITH_FEWEST), strict=True):
        sizes = {group: view.size for group, view in method_config(name, {}).resolved_views(large).groups.items()}
        assert sizes.pop("local") == small
        assert set(sizes.values()) == {large}
        assert given.resolved_views(large).groups["local"].size == 20


@pytest.mark.parametrize("name", ["swav", "deepcluster_v2", "dino", "ibot"])
def test_small_crops_are_never_the_larger_ones(name):
    assert (method_config(name, {}).resolved_views(16).groups["local"].size or 0) <= 16


def test_no_small_crops_need_no_size():
    assert "local" not in method_config("dino", {"views": {"groups": {"local": {"count": 0}}}}).resolved_views(96).groups
