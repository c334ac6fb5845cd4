"""What a recipe may say: frozen, closed sections whose keys are those of the library they reach.

Never reads the environment and never touches data; the only files it reads are those that a recipe names beside itself.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

# Who answers the held-out rows: the base alone; the base shown some training rows; the model in production; the trained
# adapter; the same in the form in which it will be served.
Arm = Literal["base", "prompted", "champion", "tuned", "served"]
Slice = Literal["label", "length", "source", "language"]
Role = Literal["system", "user", "assistant"]
TaskKind = Literal["classification", "structured_output", "generation", "sql", "chat"]

# Which metrics an evaluation of each kind yields: a gate on any other is an error of the recipe.
COMMON_METRICS = ("exact_match", "perplexity", "latency_seconds_per_row", "generated_tokens_per_row", "second_look")
# Of the data alone: what planted values scrubbing found, and what a second look still finds, per 1,000 rows: values
# that can be checked, and names, which it often only suspects. (Of an arm: how many of 1,000 answers have a value.)
DATA_METRICS = ("canary_recall", "worst_canary_recall", "second_look", "second_look_names", "leakage")
# Of the base and the tuned arm, on texts that have nothing to do with the task: what was forgotten, and what is safe.
PROBE_METRICS = (
    "forgetting_accuracy",
    *(f"forgetting_accuracy.{kind}" for kind in ("arithmetic", "facts", "reading", "instruction", "code")),
    "general_perplexity",
    "unsafe_rate",
    "no_answer",
    "over_refusal",
    "injection_followed",
    "pii_disclosed",
)
# What people said of the answers on scorecards; and how much worse the test rows are than the validation rows.
PEOPLE_METRICS = (
    "people_relevance",
    "people_factual_accuracy",
    "people_brand_voice",
    "people_safety",
    "people_agreement",
    *(f"people_agreement_{scale}" for scale in ("relevance", "factual_accuracy", "brand_voice", "safety")),
    "people_preference",
    "showstoppers",
)
TUNED_METRICS = ("overfitting_gap",)
# Means over classes, of which a slice by label holds one: there they say nothing.
OF_CLASSES = ("macro_f1", "weighted_f1", "field_macro_f1", "field_precision", "field_recall")
# The figure that says most about a task, where one must stand for all: the first of these that it has.
MAIN_METRICS = ("accuracy", "same_result", "rouge_l", "exact_match")
METRICS: dict[TaskKind, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1", "weighted_f1", "valid_label", *COMMON_METRICS),
    "structured_output": (
        "valid_json",
        "schema_valid",
        "field_macro_f1",
        "field_precision",
        "field_recall",
        "field_accuracy",
        *COMMON_METRICS,
    ),
    "generation": (
        "rouge_l",
        "rouge_1",
        "rouge_2",
        "bleu",
        "chrf",
        "meteor",
        "answer_words",
        "length_ratio",
        *COMMON_METRICS,
    ),
    "sql": ("same_result", "sql_parses", *COMMON_METRICS),
    "chat": ("rouge_l", "chrf", "answer_words", "repetition", "refusal", *COMMON_METRICS),
}


class Section(BaseModel):
    """A closed, immutable part of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    def digest(self) -> str:
        """Sha256 (64 hex digits) of the section as resolved, defaults included."""
        return digest_of(self.model_dump(mode="json"))


def digest_of(value: object) -> str:
    """Sha256 (64 hex digits) of `value` as canonical JSON: sorted keys, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class TextFile(Section):
    """A file beside the recipe; its text is part of the recipe, so that the recipe's digest covers it."""

    path: str
    text: str


def _read_beside(value: object, info: ValidationInfo) -> object:
    """Turn a path, relative to the recipe, into the `TextFile` it names."""
    if not isinstance(value, str):
        return value
    folder = (info.context or {}).get("folder")
    if folder is None:
        raise ValueError("a file can be named only in a recipe that is itself a file")
    if PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts:
        raise ValueError(f"{value} must lie in the same folder as the file that names it, or below")
    file = Path(folder) / value
    if not file.is_file():
        raise ValueError(f"no such file: {file}")
    return {"path": value, "text": file.read_text(encoding="utf-8")}


