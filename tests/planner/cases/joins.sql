-- title: joins of tables by their sharding keys stay inside the shards
-- keyspace: four shards
SELECT * FROM users u JOIN orders o ON o.user_id = u.user_id WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u JOIN orders o ON o.user_id = u.user_id WHERE o.user_id = 1
--> shard 3

SELECT * FROM users u, orders o WHERE o.user_id = u.user_id AND o.user_id = 1
--> shard 3

SELECT * FROM users u JOIN orders o WHERE o.user_id = u.user_id AND o.user_id = 1
--> shard 3

SELECT * FROM users u INNER JOIN orders o USING (user_id) WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u JOIN orders o USING (user_id) WHERE user_id = 1
--> shard 3

SELECT * FROM users u CROSS JOIN orders o WHERE u.user_id = 1 AND o.user_id = 1
--> shard 3

SELECT * FROM users u STRAIGHT_JOIN orders o ON o.user_id = u.user_id WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u JOIN orders o ON o.user_id = u.user_id AND u.user_id = 1
--> shard 3

SELECT * FROM users u JOIN orders o ON o.user_id = u.user_id JOIN order_items i ON i.user_id = o.user_id AND i.order_id = o.order_id WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u JOIN (orders o JOIN order_items i ON i.user_id = o.user_id) ON o.user_id = u.user_id WHERE i.user_id = 1
--> shard 3

SELECT * FROM users u LEFT JOIN orders o ON o.user_id = u.user_id WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u LEFT JOIN orders o ON o.user_id = u.user_id AND o.total > 5 WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u LEFT JOIN orders o USING (user_id) WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u RIGHT JOIN orders o ON o.user_id = u.user_id WHERE o.user_id = 1
--> shard 3

SELECT * FROM users u RIGHT JOIN orders o USING (user_id) WHERE o.user_id = 1
--> shard 3

SELECT * FROM users u NATURAL JOIN orders o WHERE u.user_id = 1 AND o.user_id = 1
--> shard 3

SELECT u.name, o.total FROM users u JOIN orders o ON o.user_id = u.user_id
--> scatter 0,1,2,3

SELECT u.name, o.total FROM users u LEFT JOIN orders o ON o.user_id = u.user_id
--> scatter 0,1,2,3

SELECT * FROM users u LEFT JOIN (orders o JOIN order_items i ON i.user_id = o.user_id) ON o.user_id = u.user_id
--> scatter 0,1,2,3

SELECT * FROM users a JOIN users b ON a.user_id = b.user_id
--> scatter 0,1,2,3

-- title: joins that could meet rows of other shards
SELECT * FROM users u JOIN orders o ON o.order_id = u.user_id
--> 1235 (42000) [gate] the rows of users, orders that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id and o.user_id) by =, or give each the same key in WHERE

SELECT * FROM users u JOIN orders o ON o.user_id = u.user_id + 1 WHERE u.user_id = 1
--> 1235 (42000) [gate] the rows of users, orders that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id and o.user_id) by =, or give each the same key in WHERE

SELECT * FROM users u JOIN orders o WHERE u.user_id = 1
--> 1235 (42000) [gate] the rows of users, orders that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id and o.user_id) by =, or give each the same key in WHERE

SELECT * FROM users u JOIN orders o WHERE u.user_id = 1 AND o.user_id = 42
--> 1235 (42000) [gate] the rows of users, orders that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id and o.user_id) by =, or give each the same key in WHERE

SELECT * FROM users u JOIN orders o WHERE u.user_id = 1 AND o.user_id = 7
--> 1235 (42000) [gate] the rows of users, orders that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id and o.user_id) by =, or give each the same key in WHERE

SELECT * FROM users u LEFT JOIN orders o ON o.user_id = u.user_id AND u.user_id = 1
--> scatter 0,1,2,3

SELECT * FROM users u LEFT JOIN orders o ON o.user_id = 1
--> 1235 (42000) [gate] the rows of users, orders that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id and o.user_id) by =, or give each the same key in WHERE

SELECT * FROM users u LEFT JOIN orders o ON o.user_id = 1 WHERE u.user_id = 42
--> 1235 (42000) [gate] the rows of users, orders that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id and o.user_id) by =, or give each the same key in WHERE

SELECT * FROM users u LEFT JOIN orders o ON o.user_id = 1 WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u RIGHT JOIN orders o ON o.user_id = u.user_id
--> 1235 (42000) [gate] RIGHT JOIN over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT * FROM users u RIGHT JOIN orders o ON o.user_id = u.user_id AND o.user_id = 1
--> 1235 (42000) [gate] RIGHT JOIN over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT * FROM users u NATURAL JOIN orders o
--> 1235 (42000) [gate] the rows of users, orders that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id and o.user_id) by =, or give each the same key in WHERE

SELECT * FROM users u JOIN orders o ON o.user_id = u.user_id OR o.total = 1
--> 1235 (42000) [gate] the rows of users, orders that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id and o.user_id) by =, or give each the same key in WHERE

SELECT * FROM users u JOIN orders o ON NOT o.user_id = u.user_id
--> 1235 (42000) [gate] the rows of users, orders that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id and o.user_id) by =, or give each the same key in WHERE

SELECT * FROM users u JOIN mails m ON m.address = u.user_id
--> 1235 (42000) [gate] the rows of users, mails that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id and m.address) by =, or give each the same key in WHERE

SELECT * FROM mails m JOIN padded p ON p.address = m.address
--> 1235 (42000) [gate] the rows of mails, padded that this statement brings together can lie on different shards: join them on their sharding keys (m.address and p.address) by =, or give each the same key in WHERE

SELECT * FROM users u JOIN orders o ON o.user_id <=> u.user_id
--> 1235 (42000) [gate] the rows of users, orders that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id and o.user_id) by =, or give each the same key in WHERE

-- title: reference tables are on every shard
SELECT * FROM countries
--> any of 0,1,2,3

SELECT * FROM countries ORDER BY name LIMIT 5
--> any of 0,1,2,3

SELECT count(*) FROM countries c JOIN tariffs t ON t.id = c.code
--> any of 0,1,2,3

SELECT * FROM countries FOR UPDATE
--> shard 0 locks

SELECT * FROM users u JOIN countries c ON c.name = u.name WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u JOIN countries c ON c.name = u.name
--> scatter 0,1,2,3

SELECT * FROM users u LEFT JOIN countries c ON c.name = u.name
--> scatter 0,1,2,3

SELECT * FROM countries c JOIN users u ON c.name = u.name
--> scatter 0,1,2,3

SELECT * FROM countries c LEFT JOIN users u ON c.name = u.name
--> 1235 (42000) [gate] the rows of users that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id) by =, or give each the same key in WHERE

SELECT * FROM countries c LEFT JOIN users u ON c.name = u.name AND u.user_id = 1
--> shard 3

SELECT * FROM countries c LEFT JOIN users u ON c.name = u.name WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u RIGHT JOIN countries c ON c.name = u.name
--> 1235 (42000) [gate] the rows of users that this statement brings together can lie on different shards: join them on their sharding keys (u.user_id) by =, or give each the same key in WHERE
