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
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

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
    given = []
    for pair in pairs:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not key or not equals:
            raise click.BadParameter(f"{pair!r} is no KEY=VALUE", context, option)
        if " #" in value and value[0] not in "'\"[{":  # a folder's name, no comment
            value = "'" + value.replace("'", "''") + "'"
        given.append(f"{key}={value}")
        try:
            OmegaConf.to_container(OmegaConf.from_dotlist(given[-1:]))
        except (YAMLError, OmegaConfBaseException):
            raise click.BadParameter(
                f"{pair!r}: the value cannot be read; text with []{{}}*&!:$ in it is to be put in quotes", context, option
            ) from None
    return OmegaConf.to_container(OmegaConf.from_dotlist(given))
