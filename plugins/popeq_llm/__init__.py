"""Predictors that ask a language model, shown examples or not, and the one that needs none (``knn``)."""

from __future__ import annotations

from popeq.contract import PredictorSpec
from popeq.hookspecs import hookimpl
from popeq_llm.parameters import (
    KnnParameters,
    QaParameters,
    RetrievalParameters,
    StaticParameters,
    ZeroParameters,
)

#: An openai: model reads its key here.
_KEYS = ("OPENAI_API_KEY",)


@hookimpl
def popeq_predictors() -> list[PredictorSpec]:
    return [
        PredictorSpec(
            "icl-zero",
            "asks a language model about the sentence alone (the paper's Text2Beosonic)",
            "popeq_llm.icl:Zero",
            parameters=ZeroParameters,
            extra="llm",
            kind="in-context",
            needs_env=_KEYS,
        ),
        PredictorSpec(
            "icl-static",
            "asks a language model that is shown the same examples for every sentence",
            "popeq_llm.icl:Static",
            parameters=StaticParameters,
            extra="llm",
            kind="in-context",
            needs_env=_KEYS,
        ),
        PredictorSpec(
            "icl-rag",
            "asks a language model that is shown what listeners chose for the most similar sentences",
            "popeq_llm.icl:Rag",
            parameters=RetrievalParameters,
            extra="llm",
            kind="retrieval",
            needs_env=_KEYS,
        ),
        PredictorSpec(
            "icl-rag-qa",
            "like icl-rag, but 11 predictions in one answer, drawn equally often",
            "popeq_llm.icl:RagQa",
            parameters=QaParameters,
            extra="llm",
            kind="retrieval",
            needs_env=_KEYS,
        ),
        PredictorSpec(
            "knn",
            "the responses to the most similar training sentences, weighted; no language model",
            "popeq_llm.knn:NearestPrompts",
            parameters=KnnParameters,
            extra="llm",
            kind="retrieval",
        ),
    ]
