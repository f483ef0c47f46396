"""One table of relative biases for all blocks, and drop path drawn for the global batch."""

from __future__ import annotations

import torch

from small_runs import on_ranks
from ssl_pipelines.distributed import local_rows
from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.drop_path import DropPath
from ssl_pipelines.networks.relative import RelativeViT, relative_index


def test_an_entry_an_offset_and_three_for_the_class_token():
    side = 3
    index = relative_index(side)
    seen: dict[tuple[int, int], int] = {}
    for i in range(side * side):
        for j in range(side * side):
            offset = (i // side - j // side, i % side - j % side)
            entry = int(index[1 + i, 1 + j])
            assert seen.setdefault(offset, entry) == entry
    assert len(set(seen.values())) == len(seen) == (2 * side - 1) ** 2
    first = index[0, 0].item(), index[0, 1:].unique().item(), index[1:, 0].unique().item()
    assert sorted({*first, *seen.values()}) == list(range((2 * side - 1) ** 2 + 3))


def small() -> RelativeViT:
    torch.manual_seed(0)
    return RelativeViT(1, 24, 2, 3, 4, grid=3).double().eval()


def test_attention_is_that_of_the_formula():
    """The first block by hand: softmax(q k / sqrt(d) + bias) v."""
    vit = small()
    torch.nn.init.normal_(vit.bias)
    x = torch.randn(2, 10, 24, dtype=torch.float64)
    attention = vit.blocks[0].attn
    q, k, v = attention.qkv(x).reshape(2, 10, 3, 3, 8).permute(2, 0, 3, 1, 4)
    rows = []
    for head in range(3):
        bias = torch.tensor([[vit.bias[vit.index[i, j], head].item() for j in range(10)] for i in range(10)], dtype=torch.float64)
        rows.append((q[:, head] @ k[:, head].transpose(1, 2) / 8**0.5 + bias).softmax(2) @ v[:, head])
    by_hand = attention.proj(torch.cat(rows, dim=2))
    mask = vit.bias[vit.index].permute(2, 0, 1).unsqueeze(0)
    torch.testing.assert_close(attention(x, attn_mask=mask), by_hand)


def test_all_blocks_share_the_table_and_nothing_absolute_is_left():
    vit = small()
    images = torch.rand(2, 1, 12, 12, dtype=torch.float64)
    torch.nn.init.zeros_(vit.bias)
    tokens = vit.embed(images)
    order = torch.randperm(9)
    plain, shuffled = (vit.encode_tokens(part)[-1] for part in (tokens, tokens[:, order]))
    torch.testing.assert_close(plain[:, 1:][:, order], shuffled[:, 1:])  # without biases no place is known
    vit.encode_tokens(tokens)[-1].square().sum().backward()
    assert vit.bias.grad is not None
    assert [name for name, _ in vit.named_parameters() if "bias" in name.split(".")[0]] == ["bias"]


def test_it_is_built_from_the_block_and_loads_its_own_weights():
    config = BackboneConfig(name="vit_mini", depth=2, positions="relative", drop_path=0.2)
    one, two = (build_encoder(config, 3, 32) for _ in range(2))
    assert isinstance(one, RelativeViT)
    assert one.bias.shape == ((2 * 8 - 1) ** 2 + 3, 3)
    two.load_state_dict(one.state_dict())
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(one.eval()(images), two.eval()(images))


def test_drop_path_keeps_the_mean_and_drops_whole_branches():
    torch.manual_seed(0)
    out = DropPath(0.25)(torch.ones(4000, 2, 3))
    torch.testing.assert_close(out.unique(), torch.tensor([0.0, 4 / 3]))
    assert (out == out[:, :1, :1]).all()
    assert abs(out.mean().item() - 1) < 0.03
    assert torch.equal(DropPath(0.25).eval()(out), out)


def dropped() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    whole = torch.arange(1.0, 9).unsqueeze(1)
    return {"rows": DropPath(0.5)(whole[local_rows(8)])}


def test_ranks_drop_what_one_process_would_have_dropped(tmp_path):
    found = torch.cat([rank["rows"] for rank in on_ranks(dropped, tmp_path)])
    assert torch.equal(found, dropped()["rows"])
