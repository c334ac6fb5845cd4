"""Answers that are free text, compared with the reference word by word or character by character.

ROUGE sees runs of a-z and 0-9 alone, as its reference implementation does, and METEOR's stems are English: for other
scripts chrF is the measure. A word is what stands between spaces.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from tasks.evaluate.metrics.shared import Scores, figures
from tasks.evaluate.signs import refuses, repeats
from tasks.evaluate.statistics import BLEU_ORDER, CHRF_ORDER, Statistic, mean_of, share_of

_ROUGE = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}
_TOKEN = re.compile(r"\w+|[^\w\s]")


def generation(answers: Sequence[str], expected: Sequence[str]) -> Scores:
    """Free text: overlap with the reference in six ways, and how long the answers are. A row is right to the letter."""
    correct = _to_the_letter(answers, expected)
    lengths, references = _words(answers), _words(expected)
    statistics = {
        **rouge(answers, expected),
        "bleu": bleu(answers, expected),
        "chrf": chrf(answers, expected),
        "meteor": meteor(answers, expected),
        "answer_words": mean_of(lengths),
        "length_ratio": mean_of(lengths, references),
        "exact_match": share_of(correct),
    }
    return Scores(figures(statistics), correct, statistics)


def chat(answers: Sequence[str], expected: Sequence[str]) -> Scores:
    """The last turn of a conversation: overlap with the reference, length, and signs of a bad answer.

    `repetition` and `refusal` are the shares of answers that go in circles and that decline (`tasks.evaluate.signs`).
    """
    correct = _to_the_letter(answers, expected)
    statistics = {
        "rouge_l": rouge(answers, expected)["rouge_l"],
        "chrf": chrf(answers, expected),
        "answer_words": mean_of(_words(answers)),
        "repetition": share_of([repeats(text) for text in answers]),
        "refusal": share_of([refuses(text) for text in answers]),
        "exact_match": share_of(correct),
    }
    return Scores(figures(statistics), correct, statistics)


def rouge(answers: Sequence[str], expected: Sequence[str]) -> dict[str, Statistic]:
    """ROUGE-1, -2 and -L (Lin 2004): the mean over rows of the F-measure, 0 to 1."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(_ROUGE.values()), use_stemmer=False)
    scores = [scorer.score(reference, answer) for answer, reference in zip(answers, expected, strict=True)]
    return {name: share_of([float(score[theirs].fmeasure) for score in scores]) for name, theirs in _ROUGE.items()}


def bleu(answers: Sequence[str], expected: Sequence[str]) -> Statistic:
    """BLEU over the corpus (Papineni et al. 2002; sacrebleu, 0 to 100), from the counts that it makes of each row."""
    from sacrebleu.metrics import BLEU

    scorer = BLEU(effective_order=True)  # of a row only the counts are taken, which it does not change
    scores = [scorer.sentence_score(answer, [text]) for answer, text in zip(answers, expected, strict=True)]
    rows = [(*score.counts, *score.totals, score.sys_len, score.ref_len, 1) for score in scores]
    return Statistic("bleu", np.array(rows, dtype=np.float64).reshape(len(rows), 2 * BLEU_ORDER + 3))


def chrf(answers: Sequence[str], expected: Sequence[str]) -> Statistic:
    """chrF2 over the corpus (Popović 2015; sacrebleu, 0 to 100), from n-grams of 1 to 6 characters without spaces."""
    from sacrebleu.metrics.helpers import extract_all_char_ngrams

    def counts(answer: str, text: str) -> list[int]:
        row: list[int] = []
        for given, wanted in zip(*(extract_all_char_ngrams(side, CHRF_ORDER) for side in (answer, text)), strict=True):
            # sacrebleu leaves out an answer's n-grams where the reference is too short to have any
            row += (given.total() if wanted else 0, wanted.total(), (given & wanted).total())
        return [*row, 1]

    rows = [counts(answer, text) for answer, text in zip(answers, expected, strict=True)]
    return Statistic("chrf", np.array(rows, dtype=np.float64).reshape(len(rows), 3 * CHRF_ORDER + 1))


def meteor(answers: Sequence[str], expected: Sequence[str]) -> Statistic:
    """METEOR (Lavie and Agarwal 2007; nltk, 0 to 1), by words that are the same and by Porter stems that are.

    Without synonyms, for which WordNet would have to be downloaded: figures are lower than those that others report
    with it, and to be compared between the arms of one run.
    """
    from nltk.stem.porter import PorterStemmer
    from nltk.translate.meteor_score import single_meteor_score

    how = {
        "stemmer": SimpleNamespace(stem=functools.lru_cache(100_000)(PorterStemmer().stem)),
        "wordnet": SimpleNamespace(synsets=lambda _word: ()),
    }
    return share_of(
        [
            float(single_meteor_score(_TOKEN.findall(text), _TOKEN.findall(answer), **how))
            for answer, text in zip(answers, expected, strict=True)
        ]
    )


def _to_the_letter(answers: Sequence[str], expected: Sequence[str]) -> tuple[bool, ...]:
    return tuple(answer.strip() == text.strip() for answer, text in zip(answers, expected, strict=True))


def _words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]
