"""MetaWorld's tasks and LOMPO's Sawyer door."""
