"""The record in MLflow: the run, what it logs, and the candidate it registers.

runs       the MLflow run that belongs to a training
record     datasets, parameters, metrics, files and the adapter of that run
candidate  the verdict, and where it passed, the model version under the alias `challenger`
load       a registered adapter, ready to answer
"""

from tasks.register.candidate import Judged, origin, register_candidate, still_challenger
from tasks.register.record import record_run
from tasks.register.runs import at_work, open_run, run_name, run_stands

__all__ = [
    "Judged",
    "at_work",
    "open_run",
    "origin",
    "record_run",
    "register_candidate",
    "run_name",
    "run_stands",
    "still_challenger",
]
