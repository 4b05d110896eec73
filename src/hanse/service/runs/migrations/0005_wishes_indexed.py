import django.db.models.deletion
from django.db import migrations, models

FINAL = ["cancelled", "failed", "finished", "stopped"]


class Migration(migrations.Migration):
    """Apart from the filling: PostgreSQL does not alter a table with changed rows pending."""

    dependencies = [("runs", "0004_wishes")]

    operations = [
        migrations.AlterField(
            model_name="attempt",
            name="machine",
            field=models.ForeignKey(
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="attempts",
                to="runs.machine",
            ),
        ),
        migrations.RemoveIndex(model_name="attempt", name="attempt_revision"),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(fields=["machine", "revision"], name="attempt_revision"),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("state__in", FINAL), _negated=True), fields=["machine"], name="attempt_open"
            ),
        ),
    ]
