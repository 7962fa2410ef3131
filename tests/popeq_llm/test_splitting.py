"""Splitting and whole distributions against a table of known probabilities, prefix by prefix."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from popeq_llm.splitting import exact_answers, split_samples, vocabulary_of
from popeq_llm.trie import STOP, Grammar, build_trie

VOCABULARY = 12
#: Choices at once and after forced tokens, forced beginnings and ends, long and short answers.
ANSWERS = [
    [[1], [2], [3]],
    [[1, 2, 3], [1, 2, 4, 5], [1, 2, 4, 6], [7, 8, 9, 10], [7, 8, 9, 11], [0]],
    [[5, 5, 1, 2], [5, 5, 1, 3], [5, 5, 4, 4, 4, 1], [5, 5, 4, 4, 4, 2, 9, 9]],
    [[a, 9, b, c] for a, b, c in itertools.product((1, 2, 3), (4, 5), (6, 7, 8))],
    [[3, 4, 5]],
]


def grammar(*parts, stops=()):
    """Tries of some answers; in those of ``stops`` the last answer ends the whole."""
    texts = [[f"{part}{a}" for a in range(len(answers))] for part, answers in enumerate(parts)]
    for part in stops:
        texts[part][-1] = STOP
    return Grammar(tuple(map(build_trie, parts)), tuple(map(tuple, texts)))


def table(row, prefix):
    """The logits behind a prefix: random, but always the same."""
    return torch.from_numpy(np.random.default_rng([row, 77, *prefix]).normal(0, 1.5, VOCABULARY))


class TableRows:
    """In place of a model: its logits are those of the prefix that a slot's mask and positions make."""

    def __init__(self, names, vocabulary=None):
        self.names, rows = list(names), len(names)
        self.lengths = [3 + name for name in names]
        self.columns = list(range(VOCABULARY)) if vocabulary is None else vocabulary.tolist()
        self.first = torch.stack([table(name, ())[self.columns] for name in names]).float()
        self.tokens = torch.zeros((rows, 0), dtype=torch.long)
        self.depths = torch.zeros((rows, 0), dtype=torch.long)
        self.prefixes = []

    def feed(self, ids, depths, ancestors, keep):
        fed, width = self.tokens.shape[1], ids.shape[1]
        assert ancestors.shape == (len(self.lengths), width, fed + width)
        self.tokens, self.depths = torch.cat([self.tokens, ids], 1), torch.cat([self.depths, depths], 1)
        logits = torch.zeros((len(self.lengths), width, len(self.columns)))
        for r, s in itertools.product(range(len(self.lengths)), range(width)):
            seen = torch.nonzero(ancestors[r, s])[:, 0].tolist()
            if not seen:
                continue  # padding
            assert fed + s in seen
            path = sorted((self.depths[r, k].item(), self.tokens[r, k].item()) for k in seen)
            assert [d for d, _ in path] == list(range(len(path)))
            prefix = tuple(t for _, t in path)
            self.prefixes.append((r, prefix))
            logits[r, s] = table(self.names[r], prefix)[self.columns].float()
        return logits[:, width - keep :]


def probabilities(row, answers):
    """Of each answer under constrained decoding, straight from the table."""
    held = np.ones(len(answers))
    for i, answer in enumerate(answers):
        for k, token in enumerate(answer):
            logits = table(row, tuple(answer[:k])).numpy()
            allowed = sorted({a[k] for a in answers if a[:k] == answer[:k]})
            held[i] *= np.exp(logits[token]) / np.exp(logits[allowed]).sum()
    return held


@pytest.mark.parametrize("answers", ANSWERS)
def test_split_samples_have_the_exact_joint_distribution_and_feed_each_prefix_once(answers):
    trie, n, count = grammar(answers), 100_000, 3
    rows = TableRows(range(count), torch.from_numpy(vocabulary_of(trie)))
    drawn = split_samples(rows, trie, n, [np.random.default_rng([5, r]) for r in range(count)])
    assert len(rows.prefixes) == len(set(rows.prefixes))
    for r, samples in enumerate(drawn):
        expected, samples = probabilities(r, answers), samples[:, 0]
        found = np.bincount(samples, minlength=len(answers)) / n
        assert expected.sum() == pytest.approx(1)
        assert (np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / n) + 1e-9).all()
        if len(answers) > 1:  # draws follow one another independently
            same = (samples[1:] == samples[:-1]).mean()
            chance = (expected**2).sum()
            assert abs(same - chance) < 5 * np.sqrt(chance * (1 - chance) / n)


#: Two choices behind one another, one of them forced, one with a forced beginning.
GRAMMAR = ([[1, 2], [3, 4], [3, 5, 6]], [[7]], [[8, 9], [8, 10]], [[1, 1], [1, 2], [4]], [[0]])


@pytest.mark.parametrize("stops", [(), (2,), (0, 3)])
def test_several_tries_behind_one_another_have_their_exact_joint_distribution(stops):
    tries, n = grammar(*GRAMMAR, stops=stops), 100_000
    whole = {}  # tokens of every answer by its text
    for chosen in itertools.product(*(range(len(part)) for part in GRAMMAR)):
        ends = [t for t, c in enumerate(chosen) if t in stops and c == len(GRAMMAR[t]) - 1]
        used = GRAMMAR[: ends[0] + 1] if ends else GRAMMAR
        parts = [part[c] for part, c in zip(used, chosen, strict=False)]
        whole[tries.text(chosen)] = list(itertools.chain(*parts))
    rows = TableRows(range(2), torch.from_numpy(vocabulary_of(tries)))
    drawn = split_samples(rows, tries, n, [np.random.default_rng([6, r]) for r in range(2)])
    assert len(rows.prefixes) == len(set(rows.prefixes))
    ended = {tuple(tokens) for tokens in whole.values()}
    assert not [p for _, p in rows.prefixes if p in ended], "nothing is evaluated behind the end of an answer"
    for r, samples in enumerate(drawn):
        assert samples.shape == (n, len(GRAMMAR))
        distinct, counts = np.unique(samples, axis=0, return_counts=True)
        found = dict.fromkeys(whole, 0.0)
        for chosen, count in zip(distinct.tolist(), counts, strict=True):
            found[tries.text(chosen)] += count / n
        expected = probabilities(r, list(whole.values()))
        error = 5 * np.sqrt(expected * (1 - expected) / n) + 1e-9
        assert (np.abs(np.array(list(found.values())) - expected) <= error).all()


@pytest.mark.parametrize("answers", ANSWERS)
def test_a_rows_samples_are_its_own_whatever_the_others_are(answers):
    trie = grammar(answers)

    def draw(names):
        rows = TableRows(names, torch.from_numpy(vocabulary_of(trie)))
        return [s.tolist() for s in split_samples(rows, trie, 50, [np.random.default_rng(n) for n in names])]

    together = draw([0, 1, 2])
    assert draw([2, 0, 1]) == [together[2], together[0], together[1]]
    assert [draw([name])[0] for name in range(3)] == together


@pytest.mark.parametrize("answers", ANSWERS)
def test_the_whole_distribution_is_that_of_the_table(answers):
    trie = grammar(answers)
    rows = TableRows(range(2), torch.from_numpy(vocabulary_of(trie)))
    for r, found in enumerate(exact_answers(rows, trie)):
        np.testing.assert_allclose(found.probability, probabilities(r, answers), rtol=1e-5)
    assert len(rows.prefixes) == len(set(rows.prefixes))
