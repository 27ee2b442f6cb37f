"""Messaging Layer Security (RFC 9420), one file per concept."""
