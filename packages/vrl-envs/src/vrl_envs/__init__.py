"""Environments, behaviour policies and dataset readers for VRL."""
