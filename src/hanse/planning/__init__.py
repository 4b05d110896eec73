"""Which layout, how long, how much memory, how many GPU-hours: the whole space of layouts as one numpy computation."""
