-- title: one table, its key equal to one value
-- keyspace: four shards
SELECT * FROM users WHERE user_id = 1
--> shard 3

SELECT * FROM users WHERE user_id = 7
--> shard 2

SELECT * FROM users WHERE user_id = 42
--> shard 0

SELECT * FROM users WHERE user_id = 4
--> shard 2

select name from users where user_id=1
--> shard 3

SELECT * FROM `users` WHERE `user_id` = 1
--> shard 3

SELECT * FROM shop.users WHERE user_id = 1
--> shard 3

SELECT * FROM `shop`.`users` WHERE `shop`.`users`.`user_id` = 1
--> shard 3

SELECT * FROM users u WHERE u.user_id = 1
--> shard 3

SELECT * FROM users AS u WHERE u.USER_ID = 1
--> shard 3

SELECT * FROM users WHERE 1 = user_id
--> shard 3

SELECT * FROM users WHERE (user_id = 1)
--> shard 3

SELECT * FROM users WHERE user_id = (1)
--> shard 3

SELECT * FROM users WHERE user_id <=> 1
--> shard 3

SELECT * FROM users WHERE user_id = 1 AND name = 'x'
--> shard 3

SELECT * FROM users WHERE name = 'x' AND user_id = 1
--> shard 3

SELECT * FROM users WHERE name = 'x' && user_id = 1
--> shard 3

SELECT * FROM users WHERE (name = 'x' OR name = 'y') AND user_id = 1
--> shard 3

SELECT * FROM users WHERE (user_id, name) = (1, 'x')
--> shard 3

SELECT * FROM users WHERE user_id = 1 ORDER BY name DESC LIMIT 3, 4
--> shard 3

SELECT count(*) FROM users WHERE user_id = 1
--> shard 3

SELECT name, count(*) FROM users WHERE user_id = 1 GROUP BY name HAVING count(*) > 1
--> shard 3

SELECT DISTINCT name FROM users WHERE user_id = 1
--> shard 3

SELECT row_number() OVER (ORDER BY name) FROM users WHERE user_id = 1
--> shard 3

SELECT * FROM users USE INDEX (PRIMARY) WHERE user_id = 1
--> shard 3

SELECT SQL_NO_CACHE * FROM users WHERE user_id = 1
--> shard 3

SELECT SQL_CALC_FOUND_ROWS * FROM users WHERE user_id = 1 LIMIT 1
--> shard 3

SELECT STRAIGHT_JOIN * FROM users WHERE user_id = 1
--> shard 3

SELECT * FROM users PARTITION (p0) WHERE user_id = 1
--> shard 3

SELECT * FROM users WHERE user_id = 1 FOR UPDATE
--> shard 3 locks

SELECT * FROM users WHERE user_id = 1 FOR SHARE SKIP LOCKED
--> shard 3 locks

SELECT * FROM users WHERE user_id = 1 LOCK IN SHARE MODE
--> shard 3 locks

SELECT * FROM users WHERE user_id = 1 AND user_id = 1
--> shard 3

SELECT * FROM users WHERE user_id = 1 AND user_id = 42
--> any of 0,1,2,3

SELECT * FROM users WHERE user_id = 1;
--> shard 3

SELECT * FROM users WHERE user_id = 1 ; ;
--> shard 3

TABLE users
--> finish pull users 0,1,2,3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users`; TABLE `users`

(SELECT * FROM users WHERE user_id = 1)
--> shard 3

(SELECT * FROM users WHERE user_id = 1) LIMIT 1
--> shard 3

SELECT * FROM users WHERE user_id = 1 AND name LIKE 'a%' ESCAPE '!'
--> shard 3

SELECT * FROM users WHERE user_id = 1 AND name BETWEEN 'a' AND 'b'
--> shard 3

SELECT * FROM users WHERE name BETWEEN 'a' AND 'b' AND user_id = 1
--> shard 3

SELECT * FROM users WHERE user_id = 1 AND MATCH (name) AGAINST ('x' IN BOOLEAN MODE)
--> shard 3

SELECT *, name->'$.a' FROM users WHERE user_id = 1
--> shard 3

SELECT CASE WHEN user_id = 7 THEN 1 END FROM users WHERE user_id = 1
--> shard 3

SELECT * FROM users WHERE user_id = 1 AND NOT name = 'x'
--> shard 3

SELECT DATE_ADD(now(), INTERVAL 1 DAY) FROM users WHERE user_id = 1
--> shard 3

-- title: conditions that do not bind every row, or that are not understood, do not count
SELECT * FROM users
--> scatter 0,1,2,3

SELECT * FROM users WHERE name = 'x'
--> scatter 0,1,2,3

SELECT * FROM users WHERE NOT user_id = 1
--> scatter 0,1,2,3

SELECT * FROM users WHERE ! user_id = 1
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id != 1
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id > 1
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id BETWEEN 1 AND 1
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 1 + 0
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id + 0 = 1
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = name
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = user_id
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 1 = 1
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 1 IS TRUE
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 1 XOR name = 'x'
--> scatter 0,1,2,3

SELECT * FROM users WHERE name XOR name AND user_id = 1
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 5--1
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id LIKE '1'
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 1 COLLATE utf8mb4_bin
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = @id
--> scatter 0,1,2,3 variables

SELECT * FROM users WHERE user_id = TRUE
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 'a' 'b'
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = -'1'
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id IS NULL
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = NULL
--> scatter 0,1,2,3

SELECT IF(user_id = 1, 2, 3) FROM users
--> scatter 0,1,2,3

SELECT name FROM users WHERE user_id = ABS(1)
--> scatter 0,1,2,3
