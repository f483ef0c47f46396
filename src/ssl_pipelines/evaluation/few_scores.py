"""Scores from the answers at each draw: mean and interval over draws and test images, beside every baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.algorithms.intervals import DRAWS, over_draws, paired_bootstrap, wilson
from ssl_pipelines.data.seeding import generator
from ssl_pipelines.evaluation.config import FewLabelsConfig
from ssl_pipelines.evaluation.draws import Drawn
from ssl_pipelines.evaluation.finetune import protocol_of, recipe_of
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.protocols import described, sentence
from ssl_pipelines.evaluation.scores import Score
from ssl_pipelines.evaluation.stored import RANDOM_INIT, RAW_PIXELS, TRAINED

IMAGENET, SCRATCH = "timm", "from_scratch"
WITHOUT = {
    RANDOM_INIT: "linear",
    RAW_PIXELS: "linear",
    SCRATCH: "finetune",
}  # what stands in place of pretraining -> the head that judges it
AGAINST = {  # head -> baseline -> the head that judges the baseline
    "linear": WITHOUT | {IMAGENET: "linear"},
    "prototype": dict.fromkeys((RANDOM_INIT, RAW_PIXELS, IMAGENET), "prototype"),
    "finetune": WITHOUT,
}
Key = tuple[str, str, str]  # setting, head, source


@dataclass(slots=True)
class Answers:
    """All predictions, collected before a test label is read."""

    predictions: dict[Key, dict[int, list[NDArray[np.int64]]]] = field(default_factory=dict)  # draw -> one a seed
    facts: dict[Key, list[dict[str, Any]]] = field(default_factory=dict)  # eval_layer, l2, steps

    def add(self, setting: str, head: str, source: str, draw: int, predictions: NDArray[np.int64], **facts: Any) -> None:
        key = (setting, head, source)
        self.predictions.setdefault(key, {}).setdefault(draw, []).append(predictions)
        self.facts.setdefault(key, []).append(facts)

    def correct(self, key: Key, labels: NDArray) -> dict[int, NDArray]:
        """draw -> (n,) share of right answers an image, the mean over seeds where a draw has several; by draw."""
        found = self.predictions.get(key, {})
        return {k: np.mean([answer == labels for answer in found[k]], axis=0) for k in sorted(found)}


def scores_of(
    answers: Answers, drawn: Sequence[Drawn], labels: NDArray, config: FewLabelsConfig, frame: Frame, seed: int
) -> tuple[list[Score], list[dict[str, Any]]]:
    """The scores, and a row a draw: {setting, words, labels, head, source, draw, top1}."""
    scores: list[Score] = []
    table: list[dict[str, Any]] = []
    for one in drawn:
        for head, baselines in AGAINST.items():
            ours = answers.correct((one.setting.key, head, TRAINED), labels)
            if not ours:
                continue
            name = f"few_labels.{one.setting.key}.{head}"
            beside = {
                other: (key, answers.correct(key, labels))
                for other, judge in baselines.items()
                if (key := (one.setting.key, judge, other)) in answers.predictions
            }
            own = {TRAINED: ((one.setting.key, head, TRAINED), ours)} | {k: v for k, v in beside.items() if v[0][1] == head}
            for source, (key, correct) in own.items():
                protocol = _protocol(one, key, answers.facts[key], config, frame, len(correct))
                metric = f"{name}.top1" if source == TRAINED else f"{name}.{source}_top1"
                layers = {fact.get("eval_layer") for fact in answers.facts[key]}
                layer = layers.pop() if source == TRAINED and len(layers) == 1 else None
                scores.append(_share(metric, correct, protocol, seed, None if source == TRAINED else source, layer))
                table += [
                    {"setting": one.setting.key, "words": one.setting.words, "labels": one.labels, "head": head, "source": source,
                     "draw": k, "top1": float(right.mean())}
                    for k, right in correct.items()
                ]  # fmt: skip
            scores += [_gain(name, source, ours, theirs, key[1], seed) for source, (key, theirs) in beside.items()]
    return scores, table


def _share(metric: str, correct: dict[int, NDArray], protocol: str, seed: int, baseline: str | None, layer: str | None) -> Score:
    rows = np.stack(list(correct.values()))  # (draws, n)
    low, high = over_draws(rows.mean(1), *wilson(float(rows.mean() * rows.shape[1]), rows.shape[1]))
    how = f"{_over(len(rows))}Wilson over test images"
    return Score(
        metric,
        float(rows.mean()),
        max(0.0, low),
        min(1.0, high),
        rows.shape[1],
        described(f"{protocol}; {how}"),
        seed,
        baseline,
        layer,
    )


def _gain(name: str, source: str, ours: dict[int, NDArray], theirs: dict[int, NDArray], head: str, seed: int) -> Score:
    """Gain over a baseline, on the draws that both have learned from."""
    common = sorted(ours.keys() & theirs.keys())
    a, b = (np.stack([side[k] for k in common]) for side in (ours, theirs))
    metric = f"{name}.gain_over_{source}"
    value, low, high = paired_bootstrap(a.mean(0), b.mean(0), generator(seed, f"bootstrap/{metric}"))
    low, high = np.clip(over_draws((a - b).mean(1), low, high), -1.0, 1.0).tolist()
    protocol = (
        f"{name}.top1 minus {name.rpartition('.')[0]}.{head}.{source}_top1 on the {len(common)} draws of both; "
        f"{_over(len(common))}paired bootstrap over test images, {DRAWS:,} samples"
    )
    return Score(metric, value, low, high, a.shape[1], described(protocol), seed, source)


def _over(draws: int) -> str:
    return "one draw, " if draws == 1 else "95% interval: half-widths added in quadrature of Student's t over draws and "


def _protocol(one: Drawn, key: Key, facts: Sequence[dict[str, Any]], config: FewLabelsConfig, frame: Frame, draws: int) -> str:
    what = f"{one.labels:,} labels ({one.setting.words}), {draws} seeded draw{'s' if draws > 1 else ''} of {len(frame.both):,}"
    tested = f"test {len(frame.test):,} images, once a draw"
    _, head, source = key
    if head == "finetune":
        learnt = replace(frame, fit=one.ids[0], validation=one.ids[0][:0])
        words = sentence(protocol_of(recipe_of(source, config.finetune), learnt, facts[0]["steps"], source))
        return f"{what}; {words}; {tested}"
    layers = ", ".join(sorted({fact["eval_layer"] for fact in facts}))
    if head == "prototype":
        return f"{what}; nearest class mean, squared Euclidean, features as they are; eval layer {layers}; {tested}"
    l2s = sorted({fact["l2"] for fact in facts})
    spread = f"{l2s[0]:.4g}" if len(l2s) == 1 else f"{l2s[0]:.4g} to {l2s[-1]:.4g}"
    folds = max(fact["folds"] for fact in facts)
    how = f"by {folds}-fold cross-validation" if folds > 1 else "on one held-out fold"
    chosen = f"l2 of {config.l2_values} values chosen within the draw {how}, refit on all of it" if folds else "l2 fixed"
    return f"{what}; L2-regularized logistic regression on standardized features, {chosen}: {spread}; eval layer {layers}; {tested}"
