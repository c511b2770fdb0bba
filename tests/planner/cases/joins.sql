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
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; pull orders 0,1,2,3 by order_id=pull 0.user_id: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o`; SELECT * FROM `users` u JOIN `orders` o ON o.order_id = u.user_id

SELECT * FROM users u JOIN orders o ON o.user_id = u.user_id + 1 WHERE u.user_id = 1
--> finish pull users 3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u` WHERE (u.user_id = 1); pull orders 0,1,2,3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o`; SELECT * FROM `users` u JOIN `orders` o ON o.user_id = u.user_id + 1 WHERE u.user_id = 1

SELECT * FROM users u JOIN orders o WHERE u.user_id = 1
--> finish pull users 3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u` WHERE (u.user_id = 1); pull orders 0,1,2,3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o`; SELECT * FROM `users` u JOIN `orders` o WHERE u.user_id = 1

SELECT * FROM users u JOIN orders o WHERE u.user_id = 1 AND o.user_id = 42
--> finish pull users 3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u` WHERE (u.user_id = 1); pull orders 0: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o` WHERE (o.user_id = 42); SELECT * FROM `users` u JOIN `orders` o WHERE u.user_id = 1 AND o.user_id = 42

SELECT * FROM users u JOIN orders o WHERE u.user_id = 1 AND o.user_id = 7
--> finish pull users 3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u` WHERE (u.user_id = 1); pull orders 2: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o` WHERE (o.user_id = 7); SELECT * FROM `users` u JOIN `orders` o WHERE u.user_id = 1 AND o.user_id = 7

SELECT * FROM users u LEFT JOIN orders o ON o.user_id = u.user_id AND u.user_id = 1
--> scatter 0,1,2,3

SELECT * FROM users u LEFT JOIN orders o ON o.user_id = 1
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; pull orders 3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o` WHERE (o.user_id = 1); SELECT * FROM `users` u LEFT JOIN `orders` o ON o.user_id = 1

SELECT * FROM users u LEFT JOIN orders o ON o.user_id = 1 WHERE u.user_id = 42
--> finish pull users 0: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u` WHERE (u.user_id = 42); pull orders 3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o` WHERE (o.user_id = 1); SELECT * FROM `users` u LEFT JOIN `orders` o ON o.user_id = 1 WHERE u.user_id = 42

SELECT * FROM users u LEFT JOIN orders o ON o.user_id = 1 WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u RIGHT JOIN orders o ON o.user_id = u.user_id
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; pull orders 0,1,2,3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o`; SELECT * FROM `users` u RIGHT JOIN `orders` o ON o.user_id = u.user_id

SELECT * FROM users u RIGHT JOIN orders o ON o.user_id = u.user_id AND o.user_id = 1
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; pull orders 0,1,2,3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o`; SELECT * FROM `users` u RIGHT JOIN `orders` o ON o.user_id = u.user_id AND o.user_id = 1

SELECT * FROM users u NATURAL JOIN orders o
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; pull orders 0,1,2,3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o`; SELECT * FROM `users` u NATURAL JOIN `orders` o

SELECT * FROM users u JOIN orders o ON o.user_id = u.user_id OR o.total = 1
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; pull orders 0,1,2,3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o`; SELECT * FROM `users` u JOIN `orders` o ON o.user_id = u.user_id OR o.total = 1

SELECT * FROM users u JOIN orders o ON NOT o.user_id = u.user_id
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; pull orders 0,1,2,3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o`; SELECT * FROM `users` u JOIN `orders` o ON NOT o.user_id = u.user_id

SELECT * FROM users u JOIN mails m ON m.address = u.user_id
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; pull mails 0,1,2,3: SELECT `m`.`address`, `m`.`n` FROM `shop`.`mails` AS `m`; SELECT * FROM `users` u JOIN `mails` m ON m.address = u.user_id

SELECT * FROM mails m JOIN padded p ON p.address = m.address
--> finish pull mails 0,1,2,3: SELECT `m`.`address`, `m`.`n` FROM `shop`.`mails` AS `m`; pull padded 0,1,2,3: SELECT `p`.`address`, `p`.`n` FROM `shop`.`padded` AS `p`; SELECT * FROM `mails` m JOIN `padded` p ON p.address = m.address

SELECT * FROM users u JOIN orders o ON o.user_id <=> u.user_id
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; pull orders 0,1,2,3: SELECT `o`.`order_id`, `o`.`user_id`, `o`.`total` FROM `shop`.`orders` AS `o`; SELECT * FROM `users` u JOIN `orders` o ON o.user_id <=> u.user_id

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
--> finish pull countries 0: SELECT `c`.`code`, `c`.`name` FROM `shop`.`countries` AS `c`; pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; SELECT * FROM `countries` c LEFT JOIN `users` u ON c.name = u.name

SELECT * FROM countries c LEFT JOIN users u ON c.name = u.name AND u.user_id = 1
--> shard 3

SELECT * FROM countries c LEFT JOIN users u ON c.name = u.name WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u RIGHT JOIN countries c ON c.name = u.name
--> finish pull users 0,1,2,3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; pull countries 0: SELECT `c`.`code`, `c`.`name` FROM `shop`.`countries` AS `c`; SELECT * FROM `users` u RIGHT JOIN `countries` c ON c.name = u.name
