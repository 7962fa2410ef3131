"""Locks keep processes apart; where a file system has none, popeq works without and says so once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings

import pytest

from popeq.errors import UsageError
from popeq.locks import Lock
from popeq.remarks import Remark, as_lines, remark

OTHER = (
    "import sys; from pathlib import Path; from popeq.locks import Lock; Lock(Path(sys.argv[1]), wait=False)"
)


def test_a_lock_keeps_others_out_until_it_is_released_or_its_process_ends(tmp_path):
    path = tmp_path / "lock"
    with Lock(path), pytest.raises(BlockingIOError):
        Lock(path, wait=False)
    held = Lock(path, wait=False)
    held.release()
    held.release()
    subprocess.run([sys.executable, "-c", OTHER, str(path)], check=True)
    with Lock(path, wait=False):
        other = subprocess.run([sys.executable, "-c", OTHER, str(path)], check=False, capture_output=True)
        assert b"BlockingIOError" in other.stderr


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_one_remark(tmp_path, monkeypatch, number):
    def none(*_):
        raise OSError(number, os.strerror(number))

    folder = tmp_path / str(number)
    folder.mkdir()
    monkeypatch.setattr("popeq.locks.fcntl.flock", none)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in ("a", "b"):
            with Lock(folder / name, wait=False):
                pass
    assert [str(w.message).startswith(f"{folder}: is on a file system without locks") for w in caught] == [
        True
    ]


def test_a_run_is_drawn_on_a_file_system_without_locks(popeq_inside, small, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("popeq.locks.fcntl.flock", none)
    done = popeq_inside("run", "random", "prior", "--dataset", small, "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("without locks") == 1
    assert done.stderr.startswith("popeq: ")


def test_a_lock_that_cannot_be_opened_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="nowhere/lock: cannot be written: No such file or directory"):
        Lock(tmp_path / "nowhere" / "lock")


def test_a_remark_is_shown_as_a_line_and_other_warnings_as_they_were(capsys):
    with warnings.catch_warnings(record=True) as caught, as_lines():
        for line in ("first\nline", "second", "first\nline"):
            remark(line)
        warnings.warn("something else", stacklevel=1)
    assert capsys.readouterr().err.splitlines() == ["popeq: first line", "popeq: second"]
    assert [str(w.message) for w in caught] == ["something else"]
    with pytest.warns(Remark, match="third"):
        remark("third")
