"""How one stage works: plain functions over frozen results. Only `stages` knows Prefect."""
