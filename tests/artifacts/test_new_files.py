"""Files and folders appear whole or not at all, whenever the process dies."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ssl_pipelines.artifacts import InputError, new_file, new_folder, read_json, write_json
from ssl_pipelines.artifacts import files as files_module
from ssl_pipelines.artifacts.files import recover_folder


def tree(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_file_takes_the_place_of_the_former_one(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    for text in ("one", "two"):
        with new_file(target) as partial:
            partial.write_text(text)
            assert not target.exists() or target.read_text() == "one"
    assert tree(tmp_path) == {"deep/a.txt": "two"}


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OSError(errno.EIO, "x")])
def test_an_error_leaves_the_former_file_and_no_scraps(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("former")
    with pytest.raises(type(error)), new_file(target) as partial:
        partial.write_text("half")
        raise error
    assert tree(tmp_path) == {"a.txt": "former"}


def test_an_error_leaves_the_former_folder_and_no_scraps(tmp_path):
    target = tmp_path / "room"
    write(target, "former")
    with pytest.raises(ValueError, match="x"), new_folder(target) as partial:
        (partial / "a.txt").write_text("half")
        raise ValueError("x")
    assert tree(tmp_path) == {"room/a.txt": "former"}


def write(target: Path, text: str) -> None:
    with new_folder(target) as partial:
        (partial / "a.txt").write_text(text)


def test_a_folder_takes_the_place_of_the_former_one(tmp_path):
    target = tmp_path / "room"
    write(target, "one")
    with new_folder(target) as partial:
        (partial / "sub").mkdir()
        (partial / "sub" / "b.txt").write_text("two")
    assert tree(tmp_path) == {"room/sub/b.txt": "two"}
    assert [p.name for p in tmp_path.iterdir()] == ["room"]


def child_that_dies(target: Path, calls_before: int) -> None:
    """Writes `target` anew in a process that is killed before system call number `calls_before` of renaming or removing."""
    count = 0

    def deadly(real):
        def call(*arguments, **options):
            nonlocal count
            count += 1
            if count > calls_before:
                os.kill(os.getpid(), 9)
            return real(*arguments, **options)

        return call

    Path.rename = deadly(Path.rename)
    files_module.shutil.rmtree = deadly(files_module.shutil.rmtree)
    write(target, "new")


@pytest.mark.parametrize(("calls_before", "left"), [(0, "former"), (1, "former"), (2, "new"), (3, "new")])
def test_a_kill_at_any_point_leaves_one_whole_folder(tmp_path, calls_before, left):
    target = tmp_path / "room"
    write(target, "former")
    child = os.fork()
    if child == 0:
        child_that_dies(target, calls_before)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == (-9 if calls_before < 3 else 0)
    recover_folder(target)
    assert tree(tmp_path) == {"room/a.txt": left}
    write(target, "again")
    assert tree(tmp_path) == {"room/a.txt": "again"}


def test_a_failed_rename_brings_the_former_folder_back(tmp_path, monkeypatch):
    target = tmp_path / "room"
    write(target, "former")
    real = Path.rename

    def rename(self, other):
        if self.name == "room.partial":
            raise OSError(errno.EIO, "the disk is ill")
        return real(self, other)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="ill"):
        write(target, "new")
    assert tree(tmp_path) == {"room/a.txt": "former"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("make", [new_file, new_folder])
def test_a_full_disk_is_one_line(tmp_path, make, number):
    with pytest.raises(InputError, match="no space left on the device") as caught, make(tmp_path / "x"):
        raise OSError(number, os.strerror(number))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_everything_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    calls: list[str] = []
    sync, rename = files_module._sync, Path.rename
    monkeypatch.setattr(files_module, "_sync", lambda path: (calls.append(f"sync {path.name}"), sync(path)))
    monkeypatch.setattr(Path, "rename", lambda self, to: (calls.append(f"rename {self.name}"), rename(self, to))[1])
    with new_folder(tmp_path / "room") as partial:
        (partial / "sub").mkdir()
        (partial / "sub" / "a.txt").write_text("x")
    last = calls.index("rename room.partial")
    assert {"sync a.txt", "sync sub", "sync room.partial"} <= set(calls[:last])
    assert calls[last + 1 :] == [f"sync {tmp_path.name}"]


def test_json_round_trips_and_refuses_nan(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, 2.5, "ü"], "a": None})
    assert read_json(path) == {"b": [1, 2.5, "ü"], "a": None}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"x": float("nan")})
    assert read_json(path)["a"] is None


@pytest.mark.parametrize(("content", "words"), [(None, "is missing"), (b"{half", "is not JSON"), (b"\xff\xfe", "is not JSON")])
def test_an_unreadable_json_is_one_line(tmp_path, content, words):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_the_folder_behind_it_is_replaced(tmp_path, there):
    disk, target = tmp_path / "disk/room", tmp_path / "room"
    if there:
        write(disk, "former")
    target.symlink_to(disk)
    for content in ("new", "newer"):
        write(target, content)
        assert target.is_symlink()
        assert tree(disk) == {"a.txt": content}
    assert [path.name for path in disk.parent.iterdir()] == ["room"]
