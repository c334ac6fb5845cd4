"""What to run: recipes, policies and settings. Imports nothing of ours."""
