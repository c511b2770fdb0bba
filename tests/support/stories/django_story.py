"""Django, with PyMySQL: tables by the schema editor, the ORM, transactions, introspection."""

import datetime
import decimal
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import django
import pymysql
from django.conf import settings

from stories import Place, Seen

CUSTOMERS = 60


def tell(place: Place) -> Seen:
    """In a process of its own.

    Django is configured once in a process, and PyMySQL in the place of MySQLdb is imported a second
    time there: its exceptions would no longer be those that other tests know.
    """
    alone = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=alone) as pool:
        return pool.submit(_tell, place).result()


def _tell(place: Place) -> Seen:
    connection = _connection(place)
    alias = connection.alias
    customer, invoice = _models()
    try:
        _drop(connection, customer, invoice)
        with connection.schema_editor() as editor:
            editor.create_model(customer)
            editor.create_model(invoice)
        return [
            *_write(alias, customer, invoice),
            *_read(alias, customer, invoice),
            *_change(alias, customer, invoice),
            *_look_at_tables(connection),
        ]
    finally:
        _drop(connection, customer, invoice)
        connection.close()


def _connection(place: Place) -> Any:
    pymysql.install_as_MySQLdb()
    database = {
        "ENGINE": "django.db.backends.mysql",
        "NAME": place.database,
        "USER": place.user,
        "PASSWORD": place.password,
        "HOST": place.host,
        "PORT": place.port,
        "OPTIONS": {"charset": "utf8mb4"},
    }
    settings.configure(
        DATABASES={"default": database},
        USE_TZ=False,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    from django.db import connections

    return connections["default"]


def _models() -> tuple[Any, Any]:
    from django.db import models

    class Customer(models.Model):
        user_id = models.BigIntegerField(primary_key=True)
        name = models.CharField(max_length=60)
        city = models.CharField(max_length=40, null=True)
        joined = models.DateTimeField()
        balance = models.DecimalField(max_digits=10, decimal_places=2)
        tags = models.JSONField(default=list)

        class Meta:
            app_label = "story"
            db_table = "story_dj_customers"

    class Invoice(models.Model):
        pk = models.CompositePrimaryKey("user_id", "number")
        user_id = models.BigIntegerField()
        number = models.IntegerField()
        amount = models.DecimalField(max_digits=10, decimal_places=2)
        paid = models.BooleanField()

        class Meta:
            app_label = "story"
            db_table = "story_dj_invoices"

    return Customer, Invoice


def _drop(connection: Any, *models: Any) -> None:
    with connection.cursor() as cursor:
        for model in models:
            cursor.execute(f"DROP TABLE IF EXISTS {model._meta.db_table}")


def _write(alias: str, customer: Any, invoice: Any) -> Seen:
    customers = [
        customer(
            user_id=n,
            name=f"Cliente {n} ñ🐬",
            city=None if n % 7 == 0 else f"city {n % 5}",
            joined=datetime.datetime(2026, 1, 1 + n % 28, n % 24, 30, 0, 125),
            balance=decimal.Decimal(n) / 4,
            tags=["all", n % 3],
        )
        for n in range(1, CUSTOMERS + 1)
    ]
    customer.objects.using(alias).bulk_create(customers, batch_size=25)
    invoice.objects.using(alias).bulk_create(
        invoice(user_id=n, number=k, amount=decimal.Decimal(n * k), paid=n % 2 == 0)
        for n in range(1, CUSTOMERS + 1)
        for k in range(1, 4)
    )
    made = customer.objects.using(alias).get_or_create(
        user_id=5, defaults={"name": "x", "joined": datetime.datetime(2026, 1, 1), "balance": 0}
    )
    return [("count", customer.objects.using(alias).count()), ("made", made[1])]


def _read(alias: str, customer: Any, invoice: Any) -> Seen:
    from django.db.models import Avg, Count, F, Max, Q, Sum

    customers, invoices = customer.objects.using(alias), invoice.objects.using(alias)
    one = customers.get(user_id=7)
    by_city = customers.values("city").annotate(
        n=Count("user_id"), total=Sum("balance"), mean=Avg("balance")
    )
    totals = (
        invoices.filter(paid=True)
        .values("user_id")
        .annotate(total=Sum("amount"))
        .filter(total__gt=100)
        .order_by("-total", "user_id")
    )
    either = customers.filter(Q(city="city 2") | Q(user_id__in=[1, 2, 3])).order_by("user_id")
    return [
        ("one", (one.name, one.city, one.joined, one.balance, one.tags)),
        ("page", list(customers.order_by("-balance").values_list("name", flat=True)[3:8])),
        ("by city", list(by_city.order_by("city"))),
        ("totals", list(totals)),
        ("either", list(either.values_list("user_id", flat=True))),
        ("aggregate", invoices.aggregate(Max("amount"), Count("number"), Sum("amount"))),
        ("exists", customers.filter(name__startswith="Cliente 6").exists()),
        ("twice", list(customers.annotate(d=F("balance") * 2).order_by("d").values("d")[:3])),
        ("cities", sorted(customers.values_list("city", flat=True).distinct(), key=str)),
        ("iterated", sum(1 for _ in invoices.order_by("amount").iterator(chunk_size=50))),
        ("missing", customers.filter(user_id=-1).first()),
    ]


def _change(alias: str, customer: Any, invoice: Any) -> Seen:
    from django.db import IntegrityError, transaction
    from django.db.models import F

    customers, invoices = customer.objects.using(alias), invoice.objects.using(alias)
    seen: Seen = [("raised", invoices.filter(paid=True).update(amount=F("amount") + 1))]
    with transaction.atomic(using=alias):
        for found in customers.select_for_update().filter(user_id__in=[9, 10]).order_by("user_id"):
            found.name = f"changed {found.user_id}"
            found.save(using=alias)
        try:
            with transaction.atomic(using=alias):
                invoices.filter(user_id=3).delete()
                customers.create(user_id=9, name="x", joined="2026-01-01", balance=0)
        except IntegrityError as exc:
            seen.append(("duplicate", exc.args[0]))
    try:
        with transaction.atomic(using=alias):
            customers.update(name="gone")
            raise LookupError
    except LookupError:
        seen.append(("undone", customers.filter(name="gone").count()))
    seen.append(("deleted", invoices.filter(number=3).delete()[0]))
    customers.bulk_create(
        [customer(user_id=n, name="new", joined="2026-02-02", balance=1) for n in (59, 60, 61, 62)],
        update_conflicts=True,
        update_fields=["name"],
    )
    rows = customers.order_by("user_id").values_list("user_id", "name", "city", "balance")
    return [*seen, ("customers", list(rows)), ("of 3", invoices.filter(user_id=3).count())]


def _look_at_tables(connection: Any) -> Seen:
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        described = connection.introspection.get_table_description(cursor, "story_dj_invoices")
        keys = connection.introspection.get_constraints(cursor, "story_dj_invoices")
    return [
        ("tables", [name for name in tables if name.startswith("story_dj_")]),
        ("described", [(column.name, column.null_ok) for column in described]),
        ("primary key", [k["columns"] for k in keys.values() if k["primary_key"]]),
    ]
