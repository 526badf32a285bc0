"""Scripts that make committed files: weights, gradient graphs, tables and the screenshot."""
