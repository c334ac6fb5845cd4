"""Prefect's command line, which knows one more type of worker: `python -m flows.ready worker start --type ready …`."""

from __future__ import annotations

from conf.settings import prepare_environment, settings


def main() -> None:
    """Parse and run as `prefect` does."""
    prepare_environment(settings())  # before the libraries are imported
    from prefect.cli import app

    import flows.ready.worker  # noqa: F401  # makes the type known

    app()


if __name__ == "__main__":
    main()
