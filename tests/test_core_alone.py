"""The core imports where the pipeline tools are not installed."""

from __future__ import annotations

import subprocess
import sys

BLOCKED = """
import importlib, importlib.abc, pkgutil, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"kedro", "kedro_datasets", "mlflow", "dvc", "great_expectations"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
import ssl_pipelines

beside = {"pipelines", "orchestration", "hooks", "settings", "pipeline_registry", "cli", "plugin"}
for module in pkgutil.walk_packages(ssl_pipelines.__path__, "ssl_pipelines."):
    if module.name.split(".")[1] not in beside and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        print(module.name)
"""


def test_the_core_imports_without_the_pipeline_tools():
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ssl_pipelines.training.pretrain" in done.stdout
    assert "ssl_pipelines.evaluation.linear" in done.stdout
