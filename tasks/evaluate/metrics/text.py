"""Answers that are free text, compared with the reference word by word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.evaluate.metrics.shared import Scores, figures
from tasks.evaluate.statistics import BLEU_ORDER, Statistic, mean_of


def generation(answers: Sequence[str], expected: Sequence[str]) -> Scores:
    """ROUGE-L (Lin 2004; mean F-measure, 0 to 1) and BLEU (Papineni et al. 2002; sacrebleu over the corpus, 0 to 100).

    ROUGE-L sees runs of a-z and 0-9 alone, as its reference implementation does: it is no measure for other scripts.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    pairs = list(zip(expected, answers, strict=True))
    correct = tuple(a.strip() == b.strip() for a, b in pairs)
    statistics = {
        "rouge_l": mean_of([float(scorer.score(a, b)["rougeL"].fmeasure) for a, b in pairs]),
        "bleu": bleu(answers, expected),
        "exact_match": mean_of(correct),
    }
    return Scores(figures(statistics), correct, statistics)


def bleu(answers: Sequence[str], expected: Sequence[str]) -> Statistic:
    """BLEU over the corpus, from the counts that sacrebleu makes of each row."""
    from sacrebleu.metrics import BLEU

    scorer = BLEU(effective_order=True)  # of a row only the counts are taken, which it does not change
    scores = [scorer.sentence_score(a, [b]) for a, b in zip(answers, expected, strict=True)]
    rows = [(*score.counts, *score.totals, score.sys_len, score.ref_len, 1) for score in scores]
    return Statistic("bleu", np.array(rows, dtype=np.float64).reshape(len(rows), 2 * BLEU_ORDER + 3))
