-- title: several values of the key, by IN and OR
-- keyspace: four shards
SELECT * FROM users WHERE user_id IN (1)
--> shard 3

SELECT * FROM users WHERE user_id IN (1, 2)
--> shard 3

SELECT * FROM users WHERE user_id IN (1, 42)
--> scatter 0,3

SELECT * FROM users WHERE user_id IN (1, 2, 3, 4)
--> scatter 2,3

SELECT * FROM users WHERE user_id IN (10, 20, 30, 40, 50, 60, 70, 80)
--> scatter 0,1,3

SELECT * FROM users WHERE user_id IN (1, '1', 1.0)
--> shard 3

SELECT * FROM users WHERE user_id IN (1, NULL)
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id IN (1, name)
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id IN (1, 2 + 3)
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id NOT IN (1, 2)
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id IN (1, 42) AND user_id = 42
--> shard 0

SELECT * FROM users WHERE user_id IN (1, 42) AND name = 'x'
--> scatter 0,3

SELECT * FROM users WHERE user_id = 1 OR user_id = 1
--> shard 3

SELECT * FROM users WHERE user_id = 1 OR user_id = 42
--> scatter 0,3

SELECT * FROM users WHERE user_id = 1 || user_id = 42
--> scatter 0,3

SELECT * FROM users WHERE (user_id = 1 AND name = 'x') OR (user_id = 42 AND name = 'y')
--> scatter 0,3

SELECT * FROM users WHERE (user_id = 1 OR user_id = 42) AND (user_id = 42 OR user_id = 4)
--> shard 0

SELECT * FROM users WHERE user_id = 1 OR user_id IN (42, 4)
--> scatter 0,2,3

SELECT * FROM users WHERE user_id = 1 OR name = 'x'
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 1 || name = 'x'
--> scatter 0,1,2,3

SELECT * FROM users WHERE name = 'a' || 'b' AND user_id = 1
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 1 OR NOT user_id = 42
--> scatter 0,1,2,3

SELECT * FROM users WHERE (user_id, name) IN ((1, 'x'), (1, 'y'))
--> shard 3

SELECT * FROM users WHERE user_id IN (SELECT 1)
--> scatter 0,1,2,3

SELECT * FROM users u JOIN orders o ON o.user_id = u.user_id WHERE u.user_id IN (1, 42)
--> scatter 0,3

SELECT * FROM users u JOIN orders o ON o.user_id = u.user_id WHERE u.user_id = 1 OR o.user_id = 42
--> scatter 0,1,2,3

UPDATE users SET name = 'x' WHERE user_id IN (1, 1)
--> shard 3 write

UPDATE users SET name = 'x' WHERE user_id IN (1, 42)
--> update on 0,3: UPDATE users SET name = 'x' WHERE user_id IN (1, 42)

DELETE FROM users WHERE user_id = 1 OR user_id = 42
--> delete on 0,3: DELETE FROM users WHERE user_id = 1 OR user_id = 42

SELECT * FROM users WHERE user_id IN (1, 42) ORDER BY name
--> merge 0,3 [hide 1] [order 0 bytes]: SELECT WEIGHT_STRING(name) AS `gate 0`, `users`.* FROM users WHERE user_id IN (1, 42) ORDER BY name

SELECT * FROM users WHERE user_id IN (1, 1) ORDER BY name
--> shard 3
