-- title: answers put together from those of the shards while they arrive
-- keyspace: four shards
-- title: columns by number mean the client's, not the hidden ones before them
SELECT user_id AS u, COUNT(*) FROM orders GROUP BY 1 ORDER BY 2
--> merge 0,1,2,3 [hide 1] [order 0]: SELECT COUNT(*) AS `gate 0`, user_id AS u, COUNT(*) FROM orders GROUP BY 2 ORDER BY 3

SELECT total, COUNT(*) FROM orders GROUP BY 1 ORDER BY 1 DESC LIMIT 2
--> merge 0,1,2,3 [hide 1] [order 0 desc] [groups 1 of 1, 2 count] [limit 2]: SELECT total AS `gate 0`, total, COUNT(*) FROM orders GROUP BY total ORDER BY 1 DESC LIMIT 2

SELECT total, COUNT(*) FROM orders GROUP BY 1 ORDER BY 2 DESC LIMIT 2
--> merge 0,1,2,3 [hide 1] [order 0] [groups 1 of 1, 2 count] [resort 2 desc] [limit 2]: SELECT total AS `gate 0`, total, COUNT(*) FROM orders GROUP BY total ORDER BY 1

SELECT user_id, SUM(total) s FROM orders GROUP BY user_id HAVING s > 5 ORDER BY s DESC LIMIT 3, 2
--> merge 0,1,2,3 [hide 1] [order 0 desc] [limit 2 skip 3]: SELECT SUM(total) AS `gate 0`, user_id, SUM(total) s FROM orders GROUP BY user_id HAVING s > 5 ORDER BY s DESC  LIMIT 5

-- title: an alias goes before a column in ORDER BY, a column before an alias in GROUP BY
SELECT total AS order_id, user_id FROM orders ORDER BY order_id
--> merge 0,1,2,3 [hide 1] [order 0]: SELECT total AS `gate 0`, total AS order_id, user_id FROM orders ORDER BY order_id

SELECT total AS order_id, COUNT(*) FROM orders GROUP BY order_id
--> merge 0,1,2,3 [hide 1] [order 0] [groups 1 of 1, 2 count]: SELECT order_id AS `gate 0`, total AS order_id, COUNT(*) FROM orders GROUP BY order_id ORDER BY 1

SELECT name, COUNT(*), MIN(user_id), AVG(user_id), MAX(name) FROM users GROUP BY name
--> merge 0,1,2,3 [hide 4] [order 0 bytes] [groups 1 of 4, 5 count, 6 min(6), 7 avg(1,2), 8 max(3) bytes]: SELECT WEIGHT_STRING(name) AS `gate 0`, SUM(user_id) AS `gate 1`, COUNT(user_id) AS `gate 2`, WEIGHT_STRING(MAX(name)) AS `gate 3`, name, COUNT(*), MIN(user_id), AVG(user_id), MAX(name) FROM users GROUP BY name ORDER BY 1

SELECT COUNT(DISTINCT name), SUM(user_id) FROM users
--> merge 0,1,2,3 [hide 1] [order 0 bytes] [groups 0 values 1 of 1 count_distinct(0), 2 sum]: SELECT WEIGHT_STRING(name) AS `gate 0`, COUNT(DISTINCT name), SUM(user_id) FROM users GROUP BY name ORDER BY 1

-- title: all values of the key lie on one shard, so the shards' numbers add up
SELECT COUNT(DISTINCT user_id) FROM orders
--> merge 0,1,2,3 [groups 0 of 0 count]: SELECT COUNT(DISTINCT user_id) FROM orders

SELECT COUNT(DISTINCT user_id), SUM(DISTINCT total) FROM orders
--> finish pull orders 0,1,2,3: SELECT `orders`.`user_id`, `orders`.`total` FROM `shop`.`orders`; SELECT COUNT(DISTINCT user_id), SUM(DISTINCT total) FROM `orders`

SELECT COUNT(DISTINCT user_id, total), SUM(DISTINCT total) FROM orders
--> merge 0,1,2,3 [hide 1] [order 0] [groups 0 values 1 of 1 count, 2 sum_distinct(0)]: SELECT total AS `gate 0`, COUNT(DISTINCT user_id, total), SUM(DISTINCT total) FROM orders GROUP BY total ORDER BY 1

SELECT COUNT(DISTINCT user_id), SUM(DISTINCT user_id), COUNT(*) FROM orders
--> merge 0,1,2,3 [hide 1] [order 0] [groups 0 values 1 of 1 count, 2 sum_distinct(0), 3 count]: SELECT user_id AS `gate 0`, COUNT(DISTINCT user_id), SUM(DISTINCT user_id), COUNT(*) FROM orders GROUP BY user_id ORDER BY 1

SELECT COUNT(DISTINCT total), COUNT(DISTINCT order_id) FROM orders
--> finish pull orders 0,1,2,3: SELECT `orders`.`order_id`, `orders`.`total` FROM `shop`.`orders`; SELECT COUNT(DISTINCT total), COUNT(DISTINCT order_id) FROM `orders`

