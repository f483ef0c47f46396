"""SimCLR v2: the layer that stays, and the student of a fine-tuned network."""

from __future__ import annotations

import pytest
import torch

from small_runs import small_config, small_loop, small_method
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.losses.distillation import distillation
from ssl_pipelines.losses.nt_xent import nt_xent
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.classifier import Classifier

CLOCK = Clock(0, 8, 0)


def test_fine_tuning_keeps_the_first_layer_of_the_projector_and_no_more(digits):
    method = small_method(small_config("simclr_v2"), Store.open(digits)).eval()
    images = torch.rand(4, 1, 16, 16)
    linear, norm, relu = method.projector[:3]
    h = method.encode(images)
    torch.testing.assert_close(method.finetune_features(images), relu(norm(h @ linear.weight.T)))
    network = Classifier(method, 10, 0)
    moved = {name for name, value in network.named_parameters() if value.requires_grad}
    assert "method.projector.0.weight" in moved
    assert not [name for name in moved if name.startswith("method.projector") and name.split(".")[2] not in ("0", "1")]
    torch.testing.assert_close(network(images), network.head(method.finetune_features(images)))


def test_three_layers_of_the_encoders_width(digits):
    method = small_method(small_config("simclr_v2", methods={"simclr_v2": {"projection_dim": 24}}), Store.open(digits))
    shapes = [tuple(layer.weight.shape) for layer in method.projector if isinstance(layer, torch.nn.Linear)]
    dim = method.encoder.dim
    assert shapes == [(dim, dim), (dim, dim), (24, dim)]


def test_the_loss_is_nt_xent_of_the_two_views(digits):
    loop = small_loop(small_config("simclr_v2"), digits)
    method, [batch] = loop.method.eval(), loop.feed.batches(0, 8)
    z1, z2 = (method.projector(method.encoder(view)) for view in batch.views["global"])
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(nt_xent(z1, z2, 0.5).item(), rel=1e-6)


def test_a_wider_network_is_a_key_away(digits):
    store = Store.open(digits)
    narrow, wide = (small_method(small_config("simclr_v2", backbone={"width": width}), store) for width in (0.5, 1.0))
    assert wide.encoder.dim == 2 * narrow.encoder.dim == wide.projector[0].in_features


def test_teacher_and_student_see_the_same_view(digits):
    loop = small_loop(small_config("simclr_v2_distill", methods={"simclr_v2_distill": {"temperature": 2.0}}), digits)
    method, [batch] = loop.method.eval(), loop.feed.batches(0, 8)
    [images] = batch.views["global"]
    student = method.classifier(method.encoder(images))
    with torch.no_grad():
        taught = method.finished("teacher")(images)
    assert method.loss(batch, CLOCK).loss.item() == pytest.approx(distillation(student, taught, 2.0).item(), rel=1e-6)
    assert not method.finished("teacher").training


def test_the_student_comes_to_agree_with_its_teacher(digits):
    loop = small_loop(small_config("simclr_v2_distill", pretrain={"images_seen": 1280}), digits)
    head = loop.method.finished("teacher").head
    with torch.no_grad():
        head.weight.mul_(30)  # an untrained teacher that has opinions
    shares = [loop.run_step(step).metrics["agreement"].item() for step in range(80)]
    assert sum(shares[-10:]) / 10 > 0.6 > 0.4 > sum(shares[:5]) / 5


def test_another_number_of_classes_is_refused(digits):
    with pytest.raises(InputError, match="num_classes=7 is refused: the teacher tells 10 apart"):
        small_method(small_config("simclr_v2_distill", methods={"simclr_v2_distill": {"num_classes": 7}}), Store.open(digits))
