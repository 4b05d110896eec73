"""The app's models, by the module each lives in."""

from hanse.service.imports.batches import Batch
from hanse.service.imports.kept import ImportedAward, ImportedPart, OrganisationNumber

__all__ = ["Batch", "ImportedAward", "ImportedPart", "OrganisationNumber"]
