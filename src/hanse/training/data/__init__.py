"""Text to packed tokens to samples. Nothing in here needs torch, so that preparing data starts quickly."""
