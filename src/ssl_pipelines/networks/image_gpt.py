"""The transformer of Image GPT: GPT-2's blocks over a sequence of palette colors. Chen et al., ICML 2020, and the authors' code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.algorithms.kmeans import nearest_centroid
from ssl_pipelines.networks.encoder import Encoder

Cache = tuple[Tensor, Tensor]  # keys and values of the places so far, (B, heads, t, d / heads) each


class ScaleNorm(nn.Module):
    """x over its root mean square, times a learnt weight: what the authors' code calls a layer norm. No mean, no shift."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


class GPTBlock(nn.Module):
    """Attention, then an MLP of x sigmoid(1.702 x), each behind a norm and added to its input. No biases."""

    def __init__(self, dim: int, heads: int, depth: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = ScaleNorm(dim), ScaleNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.widen, self.narrow = nn.Linear(dim, 4 * dim, bias=False), nn.Linear(4 * dim, dim, bias=False)
        for layer in (self.qkv, self.widen):
            nn.init.normal_(layer.weight, std=0.02)
        for layer in (self.proj, self.narrow):  # GPT-2: the sum of all blocks keeps its size
            nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * depth))

    def forward(self, x: Tensor, causal: bool, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """(B, t, d) -> (B, t, d), and the keys and values so far. With a cache, x is what comes after it: one place at a time."""
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm1(x)).chunk(3, dim=2))
        if cache is not None:
            k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal and cache is None)
        x = x + self.proj(mixed.transpose(1, 2).flatten(2))
        wide = self.widen(self.norm2(x))
        return x + self.narrow(wide * torch.sigmoid(1.702 * wide)), (k, v)


class ImageGPT(Encoder):
    """Images are sequences of the nearest colors of `palette`, row after row. Causal (place i is given those before it, a learnt start
    first) or not (what is masked is given as zeros). h^l is what enters block l, h^depth what leaves the last one."""

    palette: Tensor  # (K, C) in [-1, 1]
    learnt: Tensor  # () bool: the palette is that of images, no gray ramp

    def __init__(self, in_channels: int, dim: int, depth: int, heads: int, num_places: int, colors: int, *, causal: bool):
        super().__init__(in_channels, dim)
        self.set_statistics([0.5] * in_channels, [0.5] * in_channels)  # [0, 1] to [-1, 1]
        self.depth, self.causal = depth, causal
        self.register_buffer("palette", torch.linspace(-1, 1, colors).unsqueeze(1).repeat(1, in_channels))
        self.register_buffer("learnt", torch.zeros((), dtype=torch.bool))
        self.embedding = nn.Embedding(colors, dim)
        self.positions = nn.Parameter(torch.empty(num_places, dim))
        if causal:
            self.start = nn.Parameter(torch.empty(dim))
            nn.init.normal_(self.start, std=0.02)
        self.blocks = nn.ModuleList(GPTBlock(dim, heads, depth) for _ in range(depth))
        self.norm = ScaleNorm(dim)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)

    def tokens(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, H W) int64, the nearest color of the palette. In full precision: half of it confuses neighbors."""
        with torch.autocast(images.device.type, enabled=False):
            pixels = self.normalize(images).movedim(1, 3).to(self.palette.dtype)  # (B, H, W, C)
            return nearest_centroid(pixels.flatten(0, 2), self.palette).view(images.shape[0], -1)

    def to_pixels(self, tokens: Tensor, size: int) -> Tensor:
        """(B, T) -> (B, C, size, size) in [0, 1]."""
        return ((self.palette[tokens] + 1) / 2).clamp(0, 1).unflatten(1, (size, -1)).movedim(3, 1)

    def embed(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T), mask (B, T) with 1 where hidden -> h^0 (B, T, d)."""
        x: Tensor = self.embedding(tokens)
        if self.causal:
            x = torch.cat([self.start.to(x.dtype).expand(x.shape[0], 1, -1), x[:, :-1]], dim=1)
        elif mask is not None:
            x = x * (1 - mask.to(x)).unsqueeze(2)
        return x + self.positions

    def hidden(self, tokens: Tensor, mask: Tensor | None = None) -> Iterator[Tensor]:
        """-> h^0 .. h^depth, (B, T, d) each."""
        x = self.embed(tokens, mask)
        yield x
        for block in self.blocks:
            x, _ = block(x, self.causal)
            yield x

    def features(self, tokens: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """-> (B, d) each: the mean over places of h^l after the norm that block l begins with, the last norm for h^depth."""
        norms = [*(block.norm1 for block in self.blocks), self.norm]
        return [norm(x).mean(1) for norm, x in zip(norms, self.hidden(tokens, mask), strict=True)]  # type: ignore[operator]

    def last(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """-> (B, T, d), from which place i is predicted at i."""
        *_, x = self.hidden(tokens, mask)
        normed: Tensor = self.norm(x)
        return normed

    def step(self, token: Tensor | None, place: int, caches: list[Cache] | None, batch: int) -> tuple[Tensor, list[Cache]]:
        """What leaves the last norm at `place` (batch, d), given the token before it (None at 0) and the caches of all places before."""
        before = self.start.expand(batch, -1) if token is None else self.embedding(token)
        x, kept = (before + self.positions[place]).unsqueeze(1), []
        for k, block in enumerate(self.blocks):
            x, cache = block(x, True, caches[k] if caches else None)
            kept.append(cache)
        return self.norm(x).squeeze(1), kept

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return self.named(self.features(self.tokens(images)))

    def named(self, features: list[Tensor]) -> dict[str, Tensor]:
        return {f"block{k}": x for k, x in enumerate(features)}

    @property
    def middle(self) -> str:
        """The stage that the paper finds best."""
        return f"block{(self.depth + 1) // 2}"

    def map(self, images: Tensor) -> Tensor:
        return self.stages(images)[self.middle][:, :, None, None]
