"""Measurements of the figures in the documents. Each prints the machine, the versions and a table."""