RecipeFile = Annotated[TextFile, BeforeValidator(_read_beside, json_schema_input_type=str | TextFile)]


class Model(Section):
    """The base model: a local folder, a package of the Python index, or a hub id pinned to a commit."""

    model_name_or_path: str = Field(
        min_length=1, description="A folder, `package:NAME` for a file in an installed package, or a hub id."
    )
    model_revision: str | None = Field(None, description="The hub's commit (40 hex digits); required for a hub id.")
    gguf_file: str | None = Field(None, description="The GGUF file to read in that folder, package or repository.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="What the weights file must hash to.")
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] = Field(
        "sdpa", description="eager is fastest for short rows on a CPU; sdpa or flash_attention_2 on a GPU."
    )
    license: str | None = Field(
        None, description="What the base may be used under, as an SPDX identifier, for whoever approves."
    )


class Dataset(Section):
    """One source of rows. Relative paths are looked for beside the recipe, then below TUNEGATE_DATA."""

    path: str = Field(min_length=1, description="A file, an fsspec URL, or a Hugging Face dataset's id.")
    name: str | None = Field(None, description="Configuration of a Hugging Face dataset.")
    split: str | None = Field(None, description="Split of a Hugging Face dataset.")
    revision: str | None = Field(None, description="Commit of a Hugging Face dataset; required for a hub id.")
    type: Literal["jsonl", "csv", "parquet", "huggingface"]
    side: Literal["train", "test"] | None = Field(
        None, description="Send every row here; without it each row's side follows from a hash of its group."
    )
    field_messages: str | None = Field(None, description="Column of chat messages (a list of role, content).")
    field_prompt: str | None = Field(None, description="Column of the prompt; needs field_completion.")
    field_completion: str | None = None
    field_label: str | None = Field(
        None, description="Column that is counted on each side of the split; the class, where there is one."
    )
    field_group: str | None = Field(None, description="Column that must not straddle train and test, e.g. a customer.")
    license: str | None = Field(
        None, description="What the rows may be used under, as an SPDX identifier, for whoever approves."
    )

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if (self.field_prompt is None) != (self.field_completion is None):
            raise ValueError("field_prompt and field_completion go together")
        if self.field_messages and self.field_prompt:
            raise ValueError("give field_messages or field_prompt, not both")
        return self


class Prompt(Section):
    """How a row becomes messages: sandboxed Jinja templates over the row's columns."""

    style: Literal["chat", "plain"] = Field(
        "chat", description="chat uses the model's chat template; plain joins the texts, fewest tokens."
    )
    system: str | None = None
    user: str | None = Field(None, description="Template of the question, e.g. `{{ text }}`.")
    assistant: str | None = Field(None, description="Template of the answer, e.g. `{{ category }}`.")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.user is None) != (self.assistant is None):
            raise ValueError("user and assistant go together")
        return self


Operator = Literal["replace", "pseudonym", "surrogate", "hash", "drop_row", "keep"]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
Score = Annotated[float, Field(ge=0, le=1)]


class PiiPolicy(Section):
    """Which personal values are looked for, with what, and what is done with them: a file of conf/policies."""

    nlp_engine: Literal["spacy", "transformers", "gliner"] = Field(
        "spacy", description="What reads the texts beside the patterns and checksums."
    )
    models: dict[Language, str] = Field(
        {"en": "tunegate"},
        min_length=1,
        description="Per language: an installed spaCy pipeline, a model's folder, or `tunegate`, the one that ships.",
    )
    score_threshold: Score = Field(0.4, description="Lower finds more, and more that is not personal.")
    score_thresholds: dict[str, Score] = Field({}, description="Per entity, instead of score_threshold.")
    entities: dict[str, Operator] = Field(
        description="Per entity: `replace` by `<ENTITY>`; `pseudonym`, `<ENTITY_1>`, the same within a row or group; a "
        "`surrogate`, made up but realistic; a keyed `hash`; `drop_row`; `keep`, counted and left.",
    )
    pseudonym_scope: Literal["record", "group"] = Field("record", description="Within what a pseudonym stays the same.")
    allow_list: tuple[str, ...] = Field((), description="Texts that are never personal here, e.g. product names.")
    deny_list: tuple[str, ...] = Field((), description="Texts that always go, e.g. the name of a project.")
    recognizers: tuple[RecipeFile, ...] = Field(
        (), description="Files with Presidio's YAML of pattern recognisers of your own, beside this file."
    )