SELECT DISTINCT name FROM users ORDER BY name DESC LIMIT 4
--> merge 0,1,2,3 [hide 1] [order 0 desc bytes] [groups 1 of 1] [limit 4]: SELECT DISTINCT WEIGHT_STRING(name) AS `gate 0`, name FROM users ORDER BY 1 DESC LIMIT 4

SELECT DISTINCT user_id, name FROM users ORDER BY name
--> merge 0,1,2,3 [hide 1] [order 0 bytes]: SELECT DISTINCT WEIGHT_STRING(name) AS `gate 0`, user_id, name FROM users ORDER BY name

-- title: text under a collation that pads is filled up
SELECT * FROM padded ORDER BY address
--> merge 0,1,2,3 [hide 1] [order 0 bytes]: SELECT WEIGHT_STRING(address AS CHAR(8)) AS `gate 0`, `padded`.* FROM padded ORDER BY address

SELECT * FROM days ORDER BY day DESC
--> merge 0,1,2,3 [hide 1] [order 0 desc]: SELECT (day)+0 AS `gate 0`, `days`.* FROM days ORDER BY day DESC

SELECT * FROM users ORDER BY user_id % 7, UPPER(name)
--> merge 0,1,2,3 [hide 2] [order 0, 1 bytes]: SELECT user_id % 7 AS `gate 0`, WEIGHT_STRING(UPPER(name)) AS `gate 1`, `users`.* FROM users ORDER BY user_id % 7, UPPER(name)

-- title: text whose collation is not seen, UNION and ROLLUP are finished on the merge server
SELECT * FROM users ORDER BY CONCAT(name, 'x')
--> finish pull users 0,1,2,3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users`; SELECT * FROM `users` ORDER BY CONCAT(name, 'x')

SELECT * FROM users ORDER BY NULL LIMIT 5
--> merge 0,1,2,3 [limit 5]: SELECT * FROM users ORDER BY NULL  LIMIT 5

SELECT * FROM users ORDER BY name LIMIT 'a'
--> shard 0

SELECT user_id FROM users UNION ALL SELECT user_id FROM orders LIMIT 4
--> merge 0,1,2,3 [limit 4]: SELECT user_id FROM users UNION ALL SELECT user_id FROM orders  LIMIT 4

SELECT user_id FROM users UNION SELECT user_id FROM orders
--> finish pull users 0,1,2,3: SELECT `users`.`user_id` FROM `shop`.`users`; pull orders 0,1,2,3: SELECT `orders`.`user_id` FROM `shop`.`orders`; SELECT user_id FROM `users` UNION SELECT user_id FROM `orders`

SELECT user_id FROM users UNION ALL SELECT COUNT(*) FROM orders
--> finish pull users 0,1,2,3: SELECT `users`.`user_id` FROM `shop`.`users`; pull orders 0,1,2,3: SELECT `orders`.`user_id` FROM `shop`.`orders`; SELECT user_id FROM `users` UNION ALL SELECT COUNT(*) FROM `orders`

SELECT row_number() OVER (PARTITION BY user_id ORDER BY total) FROM orders ORDER BY total
--> merge 0,1,2,3 [hide 1] [order 0]: SELECT total AS `gate 0`, row_number() OVER (PARTITION BY user_id ORDER BY total) FROM orders ORDER BY total

SELECT name, COUNT(*) FROM users GROUP BY name WITH ROLLUP
--> finish pull users 0,1,2,3: SELECT `users`.`name` FROM `shop`.`users`; SELECT name, COUNT(*) FROM `users` GROUP BY name WITH ROLLUP

SELECT * FROM users u LEFT JOIN orders o ON o.user_id = u.user_id ORDER BY o.total LIMIT 2 FOR UPDATE
--> merge 0,1,2,3 locks [hide 1] [order 0] [limit 2]: SELECT o.total AS `gate 0`, `u`.*, `o`.* FROM users u LEFT JOIN orders o ON o.user_id = u.user_id ORDER BY o.total  LIMIT 2 FOR UPDATE

SELECT * FROM users WHERE name < NOW() ORDER BY user_id
--> merge 0,1,2,3 clock [hide 1] [order 0]: SELECT user_id AS `gate 0`, `users`.* FROM users WHERE name < NOW() ORDER BY user_id

SELECT COUNT(*) FROM (SELECT user_id, MAX(total) m FROM orders GROUP BY user_id) q WHERE q.m > 3
--> merge 0,1,2,3 [groups 0 of 0 count]: SELECT COUNT(*) FROM (SELECT user_id, MAX(total) m FROM orders GROUP BY user_id) q WHERE q.m > 3

SELECT COUNT(*) FROM (SELECT user_id FROM orders LIMIT 3) q
--> finish pull orders 0,1,2,3: SELECT `orders`.`user_id` FROM `shop`.`orders`; SELECT COUNT(*) FROM (SELECT user_id FROM `orders` LIMIT 3) q
