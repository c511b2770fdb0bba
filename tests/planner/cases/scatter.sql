-- title: what rows of several shards, one after the other, cannot answer
-- keyspace: four shards
SELECT user_id, name FROM users
--> scatter 0,1,2,3

SELECT UPPER(name), user_id + 1 FROM users WHERE name LIKE 'a%'
--> scatter 0,1,2,3

SELECT * FROM users WHERE name = @name
--> scatter 0,1,2,3 variables

SELECT * FROM users ORDER BY name
--> merge 0,1,2,3 [hide 1] [order 0 bytes]: SELECT WEIGHT_STRING(name) AS `gate 0`, `users`.* FROM users ORDER BY name

SELECT * FROM users LIMIT 10
--> merge 0,1,2,3 [limit 10]: SELECT * FROM users  LIMIT 10

SELECT * FROM users LIMIT 10 OFFSET 5
--> merge 0,1,2,3 [limit 10 skip 5]: SELECT * FROM users  LIMIT 15

SELECT DISTINCT name FROM users
--> merge 0,1,2,3 [hide 1] [order 0 bytes] [groups 1 of 1]: SELECT DISTINCT WEIGHT_STRING(name) AS `gate 0`, name FROM users ORDER BY 1

SELECT DISTINCTROW name FROM users
--> merge 0,1,2,3 [hide 1] [order 0 bytes] [groups 1 of 1]: SELECT DISTINCTROW WEIGHT_STRING(name) AS `gate 0`, name FROM users ORDER BY 1

SELECT name FROM users GROUP BY name
--> merge 0,1,2,3 [hide 1] [order 0 bytes] [groups 1 of 1]: SELECT WEIGHT_STRING(name) AS `gate 0`, name FROM users GROUP BY name ORDER BY 1

SELECT name FROM users HAVING name > 'a'
--> scatter 0,1,2,3

SELECT count(*) FROM users
--> merge 0,1,2,3 [groups 0 of 0 count]: SELECT count(*) FROM users

SELECT COUNT(*) FROM users WHERE user_id IN (1, 42)
--> merge 0,3 [groups 0 of 0 count]: SELECT COUNT(*) FROM users WHERE user_id IN (1, 42)

SELECT MAX(user_id) FROM users
--> merge 0,1,2,3 [groups 0 of 0 max(0)]: SELECT MAX(user_id) FROM users

SELECT 1 + sum(user_id) FROM users
--> finish pull users 0,1,2,3: SELECT `users`.`user_id` FROM `shop`.`users`; SELECT 1 + sum(user_id) FROM `users`

SELECT AVG(user_id) FROM users
--> merge 0,1,2,3 [hide 2] [groups 0 of 2 avg(0,1)]: SELECT SUM(user_id) AS `gate 0`, COUNT(user_id) AS `gate 1`, AVG(user_id) FROM users

SELECT GROUP_CONCAT(name) FROM users
--> finish pull users 0,1,2,3: SELECT `users`.`name` FROM `shop`.`users`; SELECT GROUP_CONCAT(name) FROM `users`

SELECT BIT_XOR(user_id) FROM users
--> merge 0,1,2,3 [groups 0 of 0 bit_xor]: SELECT BIT_XOR(user_id) FROM users

SELECT JSON_ARRAYAGG(name) FROM users
--> finish pull users 0,1,2,3: SELECT `users`.`name` FROM `shop`.`users`; SELECT JSON_ARRAYAGG(name) FROM `users`

SELECT JSON_OBJECTAGG(user_id, name) FROM users
--> finish pull users 0,1,2,3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users`; SELECT JSON_OBJECTAGG(user_id, name) FROM `users`

SELECT STDDEV_SAMP(user_id) FROM users
--> finish pull users 0,1,2,3: SELECT `users`.`user_id` FROM `shop`.`users`; SELECT STDDEV_SAMP(user_id) FROM `users`

SELECT ANY_VALUE(name) FROM users
--> finish pull users 0,1,2,3: SELECT `users`.`name` FROM `shop`.`users`; SELECT ANY_VALUE(name) FROM `users`

SELECT row_number() OVER (ORDER BY name) FROM users
--> finish pull users 0,1,2,3: SELECT `users`.`name` FROM `shop`.`users`; SELECT row_number() OVER (ORDER BY name) FROM `users`

SELECT rank() OVER w FROM users WINDOW w AS (ORDER BY name)
--> finish pull users 0,1,2,3: SELECT `users`.`name` FROM `shop`.`users`; SELECT rank() OVER w FROM `users` WINDOW w AS (ORDER BY name)

SELECT * FROM users FOR UPDATE
--> merge 0,1,2,3 locks: SELECT * FROM users FOR UPDATE

SELECT * FROM users LOCK IN SHARE MODE
--> merge 0,1,2,3 locks: SELECT * FROM users LOCK IN SHARE MODE

SELECT LAST_INSERT_ID(), name FROM users
--> finish last pull users 0,1,2,3: SELECT `users`.`name` FROM `shop`.`users`; SELECT LAST_INSERT_ID(), name FROM `users`

SELECT SQL_CALC_FOUND_ROWS * FROM users
--> 1235 (42000) [gate] SQL_CALC_FOUND_ROWS over several shards is not supported: send a second SELECT with COUNT(*)

SELECT name INTO @x FROM users WHERE user_id = 1
--> shard 3 pins variables

SELECT @n := @n + 1 FROM users WHERE user_id = 1
--> shard 3 pins variables

SELECT * FROM users INTO OUTFILE '/tmp/x'
--> 1235 (42000) [gate] INTO OUTFILE writes a file on a server

SELECT * INTO DUMPFILE '/tmp/x' FROM users
--> 1235 (42000) [gate] INTO DUMPFILE writes a file on a server

SELECT GET_LOCK('a', 1) FROM users WHERE user_id = 1
--> 1235 (42000) [gate] GET_LOCK and its family cannot stand in a statement with tables: call them in a SELECT of their own

SELECT CONNECTION_ID(), name FROM users WHERE user_id = 1
--> 1235 (42000) [gate] CONNECTION_ID() is answered only in a SELECT of its own, because the number is the gate's and the servers have others

(SELECT * FROM users) LIMIT 1
--> finish pull users 0,1,2,3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users`; (SELECT * FROM `users`) LIMIT 1

SELECT name FROM users AS
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: nothing follows `AS`

SELECT name FROM users.
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: its syntax is unknown here, near `.`

SELECT /*!50000 DELETE FROM users':=.5n' UPDATE users SET name = ,SELECT */DELETE FROM users.
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: nothing follows `.`
