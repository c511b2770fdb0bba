"""SQLAlchemy: metadata, unit of work, relations, aggregates, bulk statements, reflection."""

import datetime
import decimal

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Numeric,
    String,
    create_engine,
    delete,
    func,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    selectinload,
)

from stories import Place, Seen

CUSTOMERS = 60


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "story_customers"

    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(60))
    city: Mapped[str | None] = mapped_column(String(40))
    joined: Mapped[datetime.datetime]
    balance: Mapped[decimal.Decimal] = mapped_column(Numeric(10, 2))
    tags: Mapped[list[str]] = mapped_column(JSON)
    invoices: Mapped[list["Invoice"]] = relationship(back_populates="customer")


class Invoice(Base):
    __tablename__ = "story_invoices"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("story_customers.user_id"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amount: Mapped[decimal.Decimal] = mapped_column(Numeric(10, 2))
    paid: Mapped[bool]
    customer: Mapped[Customer] = relationship(back_populates="invoices")


def tell(place: Place, driver: str = "pymysql") -> Seen:
    url = URL.create(
        f"mysql+{driver}",
        username=place.user,
        password=place.password,
        host=place.host,
        port=place.port,
        database=place.database,
        query={"charset": "utf8mb4"},
    )
    engine = create_engine(url, pool_size=3, pool_pre_ping=True)
    try:
        Base.metadata.drop_all(engine)
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            return [
                *_write(session),
                *_read(session),
                *_change(session),
                ("tables", sorted(n for n in inspect(engine).get_table_names() if "story" in n)),
                ("columns", _columns(engine)),
                ("key", inspect(engine).get_pk_constraint("story_invoices")["constrained_columns"]),
            ]
    finally:
        Base.metadata.drop_all(engine)
        engine.dispose()


def _columns(engine: object) -> list[tuple[str, str, bool]]:
    found = inspect(engine).get_columns("story_customers")  # type: ignore[union-attr]
    return [(c["name"], str(c["type"]), c["nullable"]) for c in found]


def _write(session: Session) -> Seen:
    for n in range(1, CUSTOMERS + 1):
        session.add(
            Customer(
                user_id=n,
                name=f"Kundin {n} é🐬",
                city=None if n % 7 == 0 else f"city {n % 5}",
                joined=datetime.datetime(2026, 1, 1 + n % 28, n % 24, 30),
                balance=decimal.Decimal(n) / 4,
                tags=[f"t{n % 3}", "all"],
            )
        )
    session.flush()
    session.add_all(
        Invoice(user_id=n, number=k, amount=decimal.Decimal(n * k), paid=n % 2 == 0)
        for n in range(1, CUSTOMERS + 1)
        for k in range(1, 4)
    )
    session.commit()
    seen: Seen = [("count", session.scalar(select(func.count()).select_from(Customer)))]
    session.add(
        Customer(user_id=5, name="x", joined=datetime.datetime(2026, 1, 1), balance=0, tags=[])
    )
    try:
        session.flush()
    except IntegrityError as exc:
        seen.append(("duplicate", exc.orig.args[0] if exc.orig else None))
    session.rollback()
    return seen


def _read(session: Session) -> Seen:
    by_key = session.get_one(Customer, 7)
    page = session.scalars(
        select(Customer.name).order_by(Customer.balance.desc(), Customer.user_id).limit(5).offset(3)
    )
    by_city = session.execute(
        select(Customer.city, func.count(), func.sum(Customer.balance), func.avg(Customer.balance))
        .group_by(Customer.city)
        .order_by(Customer.city)
    )
    joined = session.execute(
        select(Customer.name, func.sum(Invoice.amount).label("total"))
        .join(Customer.invoices)
        .where(Invoice.paid)
        .group_by(Customer.user_id, Customer.name)
        .having(func.sum(Invoice.amount) > 100)
        .order_by(func.sum(Invoice.amount).desc())
    )
    eager = session.scalars(
        select(Customer)
        .options(selectinload(Customer.invoices))
        .where(Customer.user_id.in_([3, 17, 44]))
        .order_by(Customer.user_id)
    )
    rich = session.scalars(
        select(Customer.user_id)
        .where(Customer.balance > select(func.avg(Customer.balance)).scalar_subquery())
        .order_by(Customer.user_id)
    )
    return [
        ("by key", (by_key.name, by_key.city, by_key.joined, by_key.balance, by_key.tags)),
        ("page", list(page)),
        ("by city", [tuple(row) for row in by_city]),
        ("joined", [tuple(row) for row in joined]),
        ("eager", [(c.user_id, sorted((i.number, i.amount) for i in c.invoices)) for c in eager]),
        ("above the average", list(rich)),
        ("cities", sorted(session.scalars(select(Customer.city).distinct()), key=str)),
        ("exists", session.scalar(select(select(Invoice).where(Invoice.amount > 170).exists()))),
        ("greatest", session.scalar(select(func.max(Invoice.amount)))),
    ]


def _change(session: Session) -> Seen:
    seen: Seen = []
    one = session.get_one(Customer, 9)
    one.name = "changed"
    two = session.get_one(Customer, 10)
    two.balance += 100
    session.commit()
    raised = session.execute(update(Invoice).where(Invoice.paid).values(amount=Invoice.amount + 1))
    seen.append(("raised", raised.rowcount))
    with session.begin_nested() as savepoint:
        session.execute(delete(Invoice).where(Invoice.user_id == 3))
        savepoint.rollback()
    gone = session.execute(delete(Invoice).where(Invoice.number == 3))
    seen.append(("gone", gone.rowcount))
    session.commit()
    session.execute(delete(Invoice))
    session.rollback()
    merged = insert(Customer).values(
        [
            {"user_id": n, "name": "merged", "joined": "2026-02-02", "balance": 1, "tags": []}
            for n in (11, 12, 1001, 1002, 1003)
        ]
    )
    session.execute(merged.on_duplicate_key_update(name=merged.inserted.name))
    session.commit()
    locked = session.scalars(
        select(Customer).where(Customer.user_id.in_([1001, 1002])).with_for_update()
    )
    for customer in locked:
        customer.city = "locked"
    session.commit()
    rows = session.execute(
        select(Customer.user_id, Customer.name, Customer.city, Customer.balance).order_by(
            Customer.user_id
        )
    )
    seen.append(("customers", [tuple(row) for row in rows]))
    seen.append(("sum", session.scalar(select(func.sum(Invoice.amount)))))
    seen.append(("of 3", session.scalar(select(func.count()).where(Invoice.user_id == 3))))
    return seen
