"""Is it worth it? What pretraining brings at each number of labels, and as how many labels that is, in plain words from the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl_pipelines.algorithms.intervals import span

Row = Mapping[str, Any]
WITHOUT = {  # what one would do otherwise -> the head that it is judged by
    "random_init": ("linear", "the same network at random initialization"),
    "raw_pixels": ("linear", "raw pixels"),
    "from_scratch": ("finetune", "training from scratch"),
}
WITH = {"linear": "a linear probe", "finetune": "fine-tuned"}
FEW_PASSES = 20  # below this the baseline that is trained from scratch is not what it could be


@dataclass(frozen=True, slots=True)
class Setting:
    key: str
    words: str  # "10 %", "5 a class"
    labels: int

    @property
    def said(self) -> str:
        count = self.words.removesuffix(" a class")
        a_class = f"{count} label{'' if count == '1' else 's'} a class"
        amount = f"{self.words} of the labels" if self.words.endswith("%") else a_class
        return f"With {amount} ({self.labels:,})"


@dataclass(frozen=True, slots=True)
class Worth:
    """The best with pretraining against the best without, at one number of labels. The gain is a share of the test images."""

    setting: Setting
    head: str  # of WITH
    best: str  # of WITHOUT
    gain: float
    low: float
    high: float
    times: tuple[str, float] | None  # ("about" | "more than", times as many labels without pretraining)

    @property
    def kind(self) -> str:
        return "good" if self.low > 0 else "bad" if self.high < 0 else "none"

    def sentence(self) -> str:
        ours, name, points = f"{self.setting.said}, pretraining ({WITH[self.head]})", WITHOUT[self.best][1], 100 * self.gain
        interval = span(self.low, self.high)
        if self.kind == "good":
            as_many = "" if self.times is None else f": as good as labelling {self.times[0]} {_times(self.times[1])} as many images"
            return f"{ours} is worth {points:+.1f} points {interval} over the best without it, {name}{as_many}."
        if self.kind == "bad":
            turned = f"[{-100 * self.high:.1f}, {-100 * self.low:.1f}]"
            return f"{ours} is not worth it: {name} is better by {-points:.1f} points {turned}."
        return f"{ours} shows no gain over {name}: {points:+.1f} points {interval}."


def worth(scores: Mapping[str, Row], settings: Sequence[Setting], images_seen: float) -> list[Worth]:
    """By number of labels. `scores`: metric -> score. Where training from scratch was tried at some settings, those alone are compared:
    elsewhere the best without pretraining is not known. Nor is it how many labels would do, where fresh weights drew too few images
    (`images_seen`) to make use of them: such points are no part of the curve."""
    of = {setting: found for setting in settings if (found := _without(scores, setting))}
    tried = {setting: found for setting, found in of.items() if "from_scratch" in found} or of
    best = {setting: max(found.items(), key=lambda item: item[1]) for setting, found in tried.items()}
    used = {one for one, (name, _) in best.items() if name != "from_scratch" or images_seen / one.labels >= FEW_PASSES}
    curve = sorted((setting.labels, best[setting][1]) for setting in used)
    made = []
    for setting, (name, value) in sorted(best.items(), key=lambda item: item[0].labels):
        ours = {head: row for head in WITH if (row := scores.get(f"few_labels.{setting.key}.{head}.top1")) is not None}
        if not ours:
            continue
        head = max(ours, key=lambda one: ours[one]["value"])
        gain = scores[f"few_labels.{setting.key}.{head}.gain_over_{name}"]
        # Ours as it stands on the draws that both have learnt from, so that gain and curve speak of one difference.
        times = as_many(curve, setting.labels, value + gain["value"])
        made.append(Worth(setting, head, name, gain["value"], gain["low"], gain["high"], times))
    return made


def as_many(curve: Sequence[tuple[int, float]], labels: int, level: float) -> tuple[str, float] | None:
    """How many times `labels` the curve without pretraining needs to reach `level`: between its points by the logarithm of the labels.

    None where it is there already, or where nothing beyond `labels` was measured. The curve never falls: more labels do no harm."""
    beyond = [(n, value) for n, value in curve if n > labels]
    reached = max((value for n, value in curve if n <= labels), default=-math.inf)
    if not beyond or reached >= level:
        return None
    before = labels
    for n, value in beyond:
        top = max(reached, value)
        if top >= level:
            share = (level - reached) / (top - reached)
            return "about", math.exp(math.log(before) + share * (math.log(n) - math.log(before))) / labels
        before, reached = n, top
    return "more than", beyond[-1][0] / labels


def verdict(found: Sequence[Worth]) -> tuple[str, str]:
    """In a few words, and their color: good, none or bad."""
    good = [one for one in found if one.kind == "good"]
    if found and len(good) == len(found):
        return "worth it", "good"
    if good:
        most = max(one.setting.labels for one in good)
        if all(one.kind == "good" for one in found if one.setting.labels <= most):
            return f"worth it up to {most:,} labels", "good"
        return f"worth it at {len(good)} of {len(found)} numbers of labels", "none"
    return ("not worth it", "bad") if any(one.kind == "bad" for one in found) else ("no gain shown", "none")


def fine_tuning(scores: Mapping[str, Row], settings: Sequence[Setting]) -> list[str]:
    """A sentence a setting that was fine-tuned: the pretrained network against the same from scratch."""
    made = []
    for setting in sorted(settings, key=lambda one: one.labels):
        ours, gain = (scores.get(f"few_labels.{setting.key}.finetune.{name}") for name in ("top1", "gain_over_from_scratch"))
        if ours is not None and gain is not None:
            made.append(
                f"{setting.said}, the pretrained network fine-tuned reaches {100 * ours['value']:.1f} %, "
                f"{100 * gain['value']:+.1f} points {span(gain['low'], gain['high'])} against the same network from scratch."
            )
    return made


def caveats(settings: Sequence[Setting], images_seen: int, scratch: bool) -> list[str]:
    """What would flatter, said."""
    labels = max((setting.labels for setting in settings), default=0)
    if not scratch or not labels or images_seen / labels >= FEW_PASSES:
        return []
    return [
        f"Networks trained from scratch drew {images_seen:,} images; with all {labels:,} labels that is {images_seen / labels:.1f} passes "
        "over them, and a longer training would raise them: few_labels.finetune.images_seen."
    ]


def _without(scores: Mapping[str, Row], setting: Setting) -> dict[str, float]:
    metrics = {name: f"few_labels.{setting.key}.{head}.{name}_top1" for name, (head, _) in WITHOUT.items()}
    return {name: scores[metric]["value"] for name, metric in metrics.items() if metric in scores}


def _times(factor: float) -> str:
    return f"{factor:.1f} times" if factor < 3 else f"{factor:.0f} times"
