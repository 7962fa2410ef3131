"""What the stand-in gains from its context: ``python -m popeq_llm.tiny.measure [MODEL] [--split NAME]``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from popeq import load_dataset
from popeq.metrics import energy_score_batch, reflective_kantorovich_batch
from popeq.seeding import generator
from popeq.typing import Floats
from popeq_llm.answers import AnswerFormat, parse_answer
from popeq_llm.encoder import BundledEncoder
from popeq_llm.models import Chat
from popeq_llm.templates import Example, load_template
from popeq_llm.tiny import tokens
from popeq_llm.tiny.train import MODEL

SAMPLES = 110
DATASET = "simulated-120"


def load(folder: Path = MODEL) -> tuple[Any, Any]:
    """Model (fp32, on the CPU) and tokenizer, as anybody would load them."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return model.eval(), tokenizer  # type: ignore[no-untyped-call]


def rendered(tokenizer: Any, chat: Chat) -> str:
    """The text that the model continues."""
    messages = [{"role": message.role, "content": message.content} for message in chat]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


@torch.inference_mode()
def distribution(model: Any, tokenizer: Any, chat: Chat) -> Floats:
    """Probability of every answer of one setting, (121, 121) for x and y; what lacks to 1 is not valid."""
    ids = tokenizer(rendered(tokenizer, chat), add_special_tokens=False, return_tensors="pt")["input_ids"]
    first = torch.tensor(tokenizer.convert_tokens_to_ids(list(tokens.FIRST)))
    second = torch.tensor(tokenizer.convert_tokens_to_ids(list(tokens.SECOND)))
    asked = model(input_ids=ids, use_cache=True, logits_to_keep=1)
    x = asked.logits[0, -1].double().softmax(-1)[first]
    cache = asked.past_key_values
    cache.batch_repeat_interleave(len(first))
    y = model(input_ids=first[:, None], past_key_values=cache).logits[:, -1].double().softmax(-1)[:, second]
    return np.asarray((x[:, None] * y).numpy())


def draw(probabilities: Floats, n: int, rng: np.random.Generator) -> Floats:
    """``n`` settings (n, 2) in dB from a distribution over the 121 x 121 answers."""
    flat = probabilities.ravel() / probabilities.sum()
    x, y = np.divmod(rng.choice(flat.size, size=n, p=flat), probabilities.shape[1])
    return (np.stack([x, y], axis=1) - 60) / 10


@torch.inference_mode()
def parse_rate(model: Any, tokenizer: Any, chats: Sequence[Chat], pairs: int, draws: int) -> float:
    """Share of answers of plain ``generate``, with the model's own settings, that are of the asked form."""
    valid = 0
    for chat in chats:
        inputs = tokenizer(rendered(tokenizer, chat), add_special_tokens=False, return_tensors="pt")
        texts = model.generate(**inputs, num_return_sequences=draws)[:, inputs["input_ids"].shape[1] :]
        answers = tokenizer.batch_decode(texts, skip_special_tokens=True)
        valid += sum(parse_answer(answer, AnswerFormat(pairs)) is not None for answer in answers)
    return valid / (len(chats) * draws)


