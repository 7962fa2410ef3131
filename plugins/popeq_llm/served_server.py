"""Who answers at a server, and what it can do: asked once, kept, and held against every answer."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, get_args

from popeq.caches import ContentCache
from popeq.errors import ChangedError, RunError
from popeq_llm.answers import AnswerFormat, Form, FreeText
from popeq_llm.served_abilities import (
    PROBE,
    PROBE_SEED,
    PROBE_TOKENS,
    Abilities,
    Known,
    find_out,
    kept_abilities,
)
from popeq_llm.served_client import Client
from popeq_llm.served_errors import RefusedError, ServerError
from popeq_llm.served_questions import Binding, binding_fields
from popeq_llm.served_reply import Choice, Source
from popeq_llm.served_requests import Sampling

#: A way to bind answers that the server refuses with a fault (5xx) is tried so often.
_BINDING_ATTEMPTS = 2
_CHECKED: dict[Binding, str] = {
    "grammar": "bound to the form of a setting by a grammar",
    "regex": "bound to the form of a setting by a regular expression",
    "schema": "bound to a JSON schema",
    "no": "read by the strict parser",
}


class Server:
    """A model behind a server. ``source`` is who answers, once that is known."""

    def __init__(self, client: Client, cache: ContentCache, sampling: Sampling, per_request: int) -> None:
        self.source: Source | None = None
        self._client, self._cache, self._sampling = client, cache, sampling
        self._per_request = per_request
        self._abilities: dict[AnswerFormat, Abilities] = {}

    def notes(self) -> list[str]:
        """What the user should know of it, a line each."""
        notes = ["seeds are sent, but only the server knows whether they make its answers repeatable"]
        if self._abilities:
            abilities = list(self._abilities.values())[-1]
            notes.append(f"up to {abilities.choices} answers a request, {_CHECKED[abilities.binding]}")
            if abilities.left_out:
                left_out = ", ".join(abilities.left_out)
                notes.append(f"the server does not take: {left_out}; its own defaults hold for them")
            if not abilities.system:
                notes.append("the server has no system role: what the system says is put before the sentence")
        source = self.source or Source()
        if self.source and not (source.fingerprint or source.listed):
            notes.append(
                "the server does not say which weights answer (no system_fingerprint): others under the same "
                "name would not be noticed; --fresh asks again"
            )
        return notes

    def found_out(self, form: Form) -> Abilities:
        """What the server can do for this format: as in the cache if the same answers there, else by asking
        it."""
        form = _probed(form)
        if form not in self._abilities:
            question = self._abilities_question(form)
            known = kept_abilities(self._cache.get(question))
            listed = self._client.listed(self._sampling.name)
            if known is None or not self._is_still(known, form, listed):
                known = self._asked(form, listed or "")
                self._cache.put(question, asdict(known), required=True)
            self.hold(known.source)
            self._abilities[form] = known.abilities
        return self._abilities[form]

    def _is_still(self, known: Known, form: AnswerFormat, listed: str | None) -> bool:
        """Whether the same answers that was asked before, as far as the server says; also if it says nothing
        now: the next answer shows it."""
        if listed is not None and listed != known.source.listed:
            return False
        one = replace(known.abilities, choices=1, binding="no")
        body = self._sampling.body(PROBE, one, form, PROBE_SEED, 1, PROBE_TOKENS)
        try:
            return self._client.complete(body, attempts=1).source.is_of(known.source)
        except RefusedError:
            return False
        except ServerError:
            return True

    def _asked(self, form: AnswerFormat, listed: str) -> Known:
        """What the server can do, by asking it. Raises RunError if it cannot be used."""
        source = None

        def ask(abilities: Abilities, seed: int) -> list[Choice]:
            nonlocal source
            bound = abilities.binding != "no"
            body = self._sampling.body(
                PROBE, abilities, form, seed, abilities.choices, form.tokens if bound else PROBE_TOKENS
            )
            reply = self._client.complete(body, attempts=_BINDING_ATTEMPTS if bound else None)
            source = source or replace(reply.source, listed=listed)
            self.hold(reply.source, source)
            return reply.choices

        try:
            found = find_out(ask, form, self._per_request, self._sampling.temperature)
        except ServerError as error:
            failure = str(error)
        else:
            return Known(found, source or Source(listed=listed))
        # outside of the handler, whose exception would show the request
        raise RunError(f"{self._where()}: {failure}")

    def hold(self, source: Source, known: Source | None = None) -> None:
        """Note who answers; raises ChangedError if it is another one than before (``known``)."""
        known = known or self.source
        if known is None:
            self.source = source
        elif not source.is_of(known):
            was, now = str(known) or "nothing", str(source) or "nothing"
            raise ChangedError(
                f"{self._where()}: another model answers than before: the server said {was} of itself, and "
                f"says {now} now; answers of both are not mixed: run again with --fresh"
            )

    def _where(self) -> str:
        return f"{self._sampling.name} at {self._client.base_url}"

    def forget(self, form: Form) -> None:
        """Keep nothing of what was found out for this format: a request was refused all the same."""
        self._cache.forget(self._abilities_question(_probed(form)))

    def _abilities_question(self, form: AnswerFormat) -> dict[str, Any]:
        body = self._sampling.body(
            PROBE, Abilities(self._per_request), form, 0, self._per_request, PROBE_TOKENS
        )
        return {
            "kind": "abilities",
            "base_url": self._client.base_url,
            "bindings": [binding_fields(binding, form) for binding in get_args(Binding)],
            "pairs": form.pairs,
            "body": body,
        }


def _probed(form: Form) -> AnswerFormat:
    """The format that the probe is about: its settings show whether a server samples."""
    if isinstance(form, AnswerFormat):
        return form
    return AnswerFormat() if isinstance(form, FreeText) else AnswerFormat(space=form.space)
