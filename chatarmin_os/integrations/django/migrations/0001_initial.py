"""Create the table of the outbox."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Creates the table."""

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="OutboxEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key_hash", models.CharField(editable=False, max_length=64, unique=True)),
                ("key", models.TextField()),
                ("input", models.TextField()),
                ("company", models.TextField(null=True)),
                ("organisation", models.TextField(null=True)),
                ("created", models.FloatField()),
                ("next_at", models.FloatField(default=0.0, null=True)),
                ("since", models.FloatField(default=0.0)),
                ("owner", models.CharField(default="", max_length=36)),
                ("attempts", models.IntegerField(default=0)),
                ("failures", models.IntegerField(default=0)),
                ("first_tried", models.FloatField(null=True)),
                ("looked_up", models.FloatField(null=True)),
                ("reason", models.TextField(default="")),
                ("error", models.TextField(default="")),
            ],
            options={
                "verbose_name": "usage event",
                "ordering": ["id"],
                "indexes": [models.Index(fields=["next_at", "id"], name="chatarmin_os_outbox_due")],
            },
        ),
    ]
