"""World models for offline reinforcement learning from images, and the penalties on them."""
