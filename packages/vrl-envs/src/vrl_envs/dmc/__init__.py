"""The DeepMind Control Suite, V-D4RL's distractions and limb lengths among it."""
