"""People: reviewers score a blinded sample of an evaluation's answers, and gates may ask for what they say.

results    sheet, scorecard and the figures of all reviewers
sheet      which rows are asked about, and which of two answers stands first
page       the sheet as a page that is filled in in a browser
cards      the sheet as CSV, and back
agreement  Krippendorff's alpha
collect    the scorecards of an evaluation, and their figures
candidate  which evaluation a model's name means
record     a scorecard as traces and assessments in MLflow
"""

from tasks.people.collect import collect
from tasks.people.results import People, Scorecard, Sheet

__all__ = ["People", "Scorecard", "Sheet", "collect"]