class Pii(PiiPolicy):
    """A recipe's policy, with what it says otherwise, and where it applies."""

    policy: str = Field(
        "pii", pattern=r"^[a-z0-9][a-z0-9-]*$", description="A file of conf/policies; what stands here wins over it."
    )
    roles: tuple[Role, ...] = Field(
        ("system", "user", "assistant"), description="Leave assistant out only where the answers are a closed set."
    )
    keep_raw: bool = Field(False, description="Keep the raw rows; by default they go once the scrubbed ones stand.")
    canaries: int = Field(
        200, ge=0, description="Rows into whose copies made-up values are planted, to measure how many are found."
    )
    second_look: int = Field(
        1000, ge=0, description="Scrubbed rows that other means look at again; for the answers all of the test rows."
    )
    upload_limit: int = Field(
        0,
        ge=0,
        description="Values that a second look may prove (cards, IBANs, e-mail addresses, phone numbers, keys) in what "
        "goes to MLflow, answers of models aside; with more nothing is recorded.",
    )
    task_runner: Literal["processes", "ray"] = Field(
        "processes", description="Where texts are looked at: on the cores here, or on the Ray cluster of RAY_ADDRESS."
    )


class ExpectTableRowCountToBeBetween(Section):
    """At least, and at most, so many rows."""

    type: Literal["expect_table_row_count_to_be_between"]
    min_value: int = Field(1, ge=1)
    max_value: int | None = None
    severity: Literal["critical", "warning"] = "critical"


Column = Literal["prompt", "completion", "label", "source", "group", "prompt_characters", "completion_characters"]


class _ColumnExpectation(Section):
    column: Column
    severity: Literal["critical", "warning"] = "critical"


class ExpectColumnValuesToNotBeNull(_ColumnExpectation):
    """No empty cell, or at most a fraction 1 - mostly."""

    type: Literal["expect_column_values_to_not_be_null"]
    mostly: float = Field(1.0, ge=0, le=1)


class ExpectColumnValuesToBeInSet(_ColumnExpectation):
    """Only these values."""

    type: Literal["expect_column_values_to_be_in_set"]
    value_set: tuple[str, ...] = Field(min_length=1)
    mostly: float = Field(1.0, ge=0, le=1)


class ExpectColumnValuesToBeBetween(_ColumnExpectation):
    """Numbers within bounds."""

    type: Literal["expect_column_values_to_be_between"]
    min_value: float | None = None
    max_value: float | None = None
    mostly: float = Field(1.0, ge=0, le=1)


class ExpectColumnValuesToMatchRegex(_ColumnExpectation):
    """Texts that a regular expression finds."""

    type: Literal["expect_column_values_to_match_regex"]
    regex: str
    mostly: float = Field(1.0, ge=0, le=1)


class ExpectColumnValuesToNotMatchRegex(_ColumnExpectation):
    """Texts that a regular expression does not find."""

    type: Literal["expect_column_values_to_not_match_regex"]
    regex: str
    mostly: float = Field(1.0, ge=0, le=1)


class ExpectColumnUniqueValueCountToBeBetween(_ColumnExpectation):
    """So many different values."""

    type: Literal["expect_column_unique_value_count_to_be_between"]
    min_value: int | None = None
    max_value: int | None = None


Expectation = Annotated[
    ExpectTableRowCountToBeBetween
    | ExpectColumnValuesToNotBeNull
    | ExpectColumnValuesToBeInSet
    | ExpectColumnValuesToBeBetween
    | ExpectColumnValuesToMatchRegex
    | ExpectColumnValuesToNotMatchRegex
    | ExpectColumnUniqueValueCountToBeBetween,
    Field(discriminator="type"),
]


