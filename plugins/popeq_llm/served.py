"""Language models behind an OpenAI-compatible server: many samples, each right, none paid twice."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict
from typing import Any, get_args

import numpy as np

from popeq.caches import ContentCache, canonical
from popeq.errors import PromptsError, RunError, UsageError
from popeq_llm.answers import AnswerFormat, Form, FreeText
from popeq_llm.models import Chat, Generated, ModelInfo
from popeq_llm.served_abilities import PROBE, PROBE_TOKENS, SAMPLING, Abilities, find_out, kept_abilities
from popeq_llm.served_client import (
    CancelledError,
    Choice,
    Client,
    MiscountedError,
    Patience,
    RefusedError,
    ServerError,
    UnreachableError,
    line,
)
from popeq_llm.served_questions import (
    FIRST_DRAWS,
    Binding,
    Prompt,
    Question,
    binding_fields,
    form_text,
    is_entry,
    right_answer,
)

#: After so many prompts that failed one after another, a server is taken to be down.
_ENOUGH_FAILURES = 3
_CHECKED: dict[Binding, str] = {
    "grammar": "bound to the form of a setting by a grammar",
    "regex": "bound to the form of a setting by a regular expression",
    "schema": "bound to a JSON schema",
    "no": "read by the strict parser",
}


class ServedModel:
    """A model on a server that answers ``POST {base_url}/chat/completions``.

    The key is read from the variable ``OPENAI_API_KEY`` at each request and kept nowhere. Every request
    carries a seed from its chat's own generator and is kept in the cache (``$POPEQ_CACHE``), so that the same
    call asks the same and pays nothing twice. What the server can do (several choices a request, answers
    bound to their form) is found out once by asking, and kept as well.
    """

    def __init__(
        self,
        name: str,
        base_url: str | None,
        *,
        temperature: float = 1.0,
        per_request: int = 16,
        concurrency: int = 8,
        timeout_s: float = 120.0,
        patience: Patience | None = None,
    ) -> None:
        if not name or not base_url:
            raise UsageError("a served model needs a name and its server: --model openai:NAME --base-url URL")
        self.name, self.temperature = name, temperature
        self.per_request, self.concurrency = per_request, concurrency
        self._client = Client(base_url, concurrency, timeout_s, patience or Patience())
        self.base_url = self._client.base_url
        self._cache = ContentCache("served")
        self._abilities: dict[AnswerFormat, Abilities] = {}

    @property
    def info(self) -> ModelInfo:
        """Name and server, with notes on what was found out about it so far."""
        notes = ["seeds are sent, but only the server knows whether they make its answers repeatable"]
        if self._abilities:
            abilities = list(self._abilities.values())[-1]
            notes.append(f"up to {abilities.choices} answers a request, {_CHECKED[abilities.binding]}")
            if abilities.left_out:
                left_out = ", ".join(abilities.left_out)
                notes.append(f"the server does not take: {left_out}; its own defaults hold for them")
        return ModelInfo(name=self.name, device=self.base_url, notes=tuple(notes))

    def render(self, chat: Chat) -> str:
        """The chat's messages as JSON, as they are sent."""
        return canonical([asdict(message) for message in chat])

    def share(self, chats: Sequence[Chat]) -> None:
        """Nothing: servers keep what requests share by themselves."""

    def generate(
        self, chats: Sequence[Chat], n: int, form: Form, rngs: Sequence[np.random.Generator]
    ) -> Generated:
        """``n`` right answers to each chat, and how many wrong ones were thrown away for them.

        Wrong answers are asked again with new seeds, at most 4 n + 16 draws a chat. A chat that gets no
        answer costs the others nothing, unless the server answers nobody: then all that lack answers fail
        with it. Raises PromptsError, which names those that failed; what was answered is in the cache.
        """
        abilities = self._found_out(form)
        prompts = [Prompt(i, chat, n, rng) for i, (chat, rng) in enumerate(zip(chats, rngs, strict=True))]
        pool = ThreadPoolExecutor(max_workers=self.concurrency, thread_name_prefix="popeq-served")
        try:
            while unfinished := [p for p in prompts if p.is_open]:
                asked = [
                    (p, q, pool.submit(self._answer, p, q, form))
                    for p in unfinished
                    for q in self._wave(p, abilities, form)
                ]
                self._settle({future: p for p, _, future in asked}, form)
                for prompt, question, future in asked:
                    if not prompt.failure:
                        prompt.take(question, future.result())
                self._give_up_unanswered([p for p in unfinished if not p.failure], form)
        finally:
            for prompt in prompts:
                prompt.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        if failures := {p.place: f"{self._where(p)}: {p.failure}" for p in prompts if p.failure}:
            raise PromptsError(failures)
        return Generated([p.accepted for p in prompts], tuple(p.drawn - len(p.accepted) for p in prompts))

    def _found_out(self, form: Form) -> Abilities:
        """What the server can do for this format: as in the cache, else by asking it."""
        form = _probed(form)
        if form not in self._abilities:
            question = self._abilities_question(form)
            found = kept_abilities(self._cache.get(question))
            if found is None:

                def ask(abilities: Abilities, seed: int) -> list[Choice]:
                    tokens = PROBE_TOKENS if abilities.binding == "no" else form.tokens
                    body = self._body(PROBE, abilities, form, seed, abilities.choices, tokens)
                    return self._client.complete(body)

                try:
                    found = find_out(ask, form, self.per_request)
                except ServerError as error:
                    failure = str(error)
                if found is None:  # outside of the handler, whose exception would show the request
                    raise RunError(f"{self.name} at {self.base_url}: {failure}")
                self._cache.put(question, asdict(found), required=True)
            self._abilities[form] = found
        return self._abilities[form]

    def _abilities_question(self, form: AnswerFormat) -> dict[str, Any]:
        asked = self._body(PROBE, Abilities(self.per_request), form, 0, self.per_request, PROBE_TOKENS)
        return {
            "kind": "abilities",
            "base_url": self.base_url,
            "bindings": [binding_fields(binding, form) for binding in get_args(Binding)],
            "pairs": form.pairs,
            "body": asked,
        }

    def _body(
        self, chat: Chat, abilities: Abilities, form: Form, seed: int, count: int, tokens: int
    ) -> dict[str, Any]:
        """A request's body: everything that the answer depends on."""
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [asdict(message) for message in chat],
            "temperature": self.temperature,
            **SAMPLING,
            "seed": seed,
            abilities.limit: tokens,
        }
        if count > 1:
            body["n"] = count
        if not isinstance(form, FreeText):
            body |= binding_fields(abilities.binding, form)
        return {key: value for key, value in body.items() if key not in abilities.left_out}

    def _wave(self, prompt: Prompt, abilities: Abilities, form: Form) -> list[Question]:
        """The questions for the samples that a prompt lacks; the first wave is short, to fail cheaply."""
        missing = prompt.n - len(prompt.accepted)
        if prompt.drawn == 0:
            missing = min(missing, max(FIRST_DRAWS, abilities.choices))
        questions = []
        while missing:
            count = min(missing, abilities.choices)
            seed = int(prompt.rng.integers(2**31))
            body = self._body(prompt.chat, abilities, form, seed, count, form.tokens)
            questions.append(Question(body, self.base_url, seed, prompt.drawn, form, count))
            prompt.drawn += count
            missing -= count
        return questions

    def _answer(self, prompt: Prompt, question: Question, form: Form) -> list[str | None]:
        """A question's answers from the cache or the server; None is a wrong one."""
        held = self._cache.get(question.key)
        if is_entry(held, question.count, form):
            return list(held)
        try:
            choices = self._client.complete(question.body, prompt.stop)
        except MiscountedError:
            choices = None
        except Exception:
            prompt.stop.set()
            raise
        if choices is None:
            answers = [a for single in question.singles() for a in self._answer(prompt, single, form)]
        else:
            answers = [right_answer(choice, form) for choice in choices]
            for choice, answer in zip(choices, answers, strict=True):
                if answer is None:
                    prompt.wrong = f"{line(choice.text, 60)!r} (finish reason {choice.finish!r})"
        self._cache.put(question.key, answers, required=True)
        return answers

    def _settle(self, asked: dict[Future[list[str | None]], Prompt], form: Form) -> None:
        """Let some questions end, giving up the prompts whose questions fail.

        If prompt after prompt fails and no question is answered between, the server is taken to be down, and
        the rest is given up as well.
        """
        failed_in_a_row = 0
        for future in as_completed(asked):
            prompt = asked[future]
            error = None if future.cancelled() else future.exception()
            if error is None:
                failed_in_a_row *= future.cancelled()
                continue
            if prompt.failure or isinstance(error, CancelledError):
                continue
            if not isinstance(error, ServerError):
                raise error
            if isinstance(error, RefusedError):
                self._cache.forget(self._abilities_question(_probed(form)))
            prompt.give_up(str(error))
            failed_in_a_row += 1
            is_down = isinstance(error, UnreachableError) or failed_in_a_row >= _ENOUGH_FAILURES
            for pending, other in asked.items():
                if not pending.done() and is_down:
                    other.give_up(str(error))
                if other.failure:
                    pending.cancel()

    def _give_up_unanswered(self, unfinished: Sequence[Prompt], form: Form) -> None:
        """Give up the prompts for which it is no use to ask on."""
        for prompt in [p for p in unfinished if p.is_unanswerable()]:
            for question in prompt.half_right:  # a failure is not kept: a repaired server is asked again
                for asked in (question, *question.singles()):
                    self._cache.forget(asked.key)
            last = f", the last {prompt.wrong}" if prompt.wrong else ""
            prompt.give_up(
                f"{len(prompt.accepted)} of {prompt.drawn} answers had the form {form_text(form)}{last}; use "
                "a model that keeps to it, a plainer template, or a server that binds answers to a form"
            )

    def _where(self, prompt: Prompt) -> str:
        said = line(prompt.chat[-1].content[-80:], 60)
        return f"{self.name} at {self.base_url} ({said!r})"


def _probed(form: Form) -> AnswerFormat:
    """The format that the probe is about: its settings show whether a server samples."""
    if isinstance(form, AnswerFormat):
        return form
    return AnswerFormat() if isinstance(form, FreeText) else AnswerFormat(space=form.space)
