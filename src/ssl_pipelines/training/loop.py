"""The training loop. What differs between methods is behind the interface `Method`; all random draws are functions of (seed,
step)."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_pipelines.distributed import AveragedBackward, rank
from ssl_pipelines.methods.base import Clock, Method, Output, ParamGroup, Sampling
from ssl_pipelines.methods.config import OptimizerConfig
from ssl_pipelines.training.embedding import embed_on_all_ranks
from ssl_pipelines.training.feed import Feed
from ssl_pipelines.training.optim import build_optimizers, clip_gradients, set_schedules, trained
from ssl_pipelines.training.randomness import derive
from ssl_pipelines.training.watch import Stopped


@dataclass(frozen=True, slots=True)
class StepResult:
    loss: Tensor  # (), detached, mean over this rank's micro-batches
    metrics: dict[str, Tensor]  # the same
    learning_rate: float


class Loop:
    """A method, its optimizers and its feed. What `run_step(k)` draws depends on the seed and on k alone."""

    def __init__(self, method: Method, feed: Feed, config: OptimizerConfig, total_steps: int, seed: int, precision: str):
        self.method, self.feed, self.total_steps, self.seed = method, feed, total_steps, seed
        self.device = feed.device
        # A run of fewer than `min_epochs` passes is cut into that many epochs, so that per-epoch hooks still run; the order of
        # samples stays.
        feed.steps_per_epoch = min(feed.steps_per_epoch, max(1, total_steps // method.min_epochs))
        self.precision = precision
        self.optimizers = build_optimizers(method, config)
        self.backward = {name: AveragedBackward(trained(optimizer)) for name, (optimizer, _) in self.optimizers.items()}
        self.groups = method.param_groups()

    def clock(self, step: int) -> Clock:
        return Clock(step, self.total_steps, step // self.feed.steps_per_epoch)

    def run_step(self, step: int) -> StepResult:
        clock = self.clock(step)
        if step % self.feed.steps_per_epoch == 0:
            self._begin_epoch(clock)
        rate = 0.0
        for name, (optimizer, config) in self.optimizers.items():
            set_to = set_schedules(optimizer, config, self.feed.batch_size, step, self.total_steps)
            rate = set_to if name == "main" else rate
        batches = self.feed.batches(step, self.total_steps)
        torch.manual_seed(derive(self.seed, "step", step))  # noise inside `loss` repeats too
        self.method.train()
        outputs = self._accumulated(batches, clock) if len(batches) > 1 else self._stepped(batches[0], clock)
        with torch.no_grad():
            self.method.after_step(outputs, clock)
        names = dict.fromkeys(name for output in outputs for name in output.metrics)
        metrics = {name: _mean(output.metrics[name] for output in outputs if name in output.metrics) for name in names}
        return StepResult(_mean(output.loss for output in outputs), metrics, rate)

    def _stepped(self, batch: object, clock: Clock) -> list[Output]:
        """One optimizer step at every yield of the method."""
        outputs: list[Output] = []
        losses = self.method.losses(batch, clock)  # type: ignore[arg-type]
        while True:
            with self._autocast():
                output = next(losses, None)
            if output is None:
                return outputs
            self._zero()
            self.backward[output.optimizer].backward(output.loss)
            self._step(output.optimizer, clock)
            outputs.append(output)

    def _accumulated(self, batches: list, clock: Clock) -> list[Output]:
        """One optimizer step for all micro-batches together."""
        self._zero()
        outputs = []
        for k, batch in enumerate(batches, start=1):
            with self._autocast():
                output = self.method.loss(batch, clock)
            self.backward[output.optimizer].backward(output.loss / len(batches), last=k == len(batches))
            outputs.append(output)
        self._step(outputs[0].optimizer, clock)
        return outputs

    def _step(self, name: str, clock: Clock) -> None:
        optimizer, config = self.optimizers[name]
        for group in self.groups:
            if clock.epoch < group.frozen_epochs:
                for parameter in group.module.parameters():
                    parameter.grad = None  # without a gradient the optimizer skips it, weight decay included
        clip_gradients(optimizer, config)
        optimizer.step()

    def _zero(self) -> None:
        for parameter in self.method.parameters():
            parameter.grad = None

    def _autocast(self) -> contextlib.AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _begin_epoch(self, clock: Clock) -> None:
        torch.manual_seed(derive(self.seed, "epoch", clock.epoch))
        with torch.no_grad():
            self.feed.sampling = self.method.before_epoch(clock, self.embed)
        for group in self.groups:
            if group.reset_each_epoch and clock.epoch:
                self._reset(group)

    def _reset(self, group: ParamGroup) -> None:
        for module in group.module.modules():
            reset: Callable[[], None] | None = getattr(module, "reset_parameters", None)
            if reset is not None:
                reset()
        for optimizer, _ in self.optimizers.values():
            for parameter in group.module.parameters():
                optimizer.state.pop(parameter, None)

    @torch.no_grad()
    def embed(self, function: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """`function` (None: `encode`) of the whole training set, (N, D) in evaluation mode, on the CPU. Every rank does its share."""
        self.method.eval()
        facts = (self.method.image_size, self.device)
        z = embed_on_all_ranks(self.feed.store, self.feed.ids, function or self.method.encode, *facts)
        self.method.train()
        return z

    def state(self) -> dict:
        """All that a step depends on: weights, buffers, optimizers, the epoch's sampling."""
        sampling = self.feed.sampling
        return {
            "method": self.method.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, (optimizer, _) in self.optimizers.items()},
            "sampling": None if sampling is None else {"ids": sampling.ids, "weights": sampling.weights},
        }

    def load(self, state: dict) -> None:
        self.method.load_state_dict(state["method"])
        for name, (optimizer, _) in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.feed.sampling = None if state["sampling"] is None else Sampling(**state["sampling"])


