-- title: views are read like their definition, over the rows of all shards
-- keyspace: four shards
SELECT * FROM big_orders WHERE user_id = 5
--> shard 2

SELECT * FROM big_orders
--> scatter 0,1,2,3

TABLE big_orders
--> scatter 0,1,2,3

SELECT * FROM shop.big_orders AS b ORDER BY b.total DESC LIMIT 3
--> merge 0,1,2,3 [hide 1] [order 0 desc] [limit 3]: SELECT b.total AS `gate 0`, `b`.* FROM (select `orders`.`order_id` AS `order_id`,`orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `shop`.`orders` where (`orders`.`total` > 100)) AS `b` ORDER BY b.total DESC  LIMIT 3

SELECT COUNT(*) FROM ((big_orders))
--> merge 0,1,2,3 [groups 0 of 0 count]: SELECT COUNT(*) FROM (select `orders`.`order_id` AS `order_id`,`orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `shop`.`orders` where (`orders`.`total` > 100)) AS `big_orders`

SELECT shop.big_orders.total FROM big_orders WHERE shop.big_orders.user_id = 5
--> shard 2

SELECT user_id, SUM(total) FROM big_orders GROUP BY user_id
--> scatter 0,1,2,3

SELECT total, COUNT(*) FROM big_orders GROUP BY total
--> merge 0,1,2,3 [hide 1] [order 0] [groups 1 of 1, 2 count]: SELECT total AS `gate 0`, total, COUNT(*) FROM (select `orders`.`order_id` AS `order_id`,`orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `shop`.`orders` where (`orders`.`total` > 100)) AS `big_orders` GROUP BY total ORDER BY 1

SELECT COUNT(*), SUM(total) FROM big_orders WHERE total > 5
--> merge 0,1,2,3 [groups 0 of 0 count, 1 sum]: SELECT COUNT(*), SUM(total) FROM (select `orders`.`order_id` AS `order_id`,`orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `shop`.`orders` where (`orders`.`total` > 100)) AS `big_orders` WHERE total > 5

SELECT * FROM totals
--> scatter 0,1,2,3

SELECT * FROM totals WHERE user_id = 5 AND sum > 7
--> shard 2

SELECT * FROM totals ORDER BY user_id
--> merge 0,1,2,3 [hide 1] [order 0]: SELECT user_id AS `gate 0`, `totals`.* FROM (select `orders`.`user_id` AS `user_id`,sum(`orders`.`total`) AS `sum` from `shop`.`orders` group by `orders`.`user_id`) AS `totals` ORDER BY user_id

SELECT COUNT(*) FROM spread WHERE name = 'x'
--> finish pull users 0,1,2,3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users`; pull orders 0,1,2,3 by order_id=pull 0.user_id: SELECT `orders`.`order_id`, `orders`.`user_id`, `orders`.`total` FROM `shop`.`orders`; SELECT COUNT(*) FROM (select `users`.`name` AS `name`,`orders`.`total` AS `total` from (`users` join `orders` on((`users`.`user_id` = `orders`.`order_id`)))) AS `spread` WHERE name = 'x'

SELECT u.name, t.sum FROM users u JOIN totals t ON t.user_id = u.user_id
--> scatter 0,1,2,3

SELECT u.name FROM users u JOIN totals t ON t.user_id = u.user_id WHERE t.user_id = 5
--> shard 2

SELECT name FROM users WHERE user_id IN (SELECT user_id FROM totals WHERE sum > 5)
--> scatter 0,1,2,3

SELECT 1 FROM users WHERE EXISTS (SELECT 1 FROM big_orders b WHERE b.user_id = users.user_id)
--> scatter 0,1,2,3

SELECT user_id FROM big_orders UNION ALL SELECT user_id FROM totals
--> scatter 0,1,2,3

WITH t AS (SELECT * FROM totals) SELECT * FROM t WHERE user_id = 5
--> shard 2

SELECT * FROM country_names
--> any of 0,1,2,3

SELECT * FROM one
--> any of 0,1,2,3

EXPLAIN SELECT * FROM totals WHERE user_id = 5
--> shard 2 outside

EXPLAIN SELECT * FROM totals
--> explain on 0: this is how one of 4 shards does it; GATE EXPLAIN shows all that is done

GATE EXPLAIN SELECT * FROM big_orders WHERE total > 5
--> gate explain of SELECT * FROM big_orders WHERE total > 5 as scatter 0,1,2,3

/*gate: scatter=deny */ SELECT COUNT(*) FROM big_orders
--> 1235 (42000) [gate] this statement needs 4 shards, and the hint scatter=deny does not allow it: add the sharding key to WHERE, or allow it with /*gate: scatter=allow */

-- title: a view of a view has the names that it gives its columns
SELECT * FROM renamed WHERE who = 5
--> shard 2

SELECT spent FROM renamed r WHERE r.who = 5
--> shard 2

SELECT who FROM renamed ORDER BY who
--> merge 0,1,2,3 [hide 1] [order 0]: SELECT who AS `gate 0`, who FROM (select `big_orders`.`user_id` AS `user_id`,`big_orders`.`total` AS `total` from (select `orders`.`order_id` AS `order_id`,`orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `shop`.`orders` where (`orders`.`total` > 100)) AS `big_orders`) AS `renamed` (`who`, `spent`) ORDER BY who

