"""Presidio set up to be quick: one spaCy component, our recognisers, and context only where it can change a score.

Never downloads a model or a list, never logs a text, and never looks for an entity that nobody asked for.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import re
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml
from presidio_analyzer import AnalysisExplanation, AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpArtifacts, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import SpacyRecognizer
from presidio_analyzer.predefined_recognizers.ner import HuggingFaceNerRecognizer

from tasks.errors import ModelError, RecipeError
from tasks.scrub.batches import in_batches
from tasks.scrub.ner import ENTITIES
from tasks.scrub.ner.tags import TAGGER, Decoder
from tasks.scrub.recognizers import build_recognizers

BLANK = "blank"
# Words that a pipeline keeps for good: some 500 bytes each, where to read one anew takes some 15 µs.
_WORDS = 100_000
_READING = threading.Lock()  # the words of one memory zone are gone when it ends, and a pipeline has one zone
NER = Path(__file__).parent / "ner" / "model"


class LeanSpacyEngine(SpacyNlpEngine):  # type: ignore[misc]  # Presidio is untyped
    """A spaCy pipeline of which nothing runs but what finds entities.

    Attributes:
        asked: the entities that somebody wants to know of.
    """

    asked: frozenset[str] | None = None

    def load(self) -> None:
        """Load each language's pipeline without its tagger, parser and lemmatizer."""
        import spacy

        self.nlp = {}
        for model in self.models:
            blank = model["model_name"] == BLANK
            nlp = spacy.blank(model["lang_code"]) if blank else spacy.load(model["model_name"])
            wanted = _needed(nlp)
            for name in nlp.pipe_names:
                if name not in wanted:
                    nlp.remove_pipe(name)
            self.nlp[model["lang_code"]] = nlp

    def process_batch(self, texts: Sequence[str], language: str, **_: Any) -> Iterator[Any]:
        """Texts and what was read in them, in order, a batch at a time."""
        nlp = self.nlp[language]
        if TAGGER not in nlp.pipe_names:
            for batch in in_batches(texts):
                yield from super().process_batch(batch, language, batch_size=len(batch))
            return
        tagger = nlp.get_pipe(TAGGER)
        decoder = Decoder(tagger.labels, self.asked)
        for batch in in_batches(texts):
            docs = [nlp.make_doc(text) for text in batch]
            for text, doc, probabilities in zip(batch, docs, tagger.model.predict(docs), strict=True):
                yield text, self._artifacts(doc, language, *decoder.entities_of(doc, probabilities))

    def process_text(self, text: str, language: str) -> Any:
        """What was read in one text."""
        return next(self.process_batch([text], language))[1]

    def _doc_to_nlp_artifact(self, doc: Any, language: str) -> Any:
        found = self._get_updated_entities(self._get_entities(doc), self._get_scores_for_entities(doc))
        return self._artifacts(doc, language, *found)

    @staticmethod
    def _artifacts(doc: Any, language: str, entities: list[Any], scores: list[float]) -> Any:
        # no lemmas and no keywords: they are made where a context word is asked for
        return NlpArtifacts(entities, doc, [], [], None, language, [_score(likely) for likely in scores])


def _needed(nlp: Any) -> set[str]:
    """The components that find entities, and the vectors that they listen to."""
    finders = {name for name in nlp.pipe_names if name in {"ner", "entity_ruler", "span_ruler", TAGGER}}
    listened = {"tok2vec", "transformer"} & {
        str(getattr(node, "upstream_name", ""))
        for name in finders
        if hasattr(component := nlp.get_pipe(name), "model")
        for node in component.model.walk()
    }
    return finders | listened


class ContextWhereItCounts(LemmaContextAwareEnhancer):  # type: ignore[misc]  # Presidio is untyped
    """Presidio's own, called only if one of the recognisers that found something knows context words."""

    def enhance_using_context(
        self, text: str, raw_results: list[Any], nlp_artifacts: Any, recognizers: list[Any], context: Any = None
    ) -> list[Any]:
        """Results with their scores raised where a context word stands near."""
        knows = {recognizer.id for recognizer in recognizers if recognizer.context}
        if not any((result.recognition_metadata or {}).get("recognizer_identifier") in knows for result in raw_results):
            return raw_results
        doc = nlp_artifacts.tokens
        lowered = [token.lower_ for token in doc]  # stands for the lemma: context words are matched as substrings
        indices = [token.idx for token in doc]
        full = NlpArtifacts(nlp_artifacts.entities, doc, indices, lowered, None, doc.lang_)
        full.keywords = [word for word in lowered if word.isalnum()]
        return list(super().enhance_using_context(text, raw_results, full, recognizers, context))


