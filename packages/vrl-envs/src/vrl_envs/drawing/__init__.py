"""How MuJoCo scenes become small images, fast."""
