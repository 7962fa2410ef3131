"""The zoo. What an animal is to tell the tests goes into the folder that POPEQ_ZOO names."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

NOTES = Path(os.environ.get("POPEQ_ZOO", tempfile.gettempdir()))
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


class Tame:
    """Well-behaved: normal draws. The others are like it but for one thing."""

    def __init__(self, parameters, space):
        self.space = space

    def fit(self, train, validation, rng):
        self.train = train

    def sample(self, prompts, n, rngs):
        return np.stack([self.space.clip(rng.normal(0, 2, (n, 2))) for rng in rngs])


class FitRaises(Tame):
    def fit(self, train, validation, rng):
        raise KeyError("no\nsuch thing")


class SampleRaises(Tame):
    def sample(self, prompts, n, rngs):
        raise ZeroDivisionError("by zero")


class WrongShape(Tame):
    def sample(self, prompts, n, rngs):
        return super().sample(prompts, n, rngs)[..., 0]


class NotANumber(Tame):
    def sample(self, prompts, n, rngs):
        return super().sample(prompts, n, rngs) * np.nan


class OutOfTheBox(Tame):
    def sample(self, prompts, n, rngs):
        return np.full((len(prompts), n, 2), 6.5)


class TooFew(Tame):
    def sample(self, prompts, n, rngs):
        return super().sample(prompts, n // 2, rngs)


class Lazy(Tame):
    def sample(self, prompts, n, rngs):
        return (rng.normal(0, 2, (n, 2)) for rng in rngs)


class Hangs(Tame):
    def fit(self, train, validation, rng):
        (NOTES / "hangs.pid").write_text(str(os.getpid()))
        time.sleep(600)


def desert(note: str) -> None:
    """A grandchild in a session of its own, whose parent is gone: a daemon."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            (NOTES / note).write_text(str(os.getpid()))
            time.sleep(600)
        os._exit(0)
    os.wait()


class Forks(Tame):
    def fit(self, train, validation, rng):
        child = subprocess.Popen(SLEEPER, start_new_session=True)
        (NOTES / "forks-child.pid").write_text(str(child.pid))
        desert("forks-daemon.pid")
        time.sleep(600)


class Deserter(Tame):
    def fit(self, train, validation, rng):
        desert("deserter.pid")
        super().fit(train, validation, rng)


def eat() -> None:
    held = []
    for _ in range(100 * 16):
        held.append(np.ones((1 << 26) // 8))  # 64 MiB that are really there
        time.sleep(0.01)


class Glutton(Tame):
    def fit(self, train, validation, rng):
        eat()


class Litter(Tame):
    def fit(self, train, validation, rng):
        child = os.fork()
        if child == 0:
            eat()
            os._exit(0)
        os.waitpid(child, 0)


class Quits(Tame):
    def sample(self, prompts, n, rngs):
        os._exit(0)


class Exits(Tame):
    def fit(self, train, validation, rng):
        sys.exit("I have had enough")


class Segfaults(Tame):
    def sample(self, prompts, n, rngs):
        ctypes.string_at(0)


class Chatter(Tame):
    def fit(self, train, validation, rng):
        block = b"all work and no play\n" * 50_000
        for _ in range(256):
            os.write(1, block)
        os.write(1, b"the end of the story\n")


class Messy(Tame):
    def fit(self, train, validation, rng):
        Path("junk.txt").write_text("junk")
        (Path(tempfile.gettempdir()) / "junk.txt").write_text("junk")
        (NOTES / "messy.cwd").write_text(f"{Path.cwd()}\n{tempfile.gettempdir()}")


MASK = 0x55


def masked(number: float) -> tuple[bytes, bytes]:
    """A number's bytes and its text, each byte turned, so that who looks for it does not find himself."""
    return tuple(
        bytes(b ^ MASK for b in form) for form in (np.float64(number).tobytes(), repr(number).encode())
    )


def memory_of_this_process():
    """Every readable page, as Linux shows it."""
    with Path("/proc/self/maps").open() as maps, Path("/proc/self/mem").open("rb", 0) as memory:
        for line in maps:
            place, rights, *_ = line.split()
            low, high = (int(part, 16) for part in place.split("-"))
            if rights.startswith("rw") and "[v" not in line and high - low < 1 << 28:
                try:
                    memory.seek(low)
                    yield memory.read(high - low)
                except OSError:
                    continue


class Spy(Tame):
    """Looks for numbers, as floats and as text, in all of its memory: arguments, variables and input too."""

    def fit(self, train, validation, rng):
        wanted = [line.split() for line in (NOTES / "wanted.txt").read_text().splitlines()]
        table = bytes(b ^ MASK for b in range(256))
        found = set()
        for block in memory_of_this_process():
            turned = block.translate(table)
            found |= {name for name, *forms in wanted if any(bytes.fromhex(f) in turned for f in forms)}
        (NOTES / "spy.found").write_text("\n".join(sorted(found)))
        super().fit(train, validation, rng)


class Thief(Tame):
    def fit(self, train, validation, rng):
        (NOTES / "thief.found").write_text("\n".join(sorted(os.environ)))


class Caller(Tame):
    def fit(self, train, validation, rng):
        socket.create_connection(("192.0.2.1", 443), timeout=5)


class Meddler(Tame):
    def fit(self, train, validation, rng):
        np.random.seed(1)  # noqa: NPY002
        np.seterr(all="raise")
        np.set_printoptions(precision=1)
        np.random.default_rng = None


class Reader(Tame):
    def fit(self, train, validation, rng):
        (NOTES / "reader.found").write_text(sys.stdin.read())


class Overwriter(Tame):
    def fit(self, train, validation, rng):
        for prompt in train:
            prompt.responses.setflags(write=True)
            prompt.responses[:] = 0.0
        super().fit(train, validation, rng)


class Hasher(Tame):
    def fit(self, train, validation, rng):
        words = {word for p in train for word in p.prompt.text.split()}
        self.centre = rng.normal(0, 0.1, (2, len(words))) @ [len(word) for word in words]

    def sample(self, prompts, n, rngs):
        return np.stack([self.space.clip(rng.normal(self.centre, 1, (n, 2))) for rng in rngs])
