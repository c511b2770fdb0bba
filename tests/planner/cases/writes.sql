-- title: rows of several shards
-- keyspace: four shards
INSERT INTO users (user_id, name) VALUES (1, 'a'), (42, 'b'), (7, 'it''s'), (1, "c")
--> insert 0: INSERT INTO users (user_id, name) VALUES (42, 'b') | 2: INSERT INTO users (user_id, name) VALUES (7, 'it''s') | 3: INSERT INTO users (user_id, name) VALUES (1, 'a'), (1, "c")

INSERT IGNORE users VALUES ROW(1, 'a'), ROW(42, 'b')
--> insert 0: INSERT IGNORE users (`user_id`, `name`) VALUES ROW(42, 'b') | 3: INSERT IGNORE users (`user_id`, `name`) VALUES ROW(1, 'a')

REPLACE INTO users (name, user_id) VALUES ('a', 1), ('b', -1), ('c', '42')
--> replace 0: REPLACE INTO users (name, user_id) VALUES ('c', '42') | 2: REPLACE INTO users (name, user_id) VALUES ('b', -1) | 3: REPLACE INTO users (name, user_id) VALUES ('a', 1)

INSERT INTO users VALUES (1, NOW()), (42, CONCAT('a', ')', "(")) ON DUPLICATE KEY UPDATE name = 'x'
--> upsert 0: INSERT INTO users (`user_id`, `name`) VALUES (42, CONCAT('a', ')', "(")) ON DUPLICATE KEY UPDATE name = 'x' | 3: INSERT INTO users (`user_id`, `name`) VALUES (1, NOW()) ON DUPLICATE KEY UPDATE name = 'x'

INSERT INTO users VALUES (1, 'a'), (42, 'b') AS new ON DUPLICATE KEY UPDATE name = new.name
--> upsert 0: INSERT INTO users (`user_id`, `name`) VALUES (42, 'b') AS new ON DUPLICATE KEY UPDATE name = new.name | 3: INSERT INTO users (`user_id`, `name`) VALUES (1, 'a') AS new ON DUPLICATE KEY UPDATE name = new.name

INSERT INTO users VALUES (1, 'a'), /* between */ (42, 'b') -- the end
--> insert 0: INSERT INTO users (`user_id`, `name`) VALUES (42, 'b') | 3: INSERT INTO users (`user_id`, `name`) VALUES (1, 'a')

INSERT /*+ MAX_EXECUTION_TIME(5) */ INTO users VALUES (1, 'a'), (42, 'b')
--> insert 0: INSERT /*+ MAX_EXECUTION_TIME(5) */ INTO users (`user_id`, `name`) VALUES (42, 'b') | 3: INSERT /*+ MAX_EXECUTION_TIME(5) */ INTO users (`user_id`, `name`) VALUES (1, 'a')

INSERT INTO users VALUES (1, 'a'), (42, LAST_INSERT_ID())
--> insert 0: INSERT INTO users (`user_id`, `name`) VALUES (42, LAST_INSERT_ID()) | 3: INSERT INTO users (`user_id`, `name`) VALUES (1, 'a') (last)

INSERT INTO users VALUES (1, 'a'), (42, /*!80000 'b' */)
--> 1235 (42000) [gate] name the columns: an executable comment (/*! */) stands in an INSERT whose rows the gate must send to several shards or number: leave the comment out

INSERT INTO users VALUES (1, 'a'), (42, 'b', 'c')
--> 1136 (21S01) Column count doesn't match value count at row 2

-- title: AUTO_INCREMENT
INSERT INTO generated () VALUES ()
--> 1 numbers of generated.id, brings 0: insert on 2: INSERT INTO generated (`id`) VALUES (7)

INSERT INTO generated VALUES ()
--> 1 numbers of generated.id, brings 0: insert on 2: INSERT INTO generated (`id`) VALUES (7)

INSERT INTO generated SET n = 5
--> 1 numbers of generated.id, brings 0: insert on 2: INSERT INTO generated SET n = 5, `id` = 7