class Quality(Section):
    """Which rows are dropped, and what must hold of those that stay (a Great Expectations suite)."""

    min_prompt_characters: int = Field(1, ge=1, description="Of the question, without its system message.")
    max_prompt_characters: int = Field(20_000, ge=1)
    languages: tuple[str, ...] = Field((), description="Keep rows in these languages (ISO 639-1); empty keeps all.")
    drop_duplicates: bool = True
    near_duplicate_threshold: float | None = Field(
        0.9, gt=0, le=1, description="Jaccard similarity of word shingles above which the later row is dropped."
    )
    drop_contradictions: bool = Field(True, description="Drop every copy of a prompt that has different answers.")
    max_rejected_fraction: float = Field(0.5, ge=0, le=1, description="More rows lost than this stops the run.")
    expectations: tuple[Expectation, ...] = ()


class Split(Section):
    """How rows are cut: a hash of the group decides, so a row keeps its side when data is added."""

    validation_size: float = Field(0.1, ge=0, lt=1)
    test_size: float = Field(0.1, ge=0, lt=1)
    seed: int = 0
    min_test_rows: int = Field(20, ge=1, description="Fewer held-out rows than this stops the run.")

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> Self:
        if self.validation_size + self.test_size >= 1:
            raise ValueError("validation_size and test_size leave nothing to train on")
        return self


class Quantization(Section):
    """bitsandbytes: how the frozen base is held in memory."""

    load_in_4bit: bool = True
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    bnb_4bit_use_double_quant: bool = True
    bnb_4bit_compute_dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"


class Lora(Section):
    """peft: the adapter that is trained."""

    r: int = Field(16, ge=1, description="Higher learns more and needs more memory.")
    lora_alpha: int = Field(32, ge=1)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    use_rslora: bool = False


class Training(Section):
    """TRL's SFTConfig: only the keys that a recipe may set."""

    num_train_epochs: float = Field(3.0, gt=0)
    max_steps: int = Field(-1, ge=-1, description="-1 leaves the length to num_train_epochs.")
    per_device_train_batch_size: int = Field(16, ge=1)
    per_device_eval_batch_size: int = Field(16, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1)
    learning_rate: float = Field(2.0e-4, gt=0)
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    optim: Literal["adamw_torch", "paged_adamw_8bit", "adamw_8bit"] = "adamw_torch"
    max_length: int = Field(512, ge=8, description="Tokens; a longer row is an error, never silently cut.")
    packing: bool = Field(False, description="Joins short rows; only with flash_attention_2.")
    completion_only_loss: Literal[True] = Field(True, description="The prompt carries no loss.")
    train_sampling_strategy: Literal["random", "group_by_length"] = "group_by_length"
    gradient_checkpointing: bool = Field(False, description="Less memory, about a third slower.")
    metric_for_best_model: Literal["eval_loss", "eval_mean_token_accuracy"] = Field(
        "eval_loss", description="Which validation figure picks the checkpoint; token accuracy suits closed answers."
    )
    early_stopping_patience: int = Field(2, ge=1, description="Evaluations in a row without a better figure.")
    evals_per_epoch: int = Field(1, ge=1, description="Validation, and a checkpoint, so many times an epoch.")
    logging_steps: int = Field(5, ge=1)
    seed: int = 42
    nproc_per_node: int = Field(1, ge=1, description="Processes on this machine; above 1 through torchrun.")


OF_CANDIDATE = "{adapter_sha256}"  # in the path of an external file


class External(Section):
    """Results of another tool on this very adapter, by file: its figures are those of the tuned arm."""

    format: Literal["lm_eval", "garak", "promptfoo"]
    path: str = Field(
        min_length=1,
        description="Relative to the recipe, or below TUNEGATE_DATA. `{adapter_sha256}` in it stands for the digest of "
        "the candidate's weights, so that each finds the file of its own results.",
    )
    adapter_sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="Of the weights that were tested, where path does not say it: for others the file counts for "
        "nothing.",
    )

    @model_validator(mode="after")
    def _says_whose_they_are(self) -> Self:
        if (OF_CANDIDATE in self.path) == (self.adapter_sha256 is not None):
            raise ValueError(f"whose results are they? Give adapter_sha256, or {OF_CANDIDATE} in path")
        return self


