"""What client and relay share: bytes in, bytes out."""
