"""A service that has run for long tells nobody again what happened before it could tell."""

from django.db import migrations
from django.db.models import Max


def begin(apps, _editor):
    newest = apps.get_model("runs", "Event").objects.aggregate(newest=Max("pk"))["newest"]
    if newest:
        apps.get_model("notices", "Cursor").objects.create(name="notices", read_to=newest)


class Migration(migrations.Migration):
    dependencies = [("notices", "0001_initial"), ("runs", "0008_wishes_counted_apart")]

    operations = [migrations.RunPython(begin, migrations.RunPython.noop)]