-- title: names of common table expressions mean no table of a view
WITH orders AS (SELECT 1 AS a) SELECT * FROM orders, spread
--> finish pull users 0,1,2,3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users`; pull orders#2 0,1,2,3 by order_id=pull 0.user_id: SELECT `orders`.`order_id`, `orders`.`user_id`, `orders`.`total` FROM `shop`.`orders`; WITH orders AS (SELECT 1 AS a) SELECT * FROM orders, (select `users`.`name` AS `name`,`orders`.`total` AS `total` from (`users` join `orders#2` AS `orders` on((`users`.`user_id` = `orders`.`order_id`)))) AS `spread`

WITH big_orders AS (SELECT user_id FROM users) SELECT * FROM big_orders WHERE user_id = 5
--> shard 2

WITH orders AS (SELECT 1 AS a) SELECT COUNT(*) FROM shop.orders JOIN orders
--> merge 0,1,2,3 [groups 0 of 0 count]: WITH orders AS (SELECT 1 AS a) SELECT COUNT(*) FROM shop.orders JOIN orders

-- title: statements that write read views too
DELETE FROM orders WHERE user_id IN (SELECT user_id FROM totals WHERE sum > 5)
--> delete on 0,1,2,3: DELETE FROM orders WHERE user_id IN (SELECT user_id FROM (select `orders`.`user_id` AS `user_id`,sum(`orders`.`total`) AS `sum` from `shop`.`orders` group by `orders`.`user_id`) AS `totals` WHERE sum > 5)

UPDATE orders SET total = 0 WHERE user_id = 5 AND order_id IN (SELECT order_id FROM big_orders WHERE user_id = 5)
--> shard 2 write

INSERT INTO orders SELECT * FROM big_orders
--> copy SELECT * FROM (select `orders`.`order_id` AS `order_id`,`orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `shop`.`orders` where (`orders`.`total` > 100)) AS `big_orders` into INSERT INTO orders VALUES {}

INSERT INTO orders SELECT order_id, user_id, total FROM big_orders WHERE user_id = 5
--> copy SELECT order_id, user_id, total FROM (select `orders`.`order_id` AS `order_id`,`orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `shop`.`orders` where (`orders`.`total` > 100)) AS `big_orders` WHERE user_id = 5 into INSERT INTO orders VALUES {}

-- title: what is not done with views over several shards
SELECT * FROM big_orders WHERE user_id = 5 FOR UPDATE
--> shard 2 locks

SELECT * FROM big_orders FOR UPDATE
--> 1235 (42000) [gate] FOR UPDATE and FOR SHARE of views over several shards are not supported: lock the rows of their tables

SELECT * FROM mine
--> 1235 (42000) [gate] CURRENT_USER() in a view tells about its definer, and over several shards there is none: take it out of the view

SELECT * FROM big_orders USE INDEX (a)
--> 1235 (42000) [gate] PARTITION and index hints are for tables, and big_orders is a view

SELECT * FROM untold
--> 1235 (42000) [gate] the definition of view untold is not known: the gate's account needs SHOW VIEW in the keyspace

SELECT * FROM broken
--> unknown table shop.gone

INSERT INTO big_orders VALUES (1, 2, 3)
--> shard 3 write

