"""Which sockets a predictor's process without --online can use: those that stay with it on this machine.

docs/containment.md lists the same, line by line.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from popeq.runs.confined import is_local
from popeq.runs.scrubbed import OFFLINE

#: What is tried in a process that confines itself, each by a name.
TRIES = """
import ctypes, json, multiprocessing, os, socket, struct, subprocess, sys
from popeq.runs.confined import receive_job
places = json.loads(receive_job()) if __name__ == "__main__" else {}

def tcp(host, port, family=socket.AF_INET, **more):
    with socket.socket(family) as s:
        s.settimeout(0.2)
        s.connect((host, port))

def udp(call, host, port, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        getattr(s, call)(*(([b"x"], [], 0) if call == "sendmsg" else (b"x",)), (host, port))

def unix(path, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as s:
        s.sendto(b"x", path) if kind == socket.SOCK_DGRAM else s.connect(path)

def own_listener():
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as s:
        server.bind("own.sock")
        server.listen()
        s.connect("own.sock")

def own_tcp():
    with socket.socket() as server, socket.socket() as s:
        server.bind(("127.0.0.1", 0))
        server.listen()
        s.connect(server.getsockname())

def processes():
    with multiprocessing.get_context("spawn").Manager() as manager:
        manager.list([1]).append(2)

def below_python():
    # Connecting a datagram socket sends nothing; without a route it fails, but nothing refuses it.
    libc = ctypes.CDLL(None)
    number = libc.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    address = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(9), socket.inet_aton("192.0.2.1"))
    libc.connect(number, address, len(address))
    os.close(number)

PROGRAM = (
    "import contextlib, socket\\n"
    "with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:\\n"
    "    s.connect(('192.0.2.1', 9))"
)
NETLINK, PACKET, VSOCK = getattr(socket, "AF_NETLINK", 16), getattr(socket, "AF_PACKET", 17), 40
tries = {
    "connect": lambda: tcp("192.0.2.1", 443),
    "connect_ex": lambda: socket.socket().connect_ex(("192.0.2.1", 443)),
    "IPv6": lambda: tcp("2001:db8::1", 443, socket.AF_INET6),
    "IPv6 with a zone": lambda: tcp("fe80::1%lo", 443, socket.AF_INET6),
    "IPv4 in IPv6": lambda: tcp("::ffff:192.0.2.1", 443, socket.AF_INET6),
    "a number for an address": lambda: tcp("3221225985", 443),
    "sendto": lambda: udp("sendto", "192.0.2.1", 9),
    "sendmsg": lambda: udp("sendmsg", "192.0.2.1", 9),
    "broadcast": lambda: udp("sendto", "<broadcast>", 9),
    "getaddrinfo": lambda: socket.getaddrinfo("example.org", 443),
    "gethostbyname": lambda: socket.gethostbyname("example.org"),
    "gethostbyname_ex": lambda: socket.gethostbyname_ex("example.org"),
    "gethostbyaddr": lambda: socket.gethostbyaddr("192.0.2.1"),
    "getnameinfo": lambda: socket.getnameinfo(("192.0.2.1", 443), 0),
    "the resolver of this machine": lambda: udp("sendto", "127.0.0.53", 53),
    "netlink": lambda: socket.socket(NETLINK, socket.SOCK_RAW),
    "packet": lambda: socket.socket(PACKET, socket.SOCK_RAW),
    "vsock": lambda: socket.socket(VSOCK, socket.SOCK_STREAM),
    "raw": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "another's Unix socket": lambda: unix(places["other"]),
    "another's by bytes": lambda: unix(os.fsencode(places["other"])),
    "another's through a link": lambda: (os.symlink(places["folder"], "in"), unix("in/other.sock")),
    "another's by datagram": lambda: unix(places["other"], socket.SOCK_DGRAM),
    "an abstract socket": lambda: unix(bytes(1) + b"popeq-test"),
    "own Unix socket": own_listener,
    "own TCP": own_tcp,
    "a server of this machine": lambda: tcp("localhost", places["port"]),
    "localhost": lambda: socket.getaddrinfo("localhost", 80),
    "socketpair": lambda: [s.close() for s in socket.socketpair()],
    "multiprocessing": processes,
    "a call below Python": below_python,
    "a program that it starts": lambda: subprocess.run([sys.executable, "-I", "-c", PROGRAM], check=True),
    "listening to other machines": lambda: socket.create_server(("0.0.0.0", 0)).close(),
    "a file of the user": lambda: open(places["file"], "r+").write("changed"),
}
if __name__ == "__main__":
    came = {}
    for name, attempt in tries.items():
        try:
            attempt()
            came[name] = "done"
        except Exception as error:
            came[name] = f"{type(error).__name__}: {error}"
    open(places["result"], "w").write(json.dumps(came))
    os._exit(0)
"""
#: What nothing keeps away: docs/containment.md says so.
NOT_KEPT = (
    *("a call below Python", "a program that it starts", "listening to other machines"),
    "a file of the user",
)
PASSES = (
    *("own Unix socket", "own TCP", "a server of this machine", "localhost", "socketpair"),
    "multiprocessing",
)


@pytest.fixture(scope="module")
def came():
    """What came of each try."""
    with tempfile.TemporaryDirectory(prefix="popeq-") as given:  # short, as a socket's path has to be
        folder = Path(given)
        for name in ("own", "own/tmp", "other"):
            (folder / name).mkdir()
        (folder / "own" / "tries.py").write_text(TRIES, encoding="utf-8")
        (folder / "file").write_text("mine", encoding="utf-8")
        other = folder / "other" / "other.sock"
        with socket.socket(socket.AF_UNIX) as unix, socket.create_server(("127.0.0.1", 0)) as tcp:
            unix.bind(str(other))
            unix.listen()
            places = {
                "folder": str(other.parent),
                "other": str(other),
                "port": tcp.getsockname()[1],
                "file": str(folder / "file"),
                "result": str(folder / "result.json"),
            }
            env = {**os.environ, OFFLINE: "1", "TMPDIR": str(folder / "own" / "tmp")}
            process = subprocess.Popen(
                [sys.executable, "tries.py"],
                stdin=subprocess.PIPE,
                cwd=folder / "own",
                env={**env, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,
            )
            process.stdin.write(json.dumps(places).encode() + b"\n")
            process.stdin.flush()
            process.wait(60)
            process.stdin.close()
        yield json.loads((folder / "result.json").read_text(encoding="utf-8"))


def test_nothing_leaves_the_process_but_what_is_on_the_list(came):
    refused = {name for name, said in came.items() if said.startswith("UsageError: no connection to ")}
    assert set(came) - refused == {*PASSES, *NOT_KEPT}
    assert all("--online" in came[name] for name in refused)


def test_what_stays_on_this_machine_works(came):
    assert {name: came[name] for name in PASSES} == dict.fromkeys(PASSES, "done")


@pytest.mark.parametrize("what", NOT_KEPT)
def test_what_the_page_says_is_not_kept_away(came, what):
    assert came[what] == "done"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.255.0.3", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),
        ("LOCALHOST.", True),
        (b"localhost", True),
        ("", True),
        ("localhost.example.org", False),
        ("169.254.169.254", False),
        ("2130706433", False),
        ("0x7f.1", False),
        (2130706433, False),
        (None, False),
    ],
)
def test_which_hosts_are_this_machine(host, local):
    assert is_local(host) is local
