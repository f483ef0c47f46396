"""Every transform does its own thing and nothing else; views repeat by seed and name."""

from types import SimpleNamespace

import pytest
import torch

from ssl_pipelines.data import Store
from ssl_pipelines.evaluation import transformed
from ssl_pipelines.evaluation.transformed import AS_IT_IS, TRANSFORMS, embed_all, training_recipes
from ssl_pipelines.methods.registry import method_class
from ssl_pipelines.views.plain import plain_view
from ssl_pipelines.views.plan import SIMCLR_SMALL, ViewRecipe

CPU = torch.device("cpu")


@pytest.fixture
def images(store):
    """The opened store, ids, their pixels (n, 3, 12, 12), and a function that gives them transformed."""
    opened = Store.open(store)
    ids = opened.ids("train")[:40]

    def changed(name, recipe=None, seed=0):
        recipe = recipe or TRANSFORMS[name].recipe
        flat = embed_all(lambda x: x.flatten(1), opened, ids, 12, CPU, seed, name, recipe)
        return flat.view(-1, 3, 12, 12)

    return SimpleNamespace(
        store=opened, ids=ids, pixels=plain_view(torch.from_numpy(opened.gather(ids).fields["image"]), 12), changed=changed
    )


def test_without_a_transform_they_are_what_is_evaluated(images):
    assert torch.equal(images.changed("plain", AS_IT_IS), images.pixels)


def test_flip_mirrors_every_image(images):
    assert torch.equal(images.changed("flip"), images.pixels.flip(3))


def test_grayscale_leaves_luma_alone(images):
    gray = images.changed("grayscale")
    luma = (images.pixels * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(gray, luma.expand_as(gray), atol=1e-5, rtol=0)


def test_noise_has_its_standard_deviation(images):
    inner = (images.pixels > 0.35) & (images.pixels < 0.65)  # where nothing is clamped
    added = (images.changed("noise") - images.pixels)[inner]
    assert added.std() == pytest.approx(0.1, rel=0.05)
    assert added.mean() == pytest.approx(0, abs=0.01)


def test_blur_smooths_and_keeps_the_mean(images):
    blurred = images.changed("blur")
    assert ((blurred - images.pixels).abs().amax((1, 2, 3)) > 0).float().mean() > 0.9

    def roughness(x):
        return (x[..., 1:] - x[..., :-1]).abs().mean()

    assert roughness(blurred) < 0.7 * roughness(images.pixels)


def test_color_jitter_moves_no_pixel(images):
    """Each image's channels are one affine map of what they were, where nothing is clamped: least squares leaves no rest."""
    changed = images.changed("color_jitter")
    assert ((changed - images.pixels).abs().amax((1, 2, 3)) > 0.01).float().mean() > 0.9
    for before, after in zip(images.pixels[:10].double(), changed[:10].double(), strict=True):
        x = torch.cat([before.flatten(1).T, torch.ones(144, 1)], 1)
        y = after.flatten(1).T
        there = ((y > 1e-3) & (y < 1 - 1e-3)).all(1)
        fit = torch.linalg.lstsq(x[there], y[there]).solution
        assert (x[there] @ fit - y[there]).abs().max() < 1e-3


@pytest.mark.parametrize("name", ["crop", "rotation"])
def test_crop_and_rotation_move_pixels_and_keep_colors(images, name):
    changed = images.changed(name)
    assert ((changed - images.pixels).abs().amax((1, 2, 3)) > 0.05).float().mean() > 0.8
    assert changed.amax() <= images.pixels.amax() + 1e-5


@pytest.mark.parametrize("name", TRANSFORMS)
def test_views_are_a_function_of_seed_and_name(images, name, monkeypatch):
    first = images.changed(name)
    assert torch.equal(images.changed(name), first)
    if name not in ("flip", "grayscale"):
        assert not torch.equal(images.changed(name, seed=1), first)
        assert not torch.equal(images.changed("another", TRANSFORMS[name].recipe), first)
    monkeypatch.setattr(transformed, "BATCH", 16)
    assert images.changed(name).shape == first.shape


def test_colors_are_changed_of_color_images_alone():
    assert [name for name, transform in TRANSFORMS.items() if not transform.fits(1)] == ["grayscale"]


def recipes_of(name, size=32):
    config = method_class(name).Config()
    return training_recipes(SimpleNamespace(config=SimpleNamespace(views=config.resolved_views(size))))


def test_views_are_those_of_the_training():
    assert recipes_of("simclr") == [SIMCLR_SMALL, SIMCLR_SMALL]
    assert [recipe.solarize for recipe in recipes_of("byol")] == [0, 0.2]
    assert len(recipes_of("swav")) == 2  # without the small crops
    assert len(recipes_of("background_aug")) == 2  # without the swap
    assert recipes_of("dim") == [ViewRecipe(crop="none", flip=0.0)]
