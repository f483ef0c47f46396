"""Worth in words: gains, how many times the labels, and honest refusals; from made-up scores whose answer is known."""

from __future__ import annotations

import pytest

from ssl_pipelines.reporting.worth import Setting, as_many, caveats, fine_tuning, verdict, worth

ENOUGH = 1e9  # images drawn by what is trained from scratch
ONE, TEN, ALL = Setting("1pct", "1 %", 100), Setting("10pct", "10 %", 1000), Setting("100pct", "100 %", 10_000)


def rows(setting, ours, half=0.02, **baselines):
    """Scores of one setting: the linear probe, its baselines by name, and the gains over them."""
    made = {f"few_labels.{setting.key}.linear.top1": {"value": ours}, f"few_labels.{setting.key}.finetune.top1": {"value": 0.1}}
    for name, value in baselines.items():
        head = "finetune" if name == "from_scratch" else "linear"
        gain = ours - value
        made[f"few_labels.{setting.key}.{head}.{name}_top1"] = {"value": value}
        made[f"few_labels.{setting.key}.linear.gain_over_{name}"] = {"value": gain, "low": gain - half, "high": gain + half}
    return made


def test_gain_over_the_best_without_and_as_how_many_labels():
    scores = rows(ONE, 0.50, random_init=0.30, raw_pixels=0.40, from_scratch=0.2) | rows(
        TEN, 0.70, random_init=0.55, raw_pixels=0.50, from_scratch=0.60
    )
    scores |= rows(ALL, 0.80, random_init=0.70, from_scratch=0.90)
    few, some, every = worth(scores, [ALL, ONE, TEN], ENOUGH)
    assert [one.best for one in (few, some, every)] == ["raw_pixels", "from_scratch", "from_scratch"]
    # 0.5 lies half way from 0.4 (100 labels) to 0.6 (1,000), so at 100 * sqrt(10); 0.7 a third of the way from 0.6 to 0.9
    assert few.times == ("about", pytest.approx(10**0.5))
    assert some.times == ("about", pytest.approx(10 ** (1 / 3)))
    assert every.times is None
    assert few.sentence() == (
        "With 1 % of the labels (100), pretraining (a linear probe) is worth +10.0 points [+8.0, +12.0] over the best without it, raw pixels: "
        "as good as labelling about 3 times as many images."
    )
    assert "about 2.2 times" in some.sentence()
    assert every.sentence() == (
        "With 100 % of the labels (10,000), pretraining (a linear probe) is not worth it: training from scratch is better by "
        "10.0 points [8.0, 12.0]."
    )
    assert verdict([few, some, every]) == ("worth it up to 1,000 labels", "good")


def test_the_better_of_probe_and_fine_tuning_where_all_was_tried():
    scores = rows(TEN, 0.6, raw_pixels=0.5, from_scratch=0.55) | rows(ONE, 0.9, raw_pixels=0.1)
    scores["few_labels.10pct.finetune.top1"] = {"value": 0.8}
    scores["few_labels.10pct.finetune.gain_over_from_scratch"] = {"value": 0.25, "low": 0.2, "high": 0.3}
    [one] = worth(scores, [ONE, TEN], ENOUGH)  # at 1 % nobody knows what training from scratch would have given
    assert (one.setting, one.head, one.gain) == (TEN, "finetune", 0.25)
    assert one.sentence().startswith("With 10 % of the labels (1,000), pretraining (fine-tuned) is worth +25.0 points")


def test_beyond_what_was_measured():
    assert as_many([(10, 0.2), (40, 0.3)], 10, 0.5) == ("more than", 4.0)
    assert as_many([(10, 0.2), (40, 0.3)], 40, 0.5) is None
    assert as_many([(10, 0.2), (40, 0.3)], 10, 0.2) is None


def test_a_curve_that_dips_does_not_count_against_the_baseline():
    assert as_many([(10, 0.3), (100, 0.2), (1000, 0.5)], 10, 0.4) == ("about", pytest.approx(10**1.5))


def test_fresh_weights_that_were_hardly_trained_do_not_say_how_many_labels_would_do():
    scores = rows(ONE, 0.5, raw_pixels=0.3, from_scratch=0.4) | rows(TEN, 0.7, raw_pixels=0.35, from_scratch=0.45)
    assert worth(scores, [ONE, TEN], 20_000)[0].times == ("more than", 10.0)
    assert worth(scores, [ONE, TEN], 19_999)[0].times is None


def test_nothing_is_claimed_where_nothing_is_shown():
    scores = rows(ONE, 0.41, random_init=0.40) | rows(TEN, 0.59, random_init=0.60)
    found = worth(scores, [ONE, TEN], ENOUGH)
    assert [one.kind for one in found] == ["none", "none"]
    assert verdict(found) == ("no gain shown", "none")
    assert found[0].sentence() == (
        "With 1 % of the labels (100), pretraining (a linear probe) shows no gain over the same network at random "
        "initialization: +1.0 points [-1.0, +3.0]."
    )
    assert verdict([]) == ("no gain shown", "none")
    assert worth({}, [ONE], ENOUGH) == []


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ((0.1, 0.1), "worth it"),
        ((-0.1, -0.1), "not worth it"),
        ((0.0, 0.1), "worth it at 1 of 2 numbers of labels"),
        ((0.1, 0.0), "worth it up to 100 labels"),
    ],
)
def test_verdicts(gains, words):
    scores = rows(ONE, 0.5 + gains[0], raw_pixels=0.5) | rows(TEN, 0.6 + gains[1], raw_pixels=0.6)
    assert verdict(worth(scores, [ONE, TEN], ENOUGH))[0] == words


def test_labels_a_class_in_words():
    assert Setting("1shot", "1 a class", 10).said == "With 1 label a class (10)"
    assert Setting("5shot", "5 a class", 50).said == "With 5 labels a class (50)"


def test_fine_tuning_and_its_caveat():
    scores = {
        "few_labels.10pct.finetune.top1": {"value": 0.7},
        "few_labels.10pct.finetune.gain_over_from_scratch": {"value": 0.05, "low": 0.01, "high": 0.09},
    }
    assert fine_tuning(scores, [ONE, TEN]) == [
        "With 10 % of the labels (1,000), the pretrained network fine-tuned reaches 70.0 %, +5.0 points [+1.0, +9.0] against the same "
        "network from scratch."
    ]
    assert "0.4 passes" in caveats([ONE, ALL], 4000, True)[0]
    assert caveats([ONE, ALL], 4000, False) == caveats([ONE], 4000, True) == []
