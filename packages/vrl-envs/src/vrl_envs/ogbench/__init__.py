"""OGBench's single-task problems."""
