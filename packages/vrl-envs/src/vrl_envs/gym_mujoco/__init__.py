"""Gymnasium's MuJoCo tasks on states, and MOPO's two."""
