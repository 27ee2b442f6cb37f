"""The relay: keeps ciphertext in order and learns as little as possible."""
