"""A tokenizer's file and its chat template, read without transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Tokenizer


class PlainTokenizer:
    """What ``popeq_llm`` asks of a tokenizer, from tokenizer.json and tokenizer_config.json in ``folder``.

    Its names are those of transformers' ``PreTrainedTokenizerFast``.
    """

    def __init__(self, folder: Path) -> None:
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        self.backend_tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.chat_template: str = settings["chat_template"]
        self.bos_token: str | None = settings.get("bos_token")
        self.unk_token: str | None = settings.get("unk_token")
        self.all_special_tokens = [
            settings[k] for k in ("bos_token", "eos_token", "unk_token", "pad_token") if settings.get(k)
        ]
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        self._template = environment.from_string(self.chat_template)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Tokens that were added to the model's own, by id."""
        return dict(self.backend_tokenizer.get_added_tokens_decoder())

    @property
    def unk_token_id(self) -> int | None:
        """The id of the token for a character that no other token can write; None if there is none."""
        return None if self.unk_token is None else self.backend_tokenizer.token_to_id(self.unk_token)

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=True))

    def get_vocab(self) -> dict[str, int]:
        """Ids by token."""
        return dict(self.backend_tokenizer.get_vocab(with_added_tokens=True))

    def convert_ids_to_tokens(self, index: int) -> str | None:
        """The token of an id."""
        return self.backend_tokenizer.id_to_token(index)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of some tokens."""
        return str(self.backend_tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def apply_chat_template(
        self,
        conversation: Sequence[dict[str, str]],
        *,
        tokenize: bool,
        add_generation_prompt: bool,
        **_: object,
    ) -> str:
        """The text of a chat; ids (``tokenize``) are not to be had."""
        if tokenize:
            raise NotImplementedError("tokenize=True")
        return self._template.render(messages=conversation, add_generation_prompt=add_generation_prompt)
