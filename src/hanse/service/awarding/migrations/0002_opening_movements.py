"""What every allocation was opened with becomes its first movement."""

from django.db import migrations


def open_ledgers(apps, _editor):
    allocations = apps.get_model("access", "Allocation").objects.filter(movements=None)
    movements = apps.get_model("awarding", "Movement").objects
    for pk, held in allocations.values_list("pk", "granted_accelerator_seconds").iterator():
        movements.create(
            public_id=f"mov-opened{pk}", allocation_id=pk, kind="opened", accelerator_seconds=held, actor="migration"
        )


class Migration(migrations.Migration):
    dependencies = [("awarding", "0001_initial")]

    operations = [migrations.RunPython(open_ledgers, migrations.RunPython.noop, elidable=True)]
