"""What a circle adds to MLS (docs/protocol)."""
