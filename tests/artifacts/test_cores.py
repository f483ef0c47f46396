"""The cores that may be used, as the affinity mask and control groups (v1, v2) say; what every entry tells OpenMP before torch loads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from projects import ROOT
from ssl_pipelines.artifacts import InputError, cores
from ssl_pipelines.artifacts.cores import WAITING, quotas, set_thread_environment, usable_cores
from ssl_pipelines.training import runtime
from ssl_pipelines.training.runtime import RuntimeConfig, num_threads, num_workers

V2 = "31 23 0:28 {root} {mount} rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 {root} {mount} rw,relatime - cgroup cgroup rw,cpu,cpuacct"
MEMORY = "33 31 0:30 / /nowhere/memory rw,relatime - cgroup cgroup rw,memory"


def process(folder: Path, groups: str, mount: str, root: str = "/", **limits: str) -> Path:
    """A folder as /proc/self, for a process in `groups`; `limits`: the group's path with __ for each slash -> its quota and period."""
    proc, mounted = folder / "proc", folder / "cgroup fs"
    proc.mkdir()
    (proc / "cgroup").write_text(groups)
    (proc / "mountinfo").write_text(f"{MEMORY}\n{mount.format(root=root, mount=str(mounted).replace(' ', chr(92) + '040'))}\n")
    for name, limit in limits.items():
        group = mounted / name.strip("_").replace("__", "/")
        group.mkdir(parents=True, exist_ok=True)
        if mount is V2:
            (group / "cpu.max").write_text(f"{limit}\n")
        else:
            most, period = limit.split()
            (group / "cpu.cfs_quota_us").write_text(f"{most}\n")
            (group / "cpu.cfs_period_us").write_text(f"{period}\n")
    return proc


CASES = {
    "v2, a container's own group": (("0::/\n", V2, "/"), {"_": "200000 100000"}, [2.0]),
    "v2, a group below one with less": (("0::/a/b\n", V2, "/"), {"a": "150000 100000", "a__b": "400000 100000"}, [4.0, 1.5]),
    "v2, no limit": (("0::/a\n", V2, "/"), {"a": "max 100000"}, []),
    "v2, another group's limit": (("0::/a\n", V2, "/"), {"a": "max 100000", "other": "100000 100000"}, []),
    "v1": (("5:cpuset:/\n4:cpu,cpuacct:/a\n0::/\n", V1, "/"), {"a": "300000 100000", "_": "-1 100000"}, [3.0]),
    "v1, a container that sees its own group's mount": (
        ("4:cpu,cpuacct:/docker/1f\n", V1, "/docker/1f"),
        {"_": "50000 100000"},
        [0.5],
    ),
    "v1, the group's path is another container's": (("4:cpu,cpuacct:/docker/1f\n", V1, "/kube/2"), {"_": "50000 100000"}, [0.5]),
    "v1, no limit": (("4:cpu,cpuacct:/\n", V1, "/"), {"_": "-1 100000"}, []),
}


