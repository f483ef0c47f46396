"""Kedro's settings of this project."""

import logging
import os

# All telemetry of dependencies is off, nothing here phones home, and the screen is for our own lines.
for _key, _value in {
    "DO_NOT_TRACK": "true",
    "KEDRO_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}.items():
    os.environ.setdefault(_key, _value)
logging.captureWarnings(True)

from ssl_pipelines.hooks import ProjectHooks  # noqa: E402
from ssl_pipelines.screen import leave_out_hooks, log_as_the_project_says  # noqa: E402

log_as_the_project_says()

HOOKS = (ProjectHooks(),)
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_telemetry", "kedro-telemetry", "kedro-viz")
leave_out_hooks("kedro-dataset-stats", "pipeline-run-hook")  # Kedro-Viz's: they write .viz after each run
# Environments change single keys: a destructive merge would drop the rest of a block.
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft", "catalog": "soft"},
}
