from django.db import migrations


class Migration(migrations.Migration):
    """How often a machine's wishes changed is counted in a row of its own since 0005."""

    dependencies = [("runs", "0007_metering")]

    operations = [migrations.RemoveField(model_name="machine", name="revision")]
