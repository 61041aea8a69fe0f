"""What a person runs to make tables."""
