-- title: statements that need all rows in one place
-- keyspace: four shards and unsharded tables
-- title: conditions of one table with literals go along, and keys choose the shards
SELECT * FROM users u JOIN orders o ON o.total = u.user_id WHERE u.user_id IN (1, 42) AND o.total > 3 AND (u.name = 'a' OR u.name LIKE 'b%') AND o.total + 1 < 5
--> finish pull users 0,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u` WHERE (u.user_id IN (1, 42)) AND (u.name = 'a' OR u.name LIKE 'b%'); pull orders 0,1,2,3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o` WHERE (o.total > 3) AND (o.total + 1 < 5); SELECT * FROM `users` u JOIN `orders` o ON o.total = u.user_id WHERE u.user_id IN (1, 42) AND o.total > 3 AND (u.name = 'a' OR u.name LIKE 'b%') AND o.total + 1 < 5

-- title: not through the wrong side of an outer join
SELECT * FROM users u LEFT JOIN orders o ON o.order_id = u.user_id AND o.total > 3 AND u.name = 'a' WHERE o.total IS NULL AND u.name = 'b'
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u` WHERE (u.name = 'b'); pull orders 0,1,2,3 by order_id=pull 0.user_id: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o` WHERE (o.total > 3); SELECT * FROM `users` u LEFT JOIN `orders` o ON o.order_id = u.user_id AND o.total > 3 AND u.name = 'a' WHERE o.total IS NULL AND u.name = 'b'

SELECT * FROM users u RIGHT JOIN orders o ON o.order_id = u.user_id AND o.total > 3 WHERE u.name = 'b'
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; pull orders 0,1,2,3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o`; SELECT * FROM `users` u RIGHT JOIN `orders` o ON o.order_id = u.user_id AND o.total > 3 WHERE u.name = 'b'

-- title: each place that names a table has a pull of its own
SELECT COUNT(*) FROM users a JOIN users b ON a.name = b.name AND a.user_id < b.user_id
--> finish pull users 0,1,2,3: SELECT `a`.`user_id`, `a`.`name` FROM `shop`.`users` AS `a`; pull users#2 0,1,2,3 by name=pull 0.name: SELECT `b`.`user_id`, `b`.`name` FROM `shop`.`users` AS `b`; SELECT COUNT(*) FROM `users` a JOIN `users#2` b ON a.name = b.name AND a.user_id < b.user_id

-- title: the session's own facts are asked of a shard, the database is taken from names
SELECT CURRENT_USER(), @@sql_mode, DATABASE(), shop.users.name FROM shop.users JOIN notes ON notes.id = shop.users.user_id
--> finish pull users 0,1,2,3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users`; pull notes 0: SELECT `notes`.`id` FROM `shop`.`notes`; SELECT <CURRENT_USER()>, <@@sql_mode>, <DATABASE()>, users.name FROM `users` JOIN `notes` ON notes.id = users.user_id

-- title: names of common table expressions hide tables, but not in their own query
WITH users AS (SELECT * FROM users WHERE name = 'x'), n AS (SELECT * FROM notes) SELECT COUNT(*) FROM users JOIN n ON n.id = users.user_id
--> finish pull users 0,1,2,3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users` WHERE (name = 'x'); pull notes 0: SELECT `notes`.`id`, `notes`.`text` FROM `shop`.`notes`; WITH users AS (SELECT * FROM `users` WHERE name = 'x'), n AS (SELECT * FROM `notes`) SELECT COUNT(*) FROM users JOIN n ON n.id = users.user_id

SELECT * FROM users USE INDEX (PRIMARY) WHERE name > ALL (SELECT name FROM users FORCE INDEX (a) IGNORE INDEX (b) WHERE user_id = 1)
--> finish pull users#2 3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users` WHERE (user_id = 1); pull users 0,1,2,3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users`; SELECT * FROM `users`  WHERE name > ALL (SELECT name FROM `users#2` AS `users`   WHERE user_id = 1)

SELECT name, SUM(COUNT(*)) OVER () FROM users GROUP BY name HAVING COUNT(*) > 1
--> finish pull users 0,1,2,3: SELECT `users`.`name` FROM `shop`.`users`; SELECT name, SUM(COUNT(*)) OVER () FROM `users` GROUP BY name HAVING COUNT(*) > 1

SELECT * FROM users u, countries c WHERE c.name = u.name OR c.code = 'x'
--> scatter 0,1,2,3

SELECT u.name FROM users u WHERE u.name = (SELECT text FROM notes n WHERE n.id = u.user_id) FOR UPDATE
--> finish locks pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u` FOR UPDATE; pull notes 0 by id=pull 0.user_id: SELECT `n`.`id`, `n`.`text` FROM `shop`.`notes` AS `n`; SELECT u.name FROM `users` u WHERE u.name = (SELECT text FROM `notes` n WHERE n.id = u.user_id) 

SELECT u.name FROM users u JOIN notes n ON n.id = u.user_id FOR UPDATE SKIP LOCKED
--> 1235 (42000) [gate] OF, NOWAIT and SKIP LOCKED over several shards are not supported: add the sharding key to WHERE

SELECT * FROM users WHERE MATCH (name) AGAINST ('x') ORDER BY CONCAT(name)
--> 1235 (42000) [gate] full-text search needs the index of one shard: add the sharding key to WHERE

SELECT *, ROW_COUNT() FROM users ORDER BY CONCAT(name)
--> 1235 (42000) [gate] ROW_COUNT() in a statement over several shards has no one server to tell about: call it in a SELECT of its own

SELECT LOAD_FILE('/etc/passwd'), COUNT(*) + 1 FROM users
--> 1235 (42000) [gate] LOAD_FILE() in a statement over several shards has no one server to tell about: call it in a SELECT of its own

SELECT COUNT(*) + 1 FROM users JOIN information_schema.tables t ON t.table_name = users.name
--> 1235 (42000) [gate] information_schema.tables is each server's own: it cannot be joined with tables of several shards

SELECT COUNT(*) + 1 FROM users INTO OUTFILE 'x'
--> 1235 (42000) [gate] INTO OUTFILE writes a file on a server

TABLE users
--> finish pull users 0,1,2,3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users`; TABLE `users`

VALUES ROW(1, 2), ROW(3, 4)
--> any of 0,1,2,3
