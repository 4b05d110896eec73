"""Files: those people write by hand, read so that every complaint names key and line; and writing others durably."""
