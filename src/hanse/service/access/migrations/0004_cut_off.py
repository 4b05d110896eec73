from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("access", "0003_enrol_code")]

    operations = [
        migrations.AddField(
            model_name="application", name="cut_off", field=models.DateTimeField(blank=True, null=True)
        ),
    ]
