import django.db.models.deletion
from django.db import migrations, models


def name_the_machine(apps, schema_editor):
    attempts, legs = apps.get_model("runs", "Attempt"), apps.get_model("runs", "Leg")
    of_its_leg = models.Subquery(legs.objects.filter(pk=models.OuterRef("leg_id")).values("machine_id")[:1])
    attempts.objects.filter(machine=None).update(machine_id=of_its_leg)


class Migration(migrations.Migration):
    dependencies = [("runs", "0003_parcels")]

    operations = [
        migrations.CreateModel(
            name="Revision",
            fields=[
                (
                    "machine",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="wishes",
                        serialize=False,
                        to="runs.machine",
                    ),
                ),
                ("number", models.PositiveBigIntegerField(default=0)),
            ],
        ),
        migrations.AddField(
            model_name="attempt",
            name="machine",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="attempts",
                to="runs.machine",
            ),
        ),
        migrations.RunPython(name_the_machine, migrations.RunPython.noop),
    ]
