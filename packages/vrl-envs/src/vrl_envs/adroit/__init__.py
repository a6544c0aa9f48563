"""The Adroit hand."""
