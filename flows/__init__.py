"""In which order: one flow a module, and the command line."""
