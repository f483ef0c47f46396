"""What is particular to the autoencoders: the linear one is PCA, the linear denoising one is Wiener's filter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from small_runs import small_config, small_loop, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.registry import method_config
from ssl_pipelines.networks.dense import DenseEncoder
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.views import Batch

CLOCK = Clock(0, 8, 0)
WHOLE = {"backbone": {"width": 1.0}}  # the fully connected form reads no backbone


def ready(name, store, **block):
    dense = block.get("form") == "fully_connected"
    loop = small_loop(small_config(name, methods={name: block}, **(WHOLE if dense else {})), store)
    return loop, loop.feed.batches(0, 8)[0]


def of(images: torch.Tensor) -> Batch:
    return Batch({"global": images.unsqueeze(0)}, {}, torch.arange(len(images)))


def linear(store, name="autoencoder", code_dim=3, **block):
    """4 x 4 px, one linear layer there and one back, statistics 0 and 1: x itself is coded."""
    plan = {"size": 4}
    loop, _ = ready(name, store, form="fully_connected", hidden_dims=[], code_dim=code_dim, views=plan, **block)
    loop.method.double()
    loop.method.encoder.set_statistics([0.0], [1.0])
    return loop.method


def correlated(rows: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 16)) @ (rng.normal(size=(16, 16)) * np.linspace(1.5, 0.1, 16))
    return torch.tensor(x - x.mean(0)).view(-1, 1, 4, 4)


def test_a_linear_autoencoder_ends_at_the_principal_components(digits):
    """The least error is the sum of the eigenvalues that the code has no room for. Baldi & Hornik 1989."""
    method, x = linear(digits, code_dim=3), correlated(80)
    optimizer = torch.optim.LBFGS(method.parameters(), max_iter=400, line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def closure():
        optimizer.zero_grad()
        loss = method.loss(of(x), CLOCK).loss
        loss.backward()
        return loss

    optimizer.step(closure)
    flat = x.flatten(1).numpy()
    left = np.linalg.eigvalsh(flat.T @ flat / len(flat))[:-3].sum() / 16
    assert closure().item() == pytest.approx(left, rel=1e-5)


def test_the_code_is_a_stage_and_the_only_way_through(digits):
    loop, batch = ready("autoencoder", digits, code_dim=5)
    method, images = loop.method.eval(), batch.views["global"][0]
    assert {"layer1", "layer4", "code"} <= method.stages(images).keys()
    code = method.stages(images)["code"]
    assert code.shape == (len(images), 5)
    torch.testing.assert_close(method.decoder(code), method.reconstruct(images))


def test_the_loss_is_the_share_of_the_pixels_variance(digits):
    """A decoder that always paints the mean loses all of it."""
    loop, _ = ready("autoencoder", digits)
    store = Store.open(digits)
    images = torch.from_numpy(store.gather(store.ids("train")).fields["image"]).permute(0, 3, 1, 2) / 255
    loop.method.reconstruct = torch.zeros_like
    assert loop.method.loss(of(images), CLOCK).loss.item() == pytest.approx(1, rel=0.02)


def test_cross_entropy_is_of_pixels(digits):
    loop, batch = ready("autoencoder", digits, error="cross_entropy")
    images, method = batch.views["global"][0], loop.method.eval()
    p = method.reconstruct(images).sigmoid().detach().double().numpy()
    x = images.double().numpy()
    oracle = -(x * np.log(p) + (1 - x) * np.log(1 - p)).mean()
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(oracle, rel=1e-5)
    pictures = method.pictures(batch)["reconstructions"].unflatten(0, (8, 2))
    torch.testing.assert_close(pictures[:, 1].double().detach().numpy(), p[:8], rtol=1e-4, atol=1e-6)


def test_the_fully_connected_form_has_its_own_layers(digits):
    loop, batch = ready("autoencoder", digits, form="fully_connected", hidden_dims=[20, 10], code_dim=4)
    method = loop.method
    assert isinstance(method.encoder, DenseEncoder)
    assert [tuple(layer.weight.shape) for layer in method.encoder.layers] == [(20, 256), (10, 20), (4, 10)]
    assert method.encoder.mean.item() == pytest.approx(Store.open(digits).mean[0])
    before = {key: value.clone() for key, value in method.named_parameters()}
    loop.run_step(0)
    assert not [key for key, value in method.named_parameters() if torch.equal(value, before[key])]
    assert set(method.eval().stages(batch.views["global"][0])) == {"hidden1", "hidden2", "code"}


def test_pictures_are_pairs_of_image_and_reconstruction(digits):
    loop, batch = ready("autoencoder", digits)
    method = loop.method.eval()
    pictures = method.pictures(batch)["reconstructions"]
    assert pictures.shape == (16, 1, 16, 16)
    assert torch.equal(pictures[::2], batch.views["global"][0][:8])
    assert pictures.min() >= 0
    assert pictures.max() <= 1


def test_a_short_training_reconstructs_better(digits):
    loop, _ = ready("autoencoder", digits)
    losses = [loop.run_step(step).loss.item() for step in range(8)]
    assert losses[-1] < 0.8 * losses[0]


def test_denoising_sees_noise_and_is_asked_for_the_clean_image(digits):
    loop, batch = ready("denoising_autoencoder", digits)
    method, images, seen = loop.method, batch.views["global"][0], []
    torch.manual_seed(0)
    corrupted, hit = method.corrupt(images)
    torch.manual_seed(0)
    method.reconstruct = lambda x: seen.append(x) or method.encoder.normalize(images)
    output = method.loss(batch, CLOCK)
    assert torch.equal(seen[-1], corrupted)
    assert output.loss.item() == 0, "the target is clean"
    assert hit.float().mean().item() == pytest.approx(0.5, abs=0.05)
    masked = method.encoder.normalize(corrupted)[hit]
    assert masked.abs().max() < 1e-5, "masked pixels are 0 once standardized"


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (1.0, 0.0), (2.0, 0.5)])
def test_emphasis_weighs_corrupted_values_and_the_others(digits, alpha, beta):
    loop, batch = ready("denoising_autoencoder", digits, corruption="salt_and_pepper", corrupted_weight=alpha, other_weight=beta)
    method, images = loop.method.eval(), batch.views["global"][0]
    torch.manual_seed(1)
    corrupted, hit = method.corrupt(images)
    errors = (method.reconstruct(corrupted) - method.encoder.normalize(images)).detach().double().square().numpy().ravel()
    total = sum((alpha if h else beta) * e for h, e in zip(hit.flatten().tolist(), errors, strict=True))
    torch.manual_seed(1)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(total / len(errors), rel=1e-5)


def test_a_linear_denoiser_of_gaussian_noise_is_wieners_filter(digits):
    """W = S (S + s^2 I)^-1 leaves tr(S - W S) / D; the loss is that there, and its gradient vanishes."""
    s = 0.7
    method, x = linear(digits, "denoising_autoencoder", code_dim=16, corruption="gaussian", noise_std=s), correlated(200)
    flat = x.flatten(1)
    covariance = flat.T @ flat / len(flat)
    wiener = torch.linalg.solve(covariance + s * s * torch.eye(16), covariance, left=False)
    encoder, decoder = method.encoder.layers[0], method.decoder.layers[0]
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.zero_()
        encoder.weight.copy_(wiener)
        decoder.weight.copy_(torch.eye(16))
    torch.manual_seed(0)
    many = x.repeat(300, 1, 1, 1)
    loss = method.loss(of(many), CLOCK).loss
    loss.backward()
    assert loss.item() == pytest.approx(torch.trace(covariance - wiener @ covariance).item() / 16, rel=0.01)
    slope = encoder.weight.grad.norm()
    with torch.no_grad():
        encoder.weight.copy_(0.9 * wiener)
    encoder.weight.grad = None
    method.loss(of(many), CLOCK).loss.backward()
    assert slope < 0.05 * encoder.weight.grad.norm()


def test_noise_is_fresh_each_step_and_absent_from_what_is_evaluated(digits):
    loop, batch = ready("denoising_autoencoder", digits)
    images = batch.views["global"][0]
    assert not torch.equal(loop.method.corrupt(images)[1], loop.method.corrupt(images)[1])
    method = loop.method.eval()
    assert torch.equal(method.encode(images), method.encode(images))


def test_colors_fall_together_or_one_by_one(photos):
    for per, together in (("pixel", True), ("value", False)):
        loop, batch = ready("denoising_autoencoder", photos, per=per)
        _, hit = loop.method.corrupt(batch.views["global"][0])
        assert torch.equal(hit[:, 0], hit[:, 1]) == together


@pytest.mark.parametrize(
    ("name", "block", "message"),
    [
        ("autoencoder", {"hidden_dims": [9]}, r"hidden_dims=\(9,\) is read with form='fully_connected'"),
        ("autoencoder", {"form": "fully_connected", "decoder_width": 8}, "decoder_width=8 is read with form='convolutional'"),
        ("autoencoder", {"form": "fully_connected", "hidden_dims": [0]}, r"hidden_dims=\[0\]: numbers from 1"),
        ("autoencoder", {"code_dim": 0}, "code_dim=0 is refused"),
        ("denoising_autoencoder", {"corruption": "gaussian", "fraction": 0.3}, "fraction=0.3 is read with corruption=masking or"),
        ("denoising_autoencoder", {"noise_std": 0.3}, "noise_std=0.3 is read with corruption=gaussian; with masking"),
        ("denoising_autoencoder", {"corrupted_weight": 0, "other_weight": 0}, "leave nothing to learn"),
    ],
)
def test_what_would_be_ignored_is_refused(name, block, message):
    with pytest.raises(InputError, match=message):
        method_config(name, block)


def test_a_backbone_beside_the_fully_connected_form_is_refused():
    values = {"method": "autoencoder", "methods": {"autoencoder": {"form": "fully_connected"}}, "pretrain": {"images_seen": 256}}
    RunConfig.resolve(values)
    with pytest.raises(InputError, match="the block backbone would be ignored"):
        RunConfig.resolve(values | {"backbone": {"name": "resnet18"}})


def test_a_code_that_holds_the_image_is_refused_unless_there_is_noise(digits):
    with pytest.raises(InputError, match="code_dim=256 could hold all 256 values of an image"):
        small_method(small_config("autoencoder", methods={"autoencoder": {"code_dim": 256}}), Store.open(digits))
    small_method(small_config("denoising_autoencoder", methods={"denoising_autoencoder": {"code_dim": 300}}), Store.open(digits))
