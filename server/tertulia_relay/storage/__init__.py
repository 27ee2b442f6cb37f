"""Where segments, entries, blobs and codes are kept."""
