-- title: lists of keys, rows of keys and keys with a type
-- keyspace: four shards
SELECT * FROM users WHERE user_id IN (1)
--> shard 3

SELECT * FROM users WHERE user_id IN (1, 1, '1')
--> shard 3

SELECT * FROM users WHERE user_id IN (1, 42)
--> scatter 0,3

SELECT * FROM users WHERE user_id IN (1, 42, 7)
--> scatter 0,2,3

SELECT * FROM users WHERE user_id in(1,NULL)
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id IN (1, 'x')
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id IN (-1, 1)
--> scatter 2,3

SELECT * FROM users WHERE user_id NOT IN (1, 42)
--> scatter 0,1,2,3

SELECT * FROM mails WHERE address IN ('a,b', "c),(d")
--> scatter 0,3

SELECT * FROM mails WHERE address IN ('a,b')
--> shard 0

SELECT * FROM mails WHERE address IN ('a',"a")
--> shard 3

SELECT * FROM users WHERE (user_id, name) IN ((1, 'a'))
--> shard 3

SELECT * FROM users WHERE (name, user_id) IN (('a', 1), ('b, c', 42))
--> scatter 0,3

SELECT * FROM users WHERE (name, user_id) IN (('a', 1), (NULL, 1))
--> shard 3

SELECT * FROM users WHERE (name, user_id) IN (('a', 1), ('a', 1 + 1))
--> scatter 0,1,2,3

SELECT * FROM users u JOIN orders o ON o.user_id = u.user_id WHERE (o.order_id, o.user_id) IN ((5, 1), (6, 1))
--> shard 3

SELECT * FROM users WHERE user_id IN ((1), (1))
--> shard 3

SELECT * FROM users WHERE user_id = 1 AND name IN ('a', 'b') OR user_id = 1 AND name = 'c'
--> shard 3

SELECT * FROM users WHERE user_id IN (1) OR (user_id, name) = (42, 'x')
--> scatter 0,3

SELECT * FROM users WHERE user_id = CAST(1 AS SIGNED)
--> shard 3

SELECT * FROM users WHERE user_id = CAST('1' AS UNSIGNED)
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = CAST(1.5 AS SIGNED)
--> scatter 0,1,2,3

SELECT * FROM days WHERE day = DATE '2024-02-29'
--> shard 2

SELECT * FROM days WHERE day = '2024-02-29'
--> shard 2

SELECT * FROM days WHERE day = CAST('2024-02-29 10:00:00' AS DATE)
--> scatter 0,1,2,3

SELECT * FROM moments WHERE moment = TIMESTAMP'2024-02-29 10:00:00'
--> shard 3

SELECT * FROM moments WHERE moment = '2024-02-29 10:00:00'
--> shard 3

SELECT * FROM mails WHERE address = DATE '2024-02-29'
--> scatter 0,1,2,3
