"""HTTP: one endpoint, and every limit that holds before a request is parsed."""
