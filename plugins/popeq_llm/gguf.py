"""GGUF files: converted once to a folder of safetensors in the cache, by the hash of their content."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import torch

from popeq.atomic import FolderTakenError, new_folder
from popeq.caches import cache_folder
from popeq.content_hash import file_sha256
from popeq.errors import UsageError
from popeq.installing import install_hint
from popeq.locks import Lock
from popeq.others_files import read_json
from popeq_llm.own_code import NEVER_RUN

_ABOUT = "gguf.json"


@dataclass(frozen=True)
class Converted:
    """A GGUF file's weights, dense, as a folder that transformers reads.

    ``quantisation`` is how the file holds them (``Q4_1``), ``sha256`` the file's.
    """

    folder: Path
    sha256: str
    quantisation: str


def converted(file: Path, dtype: torch.dtype, report: Callable[[str], None] = lambda _: None) -> Converted:
    """The folder of a GGUF file's weights in that precision; made if it is not in the cache.

    The quantised values are multiplied out by transformers' loader, in float32, and then cast: the same that
    loading the file itself gives. ``report`` is called with a line before it is made.

    Raises
    ------
    UsageError
        For a file that transformers cannot read, a missing package, or a cache that cannot be written.
    """
    sha256 = file_sha256(file)
    folder = cache_folder() / "models" / f"{sha256[:32]}-{str(dtype).removeprefix('torch.')}"
    if not (folder / _ABOUT).is_file():
        report(f"converting {file.name} to safetensors, once")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot write the cache in {folder.parent}: {error.strerror}; set POPEQ_CACHE to a folder "
                "that can be written"
            ) from None
        with Lock(Path(f"{folder}.lock")):
            if not (folder / _ABOUT).is_file():
                _convert(file, dtype, folder, sha256)
    about = read_json(folder / _ABOUT)
    return Converted(folder, sha256, about["quantisation"])


def _convert(file: Path, dtype: torch.dtype, folder: Path, sha256: str) -> None:
    try:
        import accelerate  # noqa: F401  # transformers' loader of GGUF files needs both
        from gguf import GGUFReader, LlamaFileType
    except ImportError as error:
        raise UsageError(
            f"--model {file.name}: a GGUF file needs {error.name}{install_hint('llm')}"
        ) from None
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name, **NEVER_RUN}
    try:
        field = GGUFReader(file).get_field("general.file_type")
        kind = LlamaFileType(int(field.contents())).name if field is not None else "GGUF"
        tokenizer = AutoTokenizer.from_pretrained(**source, local_files_only=True)
        # Not dequantize=False: such a model can neither be saved nor trained.
        with redirect_stderr(io.StringIO()):  # its progress bars cannot be turned off
            model = AutoModelForCausalLM.from_pretrained(
                **source, local_files_only=True, dtype=dtype, quantization_config=GgufConfig(dequantize=True)
            )
    except Exception as error:  # the reader raises kinds of its own for every damage
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"--model {file.name}: cannot be read as a GGUF model ({type(error).__name__}: {reason}); fetch "
            "it again, or use a model of a kind that transformers reads from GGUF"
        ) from None
    about = {
        "file": file.name,
        "sha256": sha256,
        "quantisation": kind.removeprefix("MOSTLY_").removeprefix("ALL_"),
    }
    try:
        with new_folder(folder) as temporary:
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            (temporary / _ABOUT).write_text(json.dumps(about) + "\n", encoding="utf-8")
            for written in temporary.iterdir():
                written.chmod(0o644)
    except FolderTakenError:  # on a file system without locks another process was faster
        pass
