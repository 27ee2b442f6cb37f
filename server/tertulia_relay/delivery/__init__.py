"""The relay's rules, without HTTP and without SQL."""
