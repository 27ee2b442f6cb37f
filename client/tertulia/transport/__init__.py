"""How bytes travel to a relay and back."""
