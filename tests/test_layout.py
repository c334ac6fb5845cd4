"""The repository as a newcomer finds it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from conf.settings import PROJECT


def test_help_and_validate_do_not_import_a_heavy_library() -> None:
    heavy = {"torch", "transformers", "prefect", "mlflow", "presidio_analyzer", "great_expectations", "pandas"}
    script = (
        "import sys; from flows import cli; cli.commands.main(['validate', 'demo'], standalone_mode=False);"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_every_variable_that_the_readme_names_is_read_by_the_settings() -> None:
    named = set(re.findall(r"`(TUNEGATE_[A-Z]+)`", (PROJECT / "README.md").read_text()))
    settings = (PROJECT / "conf" / "settings.py").read_text()
    assert named
    assert all(name in settings for name in named)


def test_only_the_settings_read_the_environment() -> None:
    # torchrun tells its workers their rank by the environment, and the command line sets one variable of a library
    allowed = {Path("conf/settings.py"), Path("tasks/train/worker.py"), Path("flows/log.py")}
    readers = {
        file.relative_to(PROJECT)
        for layer in ("conf", "tasks", "flows", "deployments")
        for file in (PROJECT / layer).rglob("*.py")
        if "os.environ" in file.read_text() or "os.getenv" in file.read_text()
    }
    assert readers <= allowed


def test_the_lock_covers_every_dependency() -> None:
    import tomllib

    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[<>=!~\[; ]", requirement, maxsplit=1)[0].lower().replace("_", "-") for requirement in wanted}
    locked = set(re.findall(r"^([a-z0-9.-]+)==", (PROJECT / "requirements.lock").read_text().lower(), flags=re.M))
    assert names - locked == {"torch"}  # installed in a step of its own


def test_the_readme_has_no_place_left_to_fill_in() -> None:
    text = (PROJECT / "README.md").read_text()
    assert re.findall(r"\b[A-Z0-9]+_(?:OUTPUT|TEXT)\b", text) == []