CustomMetric = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Evaluation(Section):
    """How the held-out rows are judged: every arm answers the same rows, greedily."""

    task: TaskKind
    max_new_tokens: int = Field(64, ge=1)
    batch_size: int = Field(32, ge=1)
    max_test_rows: int | None = Field(None, ge=1, description="The first rows by id; all by default.")
    labels: tuple[str, ...] | None = Field(None, description="The closed set of answers; default: those of the data.")
    constrained: bool = Field(False, description="Classification: every arm may write nothing but one of the labels.")
    json_schema: RecipeFile | None = Field(None, description="JSON Schema file of the answer, beside the recipe.")
    shots: int = Field(4, ge=0, description="Training rows that the arm `prompted` is shown; 0 leaves it out.")
    champion: bool = Field(True, description="Let the model in production answer too, where there is one.")
    served: Literal["as_evaluated", "merged", "merged_4bit"] = Field(
        "as_evaluated", description="The form it will be served in; another than evaluated is an arm of its own."
    )
    slices: tuple[Slice, ...] = Field(("label", "length", "source", "language"), description="Reported apart.")
    min_slice_rows: int = Field(10, ge=1, description="Slices of fewer rows say nothing, and hold no gate.")
    forgetting: bool = Field(True, description="Ask base and tuned what has nothing to do with the task.")
    safety: bool = Field(True, description="Ask base and tuned what should be refused, and harmless twins of it.")
    max_probes: int | None = Field(
        None, ge=20, description="Of the questions of each such set, spread evenly over its kinds; all by default."
    )
    leakage_threshold: float = Field(
        0.9,
        gt=0,
        le=0.9,
        description="Jaccard similarity from which a test row counts as known from training rows; less is stricter.",
    )
    external: tuple[External, ...] = ()
    sql_fixture: RecipeFile | None = Field(
        None, description="SQL script, beside the recipe, that makes the SQLite database on which queries are run."
    )
    custom_metrics: tuple[CustomMetric, ...] = Field(
        (),
        description="Files `NAME.py` of conf/metrics with a function score(answer, expected), of 0 to 1 where the file "
        "sets no RANGE; gates name them alike.",
    )

    @model_validator(mode="after")
    def _files_for_their_tasks(self) -> Self:
        if (self.task == "structured_output") != (self.json_schema is not None):
            raise ValueError("json_schema goes with task structured_output")
        if self.constrained and self.task != "classification":
            raise ValueError("constrained goes with task classification")
        if (self.task == "sql") != (self.sql_fixture is not None):
            raise ValueError("sql_fixture goes with task sql")
        return self


class Gate(Section):
    """One condition on the evaluation, held against its noise: passed, failed, or inconclusive, which refuses too.

    Without `confidence` the measured figure alone decides, as it does for figures whose noise is not known (latency,
    the data, people), and for a bound at the end of a scale, which no sample could prove.
    """

    metric: str
    arm: Arm | Literal["data", "people"] = Field(
        "tuned", description="Whose figure; `data` is about the rows, `people` about scorecards."
    )
    against: Arm | None = Field(None, description="The gate is on the difference to this arm, on the same rows.")
    min: float | None = None
    max: float | None = None
    confidence: float | None = Field(
        0.95, gt=0.5, lt=1, description="That the bound really holds; null: the measured figure decides."
    )
    slice: Slice | None = Field(None, description="Hold the worst of these slices against the bound.")
    overridable: bool = Field(True, description="False: nobody can override it, whatever the policy says.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a gate needs min or max")
        if self.arm in ("data", "people") and (self.against or self.slice):
            raise ValueError("against and slice go with the answers of an arm")
        if self.against == self.arm:
            raise ValueError("against names another arm than arm")
        if self.slice == "label" and self.metric in OF_CLASSES:
            instead = "field_accuracy" if self.metric.startswith("field_") else "accuracy"
            raise ValueError(
                f"{self.metric} is a mean over classes, and a slice by label holds one of them; "
                f"take {instead}, or another slice"
            )
        return self


# Figures on rows that are known by heart say nothing; and one answer that people found false or unsafe stops a model.
LEAKAGE = Gate(metric="leakage", arm="data", max=0.01, overridable=False)
SHOWSTOPPERS = Gate(metric="showstoppers", arm="people", max=0, overridable=False)


_CANDIDATES = "-candidates"


