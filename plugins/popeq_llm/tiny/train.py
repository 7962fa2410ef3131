"""Make the stand-in from nothing: ``python -m popeq_llm.tiny.train [-o DIR] [--steps N]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import GenerationConfig

from popeq_llm.tiny.tokens import make_tokenizer
from popeq_llm.tiny.training import Encoder, Progress, Size, new_model, train

MODEL = Path(__file__).parent / "model"
STEPS = 600
SEED = 2611
EVERY = 25


def make(folder: Path, steps: int = STEPS, size: Size | None = None, seed: int = SEED) -> list[Progress]:
    """Train and save a stand-in, over an old one; its progress, step by step."""
    tokenizer = make_tokenizer(seed)
    model = new_model(tokenizer, size or Size(), seed)
    progress: list[Progress] = []

    def report(now: Progress) -> None:
        progress.append(now)
        if len(progress) % EVERY == 0 or len(progress) == steps:
            last = progress[-EVERY:]
            excess, form = (sum(getattr(p, name) for p in last) / len(last) for name in ("excess", "form"))
            print(
                f"step {len(progress):5d}  excess {excess:.4f}  form {form:.4f}  {now.seconds:.0f} s",
                flush=True,
            )

    train(model, Encoder(tokenizer), steps, seed, report)
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=64,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    model.half().save_pretrained(folder)  # type: ignore[no-untyped-call]
    tokenizer.save_pretrained(folder, save_jinja_files=False)
    for file in folder.iterdir():
        file.chmod(0o644)
    return progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and save; 0 when the model is written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=MODEL, help="where (default: in the package)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"batches to learn from (default {STEPS})")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the same sums, hence the same model, whatever else the machine does
    make(chosen.output, chosen.steps)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
