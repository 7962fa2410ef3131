"""Load a Hugging Face causal model and its tokenizer, or say in one line why not and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from popeq.content_hash import content_identity
from popeq.errors import UsageError
from popeq.runs.containment import memory_left
from popeq_llm.gguf import converted
from popeq_llm.own_code import NEVER_RUN, refuse_own_code
from popeq_llm.weights import ENDINGS, place_of

#: Characters of ``sha256:HEX`` in a revision.
_REVISION = len("sha256:") + 16
_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Loaded:
    """A model and its tokenizer.

    ``name`` is without folders; ``revision`` is the hub's commit, or ``sha256:HEX`` of a folder (``ENDINGS``)
    or of a GGUF file; ``quantisation`` is how a GGUF file held the weights.
    """

    model: Any
    tokenizer: Any
    name: str
    revision: str
    quantisation: str = ""


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


def pick_dtype(asked: str, device: str, *, trained: bool = False) -> torch.dtype:
    """``auto`` is bfloat16 on a graphics card and on a CPU that multiplies it in hardware, else float32; for
    a model that is ``trained`` on the CPU always float32."""
    names = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if asked == "auto":
        fast = device != "cpu" or (not trained and _cpu_has_bfloat16())
        return torch.bfloat16 if fast else torch.float32
    if asked not in names:
        raise UsageError(f"--dtype {asked}: not one of auto, float32, bfloat16, float16")
    return names[asked]


def _cpu_has_bfloat16() -> bool:
    """Whether the processor has instructions that multiply bfloat16."""
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def load(
    name: str,
    revision: str | None,
    device: str,
    dtype: torch.dtype,
    *,
    auto_class: str = "AutoModelForCausalLM",
    four_bit: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Loaded:
    """The model of a name (``place_of``) with its tokenizer, on a device.

    Parameters
    ----------
    auto_class
        What of the model is loaded; ``AutoModel`` gives hidden states, of encoders too.
    four_bit
        Quantise the weights to 4 bits (NF4) while loading, by bitsandbytes.
    report
        Is called with a line before what takes long.

    Raises
    ------
    UsageError
        For a folder without weights, a file that cannot be read, a model that needs code of its own, a name
        that the hub does not have, no network, no bitsandbytes, or 4 bits on a device that is neither a CUDA
        card nor the CPU.
    """
    import transformers  # slow to import
    from transformers import AutoTokenizer, logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    place = place_of(name)
    folder, found, quantisation = place.path, "", ""
    if folder is not None and place.is_gguf:
        refuse_pointers(name, [folder])
        dense = converted(folder, dtype, report)
        folder, found, quantisation = dense.folder, f"sha256:{dense.sha256}"[:_REVISION], dense.quantisation
    elif folder is not None:
        if not (folder / "config.json").is_file():
            raise UsageError(f"--model {name}: the folder has no config.json; it is not a Hugging Face model")
        if not list(folder.glob("*.safetensors")):
            raise UsageError(f"--model {name}: the folder has no .safetensors weights; download it whole")
        refuse_pointers(name, [f for f in sorted(folder.iterdir()) if f.suffix in ENDINGS and f.is_file()])
        found = (content_identity(folder, ENDINGS) or "")[:_REVISION]
    source = name if folder is None else str(folder)
    options: dict[str, Any] = {"revision": revision, "local_files_only": folder is not None}
    options |= NEVER_RUN
    quantised = _four_bit(name, device, dtype) if four_bit else {}
    report(f"loading {place.name}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        model = getattr(transformers, auto_class).from_pretrained(
            source, dtype=dtype, use_safetensors=True, **options, **quantised
        )
    except (OSError, ValueError, ImportError) as error:
        refuse_own_code(f"--model {name}", error)
        reason = " ".join(str(error).split())[:200]
        how = f"--online, or 'hf download {name}', fetches it; else give the folder of a copy"
        if folder is not None:
            how = "check the folder"
        raise UsageError(f"--model {name}: cannot be loaded ({how}): {reason}") from None
    try:
        model = model.eval() if four_bit else model.to(torch.device(device)).eval()
    except torch.OutOfMemoryError:
        raise UsageError(
            f"--model {name}: does not fit in the memory of {device}; use --dtype bfloat16 or a smaller one"
        ) from None
    found = found or str(getattr(model.config, "_commit_hash", "") or "")
    return Loaded(model, tokenizer, place.name, found, quantisation)


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


def free_memory(device: str) -> int:
    """Bytes that are free on a device; on the CPU those that the run may still have."""
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return memory_left()


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """So many threads for PyTorch inside the block, None for no change: their number changes the last bits of
    sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
