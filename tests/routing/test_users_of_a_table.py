"""What a routing table says of users survives JSON, and what is not said has no effect."""

from mitosis_routing import codec
from mitosis_routing.table import (
    RoutingTable,
    SecretKey,
    TransactionMode,
    UserLimits,
    UserRef,
    UserTls,
)

PASSWORD = SecretKey("shop-users", "app")


def through_json(user: UserRef) -> UserRef:
    return codec.from_json(codec.to_json(RoutingTable("shop", 1, 16, users=(user,)))).users[0]


def test_tls_and_limits_of_a_user_are_kept() -> None:
    user = UserRef(
        "app",
        PASSWORD,
        "7",
        tls=UserTls.X509,
        tls_subject="/O=shop/CN=app",
        limits=UserLimits(connections=5, statements=2, rows=1000, bytes=1 << 30, seconds=1.5),
    )
    assert through_json(user) == user


def test_what_is_not_limited_does_not_stand_in_the_table() -> None:
    user = UserRef("app", PASSWORD)
    assert through_json(user) == user
    body = codec.to_json(RoutingTable("shop", 1, 16, users=(user,)))
    assert body["users"] == [
        {"name": "app", "passwordSecret": {"name": "shop-users", "key": "app"}}
    ]


def test_a_table_of_an_older_operator_limits_nobody() -> None:
    body = codec.to_json(RoutingTable("shop", 1, 16, users=(UserRef("app", PASSWORD, "1"),)))
    user = codec.from_json(body).users[0]
    assert (user.tls, user.limits) == (UserTls.NONE, UserLimits())


def test_the_mode_of_transactions_of_a_user_is_kept() -> None:
    user = UserRef("app", PASSWORD, transaction_mode=TransactionMode.MULTI)
    assert through_json(user) == user
    body = codec.to_json(RoutingTable("shop", 1, 16, users=(UserRef("app", PASSWORD),)))
    assert codec.from_json(body).users[0].transaction_mode is TransactionMode.ATOMIC