REPLACE INTO totals (user_id) VALUES (5)
--> 1235 (42000) [gate] totals is a view, which over several shards is only read: write to orders

UPDATE big_orders SET total = 1 WHERE user_id = 5
--> shard 2 write

UPDATE users u JOIN totals t ON t.user_id = u.user_id SET u.name = t.sum
--> 1235 (42000) [gate] totals is a view, which over several shards is only read: write to orders

DELETE FROM renamed
--> delete on 0,1,2,3: DELETE FROM renamed

EXPLAIN DELETE FROM renamed
--> explain on 0: this is how one of 4 shards does it; GATE EXPLAIN shows all that is done

LOAD DATA LOCAL INFILE 'f' INTO TABLE big_orders
--> 1235 (42000) [gate] big_orders is a view, which over several shards is only read: write to orders

DROP TABLE totals
--> 1235 (42000) [gate] totals is a view, not a table: use CREATE, ALTER or DROP VIEW

DROP TABLE IF EXISTS totals
--> ddl DROP TABLE totals on 0,1,2,3

TRUNCATE TABLE totals
--> 1235 (42000) [gate] totals is a view, not a table: use CREATE, ALTER or DROP VIEW

ALTER TABLE totals ADD COLUMN x INT
--> 1235 (42000) [gate] totals is a view, not a table: use CREATE, ALTER or DROP VIEW

CREATE TABLE users LIKE totals
--> 1235 (42000) [gate] totals is a view, not a table: use CREATE, ALTER or DROP VIEW

RENAME TABLE totals TO sums
--> 1235 (42000) [gate] totals is a view, not a table: use CREATE, ALTER or DROP VIEW

-- title: views are made on all shards
CREATE VIEW v AS SELECT * FROM orders
--> ddl CREATE VIEW v on 0,1,2,3

CREATE OR REPLACE ALGORITHM = MERGE DEFINER = CURRENT_USER() SQL SECURITY INVOKER VIEW shop.v (a, b) AS SELECT user_id, SUM(total) FROM orders GROUP BY user_id WITH LOCAL CHECK OPTION
--> ddl CREATE VIEW v on 0,1,2,3

/*!50001 CREATE ALGORITHM=UNDEFINED */ /*!50013 DEFINER=`app`@`%` SQL SECURITY DEFINER */ /*!50001 VIEW `v` AS select `orders`.`user_id` AS `user_id` from `orders` */
--> ddl CREATE VIEW v on 0,1,2,3

CREATE VIEW v AS SELECT * FROM renamed
--> ddl CREATE VIEW v on 0,1,2,3

CREATE VIEW v AS SELECT name FROM countries
--> ddl CREATE VIEW v on 0,1,2,3

CREATE VIEW v AS SELECT 1 AS a
--> ddl CREATE VIEW v on 0,1,2,3

CREATE VIEW v AS WITH c AS (SELECT user_id FROM users) SELECT * FROM c
--> ddl CREATE VIEW v on 0,1,2,3

CREATE VIEW v AS SELECT u.name, o.total FROM users u JOIN orders o ON o.order_id = u.user_id
--> ddl CREATE VIEW v on 0,1,2,3

CREATE OR REPLACE VIEW totals AS SELECT 1 AS a
--> ddl CREATE VIEW totals on 0,1,2,3

ALTER VIEW big_orders AS SELECT * FROM orders
--> ddl ALTER VIEW big_orders on 0,1,2,3

DROP VIEW totals
--> ddl DROP VIEW totals on 0,1,2,3

DROP VIEW IF EXISTS v, totals
--> ddl DROP VIEW v,totals on 0,1,2,3

DROP VIEW IF EXISTS broken
--> ddl DROP VIEW broken on 0,1,2,3

DROP VIEW orders
--> ddl DROP VIEW orders on 0,1,2,3

DROP VIEW v
--> unknown table shop.v

CREATE VIEW v AS SELECT * FROM nowhere
--> unknown table shop.nowhere

-- title: views that could not be read
CREATE VIEW v AS SELECT CURRENT_USER() AS a
--> 1235 (42000) [gate] CURRENT_USER() in a view tells about its definer, and over several shards there is none: take it out of the view

CREATE VIEW v AS SELECT * FROM information_schema.tables
--> 1235 (42000) [gate] a view of MySQL's own tables would tell about one shard only: put the SELECT in the program

