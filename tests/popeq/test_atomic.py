"""Files and folders are complete or absent, and an old one is unchanged until the new one is complete."""

from __future__ import annotations

import pytest

from popeq.atomic import FolderTakenError, new_file, new_folder, write_text
from popeq.errors import RunError, UsageError


def test_a_file_replaces_the_old_one_only_if_the_block_succeeds(tmp_path):
    path = tmp_path / "note.txt"
    write_text(path, "old\r\n")

    def stopped():
        with new_file(path, ".txt") as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text("half")
            raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        stopped()
    assert path.read_bytes() == b"old\r\n"
    with new_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(RunError, match=r"nowhere/note\.txt: cannot be written"):
        write_text(tmp_path / "nowhere" / "note.txt", "new")


def test_a_folder_replaces_the_old_one_only_if_that_is_wanted_and_the_block_succeeds(tmp_path):
    path = tmp_path / "parent" / "folder"

    def make(name, **options):
        with new_folder(path, **options) as temporary:
            (temporary / name).touch()
            if name == "stopped":
                raise ValueError(name)

    def inside():
        assert list(path.parent.iterdir()) == [path]
        return [p.name for p in path.iterdir()]

    make("first")
    with pytest.raises(FolderTakenError, match="already exists"):
        make("second")
    with pytest.raises(ValueError, match="stopped"):
        make("stopped", replace=True)
    assert inside() == ["first"]
    make("second", replace=True)
    assert inside() == ["second"]
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be created"), new_folder(tmp_path / "file" / "x"):
        pass
