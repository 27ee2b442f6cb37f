"""HTTP: limits, frames, the long poll."""