CREATE VIEW v AS SELECT * FROM other.t
--> 1044 (42000) [gate] table other.t is not in keyspace shop: a statement cannot leave its keyspace

CREATE VIEW v AS SELECT * FROM orders FOR UPDATE
--> 1235 (42000) [gate] view v would lock rows, which over several shards is done only for tables: take FOR UPDATE or FOR SHARE out of the view

CREATE VIEW v AS SELECT LAST_INSERT_ID() AS a
--> 1235 (42000) [gate] view v would tell about a connection, and over several shards there are several: take that out of the view

CREATE VIEW v AS SELECT GET_LOCK('a', 1) AS a
--> 1235 (42000) [gate] view v would tell about a connection, and over several shards there are several: take that out of the view

CREATE VIEW v AS SELECT user_id FROM users WHERE MATCH (name) AGAINST ('x')
--> 1235 (42000) [gate] view v could not be read: full-text search needs the index of one shard: add the sharding key to WHERE

CREATE VIEW v AS SELECT * FROM notes
--> 1235 (42000) [gate] the keyspace does not say how table notes is stored: name it in spec.tables with a shardingKey or reference: true, or set otherTables: unsharded

CREATE VIEW v (a) AS VALUES ROW(1)
--> 1064 (42000) [gate] view v could not be read: this statement is not understood, so it is not sent anywhere: its FROM is not understood

CREATE VIEW v AS
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: the SELECT of the view is missing

DROP VIEW broken
--> 1235 (42000) [gate] the tables of the view are not there any more: DROP VIEW IF EXISTS

-- title: views over unsharded tables are where the tables are
-- keyspace: four shards and unsharded tables
CREATE VIEW v AS SELECT * FROM notes
--> ddl CREATE VIEW v on 0

CREATE VIEW v AS SELECT n.text FROM notes n JOIN orders o ON o.order_id = n.id
--> ddl CREATE VIEW v on 0

CREATE VIEW v AS SELECT text FROM note_texts WHERE CURRENT_USER() <> '' FOR UPDATE
--> ddl CREATE VIEW v on 0

CREATE OR REPLACE VIEW note_texts AS SELECT * FROM notes
--> ddl CREATE VIEW note_texts on 0

CREATE OR REPLACE VIEW note_texts AS SELECT * FROM orders
--> 1235 (42000) [gate] view note_texts is over tables that are stored in another way: DROP VIEW note_texts, then make it anew

SELECT * FROM note_texts
--> shard 0

SELECT * FROM note_texts FOR UPDATE
--> shard 0 locks

SELECT COUNT(*) FROM note_texts, big_orders
--> finish pull orders 0,1,2,3: SELECT `orders`.`order_id`, `orders`.`user_id`, `orders`.`total` FROM `shop`.`orders` WHERE (`orders`.`total` > 100); pull note_texts 0: SELECT `note_texts`.`text` FROM `shop`.`note_texts`; SELECT COUNT(*) FROM `note_texts`, (select `orders`.`order_id` AS `order_id`,`orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `orders` where (`orders`.`total` > 100)) AS `big_orders`

INSERT INTO note_texts VALUES ('x')
--> shard 0 write

UPDATE note_texts SET text = 'y'
--> shard 0 write

DELETE FROM note_texts WHERE text = 'x'
--> shard 0 write

INSERT INTO note_texts SELECT user_id FROM big_orders
--> copy SELECT user_id FROM (select `orders`.`order_id` AS `order_id`,`orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `shop`.`orders` where (`orders`.`total` > 100)) AS `big_orders` into INSERT INTO note_texts VALUES {}

DROP TABLE note_texts
--> ddl DROP TABLE note_texts on 0

DROP VIEW note_texts
--> ddl DROP VIEW note_texts on 0

DROP VIEW note_texts, totals
--> 1235 (42000) [gate] DROP views over unsharded tables and the others in statements of their own

DROP VIEW IF EXISTS note_texts, totals
--> ddl DROP VIEW note_texts,totals on 0,1,2,3

