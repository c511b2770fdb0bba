-- title: subqueries, derived tables and common table expressions
-- keyspace: four shards
SELECT * FROM users WHERE user_id = 1 AND name IN (SELECT name FROM countries)
--> shard 3

SELECT * FROM users WHERE name IN (SELECT name FROM countries)
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 1 AND user_id IN (SELECT user_id FROM orders WHERE user_id = 1)
--> shard 3

SELECT * FROM users WHERE user_id = 1 AND user_id IN (SELECT user_id FROM orders WHERE user_id = 42)
--> any of 0,1,2,3

SELECT * FROM users WHERE user_id = 1 AND user_id IN (SELECT user_id FROM orders)
--> shard 3

SELECT * FROM users WHERE user_id IN (SELECT user_id FROM orders)
--> scatter 0,1,2,3

SELECT * FROM users u WHERE user_id = 1 AND EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.user_id)
--> shard 3

SELECT * FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.user_id)
--> scatter 0,1,2,3

SELECT * FROM users u WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.user_id AND o.total > 5)
--> scatter 0,1,2,3

SELECT * FROM users u WHERE EXISTS (SELECT 1 FROM orders WHERE orders.user_id = u.user_id)
--> scatter 0,1,2,3

SELECT * FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.order_id = u.user_id)
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; pull orders 0,1,2,3 by order_id=pull 0.user_id: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o`; SELECT * FROM `users` u WHERE EXISTS (SELECT 1 FROM `orders` o WHERE o.order_id = u.user_id)

SELECT * FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE user_id = u.user_id)
--> scatter 0,1,2,3

SELECT * FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = user_id)
--> finish pull orders 0,1,2,3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o` WHERE (o.user_id = user_id); pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; SELECT * FROM `users` u WHERE EXISTS (SELECT 1 FROM `orders` o WHERE o.user_id = user_id)

SELECT * FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE u.user_id = 1)
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; pull orders 0,1,2,3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o`; SELECT * FROM `users` u WHERE EXISTS (SELECT 1 FROM `orders` o WHERE u.user_id = 1)

SELECT u.*, (SELECT o.total FROM orders o WHERE o.user_id = u.user_id LIMIT 1) FROM users u WHERE u.user_id = 1
--> shard 3

SELECT u.*, (SELECT o.total FROM orders o WHERE o.user_id = u.user_id LIMIT 1) FROM users u
--> scatter 0,1,2,3

SELECT u.*, (SELECT count(*) FROM orders o WHERE o.user_id = u.user_id) FROM users u
--> scatter 0,1,2,3

SELECT * FROM (SELECT * FROM users WHERE user_id = 1) t
--> shard 3

SELECT * FROM (SELECT * FROM users WHERE user_id = 1) t WHERE t.user_id = 42
--> any of 0,1,2,3

SELECT * FROM (SELECT * FROM users) t WHERE t.user_id = 1
--> shard 3

SELECT * FROM (SELECT * FROM users) t
--> scatter 0,1,2,3

SELECT * FROM users u JOIN (SELECT * FROM orders WHERE user_id = 1) o ON o.user_id = u.user_id WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u JOIN (SELECT * FROM countries) c ON c.name = u.name
--> scatter 0,1,2,3

SELECT * FROM users u JOIN LATERAL (SELECT * FROM orders o WHERE o.user_id = u.user_id LIMIT 3) l ON TRUE WHERE u.user_id = 1
--> shard 3

SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a INT PATH '$')) j
--> any of 0,1,2,3

SELECT * FROM users, JSON_TABLE('[1]', '$[*]' COLUMNS (a INT PATH '$')) j WHERE users.user_id = 1
--> shard 3

WITH x AS (SELECT * FROM users WHERE user_id = 1) SELECT * FROM x
--> shard 3

WITH x AS (SELECT * FROM users WHERE user_id = 1) SELECT * FROM x JOIN orders o ON o.user_id = x.user_id WHERE o.user_id = 1
--> shard 3

WITH x AS (SELECT * FROM users) SELECT * FROM x WHERE user_id = 1
--> shard 3

WITH users AS (SELECT * FROM countries) SELECT * FROM users
--> any of 0,1,2,3

WITH users AS (SELECT * FROM users WHERE user_id = 1) SELECT * FROM users
--> shard 3

WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 5) SELECT * FROM n
--> any of 0,1,2,3

WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 5) SELECT * FROM n JOIN users u ON u.user_id = n.a
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 1 UNION SELECT * FROM users WHERE user_id = 1
--> shard 3

SELECT user_id FROM users WHERE user_id = 1 UNION ALL SELECT user_id FROM orders WHERE user_id = 1 ORDER BY 1 LIMIT 3
--> shard 3

SELECT * FROM users WHERE user_id = 1 UNION ALL SELECT * FROM users WHERE user_id = 42
--> scatter 0,3

SELECT * FROM users UNION ALL SELECT * FROM users
--> scatter 0,1,2,3

SELECT * FROM countries UNION SELECT * FROM countries
--> any of 0,1,2,3

(SELECT * FROM users WHERE user_id = 1) UNION (SELECT * FROM users WHERE user_id = 1) LIMIT 1
--> shard 3

SELECT user_id FROM users WHERE user_id = 1 EXCEPT SELECT user_id FROM orders WHERE user_id = 1
--> shard 3

SELECT 1 FROM users WHERE user_id = 1 GROUP BY (SELECT max(total) FROM orders WHERE user_id = 1)
--> shard 3

SELECT * FROM users WHERE user_id = (SELECT 1)
--> scatter 0,1,2,3

SELECT * FROM users ORDER BY (SELECT 1)
--> finish pull users 0,1,2,3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users`; SELECT * FROM `users` ORDER BY (SELECT 1)