def candidates_of(model: str) -> str:
    """The name that a model's candidates are registered under: `demo-candidates` of `demo`."""
    return f"{model}{_CANDIDATES}"


def are_candidates(name: str) -> bool:
    """Whether candidates are registered under this name, and not what was promoted."""
    return name.endswith(_CANDIDATES)


def model_of(name: str) -> str:
    """The model of either name: `demo` of `demo-candidates`, and of `demo`."""
    return name.removesuffix(_CANDIDATES)


def _of_a_model(name: str) -> str:
    if are_candidates(name):
        raise ValueError(f"names in {_CANDIDATES} are those of candidates; {model_of(name)} makes {name} by itself")
    return name


ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$"), AfterValidator(_of_a_model)]


class Registry(Section):
    """Where the adapter is registered: `<name>-candidates`."""

    name: ModelName | None = Field(None, description="Default: the recipe's name.")


class Tracking(Section):
    """The MLflow experiment of the runs."""

    experiment_name: str | None = Field(None, description="Default: the recipe's name.")
    log_system_metrics: bool = True


class Given(Section):
    """A recipe as it was given: the loader sets it, and the digest leaves it out.

    Attributes:
        folder: where the recipe lies.
        text: its file, comments and all.
        overrides: the `KEY=VALUE` that came with it.
    """

    folder: str = ""
    text: str = ""
    overrides: tuple[str, ...] = ()


def have_limit(gates: tuple[Gate, ...], limit: Gate) -> bool:
    """Whether one of them refuses all that `limit` does (`LEAKAGE` or `SHOWSTOPPERS`), and for good."""
    most = [gate.max for gate in gates if gate.metric == limit.metric and not gate.overridable]
    return any(max_ is not None and limit.max is not None and max_ <= limit.max for max_ in most)


class Recipe(Section):
    """One fine-tuning job, whole."""

    given: Given = Given()
    name: ModelName = Field(description="Names the experiment and the registered model.")
    description: str = ""
    model: Model
    datasets: tuple[Dataset, ...] = Field(min_length=1)
    prompt: Prompt = Prompt()
    pii: Pii = Field(description="Which personal values go; what stands here wins over the policy it names.")
    quality: Quality = Quality()
    split: Split = Split()
    quantization: Quantization = Quantization()
    lora: Lora = Lora()
    training: Training = Training()
    evaluation: Evaluation
    gates: tuple[Gate, ...] = Field(min_length=1, description="All must hold; a metric that is missing refuses.")
    registry: Registry = Registry()
    tracking: Tracking = Tracking()

    @field_validator("gates", mode="after")
    @classmethod
    def _what_no_recipe_may_forget(cls, gates: tuple[Gate, ...]) -> tuple[Gate, ...]:
        """A recipe gets our limit on leakage, and asking people that on showstoppers, if its own is not as strict."""
        limits = (LEAKAGE, *((SHOWSTOPPERS,) if any(gate.arm == "people" for gate in gates) else ()))
        return (*gates, *(limit for limit in limits if not have_limit(gates, limit)))

    def resolved(self) -> dict[str, Any]:
        """Every value of the recipe, defaults included, as JSON; not how it was given."""
        return self.model_dump(mode="json", exclude={"given"})

    def digest(self) -> str:
        """Sha256 (64 hex digits) of the recipe as resolved; where it lies, and its comments, do not count."""
        return digest_of(self.resolved())

    @property
    def registered_name(self) -> str:
        """Name of the production model; `candidates_of` it is that of its candidates."""
        return self.registry.name or self.name

    @property
    def experiment_name(self) -> str:
        return self.tracking.experiment_name or self.name


def flat(section: BaseModel, prefix: str = "") -> dict[str, Any]:
    """The section's values with dotted keys, e.g. `training.learning_rate`."""
    values: dict[str, Any] = {}
    for key, value in section.model_dump(mode="json").items():
        values.update(_flat_value(f"{prefix}{key}", value))
    return values


def _flat_value(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {k: v for name, inner in value.items() for k, v in _flat_value(f"{key}.{name}", inner).items()}
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return {k: v for i, inner in enumerate(value) for k, v in _flat_value(f"{key}.{i}", inner).items()}
    return {key: value}