-- title: the order of a view is that of a statement that has no other
-- keyspace: four shards
SELECT * FROM dearest
--> finish pull orders 0,1,2,3: SELECT `orders`.`order_id`, `orders`.`user_id`, `orders`.`total` FROM `shop`.`orders`; SELECT * FROM (select `orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `orders` order by `orders`.`total` desc) AS `dearest`

SELECT * FROM dearest LIMIT 2
--> finish pull orders 0,1,2,3: SELECT `orders`.`order_id`, `orders`.`user_id`, `orders`.`total` FROM `shop`.`orders`; SELECT * FROM (select `orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `orders` order by `orders`.`total` desc) AS `dearest` LIMIT 2

SELECT * FROM (SELECT user_id FROM dearest) AS d
--> finish pull orders 0,1,2,3: SELECT `orders`.`order_id`, `orders`.`user_id`, `orders`.`total` FROM `shop`.`orders`; SELECT * FROM (SELECT user_id FROM (select `orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `orders` order by `orders`.`total` desc) AS `dearest`) AS d

SELECT * FROM (SELECT user_id FROM orders ORDER BY total) AS d
--> finish pull orders 0,1,2,3: SELECT `orders`.`order_id`, `orders`.`user_id`, `orders`.`total` FROM `shop`.`orders`; SELECT * FROM (SELECT user_id FROM `orders` ORDER BY total) AS d

SELECT * FROM dearest ORDER BY user_id
--> merge 0,1,2,3 [hide 1] [order 0]: SELECT user_id AS `gate 0`, `dearest`.* FROM (select `orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `shop`.`orders` order by `orders`.`total` desc) AS `dearest` ORDER BY user_id

SELECT COUNT(*) FROM dearest
--> merge 0,1,2,3 [groups 0 of 0 count]: SELECT COUNT(*) FROM (select `orders`.`user_id` AS `user_id`,`orders`.`total` AS `total` from `shop`.`orders` order by `orders`.`total` desc) AS `dearest`

SELECT DISTINCT user_id FROM dearest
--> scatter 0,1,2,3

SELECT d.total FROM dearest d JOIN users u ON u.user_id = d.user_id
--> scatter 0,1,2,3

-- title: views of one table are written like the table
-- keyspace: four shards
INSERT INTO big_orders (order_id, user_id, total) VALUES (1, 1, 200), (2, 42, 300)
--> insert 0: INSERT INTO big_orders (order_id, user_id, total) VALUES (2, 42, 300) | 3: INSERT INTO big_orders (order_id, user_id, total) VALUES (1, 1, 200)

REPLACE INTO renamed (who, spent) VALUES (1, 200)
--> shard 3 write

INSERT INTO renamed (spent) VALUES (200)
--> compute DEFAULT(user_id) for INSERT INTO renamed (spent, `who` ) VALUES (200, {} )

UPDATE renamed SET spent = spent + 1 WHERE who IN (1, 42)
--> update on 0,3: UPDATE renamed SET spent = spent + 1 WHERE who IN (1, 42)

UPDATE big_orders b SET b.total = 500 ORDER BY b.order_id LIMIT 3
--> 1235 (42000) [gate] ORDER BY with LIMIT in a write on the view big_orders over several shards is not supported: write to orders

DELETE FROM big_orders LIMIT 3
--> delete 3 rows on 0,1,2,3: DELETE FROM big_orders LIMIT {}

INSERT INTO big_orders SELECT order_id, user_id, total FROM orders
--> copy on 0,1,2,3: INSERT INTO big_orders SELECT order_id, user_id, total FROM orders

UPDATE country_names SET name = 'x' WHERE name = 'y'
--> every 0,1,2,3 write clock

INSERT INTO country_names VALUES ('x')
--> every 0,1,2,3 write clock

UPDATE renamed SET who = 3 WHERE who = 4
--> 1235 (42000) [gate] column who is the sharding key, which decides the shard of a row, and cannot be updated: DELETE the row and INSERT it with the new key

DELETE FROM renamed WHERE who IN (SELECT user_id FROM users)
--> 1235 (42000) [gate] renamed is a view, which over several shards is written by itself only: write to orders where other tables take part

UPDATE dearest SET total = 1
--> 1235 (42000) [gate] dearest is a view, which over several shards is only read: write to orders

UPDATE mine SET order_id = 1
--> 1235 (42000) [gate] mine is a view, which over several shards is only read: write to orders

TRUNCATE TABLE big_orders
--> 1235 (42000) [gate] big_orders is a view, not a table: use CREATE, ALTER or DROP VIEW
