"""How a score was measured, as data: `protocol` holds what was settled before anything was fitted, `chosen` what validation and the fit
came to, one entry a network. Two scores compare where their protocols are equal; the sentence on a page is rendered from both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Facts = Mapping[str, Any]
KIND = "kind"  # of a protocol: which sentence renders it
OLD = "its protocol is a sentence of an earlier version: score it again with runtime.on_code_change=rerun"


def described(words: str) -> dict[str, Any]:
    """The protocol of a number that no decision is based on: words alone."""
    return {KIND: "described", "words": words}


def difference(of: str, minus: str, draws: int, frame: Facts) -> dict[str, Any]:
    """A paired difference of two scores. `frame`: Frame.facts()."""
    return {KIND: "difference", "of": of, "minus": minus, "bootstrap_draws": draws, "data": dict(frame)}


def said(row: Facts) -> str:
    """The sentence of a stored score {protocol, chosen, ...}; empty where it has no protocol. A sentence of an earlier version stays."""
    protocol = row.get("protocol")
    return protocol if isinstance(protocol, str) else sentence(protocol, row.get("chosen") or ()) if protocol else ""


def eval_layer_of(row: Facts) -> str | None:
    """The layer whose features a stored score judged; `stage` is its name in files of earlier versions."""
    found = row.get("eval_layer") or row.get("stage")
    return None if found is None else str(found)


def sentence(protocol: Facts, chosen: Sequence[Facts] = ()) -> str:
    """The protocol in words, with what each of `chosen` (one a seed) came to."""
    words = SENTENCES[protocol[KIND]]
    each = list(dict.fromkeys(words(protocol, one) for one in (chosen or [{}])))
    many = f"mean of {len(chosen)} seeds: " if len(chosen) > 1 else ""
    parts = [f"{many}{' | '.join(each)}"]
    parts += [data_words(protocol["data"])] if "data" in protocol else []
    parts += (
        [f"{protocol['interval']} interval{' of the mean' if protocol.get('baseline') else ''}"] if "interval" in protocol else []
    )
    return "; ".join(parts)


def difference_words(protocol: Facts) -> str:
    """How the interval of a paired difference was made."""
    return f"paired bootstrap over test images, {protocol['bootstrap_draws']:,} draws, percentile 95%"


def data_words(frame: Facts) -> str:
    """Frame.facts() in words."""
    source = f"a seeded {frame['held_out']:.0%} of train, stratified" if "held_out" in frame else "the store's split"
    return f"fit {frame['fit']:,}, validation {frame['validation']:,} ({source}), test {frame['test']:,} images"


def apart(mine: Facts, theirs: Facts) -> tuple[str, str]:
    """What two protocols differ in, each side in words: "l2_values 9", "l2_values 45"."""
    ours, others = _flat(mine), _flat(theirs)
    keys = [key for key in (*ours, *(key for key in others if key not in ours)) if ours.get(key) != others.get(key)]
    return (
        ", ".join(f"{key} {ours.get(key, 'nothing')}" for key in keys),
        ", ".join(f"{key} {others.get(key, 'nothing')}" for key in keys),
    )


def _flat(facts: Facts, before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in facts.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return found


def _layer(chosen: Facts) -> str:
    of_layers = f" of {chosen['layers']} layers, chosen on validation" if chosen["layers"] > 1 else ""
    return f"eval layer {chosen['eval_layer']} ({chosen['dims']} dims){of_layers}"


def _images(protocol: Facts) -> str:
    """How a transfer set's images are changed for the encoder; empty where they are not."""
    shown = protocol.get("images", {})
    parts = [f"resized from {shown['view_size']} to {shown['size']} px"] if "view_size" in shown else []
    parts += [f"gray repeated in {shown['channels']} channels"] if "channels" in shown else []
    return f"; images {', '.join(parts)}" if parts else ""


def _linear_probe(protocol: Facts, chosen: Facts) -> str:
    scaling = "features standardized" if protocol["standardize"] else "features as they are"
    end = "converged" if chosen["converged"] else "NOT converged"
    return (
        f"multinomial logistic regression with L2, {protocol['solver']}, {scaling}; {_layer(chosen)}; "
        f"l2={chosen['l2']:.4g} of {protocol['l2_values']} values {protocol['l2_weakest']:g}..{protocol['l2_strongest']:g} "
        f"chosen on validation (top-1 {chosen['validation_top1']:.4f}); "
        f"refit on fit and validation: {chosen['iterations']} iterations, gradient {chosen['gradient']:.1e}, {end}{_images(protocol)}"
    )


def _knn(protocol: Facts, chosen: Facts) -> str:
    k, asked = protocol["k"], protocol["k_asked"]
    share = f" ({chosen['validation_top1']:.4f})" if "validation_top1" in chosen else ""
    return (
        f"weighted nearest neighbors by cosine, k={k}{'' if k == asked else f' ({asked} asked for)'}, T={protocol['temperature']:g}; "
        f"{_layer(chosen)}{share}; bank: fit and validation, {protocol['bank']:,} images{_images(protocol)}"
    )


def _finetune(protocol: Facts, chosen: Facts) -> str:
    taught = {"all": "whole encoder and linear head", "head": "linear head alone, encoder frozen"}
    what = taught.get(str(protocol["trainable"]), f"last {protocol['trainable']} stages and linear head, the rest frozen")
    more = [f", {words.format(protocol[key])}" for key, words in FINETUNE_EXTRAS.items() if key in protocol]
    return (
        f"{what} on fit and validation, {protocol['images_drawn']:,} images drawn ({protocol['steps']:,} steps of {protocol['batch_size']}), "
        f"{protocol['optimizer']}, lr {protocol['lr']:g}, weight decay {protocol['weight_decay']:g}, "
        f"warm-up {protocol['warmup_fraction']:.0%}, {protocol['schedule']}; "
        f"crop {protocol['crop']}, flip {protocol['flip']:g}{''.join(more)}; fp32; last weights; {STARTS[protocol['start']]}"
    )


FINETUNE_EXTRAS = {
    "head_on": "head on layer {}",
    "layer_decay": "layer decay {:g}",
    "label_smoothing": "label smoothing {:g}",
    "mixup": "mixup {:g}",
    "cutmix": "cutmix {:g}",
}
STARTS = {"trained": "from the pretrained encoder", "from_scratch": "from fresh weights, same budget and draws"}
SENTENCES: dict[str, Callable[[Facts, Facts], str]] = {
    "linear_probe": _linear_probe,
    "knn": _knn,
    "finetune": _finetune,
    "difference": lambda protocol, chosen: f"{protocol['of']} minus {protocol['minus']}, {difference_words(protocol)}",
    "described": lambda protocol, chosen: str(protocol["words"]),
}