class LeanSpacyRecognizer(SpacyRecognizer):  # type: ignore[misc]  # Presidio is untyped
    """What the pipeline read, as results, without a text of explanation for each.

    A number that holds no digit, or a password that is a plain word or identifier, is none.
    """

    def analyze(self, text: str, entities: Any, nlp_artifacts: Any = None) -> list[Any]:
        """The pipeline's entities that are asked for."""
        found = super().analyze(text, entities, nlp_artifacts)
        return [
            result
            for result in found
            if result.entity_type not in _WITH_DIGITS or _DIGIT.search(text, result.start, result.end)
        ]

    def build_explanation(self, original_score: float, explanation: str) -> Any:  # noqa: ARG002
        """One for all: nobody reads it."""
        return _READ


class StrictNerRecognizer(HuggingFaceNerRecognizer):  # type: ignore[misc]  # Presidio is untyped
    """Presidio's, but that a text which the model fails at is an error: theirs passes it on as one without finds."""

    ner_pipeline: Any
    _failed: Exception | None = None

    def load(self) -> None:
        """Load the model of the folder."""
        is_new = self.ner_pipeline is None
        super().load()
        if is_new:
            self.ner_pipeline = functools.partial(self._read, self.ner_pipeline)

    def _read(self, pipeline: Callable[[str], Any], text: str) -> Any:
        try:
            return pipeline(text)
        except Exception as error:
            self._failed = error
            raise

    def _predict_chunk(self, chunk_text: str) -> list[Any]:
        self._failed = None
        found: list[Any] = super()._predict_chunk(chunk_text)
        if self._failed is not None:  # its message may hold the text
            raise ModelError(f"pii.models: {self.model_name} cannot read a text ({type(self._failed).__name__})")
        return found


class LeanAnalyzer(AnalyzerEngine):  # type: ignore[misc]  # Presidio is untyped
    """Presidio's engine without the rounds over all recognisers that change nothing where none of them has context."""

    def _enhance_using_context(
        self, text: str, raw_results: list[Any], nlp_artifacts: Any, recognizers: list[Any], context: Any = None
    ) -> list[Any]:
        if not any(recognizer.context for recognizer in recognizers):
            return raw_results
        enhanced: list[Any] = super()._enhance_using_context(text, raw_results, nlp_artifacts, recognizers, context)
        return enhanced


class SettledRegistry(RecognizerRegistry):  # type: ignore[misc]  # Presidio is untyped
    """A registry that looks up once who finds what, and not for every text."""

    def get_recognizers(self, language: str, entities: Any = None, all_fields: bool = False, **more: Any) -> list[Any]:
        """The recognisers for some entities, in the order of their names."""
        key = (language, tuple(entities or ()), all_fields)
        asked: dict[Any, list[Any]] = self.__dict__.setdefault("_asked", {})
        if key not in asked:
            found = super().get_recognizers(language=language, entities=entities, all_fields=all_fields, **more)
            asked[key] = sorted(found, key=lambda recognizer: recognizer.name)
        return asked[key]

    def add_recognizer(self, recognizer: Any) -> None:
        """Add one; who finds what is looked up anew."""
        self.__dict__.pop("_asked", None)
        super().add_recognizer(recognizer)


@functools.lru_cache(maxsize=4)
def build_analyzer(
    nlp_engine: str,
    model: str,
    language: str,
    patterns: tuple[str, ...] = (),
    entities: frozenset[str] = frozenset(),
) -> AnalyzerEngine:
    """Presidio's engine for one language: what reads, and our recognisers.

    Args:
        nlp_engine: `spacy`, `transformers` or `gliner`.
        model: an installed spaCy pipeline, a folder, or `tunegate`.
        language: two letters.
        patterns: a team's own recognisers, each a file's text in Presidio's YAML.
        entities: what is asked for; what none of ours finds is left to Presidio's own recognisers, e.g. US_ITIN.

    Raises:
        ModelError: the model is not there.
        RecipeError: a text of `patterns` cannot be used.
    """
    _keep_quiet()
    _keep_offline()
    reads_spacy = nlp_engine == "spacy"
    engine = LeanSpacyEngine(
        models=[{"lang_code": language, "model_name": _spacy_pipeline(model) if reads_spacy else BLANK}],
        ner_model_configuration=NerModelConfiguration(model_to_presidio_entity_mapping=_LABELS, default_score=1.0),
    )
    engine.asked = entities or None
    engine.load()
    reader = (
        LeanSpacyRecognizer(supported_language=language, supported_entities=sorted(set(_LABELS.values())))
        if reads_spacy
        else _other_reader(nlp_engine, model, language)
    )
    registry = SettledRegistry(recognizers=[reader, *build_recognizers(language)], supported_languages=[language])
    _add_patterns(registry, patterns, language)
    _add_presidios(registry, entities, language)
    return LeanAnalyzer(
        registry=registry,
        nlp_engine=engine,
        supported_languages=[language],
        context_aware_enhancer=ContextWhereItCounts(),
    )


