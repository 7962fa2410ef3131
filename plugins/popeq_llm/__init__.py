"""Predictors that ask a language model, shown examples or not, and the one that needs none (``knn``)."""

from __future__ import annotations

from functools import partial

from popeq.commands import CommandSpec
from popeq.contract import PredictorSpec
from popeq.hookspecs import hookimpl
from popeq_llm.parameters import (
    KernelMixtureParameters,
    KernelRidgeParameters,
    KnnParameters,
    QaParameters,
    RetrievalParameters,
    StaticParameters,
    VerbalParameters,
    ZeroParameters,
)


@hookimpl
def popeq_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            "models", "Models that can be named, and what brings them.", "popeq_llm.cli.models:models"
        )
    ]


@hookimpl
def popeq_predictors() -> list[PredictorSpec]:
    # An openai: model reads its key from that variable.
    asking = partial(PredictorSpec, extra="llm", kind="in-context", needs_env=("OPENAI_API_KEY",))
    return [
        asking(
            "icl-zero",
            "asks a language model about the sentence alone (the paper's Text2Beosonic)",
            "popeq_llm.icl:Zero",
            ZeroParameters,
        ),
        asking(
            "icl-static",
            "asks a language model that is shown the same examples for every sentence",
            "popeq_llm.icl:Static",
            StaticParameters,
        ),
        asking(
            "icl-rag",
            "asks a language model that is shown what listeners chose for the most similar sentences",
            "popeq_llm.icl:Rag",
            RetrievalParameters,
            kind="retrieval",
        ),
        asking(
            "icl-rag-qa",
            "like icl-rag, but 11 predictions in one answer, then uniform draws among them",
            "popeq_llm.icl:RagQa",
            QaParameters,
            kind="retrieval",
        ),
        asking(
            "icl-verbal",
            "asks a language model to state the distribution in words, a mixture; samples are drawn from it",
            "popeq_llm.verbal:Verbal",
            VerbalParameters,
            kind="retrieval",
        ),
        PredictorSpec(
            "knn",
            "the responses to the most similar training sentences, weighted; no language model",
            "popeq_llm.knn:NearestPrompts",
            KnnParameters,
            extra="llm",
            kind="retrieval",
        ),
        PredictorSpec(
            "kernel-mixture",
            "all training responses, weighted and moved by the similarity of sentences; no language model",
            "popeq_llm.kernel:KernelMixture",
            KernelMixtureParameters,
            extra="llm",
            kind="retrieval",
        ),
        PredictorSpec(
            "kernel-ridge",
            "kernel ridge regression of the mean setting, with pooled residuals as spread; no language model",
            "popeq_llm.kernel:KernelRidge",
            KernelRidgeParameters,
            extra="llm",
        ),
    ]
