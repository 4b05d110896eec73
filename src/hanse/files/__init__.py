"""Files people write by hand, read so that every complaint names its key and its line."""
