"""A place to run the command line in: a recipe on a tiny model, its data, and a TUNEGATE_HOME of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from conf.settings import PROJECT
from tests.builders import ANSWERS, QUESTIONS
from tests.tiny import tiny_base

RECIPE = """
name: tiny
model: {{model_name_or_path: {base}, attn_implementation: eager}}
datasets:
  - {{path: tickets.jsonl, type: jsonl, field_label: answer, field_group: customer}}
prompt: {{style: plain, user: "{{{{ text }}}}", assistant: "{{{{ answer }}}}"}}
pii: {{roles: [system, user]}}
quality:
  near_duplicate_threshold: null
  expectations:
    - {{type: expect_column_values_to_be_in_set, column: label, value_set: [card, outage, closing, login]}}
split: {{validation_size: 0.15, test_size: 0.2, min_test_rows: 5}}
lora: {{r: 4, lora_alpha: 8}}
training:
  {{num_train_epochs: 2, per_device_train_batch_size: 8, learning_rate: 1.0e-2, max_length: 64, logging_steps: 1}}
evaluation: {{task: classification, max_new_tokens: 8}}
gates:
  - {{metric: perplexity, arm: difference, max: 0}}
tracking: {{log_system_metrics: false}}
"""


class Place:
    """A folder with a recipe, its data and its own TUNEGATE_HOME."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe = folder / "tiny.yaml"
        self.home = folder / "home"
        base = tiny_base(folder / "model", [*QUESTIONS, *ANSWERS])
        self.recipe.write_text(RECIPE.format(base=base))
        with (folder / "tickets.jsonl").open("w") as stream:
            for number in range(160):
                kind = number % 4
                text = (
                    f"{QUESTIONS[kind]}, ticket {number * 7919 % 1000}, says Margaret Whitfield <m{number}@example.com>"
                )
                record = {"text": text, "answer": ANSWERS[kind], "customer": f"c{number}"}
                stream.write(json.dumps(record) + "\n")

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "TUNEGATE_HOME": str(self.home), "TUNEGATE_THREADS": "1", **more}

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """`tunegate run` with the recipe."""
        return self.command("run", str(self.recipe), *arguments, **more)

    def command(self, *arguments: str, typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """`tunegate` with these arguments; `typed` comes on its standard input."""
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=PROJECT,
            env=self.environment(**more),
            input=typed,
            capture_output=True,
            text=True,
            timeout=600,
        )
