"""Readers of published datasets: each yields `Episode`s in Gymnasium's alignment."""