def _spacy_pipeline(model: str) -> str:
    """What spaCy loads. Checked here because Presidio would download what is missing."""
    import spacy

    name = str(NER) if model == "tunegate" else model
    if not (spacy.util.is_package(name) or (Path(name) / "config.cfg").is_file()):
        raise ModelError(f"pii.models: {model} is not installed; install it with pip, or name a spaCy pipeline that is")
    return name


def _other_reader(nlp_engine: str, folder: str, language: str) -> Any:
    """Presidio's recogniser over a model of a team's own, from a folder: nothing is ever downloaded."""
    if not (Path(folder) / "config.json").is_file() and not (Path(folder) / "gliner_config.json").is_file():
        raise ModelError(f"pii.models: {folder} is no folder with a model for {nlp_engine}")
    if nlp_engine == "gliner":
        if importlib.util.find_spec("gliner") is None:
            raise ModelError("pii.nlp_engine: gliner is not installed; pip install gliner")
        from presidio_analyzer.predefined_recognizers import GLiNERRecognizer

        # it reads the labels as words, as which `STREET_ADDRESS` is none
        labels = {entity.lower().replace("_", " "): entity for entity in ENTITIES}
        return GLiNERRecognizer(entity_mapping=labels, model_name=folder, supported_language=language)
    labels = {**StrictNerRecognizer.DEFAULT_LABEL_MAPPING, **{entity: entity for entity in ENTITIES}}
    return StrictNerRecognizer(model_name=folder, supported_language=language, label_mapping=labels)


def _add_patterns(registry: RecognizerRegistry, patterns: Sequence[str], language: str) -> None:
    for text in patterns:
        try:
            for described in yaml.safe_load(text)["recognizers"]:
                if described.get("supported_language", language) == language:
                    registry.add_pattern_recognizer_from_dict(dict(described))
        except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError, re.error) as error:
            raise RecipeError(
                f"pii.recognizers: no recognisers in Presidio's YAML ({type(error).__name__}: {error})"
            ) from error


def _add_presidios(registry: RecognizerRegistry, entities: frozenset[str], language: str) -> None:
    """Presidio's own recognisers of what else is asked for, those that it ships switched off included."""
    missing = set(entities) - set(registry.get_supported_entities([language]))
    if not missing:
        return
    theirs = RecognizerRegistry(supported_languages=[language])
    theirs.load_predefined_recognizers(languages=[language])
    for recognizer in theirs.recognizers:
        if missing & set(recognizer.supported_entities) and recognizer.supported_language == language:
            registry.add_recognizer(recognizer)


# What the NER finds this likely has the default threshold's score of 0.4: picked on templates kept back from training.
_LIKELY = 0.34
# What it is sure of: a pattern that is surer gives a find its name, another does not.
_SURE = 0.79


def _score(likely: float) -> float:
    """A score on the scale of the patterns for a probability."""
    return max(0.0, 0.4 + (likely - _LIKELY) * (_SURE - 0.4) / (1 - _LIKELY))


_DIGIT = re.compile(r"\d|\b[A-Z]{8}\b|\b[A-Z]{11}\b")  # or a BIC, which may be all letters
_WITH_DIGITS = frozenset(
    {"ACCOUNT_NUMBER", "DRIVER_LICENSE", "NATIONAL_ID", "PASSPORT", "PHONE_NUMBER", "POSTCODE", "SECRET"}
)
_READ = AnalysisExplanation("LeanSpacyRecognizer", 0.0)
_LABELS = {**NerModelConfiguration().model_to_presidio_entity_mapping, **{entity: entity for entity in ENTITIES}}


def analyze(
    analyzer: AnalyzerEngine, texts: Sequence[str], language: str, entities: Sequence[str]
) -> Generator[list[Any]]:
    """What Presidio finds in each text, in order, one at a time: many finds in long texts do not fit into memory.

    Close it: until then other threads wait.
    """
    engine = analyzer.nlp_engine
    nlp = engine.nlp[language]
    # or spaCy keeps every word that it ever saw: a process that reads a million rows would grow by half
    forgetting = nlp.memory_zone if len(nlp.vocab) > _WORDS else nullcontext
    with _READING, forgetting():
        for text, artifacts in engine.process_batch(texts, language=language):
            yield analyzer.analyze(text=text, language=language, entities=list(entities), nlp_artifacts=artifacts)


def _keep_offline() -> None:
    """Presidio's e-mail recogniser asks tldextract, which would fetch a list; the copy that it brings will do."""
    import tldextract

    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


def _keep_quiet() -> None:
    """Presidio's loggers may carry spans and decisions, and warn about every recogniser of another language."""
    for name in ("presidio-analyzer", "presidio-anonymizer", "decision_process"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
