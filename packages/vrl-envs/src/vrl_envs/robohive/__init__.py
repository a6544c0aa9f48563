"""RoboHive's environments."""
