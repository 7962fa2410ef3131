"""Where a command runs: closed or full streams, other encodings, no home, signals. Never a traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest
from tests.conftest import environment

from popeq.caches import NOWHERE, cache_folder
from popeq.cli import process
from popeq.cli.process import OutputError, prepared
from popeq.errors import UsageError

POPEQ = f"{sys.executable} -c 'from popeq.cli import main; main()'"


def shell(line, tmp_path, **env):
    """A shell's line in which ``popeq`` stands for the command line."""
    return subprocess.run(
        ["bash", "-c", line.replace("popeq", POPEQ)],
        cwd=tmp_path,
        env=environment(env),
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "status", "out", "err"),
    [
        (
            "popeq --version >/dev/full",
            1,
            b"",
            b"popeq: the output cannot be written: No space left on device\n",
        ),
        ("popeq data show no-such-set 2>/dev/full", 2, b"", b""),
        ("popeq --version >&-", 0, b"", b""),
        ("popeq data show no-such-set <&- >&- 2>&-", 2, b"", b""),
        ("popeq --help | true; exit ${PIPESTATUS[0]}", 1, b"", b""),
        ("popeq ask -p no-such-predictor <&-", 2, b"", b"popeq: "),
    ],
)
def test_streams_that_are_closed_or_full_are_one_line_at_most(tmp_path, line, status, out, err):
    done = shell(line, tmp_path)
    assert (done.returncode, done.stdout) == (status, out)
    assert done.stderr.startswith(err)
    assert done.stderr.count(b"\n") == (1 if err else 0)


def test_closed_input_is_an_empty_input(popeq_inside, small, monkeypatch, tmp_path):
    with (tmp_path / "empty").open("w+") as empty:
        monkeypatch.setattr(sys, "stdin", empty)
        done = popeq_inside("ask", "-p", "prior", "--dataset", small)
    assert done.returncode == 2
    assert done.stderr == "popeq: no SENTENCE is given, and the input has none: write one a line\n"


def python(code, redirected="", **env):
    """What Python prints after the streams have been opened as for a command."""
    whole = f"from popeq.cli.process import _open_streams; _open_streams(); {code}"
    words = ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-c", whole]
    return subprocess.run(words, env=environment(env), capture_output=True, check=True).stdout


def test_a_number_that_the_caller_closed_is_never_that_of_another_file():
    assert python("print(open('/dev/null').fileno() > 2)", "<&-") == b"True\n"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("latin-1", "'warm' - + | Ü >= \\u65e5 \\ud83c\\udfb5 \\udcff"),
        ("ascii", "'warm' - + | \\u00dc >= \\u65e5 \\ud83c\\udfb5 \\udcff"),
        ("utf-8", "“warm” ─ ┼ │ Ü ≥ 日 🎵 \\udcff"),
        ("latin-1:replace", "?warm? ? ? ? Ü ? ? ? ?"),
    ],
)
def test_every_character_can_be_printed_on_every_terminal(encoding, shown):
    printed = python("print('“warm” ─ ┼ │ Ü ≥ 日 🎵 \\udcff')", PYTHONIOENCODING=encoding)
    assert printed.decode(encoding.partition(":")[0]) == shown + "\n"


def test_text_that_the_terminal_cannot_have_is_valid_json_and_csv_all_the_same():
    for character in map(chr, [*range(0xA0, 0x3000), 0x1F3B5]):
        plain, _ = process._plain(UnicodeEncodeError("ascii", character, 0, 1, ""))
        assert plain.isascii()
        assert not set(plain) & set('",\n')


def test_without_a_home_libraries_get_one_in_which_nothing_is(monkeypatch):
    def nobody(_):
        raise KeyError

    for name in ("HOME", "POPEQ_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with prepared():
        assert os.environ["HOME"] == os.devnull
        assert cache_folder() == NOWHERE


def test_a_current_folder_that_is_gone_is_one_line(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match="current folder is not there any more"), prepared():
        pass


def test_errors_of_the_machine_are_one_line_and_those_of_the_program_are_not(monkeypatch):
    for error, line in (
        (PermissionError(13, "Permission denied", "/etc/x"), "/etc/x: Permission denied"),
        (OSError(28, "No space left on device"), "the output cannot be written: No space left on device"),
    ):
        with pytest.raises(OutputError, match=line), prepared():
            raise error
    with monkeypatch.context() as patch:
        patch.setattr("tempfile._candidate_tempdir_list", lambda: ["/dev/null"])
        patch.setattr("tempfile.tempdir", None)
        with (
            pytest.raises(UsageError, match=r"No usable temporary directory found .*; set TMPDIR"),
            prepared(),
        ):
            tempfile.TemporaryDirectory()
    with pytest.raises(FileNotFoundError), prepared():
        raise FileNotFoundError(2, "No such file or directory", "a bug")


def test_a_terminal_that_is_gone_when_the_command_ends_is_no_error_of_its_own():
    def command():
        with prepared():
            try:
                raise KeyboardInterrupt
            finally:
                raise OSError(5, "Input/output error")

    with pytest.raises(KeyboardInterrupt):
        command()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_that_ends_the_command_lets_it_clean_up(number):
    cleaned = []

    def command():
        with prepared(), contextlib.ExitStack() as at_the_end:
            at_the_end.callback(
                lambda: (os.kill(os.getpid(), number), time.sleep(0.01), cleaned.append(True))
            )
            os.kill(os.getpid(), number)
            time.sleep(5)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        command()
    assert cleaned == [True]
    assert signal.getsignal(number) is before


def test_a_signal_that_is_ignored_as_by_nohup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with prepared():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGHUP, before)