INSERT INTO generated SET id = NULL, n = 5
--> 1 numbers of generated.id, brings 0: insert on 2: INSERT INTO generated SET id = 7 , n = 5

INSERT INTO generated (n) VALUES (1), (2), (3), (4)
--> 4 numbers of generated.id, brings 0: insert 1: INSERT INTO generated (n, `id`) VALUES (2, 8), (3, 9), (4, 10) | 2: INSERT INTO generated (n, `id`) VALUES (1, 7)

INSERT INTO generated (n, id) VALUES (1, NULL), (2, 900), (3, 0), (4, DEFAULT)
--> 3 numbers of generated.id, brings 900: insert 0: INSERT INTO generated (n, id) VALUES (2, 900 ) | 1: INSERT INTO generated (n, id) VALUES (3, 8 ), (4, 9 ) | 2: INSERT INTO generated (n, id) VALUES (1, 7 )

INSERT INTO generated (id) VALUES (1 + 1)
--> compute 1 + 1 for INSERT INTO generated (id) VALUES ( {} )

INSERT INTO generated (id) VALUES ('x')
--> 1235 (42000) [gate] the AUTO_INCREMENT column id of generated must get a whole number, NULL or DEFAULT, or be left out: the gate gives the numbers and cannot tell what this value is

INSERT INTO generated (id) VALUES (-5)
--> 0 numbers of generated.id, brings -5: shard 3

-- title: UPDATE and DELETE on several shards
UPDATE users SET name = 'x' WHERE user_id IN (1, 42) ORDER BY name
--> update on 0,3: UPDATE users SET name = 'x' WHERE user_id IN (1, 42) ORDER BY name

UPDATE users u SET name = 'x' WHERE u.name > 'a' ORDER BY u.name DESC, user_id LIMIT 5
--> update 5 rows on 0,1,2,3: UPDATE users u SET name = 'x' WHERE u.name > 'a' ORDER BY u.name DESC, user_id LIMIT {} chosen by SELECT CRC32(`u`.`user_id`) MOD 4096 AS slot FROM users u WHERE u.name > 'a' ORDER BY u.name DESC, user_id LIMIT 5 FOR UPDATE

UPDATE LOW_PRIORITY IGNORE users SET name = 'x' LIMIT 5
--> update 5 rows on 0,1,2,3: UPDATE LOW_PRIORITY IGNORE users SET name = 'x' LIMIT {}

DELETE FROM users WHERE name = 'x' ORDER BY name LIMIT 3
--> delete 3 rows on 0,1,2,3: DELETE FROM users WHERE name = 'x' ORDER BY name LIMIT {} chosen by SELECT CRC32(`users`.`user_id`) MOD 4096 AS slot FROM users WHERE name = 'x' ORDER BY name LIMIT 3 FOR UPDATE

DELETE QUICK FROM users AS u ORDER BY u.name LIMIT 3
--> delete 3 rows on 0,1,2,3: DELETE QUICK FROM users AS u ORDER BY u.name LIMIT {} chosen by SELECT CRC32(`u`.`user_id`) MOD 4096 AS slot FROM users AS u ORDER BY u.name LIMIT 3 FOR UPDATE

UPDATE users SET name = (SELECT name FROM countries LIMIT 1)
--> update on 0,1,2,3: UPDATE users SET name = (SELECT name FROM countries LIMIT 1)

UPDATE users SET name = (SELECT MAX(total) FROM orders o WHERE o.user_id = users.user_id)
--> update on 0,1,2,3: UPDATE users SET name = (SELECT MAX(total) FROM orders o WHERE o.user_id = users.user_id)

UPDATE users u RIGHT JOIN orders o ON o.user_id = u.user_id SET o.total = 1
--> 1235 (42000) [gate] RIGHT JOIN in a write over several shards is not supported: write it as JOIN or LEFT JOIN, or add WHERE user_id = ...

