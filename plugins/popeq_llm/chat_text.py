"""From a chat to the text and the tokens that a model reads, none of its contents ever a control token."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer

from popeq.errors import UsageError
from popeq_llm.models import Chat, Message

#: Where a template opens a thought for the model to go on with, as in ``<think>``, and how each is closed.
_OPEN_THOUGHT = re.compile(r"([<\[])([\w:]*(?:think|thought|reason)\w*)([>\]])\s*$", re.IGNORECASE)
#: Where a template leaves the kind of answer to the model (gpt-oss), and what says that it is the answer.
_CHANNEL, _FINAL = "<|channel|>", "<|channel|>final<|message|>"
#: What a model reads, cut at the contents of the chat: literal, content, literal, ..., literal.
Pieces = tuple[str, ...]


class ChatText:
    """A model's chat template and tokenizer.

    Control tokens are a tokenizer's special tokens, and every other token added to it that holds a sign
    (``<think>``): the template's own are read as such; in a chat's contents the same characters are spelled
    out like any other text. For that the tokens have secret names in a copy of the tokenizer, and the
    template's text is translated to those.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.tokenizer = tokenizer
        self.has_template = bool(getattr(tokenizer, "chat_template", None))
        self._name = name
        self._roles = lru_cache(maxsize=64)(self._literals)
        special = {*tokenizer.all_special_tokens}
        #: Control tokens and their ids.
        self.control = {
            str(token): i
            for i, token in tokenizer.added_tokens_decoder.items()
            if (token.special or str(token) in special or re.search(r"[^\w\s]", str(token)))
            and not re.fullmatch(r"<0x[0-9A-F]{2}>", str(token))
        }
        by_length = sorted(self.control, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, by_length)) or "(?!)")
        self._renamed = {t: f"\ue000{secrets.randbits(128)}\ue001" for t in by_length}
        self._guarded, self._ids = self._guard()

    def render(self, chat: Chat) -> str:
        """The text that the model continues, through its own chat template where it has one."""
        return "".join(self.pieces(chat))

    def pieces(self, chat: Chat) -> Pieces:
        """``render`` cut at the chat's contents. A template that rewrites them gives a single literal.

        Raises UsageError if the template fails, or rewrites a content that has control tokens in it.
        """
        literals, contents = self._roles(tuple(m.role for m in chat)), [m.content for m in chat]
        if not self.has_template:
            return _interleave(literals, contents)
        text = self._apply(chat)
        if len(literals) > 1:
            for variant in (contents, [c.strip() for c in contents]):
                pieces = _interleave(literals, variant)
                if "".join(pieces) == text:
                    return pieces
        if found := self._first_control(contents):
            raise UsageError(
                f"--model {self._name}: its chat template rewrites what it is given, so {found[0]!r} in a "
                "sentence would be read as a control token; take it out, or use another template"
            )
        return (text,)

    def note(self) -> str | None:
        """What is done to make the model answer directly, for people to know; None if nothing is."""
        if not self.has_template:
            return None
        turns = [{"role": "user", "content": ""}]
        try:
            plain = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except Exception:  # a template can raise anything; asked with a chat, it will say so
            return None
        if plain == self._apply((Message("user", ""),)):
            return None
        return f"{self._name} can think before it answers: it is asked for the answer at once"

    def encode(self, texts: Sequence[Pieces]) -> list[list[int]]:
        """Token ids of some texts, none of them a control token but in a literal (an even piece).

        Raises UsageError where a tokenizer knows no other way to write a content.
        """
        if self._guarded is None:
            return self._encode_unguarded(texts)
        joined = []
        for pieces in texts:
            literals = [self._control.sub(lambda found: self._renamed[found[0]], p) for p in pieces[::2]]
            joined.append("".join(_interleave(literals, pieces[1::2])))
        encoded = []
        for found in self._guarded.encode_batch_fast(joined, add_special_tokens=False):
            ids = found.ids
            if not self._forbidden.isdisjoint(ids):
                token = self.tokenizer.convert_ids_to_tokens(next(i for i in ids if i in self._forbidden))
                raise UsageError(
                    f"--model {self._name}: its tokenizer can write {token!r} as a control token only; "
                    "take it out of the sentence"
                )
            encoded.append([self._ids.get(i, i) for i in ids])
        return encoded

    def _first_control(self, contents: Sequence[str]) -> re.Match[str] | None:
        return next(filter(None, map(self._control.search, contents)), None)

    def _guard(self) -> tuple[Tokenizer | None, dict[Any, int]]:
        """The tokenizer with secret names for control tokens, and their ids there to their true ones."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            return None, {}
        content = json.loads(backend.to_str())
        for token in content["added_tokens"]:
            token["content"] = self._renamed.get(token["content"], token["content"])
        content["post_processor"] = content["truncation"] = content["padding"] = None
        guarded = Tokenizer.from_str(json.dumps(content))
        # Tokens that keep their names may have other numbers in the copy, too.
        ids = {guarded.token_to_id(t["content"]): t["id"] for t in content["added_tokens"]}
        unknown = {self.tokenizer.unk_token_id}  # what no token of the tokenizer can write
        self._forbidden = frozenset(self.control.values()) - ids.keys() - unknown
        return guarded, ids

    def _encode_unguarded(self, texts: Sequence[Pieces]) -> list[list[int]]:
        for pieces in texts:
            if found := self._first_control(pieces[1::2]):
                raise UsageError(
                    f"--model {self._name}: {found[0]!r} in a sentence would be read as a control token; "
                    "take it out, or use a model with a fast tokenizer"
                )
        joined = ["".join(pieces) for pieces in texts]
        ids: list[list[int]] = self.tokenizer(joined, add_special_tokens=False)["input_ids"]
        return ids

    def _literals(self, roles: tuple[str, ...]) -> Pieces:
        """The text around the contents of a chat of these roles; a single piece if it cannot be cut there."""
        if not self.has_template:
            return (self.tokenizer.bos_token or "", *["\n\n"] * (len(roles) - 1), "\n\nAnswer:\n")
        marks = [f"\ue000{i}\ue001" for i in range(len(roles))]
        text = self._apply(tuple(Message(r, m) for r, m in zip(roles, marks, strict=True)))  # type: ignore[arg-type]
        return (
            tuple(re.split("|".join(marks), text)) if re.findall("\ue000\\d+\ue001", text) == marks else ("",)
        )

    def _apply(self, chat: Chat) -> str:
        """The text of a chat by the tokenizer's own template."""
        tried = [[{"role": m.role, "content": m.content} for m in chat]]
        if len(chat) > 1 and chat[0].role == "system":
            # Templates without a system role refuse it: put it before the first turn.
            first = {"role": "user", "content": f"{chat[0].content}\n\n{chat[1].content}"}
            tried.append([first, *tried[0][2:]])
        errors = []
        for turns in tried:
            try:
                text = self.tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
                )
                return self._direct(str(text))
            except Exception as error:  # a template can raise anything
                errors.append(error)
        raise UsageError(f"--model {self._name}: its chat template fails: {errors[0]}") from None

    def _direct(self, text: str) -> str:
        """The text so that the answer follows: a thought that the template opens is closed, empty."""
        if found := _OPEN_THOUGHT.search(text):
            return f"{text.rstrip()}\n\n{found[1]}/{found[2]}{found[3]}\n\n"
        if _CHANNEL in self.control and text.endswith("<|start|>assistant"):
            return text + _FINAL
        return text


def _interleave(literals: Sequence[str], contents: Sequence[str]) -> Pieces:
    pairs = zip(contents, literals[1:], strict=True)
    return (literals[0], *(piece for pair in pairs for piece in pair))