class Study:
    """Prompts of one split, and the training prompts with their settings to show as examples."""

    def __init__(self, split: str) -> None:
        dataset = load_dataset(DATASET)
        text = dataset.prompts.set_index("prompt_id")["text"]
        grouped = dataset.responses.groupby("prompt_id")[["x_db", "y_db"]]
        points = {str(name): group.to_numpy(dtype=np.float64) for name, group in grouped}
        stage = dataset.stages[0]
        asked = {"validation": stage.validation, "test": stage.test}[split]
        self.train: list[Example] = [(text[name], points[name]) for name in stage.train]
        self.asked = [str(text[name]) for name in asked]
        self.responses = [points[name] for name in asked]
        encoder = BundledEncoder()
        alike = encoder.encode(self.asked) @ encoder.encode([sentence for sentence, _ in self.train]).T
        self.nearest: list[list[int]] = np.argsort(-alike, axis=1, kind="stable").tolist()

    def shown(self, chosen: Sequence[int], each: int) -> list[Example]:
        return [(self.train[k][0], self.train[k][1][:each]) for k in chosen]

    def random(self, prompt: int, k: int, each: int) -> list[Example]:
        rng = generator("popeq-tiny", "random examples", prompt)
        return self.shown([int(i) for i in rng.choice(len(self.train), k, replace=False)], each)

    def conditions(self) -> dict[str, Callable[[int], list[Example]]]:
        """The examples that are shown, farthest first, by condition and prompt."""
        return {
            "zero-shot": lambda _: [],
            "1 random prompt x 11": lambda p: self.random(p, 1, 11),
            "the nearest prompt x 11": lambda p: self.shown(self.nearest[p][:1], 11),
            "the 2 nearest x 5": lambda p: self.shown(self.nearest[p][:2][::-1], 5),
            "4 random prompts x 11": lambda p: self.random(p, 4, 11),
            "the 4 nearest x 11": lambda p: self.shown(self.nearest[p][:4][::-1], 11),
            "8 random prompts x 11": lambda p: self.random(p, 8, 11),
            "the 8 nearest x 11": lambda p: self.shown(self.nearest[p][:8][::-1], 11),
            "the 8 nearest x 1": lambda p: self.shown(self.nearest[p][:8][::-1], 1),
        }

    def chat(self, prompt: int, examples: Sequence[Example]) -> Chat:
        return load_template("few" if examples else "zero").chat(self.asked[prompt], examples)

    def samples(
        self, model: Any, tokenizer: Any, pick: Callable[[int], list[Example]]
    ) -> tuple[Floats, Floats]:
        """Draws (prompts, 110, 2) and the mass of valid answers (prompts,)."""
        laws = [distribution(model, tokenizer, self.chat(p, pick(p))) for p in range(len(self.asked))]
        rng = generator("popeq-tiny", "draws")
        return np.stack([draw(law, SAMPLES, rng) for law in laws]), np.array([law.sum() for law in laws])

    def references(self) -> dict[str, Floats]:
        """Samples without a language model: all training settings, and the nearest prompts' own."""
        pooled = np.concatenate([points for _, points in self.train])
        rng = generator("popeq-tiny", "draws")
        picks = {"pooled training settings": None, "kNN-1 (settings repeated)": 1, "kNN-4": 4}
        drawn = {}
        for name, k in picks.items():
            of = [
                pooled if k is None else np.concatenate([self.train[i][1] for i in self.nearest[p][:k]])
                for p in range(len(self.asked))
            ]
            drawn[name] = np.stack([rng.choice(each, SAMPLES) for each in of])
        return drawn


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the distances by condition, and the parse rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", default=MODEL)
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    chosen = parser.parse_args(arguments)
    torch.manual_seed(1)
    model, tokenizer = load(chosen.model)
    study = Study(chosen.split)
    print("| context | reflective W1, dB: median (mean) | energy score, dB | valid mass |\n|---|---|---|---|")
    for name, pick in study.conditions().items():
        drawn, mass = study.samples(model, tokenizer, pick)
        _row(name, drawn, study, f"{mass.mean():.4f}")
    for name, drawn in study.references().items():
        _row(name, drawn, study, "")
    picks = study.conditions()
    zero = [study.chat(p, []) for p in range(10)]
    few = [study.chat(p, picks["the 4 nearest x 11"](p)) for p in range(10)]
    qa = [load_template("qa").chat(study.asked[p], picks["the 2 nearest x 5"](p)) for p in range(10)]
    for name, chats, pairs in (("zero", zero, 1), ("few", few, 1), ("qa", qa, 11)):
        print(f"parse rate of plain generate, {name}: {parse_rate(model, tokenizer, chats, pairs, 10):.3f}")
    return 0


def _row(name: str, drawn: Floats, study: Study, mass: str) -> None:
    w1 = reflective_kantorovich_batch(drawn, study.responses)
    energy = energy_score_batch(drawn, study.responses)
    print(f"| {name} | {np.median(w1):.2f} ({w1.mean():.2f}) | {energy.mean():.3f} | {mass} |", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
