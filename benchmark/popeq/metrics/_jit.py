"""The decorator of compiled functions. They are kept on disk, and never used after a source has changed.

numba's own cache compares the file that holds a function, but not the files of the functions that it calls:
compiled code of an old callee would be used again. Here the names of the files depend on all of these.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import llvmlite.binding as llvm
import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Compile a function with ``numba.njit`` and its options at its first call, without the interpreter lock.

    The compiled code is kept in the first of these folders that can be written: ``$NUMBA_CACHE_DIR``,
    ``__pycache__`` beside the source, numba's folder in the user's cache. If none can be written, each
    process compiles again. A compiled function may call compiled functions of its own folder only.
    """

    def decorate(function: Function) -> Function:
        dispatcher: Any = numba.njit(nogil=True, **options)(function)
        # OSError: there is no source file, as in a zip archive. RuntimeError: no folder can be written.
        with contextlib.suppress(OSError, RuntimeError):
            dispatcher._cache = _Cache(function)
        result: Function = dispatcher
        return result

    return decorate


@lru_cache(maxsize=8)
def _environment(folder: Path) -> str:
    """All that compiled functions of a folder depend on, as a hash: sources, versions, processor, settings.

    The number of threads is not among them: joblib sets another one in its worker processes.
    """
    versions = (sys.version, numba.__version__, llvmlite.__version__)
    processor = (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    settings = sorted(
        item for item in os.environ.items() if item[0].startswith("NUMBA_") and item[0] != "NUMBA_NUM_THREADS"
    )
    digest = hashlib.sha256(repr((versions, processor, settings)).encode())
    for source in (Path(__file__), *sorted(folder.glob("*.py"))):
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


class _Cache(FunctionCache):
    """numba's cache with one file for each signature and environment, so that a name has one content."""

    def __init__(self, function: Callable[..., Any]) -> None:
        source = Path(function.__code__.co_filename)
        self._environment = _environment(source.parent) + hashlib.sha256(source.read_bytes()).hexdigest()
        super().__init__(function)

    def _open(self, signature: Any) -> None:
        """Let the methods of numba read and write the files of one signature."""
        key = hashlib.sha256(f"{self._environment} {signature}".encode()).hexdigest()
        name = f"{self._impl.filename_base}-{key[:16]}"
        self._cache_file = IndexDataCacheFile(self.cache_path, name, key)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """What is kept for a signature; None if there is nothing, or if it cannot be read."""
        self._open(signature)
        try:
            return super().load_overload(signature, target)
        except Exception:  # a damaged pickle can raise anything
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep a compiled function; nothing is kept if the disk is full or the folder cannot be written."""
        self._open(signature)
        with contextlib.suppress(OSError):
            super().save_overload(signature, result)
