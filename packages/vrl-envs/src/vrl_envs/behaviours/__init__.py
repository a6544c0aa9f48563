"""Behaviour policies that the datasets are collected with."""

from vrl_envs.drawing.graphics import choose_backend

# Training imports dm_control, which would look for a display if nothing were chosen.
choose_backend()
