"""The contract between client and relay: requests, responses, records and limits (docs/protocol, "The relay")."""