def _mean(values: Iterable[Tensor]) -> Tensor:
    return torch.stack([value.detach().float() for value in values]).mean()


def finite_weights(method: Method) -> bool:
    """Whether all weights are finite: a step after a finite loss may still overflow them."""
    return all(bool(parameter.isfinite().all()) for parameter in method.parameters())


def check_loss(value: float, step: int) -> float:
    """`value`. Raises Stopped where it is not finite."""
    if not math.isfinite(value):
        raise _diverged(f"the loss is {value} at step {step}")
    return value


def check_weights(method: Method, step: int) -> None:
    """Raises Stopped where a weight is not finite."""
    if not finite_weights(method):
        raise _diverged(f"the weights are not finite after step {step}")


def _diverged(what: str) -> Stopped:
    return Stopped(
        f"{what}: stopped, the last good checkpoint is kept. "
        "Try a smaller pretrain.optimizer.lr, pretrain.optimizer.clip=1, or pretrain.precision=fp32"
    )


class Pace:
    """Measures images per second by the clock of rank 0. A resumed training starts from the `steps` and `seconds` of its earlier
    sittings."""

    def __init__(self, batch_size: int, steps: int = 0, seconds: float = 0.0):
        self.batch_size, self.steps, self.since = batch_size, 0, time.monotonic()
        self.total_steps, self.begin = steps, self.since - seconds

    def tick(self) -> None:
        self.steps += 1
        self.total_steps += 1

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stops the clock meanwhile: the time of the collapse monitor is not training time."""
        began = time.monotonic()
        yield
        self.since += time.monotonic() - began
        self.begin += time.monotonic() - began

    def lap(self) -> float:
        """Images per second since the last lap."""
        now = time.monotonic()
        speed = self.steps * self.batch_size / max(now - self.since, 1e-9)
        self.steps, self.since = 0, now
        return speed

    def elapsed(self) -> float:
        return time.monotonic() - self.begin

    def overall(self) -> float:
        return self.total_steps * self.batch_size / max(self.elapsed(), 1e-9)


def is_first() -> bool:
    return rank() == 0
