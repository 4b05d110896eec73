"""What the gate said of an application, kept as it was said."""
