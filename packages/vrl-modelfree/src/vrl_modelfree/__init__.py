"""Model-free offline reinforcement learning from images: DrQ+BC, BC and CQL."""
