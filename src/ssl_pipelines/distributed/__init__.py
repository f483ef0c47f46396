"""Several ranks as one process on the whole batch: gather, reduce, rows of a global draw."""

from ssl_pipelines.distributed.gradients import AveragedBackward, average_gradients
from ssl_pipelines.distributed.group import all_reduce_mean, gather_rows, local_rows, rand_rows, rank, world_size

__all__ = [
    "AveragedBackward",
    "all_reduce_mean",
    "average_gradients",
    "gather_rows",
    "local_rows",
    "rand_rows",
    "rank",
    "world_size",
]
