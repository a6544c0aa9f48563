"""Franka Kitchen."""
