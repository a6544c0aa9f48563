"""The theory of model-based offline reinforcement learning, in numbers that can be checked."""
