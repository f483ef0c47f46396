"""Trains as one rank of several: `torchrun --nproc-per-node=N -m ssl_pipelines.training SPEC`. The same entry serves several
hosts."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from ssl_pipelines.artifacts import InputError, read_json, write_json
from ssl_pipelines.distributed import rank
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.launch import end_with_parent
from ssl_pipelines.training.pretrain import pretrain
from ssl_pipelines.training.runtime import RuntimeConfig, device_of
from ssl_pipelines.training.watch import Stopped


def main(spec: Path) -> int:
    end_with_parent()
    body = read_json(spec)
    runtime = RuntimeConfig.of(body["runtime"], "runtime")
    device = device_of(runtime)
    logging.basicConfig(
        level=logging.INFO if int(os.environ.get("RANK", "0")) == 0 else logging.ERROR, format="%(message)s", stream=sys.stdout
    )
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Gloo is loaded beside NCCL, since flags such as "interrupted" are reduced as CPU tensors.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    work = Path(body["work"])
    try:
        pretrain(RunConfig.load(body["config"]), runtime, Path(body["store"]), work)
    except (InputError, KeyboardInterrupt) as problem:
        if rank() == 0:
            kind = "stopped" if isinstance(problem, Stopped) else "input" if isinstance(problem, InputError) else "interrupted"
            write_json(work / "problem.json", {"kind": kind, "message": str(problem)})
        return 1
    finally:
        dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