@pytest.mark.parametrize("name", CASES)
def test_quotas_of_a_group_and_of_those_above_it(tmp_path, monkeypatch, name):
    (groups, mount, root), limits, expected = CASES[name]
    proc = process(tmp_path, groups, mount, root, **limits)
    assert list(quotas(proc)) == expected
    monkeypatch.setattr(cores, "affinity", lambda: 64)
    assert usable_cores(proc) == max(1, min([64, *(-int(-quota // 1) for quota in expected)]))


def test_what_is_no_group_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "affinity", lambda: 7)
    assert usable_cores(tmp_path / "macOS has no proc") == 7
    proc = process(tmp_path, "0::/\n", V2, _="nonsense")
    assert usable_cores(proc) == 7


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity masks")
def test_the_affinity_mask_counts_for_threads_and_workers():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from ssl_pipelines.training.runtime import *\nimport torch\nset_up(RuntimeConfig(accelerator='cpu'))\n"
        "print(torch.get_num_threads(), num_workers(RuntimeConfig()), num_threads(RuntimeConfig(), 8, ranks=2))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1", "1"]


def test_auto_and_given_numbers_of_threads_and_workers(monkeypatch):
    monkeypatch.setattr(runtime, "usable_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    auto, two = RuntimeConfig(), RuntimeConfig(threads=2, workers=3)
    assert (auto.threads, auto.workers) == ("auto", "auto")
    assert (num_workers(auto), num_workers(two)) == (4, 3)
    assert num_threads(auto, 64) == 4, "torch counts the machine, the container has less"
    assert num_threads(auto, 3) == 3, "torch counts no hyperthreads"
    assert [num_threads(auto, 64, ranks) for ranks in (2, 4, 9)] == [2, 1, 1]
    assert [num_threads(two, 64, ranks) for ranks in (1, 4)] == [2, 2]
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert num_threads(auto, 8) == 8, "the user's word"
    assert num_threads(auto, 8, 2) == 2
    assert num_threads(auto, 1, 2) == 1


@pytest.mark.parametrize("value", [0, -1, "many", 1.5, None])
@pytest.mark.parametrize("key", ["threads", "workers"])
def test_other_numbers_are_refused(key, value):
    with pytest.raises(InputError, match=rf"runtime\.{key}={value!r} is refused.*'auto'") as caught:
        RuntimeConfig.of({key: value}, "runtime")
    assert "\n" not in str(caught.value)


def test_the_environment_is_set_unless_the_user_did(tmp_path, monkeypatch):
    quota, none = process(tmp_path, "0::/\n", V2, _="200000 100000"), tmp_path / "none"
    monkeypatch.setattr(cores, "affinity", lambda: 64)
    for given, proc, expected in [
        ({}, none, WAITING),
        ({}, quota, WAITING | {"OMP_NUM_THREADS": "2"}),
        ({"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "6"}, quota, {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "6"}),
        ({"GOMP_SPINCOUNT": "500"}, none, {"GOMP_SPINCOUNT": "500"}),
        ({"KMP_BLOCKTIME": "200"}, none, {"KMP_BLOCKTIME": "200"}),
    ]:
        environment = dict(given)
        set_thread_environment(environment, proc)
        assert environment == expected


ENTRIES = {
    "the package": ["-c", "import ssl_pipelines, torch"],
    "the command line": ["-m", "kedro", "methods", "--json"],
    "a rank": ["-m", "ssl_pipelines.training", "no-such-spec.json"],
    "a row of the leaderboard": ["-m", "ssl_pipelines.orchestration.leaderboard", "no-such-job.json"],
    "a served model": ["-c", "import ssl_pipelines.orchestration.mlflow.served_encoder"],
    "the benchmarks": ["-c", "import benchmarks, torch"],
}


def policies(words: list[str], folder: Path, **given: str) -> set[str]:
    """What each copy of GNU's OpenMP says of itself, as `python *words` loads it in `folder`."""
    environment = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    environment |= {"OMP_DISPLAY_ENV": "true", "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])} | given
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return set(re.findall(r"OMP_WAIT_POLICY = '(\w+)'", done.stderr))


@pytest.fixture(scope="module")
def gnu(tmp_path_factory) -> None:
    if not policies(["-c", "import torch"], tmp_path_factory.mktemp("gnu")):
        pytest.skip("torch's OpenMP here is not GNU's, which alone tells its settings")


@pytest.mark.parametrize("entry", ENTRIES)
def test_threads_wait_asleep_in_every_entry(gnu, entry, tmp_path):
    assert policies(ENTRIES[entry], tmp_path) == {"PASSIVE"}


def test_the_users_policy_stays(gnu, tmp_path):
    assert policies(ENTRIES["the package"], tmp_path, OMP_WAIT_POLICY="ACTIVE") == {"ACTIVE"}


def test_make_hands_it_to_what_it_starts():
    show = ["make", "--no-print-directory", "-C", str(ROOT), "--eval=show:; @echo $$OMP_WAIT_POLICY $$GOMP_SPINCOUNT", "show"]
    environment = {key: value for key, value in os.environ.items() if key not in WAITING}
    told = [
        subprocess.run(show, env=environment | given, capture_output=True, text=True, check=True).stdout.strip()
        for given in ({}, {"OMP_WAIT_POLICY": "ACTIVE"})
    ]
    assert told == ["PASSIVE 1000", "ACTIVE"]
