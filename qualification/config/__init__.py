"""YAML files that people write: read into models, every problem with its line and column."""
