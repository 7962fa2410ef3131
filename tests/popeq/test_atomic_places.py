"""Where writing ends up: links are followed, modes kept, the umask honoured, devices written through."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from popeq.atomic import UnwritableError, new_file, new_folder, write_text
from popeq.errors import UsageError


@pytest.fixture
def umask():
    """Set the umask of this test: ``umask(0o077)``."""
    old = os.umask(0o022)
    yield os.umask
    os.umask(old)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_the_file_that_it_leads_to_is_replaced(tmp_path, there):
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "real.txt", tmp_path / "link.txt"
    if there:
        real.write_text("old")
    link.symlink_to("elsewhere/real.txt")
    write_text(link, "new")
    assert link.is_symlink()
    assert not real.is_symlink()
    assert real.read_text() == "new"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["elsewhere", "link.txt", "real.txt"]


def test_an_old_file_keeps_its_mode_and_a_new_one_has_that_of_the_umask(tmp_path, umask):
    for mask, expected in ((0o077, 0o600), (0o022, 0o644), (0o002, 0o664)):
        umask(mask)
        new = tmp_path / f"{mask}.txt"
        write_text(new, "new")
        assert mode(new) == expected
        for old_mode in (0o600, 0o640, 0o666, 0o755):
            new.chmod(old_mode)
            write_text(new, "newer")
            assert mode(new) == old_mode


def test_a_new_folder_has_the_modes_of_the_umask_whatever_a_library_made_of_its_files(tmp_path, umask):
    for mask, folder_mode, file_mode in ((0o077, 0o700, 0o600), (0o002, 0o775, 0o664)):
        umask(mask)
        with new_folder(tmp_path / str(mask)) as folder:
            (folder / "inside").mkdir(0o700)
            (folder / "inside" / "file").touch(0o600)
        made = tmp_path / str(mask)
        assert [mode(p) for p in (made, made / "inside", made / "inside" / "file")] == [
            folder_mode,
            folder_mode,
            file_mode,
        ]


def test_a_folder_keeps_its_mode_and_the_link_to_it(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir(0o700)
    link.symlink_to(real)
    for number in range(2):  # into the empty folder, then in its place
        with new_folder(link, replace=number > 0) as folder:
            (folder / f"file{number}").touch()
        assert link.is_symlink()
        assert mode(real) == 0o700
        assert [p.name for p in real.iterdir()] == [f"file{number}"]


@pytest.fixture
def device(tmp_path) -> Path:
    """A device that takes everything; root, who could replace the machine's own, gets one to lose."""
    if os.geteuid():
        return Path(os.devnull)
    try:
        os.mknod(tmp_path / "null", stat.S_IFCHR | 0o666, Path(os.devnull).stat().st_rdev)
        (tmp_path / "null").write_bytes(b"")
    except OSError as error:
        pytest.skip(f"root may not make a device that can be used here: {error}")
    return tmp_path / "null"


def test_a_device_stays_a_device(tmp_path, device):
    (tmp_path / "link").symlink_to(device)
    before = device.stat()
    assert stat.S_ISCHR(before.st_mode)
    for path in (tmp_path / "link", device):
        write_text(path, "gone")
    after = device.stat()
    assert stat.S_ISCHR(after.st_mode)
    assert after.st_ino == before.st_ino
    assert (tmp_path / "link").is_symlink()


def test_a_named_pipe_gets_the_content(tmp_path):
    pipe, read = tmp_path / "pipe.txt", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with new_file(pipe, ".txt") as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("through")
    reader.join(10)
    assert read == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert not temporary.exists()


def test_an_open_file_is_continued_where_it_is_and_a_pipe_too(tmp_path):
    with (tmp_path / "out.txt").open("wb", buffering=0) as out:
        out.write(b"before\n")
        (tmp_path / "stdout").symlink_to(f"/dev/fd/{out.fileno()}")
        write_text(tmp_path / "stdout", "written\n")
        out.write(b"after\n")
    assert (tmp_path / "out.txt").read_text() == "before\nwritten\nafter\n"
    receiving, sending = os.pipe()
    write_text(Path(f"/proc/self/fd/{sending}" if Path("/proc").is_dir() else f"/dev/fd/{sending}"), "x")
    os.close(sending)
    assert os.read(receiving, 10) == b"x"
    os.close(receiving)


def test_what_cannot_be_written_is_one_line_that_says_where_and_wrong_use(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "round").symlink_to("round")
    for path, words in (
        (tmp_path / "nowhere" / "x", f"there is no folder {tmp_path}/nowhere"),
        (tmp_path / "file" / "x", f"there is no folder {tmp_path}/file"),
        (tmp_path / "folder", "Is a directory"),
        (tmp_path / "round", "symbolic links"),
        (Path("/dev/fd/987"), "Bad file descriptor|there is no folder"),
    ):
        with pytest.raises(UnwritableError, match=words) as raised:
            write_text(path, "new")
        assert raised.value.exit_code == UsageError.exit_code
        assert "\n" not in str(raised.value)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everything
    with pytest.raises(UnwritableError, match=r"file: cannot be written: the folder .* cannot be written"):
        write_text(tmp_path / "file", "new")


def test_a_full_disk_is_no_wrong_use(tmp_path):
    def full():
        with new_file(tmp_path / "x"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UnwritableError, match="No space left on device; free some disk space") as raised:
        full()
    assert raised.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_long_name_can_be_written(tmp_path):
    path = tmp_path / ("x" * 250 + ".txt")
    write_text(path, "new")
    with new_folder(tmp_path / ("y" * 250)):
        pass
    assert len(list(tmp_path.iterdir())) == 2
