"""Colors taken away or apart, against slices and NumPy."""

from __future__ import annotations

import numpy as np
import torch

from ssl_pipelines.views.aberration import GREEN_MAGENTA, keep_one_channel, shift_channels, without_green_magenta


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_projection_kills_its_axis_alone_and_twice_is_once():
    a = np.array([-1.0, 2.0, -1.0])
    oracle = np.eye(3) - np.outer(a, a) / 6
    x = torch.rand(2, 9, 3, 4, 5, generator=seeded(), dtype=torch.float64)
    found = without_green_magenta(x)
    np.testing.assert_allclose(found.numpy(), np.einsum("ij,btjhw->btihw", oracle, x.numpy()), atol=1e-12)
    torch.testing.assert_close(without_green_magenta(found), found)
    axis = torch.tensor(GREEN_MAGENTA, dtype=torch.float64).view(3, 1, 1).expand(3, 4, 4)
    assert without_green_magenta(axis).abs().max() < 1e-12
    gray = torch.rand(1, 4, 4, generator=seeded()).expand(3, -1, -1)
    torch.testing.assert_close(without_green_magenta(gray), gray)


def test_one_channel_of_each_patch_stays_and_noise_is_all_that_is_left_of_the_others():
    patches = torch.rand(3, 4, 3, 5, 5, generator=seeded()) + 1
    noise = torch.rand(3, 4, 3, 5, 5, generator=seeded(1)) - 2
    kept = torch.randint(3, (3, 4), generator=seeded(2))
    found = keep_one_channel(patches, kept, noise)
    for b in range(3):
        for t in range(4):
            for c in range(3):
                expected = patches if c == kept[b, t] else noise
                assert torch.equal(found[b, t, c], expected[b, t, c])


def test_channels_move_down_and_right_and_repeat_their_edge():
    patches = torch.rand(2, 3, 3, 6, 6, generator=seeded())
    shifts = torch.randint(-2, 3, (2, 3, 3, 2), generator=seeded(1))
    found = shift_channels(patches, shifts)
    for b in range(2):
        for t in range(3):
            for c in range(3):
                down, right = shifts[b, t, c].tolist()
                padded = np.pad(patches[b, t, c].numpy(), 2, mode="edge")
                expected = padded[2 - down : 8 - down, 2 - right : 8 - right]
                assert np.array_equal(found[b, t, c].numpy(), expected)
    assert torch.equal(shift_channels(patches, torch.zeros_like(shifts)), patches)
    one = torch.zeros(1, 1, 1, 4, 4)
    one[..., 1, 1] = 1
    assert shift_channels(one, torch.tensor([1, 2]).view(1, 1, 1, 2))[0, 0, 0, 2, 3] == 1
