"""A place to run the command line in: a recipe on a tiny model, its data, and a TUNEGATE_HOME of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyotp

from conf.settings import PROJECT
from tests.builders import ANSWERS, QUESTIONS
from tests.tiny import tiny_base
from tests.waiting import wait_for

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
evaluation: {{task: classification, max_new_tokens: 8, shots: 0, forgetting: false, safety: false}}
gates:
  - {{metric: perplexity, against: base, max: 0}}
tracking: {{log_system_metrics: false}}
"""


POLICY = """
approvers:
  - {{name: first-approver, logins: [first.approver], totp: true}}
  - {{name: second-approver, logins: [second.approver], totp: true, ssh_keys: ["{key}"]}}
rules:
  - models: ["*"]
    approvers: [first-approver, second-approver]
    may_differ: [evaluation, training]
    overrides:
      - {{metrics: [perplexity], approvers: [first-approver, second-approver]}}
"""
PLANTED = ("@example.com", "Whitfield")  # the personal values of the tickets
IMPOSSIBLE = ("max: 0}", "max: -1000000}")
FROM_GATES_ON = ("judge", "report", "register")
STAGES = (
    *("ingest", "scrub", "check", "split", "base", "smoke", "train", "evaluate", "champion", "record"),
    *FROM_GATES_ON,
)


def stages_done(output: str) -> list[str]:
    return [line.split(":")[0] for line in output.splitlines() if ": done in" in line]


def stages_cached(output: str) -> list[str]:
    return [line.split(":")[0] for line in output.splitlines() if ": already done" in line]


class Place:
    """A folder with recipes (`strict` has a gate that nothing passes), data, a policy, and its own TUNEGATE_HOME.

    Attributes:
        key: the SSH key of second-approver.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.conf, self.home = folder, folder / "conf", folder / "home"
        self._given: dict[str, int] = {}  # the time step of the last code of an approver
        recipes, policies = self.conf / "recipes", self.conf / "policies"
        for needed in (recipes, policies):
            needed.mkdir(parents=True)
        self.recipe = recipes / "tiny.yaml"
        base = tiny_base(folder / "model", [*QUESTIONS, *ANSWERS])
        self.recipe.write_text(RECIPE.format(base=base))
        (recipes / "strict.yaml").write_text(RECIPE.format(base=base).replace(*IMPOSSIBLE))
        self.key = folder / "second-approver"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        (policies / "promotion.yaml").write_text(POLICY.format(key=self.key.with_suffix(".pub").read_text().strip()))
        with (recipes / "tickets.jsonl").open("w") as stream:
            for number in range(160):
                kind = number % 4
                text = (
                    f"{QUESTIONS[kind]}, ticket {number * 7919 % 1000}, says Margaret Whitfield <m{number}@example.com>"
                )
                record = {"text": text, "answer": ANSWERS[kind], "customer": f"c{number}"}
                stream.write(json.dumps(record) + "\n")

    def environment(self, **more: str) -> dict[str, str]:
        own = {"TUNEGATE_HOME": str(self.home), "TUNEGATE_CONF": str(self.conf), "TUNEGATE_THREADS": "1"}
        return {**os.environ, **own, **more}

    def run(self, *arguments: str, recipe: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """`tunegate run` with the recipe, or with another by its name."""
        return self.command("run", recipe or str(self.recipe), *arguments, **more)

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

    def alias(self, name: str) -> str | None:
        """The version of the production model under an alias."""
        from tasks.promote.registry import alias

        return alias(self._registry(), "tiny", name)

    def candidate(self, version: str) -> str:
        """The adapter's sha256 of a candidate's version."""
        return str(self._registry().get_model_version("tiny-candidates", version).tags["adapter_sha256"])

    def code(self, approver: str) -> str:
        """A one-time code that was not given yet, of the next half minute: it holds for a minute at least."""
        secret = (self.home / "approvers" / f"{approver}.totp").read_text()
        step = max(int(time.time()) // 30 + 1, self._given.get(approver, 0) + 1)
        wait_for(lambda: step <= int(time.time()) // 30 + 1, seconds=60)
        self._given[approver] = step
        return pyotp.TOTP(secret).at(step * 30)

    def _registry(self) -> Any:
        from mlflow import MlflowClient

        address = f"sqlite:///{self.home / 'mlflow.db'}"
        return MlflowClient(address, registry_uri=address)  # not that of another test of this process
