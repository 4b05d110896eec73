"""The app's models, by the module each lives in."""

from hanse.service.forms.drafts import KeptDraft
from hanse.service.forms.sketches import CallSketch

__all__ = ["CallSketch", "KeptDraft"]
