"""The data of the demo: the same users, orders and items on every machine. Pure."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from mitosis_routing.hashing import slot_of
from mitosis_routing.table import RoutingTable

USERS = 10_000
MOST_ORDERS = 4
MOST_ITEMS = 3
FIRST_DAY = date(2024, 1, 1)
COUNTRIES = {
    "BR": "Brazil",
    "CN": "China",
    "DE": "Germany",
    "FR": "France",
    "IN": "India",
    "JP": "Japan",
    "KE": "Kenya",
    "US": "United States",
}
FIRST_NAMES = ("Ada", "Bo", "Chen", "Dina", "Emil", "Fatou", "Goro", "Hana", "Ivo", "Jun")
LAST_NAMES = ("Adler", "Brandt", "Costa", "Diallo", "Endo", "Fischer", "Gupta", "Huang", "Itoh")
PRODUCTS = {
    "lamp": Decimal("39.90"),
    "chair": Decimal("129.00"),
    "desk": Decimal("349.00"),
    "kettle": Decimal("24.50"),
    "bicycle": Decimal("899.00"),
    "notebook": Decimal("3.20"),
}

Row = tuple[object, ...]


@dataclass(frozen=True)
class Customer:
    """A user with all that belongs to it, and therefore lies in the same shard."""

    user: Row
    orders: tuple[Row, ...]
    items: tuple[Row, ...]

    @property
    def user_id(self) -> int:
        assert isinstance(self.user[0], int)
        return self.user[0]


def customer(user_id: int) -> Customer:
    chance = random.Random(user_id)
    first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
    joined = FIRST_DAY + timedelta(days=chance.randrange(600))
    user = (
        user_id,
        f"{first} {last}",
        f"{first}.{last}.{user_id}@example.com".lower(),
        chance.choice(tuple(COUNTRIES)),
        joined,
    )
    orders, items = [], []
    for number in range(1, chance.randint(1, MOST_ORDERS) + 1):
        order_id = user_id * 10 + number
        bought = [
            (user_id, order_id, position, product, chance.randint(1, 3), price)
            for position, (product, price) in enumerate(
                chance.sample(tuple(PRODUCTS.items()), chance.randint(1, MOST_ITEMS)), start=1
            )
        ]
        total = sum((price * quantity for *_, quantity, price in bought), Decimal())
        moment = datetime(joined.year, joined.month, joined.day, chance.randrange(24))
        orders.append((user_id, order_id, moment + timedelta(days=number), total))
        items += bought
    return Customer(user, tuple(orders), tuple(items))


def shard_of(user_id: int, table: RoutingTable) -> str:
    slot = slot_of(str(user_id).encode(), table.slots)
    return next(shard.name for shard in table.shards if shard.slots.contains(slot))


def by_shard(user_ids: Iterable[int], table: RoutingTable) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {shard.name: [] for shard in table.shards}
    for user_id in user_ids:
        groups[shard_of(user_id, table)].append(user_id)
    return groups


def batches(
    user_ids: Iterable[int], table: RoutingTable, size: int
) -> Iterator[Sequence[Customer]]:
    """Customers in groups that lie in one shard, so that each group is one transaction there."""
    for group in by_shard(user_ids, table).values():
        for start in range(0, len(group), size):
            yield [customer(user_id) for user_id in group[start : start + size]]
