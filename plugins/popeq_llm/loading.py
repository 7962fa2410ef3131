"""Load a Hugging Face causal model and its tokenizer, or say in one line why not and what to do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import torch

from popeq.errors import UsageError
from popeq_llm.phi3 import Phi3
from popeq_llm.plain_tokenizer import PlainTokenizer

TINY = "popeq-tiny"
_HASHED_WHOLE = 1 << 30
_POINTER = b"version https://git-lfs.github.com/spec/"


def tiny_folder() -> Path:
    """Folder of the bundled stand-in."""
    return Path(__file__).parent / "tiny" / "model"


def pick_device(asked: str) -> str:
    """``auto`` is the first CUDA card, else Apple's GPU, else the CPU; a device that is absent is refused."""
    if asked == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind = asked.split(":")[0]
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {asked}: this machine has no CUDA card that torch can use; use cpu")
    try:
        return str(torch.device(asked))
    except RuntimeError:
        raise UsageError(f"--device {asked}: not a device; use auto, cpu, cuda, cuda:N or mps") from None


def pick_dtype(asked: str, device: str) -> torch.dtype:
    """``auto`` is float32 on the CPU (bfloat16 would change samples there) and bfloat16 elsewhere."""
    names = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    names["auto"] = names["float32" if device == "cpu" else "bfloat16"]
    if asked not in names:
        raise UsageError(f"--dtype {asked}: not one of auto, float32, bfloat16, float16")
    return names[asked]


def load(
    name: str,
    revision: str | None,
    device: str,
    dtype: torch.dtype,
    *,
    auto_class: str = "AutoModelForCausalLM",
    four_bit: bool = False,
) -> tuple[Any, Any, str]:
    """Model, tokenizer and revision: the hub's commit, or a hash of a local folder's weights.

    ``auto_class`` says what of the model is loaded; ``AutoModel`` gives hidden states, of encoders too.
    ``four_bit`` quantises the weights to 4 bits (NF4) while loading, by bitsandbytes. Raises UsageError for a
    folder without weights, a name the hub does not have, no network, no bitsandbytes, or 4 bits on a device
    that is neither a CUDA card nor the CPU.
    """
    import transformers  # slow to import
    from transformers import AutoTokenizer, logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    local = tiny_folder() if name == TINY else Path(name)
    source = str(local) if local.is_dir() else name
    if local.is_dir():
        if not (local / "config.json").is_file():
            raise UsageError(f"--model {name}: the folder has no config.json; it is not a Hugging Face model")
        if not list(local.glob("*.safetensors")):
            raise UsageError(f"--model {name}: the folder has no .safetensors weights; download it whole")
        refuse_pointers(name, [*local.glob("*.safetensors"), *local.glob("*.json")])
    elif local.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise UsageError(f"--model {name}: is neither a folder here nor a hub name like OWNER/MODEL")
    options: dict[str, Any] = {"revision": revision, "local_files_only": local.is_dir()}
    quantised = _four_bit(name, device, dtype) if four_bit else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        model = getattr(transformers, auto_class).from_pretrained(
            source, dtype=dtype, use_safetensors=True, **options, **quantised
        )
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        how = f"--online, or 'hf download {name}', fetches it; else give the folder of a copy"
        if local.is_dir():
            how = "check the folder"
        raise UsageError(f"--model {name}: cannot be loaded ({how}): {reason}") from None
    try:
        model = model.eval() if four_bit else model.to(torch.device(device)).eval()
    except torch.OutOfMemoryError:
        raise UsageError(
            f"--model {name}: does not fit in the memory of {device}; use --dtype bfloat16 or a smaller one"
        ) from None
    found = _weights_hash(local) if local.is_dir() else str(getattr(model.config, "_commit_hash", "") or "")
    return model, tokenizer, found


def refuse_pointers(name: str, files: Iterable[Path]) -> None:
    """Raise UsageError if one of the files is only the pointer that Git LFS puts in its place."""
    for file in files:
        with file.open("rb") as stream:
            pointer = stream.read(len(_POINTER)) == _POINTER
        if pointer:
            raise UsageError(
                f"--model {name}: {file.name} is a Git LFS pointer, not the file itself; run 'git lfs pull' "
                "in the folder"
            )


def load_stand_in(device: str, dtype: torch.dtype) -> tuple[Any, Any, str]:
    """As ``load`` of ``popeq-tiny``, but without transformers, which takes seconds to import."""
    folder = tiny_folder()
    model = Phi3(folder, dtype).to(torch.device(device)).eval()
    return model, PlainTokenizer(folder), _weights_hash(folder)


def _four_bit(name: str, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """Options of ``from_pretrained`` for weights in 4 bits; UsageError where that is not possible."""
    if find_spec("bitsandbytes") is None:
        raise UsageError(f"--model {name}: 4-bit loading needs bitsandbytes; pip install bitsandbytes")
    if torch.device(device).type not in ("cuda", "cpu"):
        raise UsageError(f"--model {name}: 4-bit loading needs a CUDA card or the CPU, not {device}")
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
    )
    return {"quantization_config": config, "device_map": {"": device}}


def _weights_hash(folder: Path) -> str:
    """SHA-256 over the weights, or over their headers and sizes where they are larger than a GiB."""
    files = sorted(folder.glob("*.safetensors"))
    whole = sum(f.stat().st_size for f in files) <= _HASHED_WHOLE
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            if whole:
                digest.update(stream.read())
            else:
                head = stream.read(8)
                digest.update(head + stream.read(int.from_bytes(head, "little")))
                digest.update(str(file.stat().st_size).encode())
    return f"sha256:{digest.hexdigest()[:16]}"


def free_memory(device: str) -> int:
    """Bytes that are free on a device."""
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return int(psutil.virtual_memory().available)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads for PyTorch inside the block: their number changes the last bits of sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
