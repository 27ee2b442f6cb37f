"""What members say: typed, versioned objects and how edits merge (docs/protocol, "Content")."""
