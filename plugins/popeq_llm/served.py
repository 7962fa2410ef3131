"""Language models behind an OpenAI-compatible server: many samples, each right, none paid twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict
from typing import Any

import numpy as np

from popeq.caches import ContentCache, canonical
from popeq.errors import PromptsError, UsageError
from popeq_llm.answers import Form
from popeq_llm.models import Chat, Generated, ModelInfo
from popeq_llm.served_abilities import (
    Abilities,
    advice_for_empty,
)
from popeq_llm.served_client import MISCOUNTS, Client, Patience
from popeq_llm.served_errors import (
    CancelledError,
    MiscountedError,
    RefusedError,
    ServerError,
    UnreachableError,
)
from popeq_llm.served_questions import (
    FIRST_DRAWS,
    Answered,
    Prompt,
    Question,
    form_text,
    kept_answers,
)
from popeq_llm.served_reply import Source, line
from popeq_llm.served_requests import Sampling
from popeq_llm.served_server import Server

#: After so many prompts that failed one after another, a server is taken to be down.
_ENOUGH_FAILURES = 3


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
        max_tokens: int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        per_request: int = 16,
        concurrency: int = 8,
        timeout_s: float = 120.0,
        patience: Patience | None = None,
    ) -> None:
        if not name or not base_url:
            raise UsageError("a served model needs a name and its server: --model openai:NAME --base-url URL")
        self.name = name
        self._sampling = Sampling(name, temperature, max_tokens, extra_body or {})
        self.concurrency = concurrency
        self._client = Client(base_url, concurrency, timeout_s, patience or Patience())
        self.base_url = self._client.base_url
        self._cache = ContentCache("served")
        self._server = Server(self._client, self._cache, self._sampling, per_request)

    @property
    def info(self) -> ModelInfo:
        """Name, server and who answers there, with notes on what was found out about it so far."""
        return ModelInfo(
            name=self.name,
            device=self.base_url,
            notes=tuple(self._server.notes()),
            answered_by=str(self._server.source or ""),
        )

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
        abilities = self._server.found_out(form)
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
        return Generated(
            [p.accepted for p in prompts],
            tuple(p.drawn - len(p.accepted) for p in prompts),
            tuple(p.shortened for p in prompts),
            tuple(p.retried for p in prompts),
        )

    def _wave(self, prompt: Prompt, abilities: Abilities, form: Form) -> list[Question]:
        """The questions for the samples that a prompt lacks; the first wave is short, to fail cheaply."""
        missing = prompt.n - len(prompt.accepted)
        if prompt.drawn == 0:
            missing = min(missing, max(FIRST_DRAWS, abilities.choices))
        questions = []
        while missing:
            count = min(missing, abilities.choices)
            seed = int(prompt.rng.integers(2**31))
            body = self._sampling.body(prompt.chat, abilities, form, seed, count)
            source = self._server.source or Source()
            questions.append(Question(body, self.base_url, source, seed, prompt.drawn, form, count))
            prompt.drawn += count
            missing -= count
        return questions

    def _answer(self, prompt: Prompt, question: Question, form: Form) -> Answered:
        """A question's answers from the cache or the server."""
        kept = kept_answers(self._cache.get(question.key), question.count, form)
        if kept is not None:
            return kept
        try:
            reply = self._client.complete(question.body, prompt.stop)
            self._server.hold(reply.source)
        except MiscountedError:
            reply = None
        except Exception:
            prompt.stop.set()
            raise
        if reply is None:
            parts = [self._answer(prompt, single, form) for single in question.singles()]
            answered = Answered.joined(parts, MISCOUNTS)
        else:
            answered = Answered.of(reply, form)
            for choice, answer in zip(reply.choices, answered.answers, strict=True):
                if answer is None:
                    prompt.wrong = choice.shown
                    prompt.advice = "" if choice.text else advice_for_empty(choice)
        self._cache.put(question.key, asdict(answered), required=True)
        return answered

    def _settle(self, asked: dict[Future[Answered], Prompt], form: Form) -> None:
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
                self._server.forget(form)
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
            advice = "use a model that keeps to it, a plainer template, or a server that binds answers"
            right = f"{len(prompt.accepted)} of {prompt.drawn}"
            prompt.give_up(f"{right} answers had the form {form_text(form)}{last}; {prompt.advice or advice}")

    def _where(self, prompt: Prompt) -> str:
        said = line(prompt.chat[-1].content[-80:], 60)
        return f"{self.name} at {self.base_url} ({said!r})"
