"""Where the counts of tries stand that all processes of the service share: the table of Django's database cache.

It is a model so that `migrate` makes it; the columns are those that django.core.cache.backends.db reads and writes.
"""

from __future__ import annotations

from django.db import models

from hanse.service.signon.options import SHARED_CACHE


class SharedCacheRow(models.Model):
    cache_key = models.CharField(max_length=255, primary_key=True)
    value = models.TextField()
    expires = models.DateTimeField(db_index=True)

    class Meta:
        app_label = "signon"
        db_table = SHARED_CACHE

    def __str__(self) -> str:
        return self.cache_key
