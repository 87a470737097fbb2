"""Scores of predictions against gold annotation."""
