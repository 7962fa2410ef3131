"""The stand-in's tokenizer: byte-level BPE with one token for ``[x,`` and one for `` y]`` of any setting."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from popeq_llm.answers import TENTHS, number_text
from popeq_llm.tiny.chats import answer_of, chat_of
from popeq_llm.tiny.corpus import dialogues

SYSTEM, USER, ASSISTANT, END, PAD = "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
#: They come first in the vocabulary, in this order.
SPECIAL = (PAD, SYSTEM, USER, ASSISTANT, END)
ASSISTANT_ID = SPECIAL.index(ASSISTANT)
VOCABULARY = 1536
TEXTS = 800

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

#: Half a setting, a bracket, the comma or colon before a setting; then words with the blank before them,
#: single digits, punctuation and white space.
_PIECES = Regex(
    r"\[-?[0-6]\.[0-9],| -?[0-6]\.[0-9]\]|\[|\]|[,:] (?=\[)|'(?:s|t|re|ve|m|ll|d)| ?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}\[\]]+|\s+(?!\S)|\s+"
)

#: The byte-level alphabet writes a blank like this.
_BLANK = "\u0120"
FIRST = tuple(f"[{number_text(tenths)}," for tenths in TENTHS)
SECOND = tuple(f"{_BLANK}{number_text(tenths)}]" for tenths in TENTHS)
PIECES = (f",{_BLANK}", f":{_BLANK}", *FIRST, *SECOND)


def _texts(seed: int) -> Iterator[str]:
    for dialogue in itertools.islice(dialogues(seed, "tokenizer"), TEXTS):
        for message in chat_of(dialogue.kind, dialogue.examples, dialogue.asked.sentence):
            yield message.content
        yield answer_of(dialogue)


def make_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Learn the merges on texts of the corpus, then add the 242 halves of settings as whole pieces."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PIECES, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(PIECES),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL],
        show_progress=False,
    )
    halves = Regex(r"\[-?[0-6]\.[0-9],| -?[0-6]\.[0-9]\]")
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(halves, behavior="removed"),
            pre_tokenizers.Split(_PIECES, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    plain.train_from_iterator(_texts(seed), trainer)
    learned = json.loads(plain.to_str())
    learned["pre_tokenizer"] = json.loads(tokenizer.to_str())["pre_tokenizer"]
    vocabulary = learned["model"]["vocab"]
    for piece in PIECES:
        vocabulary[piece] = len(vocabulary)
    learned["model"]["ignore_merges"] = True
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer.from_str(json.dumps(learned)),
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=2048,
    )
