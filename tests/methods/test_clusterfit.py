"""ClusterFit: what is clustered, when, and what stays as it was."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from small_runs import small_config, small_loop, small_method
from ssl_pipelines.algorithms.kmeans import kmeans
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.methods.base import Clock
from ssl_pipelines.methods.clustering.clusterfit import ClusterFit
from ssl_pipelines.training.model import build_method
from ssl_pipelines.training.pretrain import data_facts
from ssl_pipelines.views import Batch, plain_view


def test_a_perfect_teacher_gives_its_classes_up_to_their_names(digits):
    method = small_method(small_config("clusterfit", methods={"clusterfit": {"num_clusters": 4}}), Store.open(digits))
    classes = torch.randint(4, (len(method.labels),), generator=torch.Generator().manual_seed(0))
    told = torch.nn.functional.one_hot(classes, 4).float()
    best = 0.0
    for seed in range(5):  # k-means may split one class and join two: a start in every class is a matter of luck
        torch.manual_seed(seed)
        method.before_epoch(Clock(0, 8, 0), lambda function=None: told)
        assert method.labels.bincount(minlength=4).sum() == len(classes)
        for names in itertools.permutations(range(4)):
            best = max(best, (torch.tensor(names)[method.labels] == classes).float().mean().item())
    assert best == 1


def test_step_1_is_k_means_on_the_teachers_unit_features_of_plain_images(digits):
    loop = small_loop(small_config("clusterfit"), digits)
    store, method = Store.open(digits), loop.method
    loop.run_step(0)
    images = plain_view(torch.from_numpy(store.gather(store.pretraining_ids()).fields["image"]), method.image_size)
    with torch.no_grad():
        z = torch.stack([row / row.norm() for row in method.finished("teacher").encoder(images)])
    torch.manual_seed(0)
    from ssl_pipelines.training.randomness import derive

    torch.manual_seed(derive(loop.seed, "epoch", 0))
    random = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
    expected = kmeans(z, method.classifier.out_features, 50, random)[1]
    assert (method.labels == expected).float().mean() > 0.99  # a hair's breadth between two centroids may fall either way


def test_labels_are_given_once_and_the_teacher_stays_as_it_was(digits):
    loop = small_loop(small_config("clusterfit", pretrain={"images_seen": 4096}), digits)
    teacher = loop.method.finished("teacher")
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    loop.run_step(0)
    labels = loop.method.labels.clone()
    for step in (1, loop.feed.steps_per_epoch, 2 * loop.feed.steps_per_epoch):
        loop.run_step(step)
    assert torch.equal(loop.method.labels, labels)
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert not teacher.training


def test_the_network_is_fresh_and_knows_no_teacher(digits):
    loop = small_loop(small_config("clusterfit"), digits)
    teacher = loop.method.finished("teacher").state_dict()
    own = loop.method.state_dict()
    assert not any(key.startswith(("teacher", "_upstream")) for key in own)
    assert not torch.equal(own["encoder.layers.0.0.conv1.weight"], teacher["encoder.layers.0.0.conv1.weight"])


def test_the_loss_is_the_cross_entropy_of_the_images_own_labels(digits):
    loop = small_loop(small_config("clusterfit"), digits)
    method = loop.method.eval()
    method.labels.copy_(torch.arange(len(method.labels)) % method.classifier.out_features)
    [batch] = loop.feed.batches(0, 8)
    logits = method.classifier(method.encoder(batch.views["global"][0])).double()
    rows = [-(row - row.logsumexp(0))[int(method.labels[i])].item() for row, i in zip(logits, batch.ids, strict=True)]
    assert method.loss(Batch(batch.views, {}, batch.ids), Clock(0, 8, 0)).loss.item() == pytest.approx(
        sum(rows) / len(rows), rel=1e-5
    )


def test_80_images_a_cluster_unless_told_otherwise(digits):
    store = Store.open(digits)
    images = len(store.pretraining_ids())
    assert small_method(small_config("clusterfit"), store).classifier.out_features == round(images / 80)
    with pytest.raises(InputError, match=f"num_clusters=5000 is more than the {images} images"):
        small_method(small_config("clusterfit", methods={"clusterfit": {"num_clusters": 5000}}), store)


def test_a_stage_that_the_teacher_has_not(digits):
    with pytest.raises(InputError, match="teacher_stage='layer9' is unknown; allowed: final, layer1"):
        small_method(small_config("clusterfit", methods={"clusterfit": {"teacher_stage": "layer9"}}), Store.open(digits))
    method = small_method(small_config("clusterfit", methods={"clusterfit": {"teacher_stage": "layer2"}}), Store.open(digits))
    assert isinstance(method, ClusterFit)
    assert method.teacher_features(torch.rand(3, 1, 16, 16)).norm(dim=1).allclose(torch.ones(3))


def taught_by(name: str, store: Path, **block) -> ClusterFit:
    opened = Store.open(store)
    teacher = small_method(small_config(name), opened).requires_grad_(False).eval()
    config = small_config("clusterfit", methods={"clusterfit": block})
    own = ClusterFit.fitted(config.method_config, {"teacher": teacher})
    return build_method(config.model_copy(update={"method_config": own}), data_facts(opened), 3, {"teacher": teacher})


def test_a_stage_is_of_the_network_that_the_teacher_is_judged_by(digits, photos):
    method, images = taught_by("dino", digits, teacher_stage="layer2"), torch.rand(3, 1, 16, 16)
    teacher = method.finished("teacher")
    with torch.no_grad():
        for parameter in teacher.encoder.parameters():
            parameter.zero_()  # the student's; the teacher's encoder is what is evaluated
    expected = torch.nn.functional.normalize(teacher.teacher.stages(images)["layer2"], dim=1)
    assert expected.abs().sum() > 0
    torch.testing.assert_close(method.teacher_features(images), expected)
    with pytest.raises(InputError, match="'cmc' has no single encoder"):
        taught_by("cmc", photos, teacher_stage="layer2")
    with pytest.raises(InputError, match="'cpc' shows its encoder other channels"):
        taught_by("cpc", photos, teacher_stage="layer2")
    assert taught_by("cpc", photos).teacher_features(torch.rand(2, 3, 32, 32)).shape[0] == 2
