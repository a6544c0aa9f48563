"""ROBEL's D'Claw."""