UPDATE users SET name = ROW_COUNT()
--> 1235 (42000) [gate] ROW_COUNT() in a write over several shards: SELECT it first

DELETE u, c FROM users u JOIN countries c ON c.name = u.name
--> 1235 (42000) [gate] reference table countries is whole on every shard: write to it without other tables

UPDATE generated SET id = 7, n = 1 WHERE id = 1
--> move generated on 3 to 2: id = 7, n = 1 where (id = 1) AND NOT (`id` <=> 7)

-- title: another sharding key
UPDATE users SET user_id = 1, name = 'x' WHERE user_id = 1
--> shard 3 write

UPDATE users SET user_id = 42 WHERE name = 'x'
--> move users on 0,1,2,3 to 0: user_id = 42 where (name = 'x') AND NOT (`user_id` <=> 42)

UPDATE users SET user_id = user_id + 1
--> 1235 (42000) [gate] column user_id is the sharding key, which decides the shard of a row, and cannot be updated: DELETE the row and INSERT it with the new key

UPDATE orders SET total = 5, user_id = 42, order_id = total
--> 1235 (42000) [gate] column user_id is the sharding key, which decides the shard of a row, and cannot be updated: DELETE the row and INSERT it with the new key

UPDATE users SET user_id = 42 LIMIT 1
--> 1235 (42000) [gate] column user_id is the sharding key, which decides the shard of a row, and cannot be updated: DELETE the row and INSERT it with the new key

UPDATE users SET user_id = NULL
--> 1235 (42000) [gate] column user_id is the sharding key, which decides the shard of a row, and cannot be updated: DELETE the row and INSERT it with the new key

-- title: INSERT ... SELECT
INSERT INTO orders (order_id, user_id) SELECT order_id, user_id FROM order_items
--> copy on 0,1,2,3: INSERT INTO orders (order_id, user_id) SELECT order_id, user_id FROM order_items

INSERT INTO orders (order_id, user_id) SELECT i.order_id, u.user_id FROM users u JOIN order_items i USING (user_id)
--> copy on 0,1,2,3: INSERT INTO orders (order_id, user_id) SELECT i.order_id, u.user_id FROM users u JOIN order_items i USING (user_id)

INSERT INTO orders (order_id, user_id) SELECT order_id, user_id FROM order_items LIMIT 5
--> copy SELECT order_id, user_id FROM order_items LIMIT 5 into INSERT INTO orders (order_id, user_id) VALUES {}

INSERT INTO orders (order_id, user_id, total) SELECT user_id, 1, COUNT(*) FROM order_items GROUP BY user_id ON DUPLICATE KEY UPDATE total = VALUES(total)
--> copy SELECT user_id, 1, COUNT(*) FROM order_items GROUP BY user_id into INSERT INTO orders (order_id, user_id, total) VALUES {} ON DUPLICATE KEY UPDATE total = VALUES(total)

INSERT INTO orders (order_id, user_id) SELECT i.user_id, i.order_id FROM order_items i ON DUPLICATE KEY UPDATE total = i.sku
--> 1235 (42000) [gate] ON DUPLICATE KEY UPDATE of INSERT ... SELECT may name only columns of orders, whose new values are VALUES(column), when the rows pass through the gate: i is not one

INSERT INTO generated (n) SELECT order_id FROM orders WHERE user_id = 1
--> copy SELECT order_id FROM orders WHERE user_id = 1 into INSERT INTO generated (n) VALUES {}

REPLACE INTO countries SELECT name, name FROM users
--> copy SELECT name, name FROM users into REPLACE INTO countries VALUES {}

INSERT INTO tariffs (price) SELECT total FROM orders
--> copy SELECT total FROM orders into INSERT INTO tariffs (price) VALUES {}

CREATE TABLE users (user_id BIGINT NOT NULL) SELECT * FROM orders
--> 1235 (42000) [gate] CREATE TABLE ... SELECT is not supported: CREATE TABLE with its columns, then INSERT ... SELECT
