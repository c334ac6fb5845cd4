"""The worker that keeps a process at hand in which everything is imported: `python -m flows.ready worker start`."""
