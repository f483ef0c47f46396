"""--params of `kedro run`, as text: what Kedro's own reading of it does not know."""

from __future__ import annotations

import re
from typing import Any

import click


def split_params(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """{"a": {"b": ["x", "y"]}} of `a.b=[x,y]`: Kedro's own splits at the commas of lists, too. @champion is taken as it is; YAML, in
    which values are read, has another use for @."""
    if isinstance(value, dict):
        return value
    from omegaconf import OmegaConf

    pairs, depth, quote, before = [""], 0, "", "="
    for letter in re.sub(r"(?<=[=\[,])(@[^,\]]*)", r"'\1'", value):
        if letter in "'\"" and (quote == letter or (not quote and before in "=[{,:")):
            quote = "" if quote else letter
        elif not quote:
            depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth <= 0 and not quote:
            pairs.append("")
        else:
            pairs[-1] += letter
        before = before if letter == " " else letter
    pairs = [pair.strip() for pair in pairs if pair.strip()]
    for pair in pairs:
        if not pair.partition("=")[0].strip() or "=" not in pair:
            raise click.BadParameter(f"{pair!r} is no KEY=VALUE", context, option)
    return OmegaConf.to_container(OmegaConf.from_dotlist(["=".join(map(str.strip, pair.split("=", 1))) for pair in pairs]))
