-- title: what rows of several shards, one after the other, cannot answer
-- keyspace: four shards
SELECT user_id, name FROM users
--> scatter 0,1,2,3

SELECT UPPER(name), user_id + 1 FROM users WHERE name LIKE 'a%'
--> scatter 0,1,2,3

SELECT * FROM users WHERE name = @name
--> scatter 0,1,2,3 variables

SELECT * FROM users ORDER BY name
--> 1235 (42000) [gate] ORDER BY over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT * FROM users LIMIT 10
--> 1235 (42000) [gate] LIMIT over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT * FROM users LIMIT 10 OFFSET 5
--> 1235 (42000) [gate] LIMIT over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT DISTINCT name FROM users
--> 1235 (42000) [gate] DISTINCT over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT DISTINCTROW name FROM users
--> 1235 (42000) [gate] DISTINCT over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT name FROM users GROUP BY name
--> 1235 (42000) [gate] GROUP BY over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT name FROM users HAVING name > 'a'
--> 1235 (42000) [gate] HAVING over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT count(*) FROM users
--> 1235 (42000) [gate] COUNT() over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT COUNT(*) FROM users WHERE user_id IN (1, 42)
--> 1235 (42000) [gate] COUNT() over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT MAX(user_id) FROM users
--> 1235 (42000) [gate] MAX() over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT 1 + sum(user_id) FROM users
--> 1235 (42000) [gate] SUM() over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT AVG(user_id) FROM users
--> 1235 (42000) [gate] AVG() over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT GROUP_CONCAT(name) FROM users
--> 1235 (42000) [gate] GROUP_CONCAT() over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT BIT_XOR(user_id) FROM users
--> 1235 (42000) [gate] BIT_XOR() over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT JSON_ARRAYAGG(name) FROM users
--> 1235 (42000) [gate] JSON_ARRAYAGG() over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT JSON_OBJECTAGG(user_id, name) FROM users
--> 1235 (42000) [gate] JSON_OBJECTAGG() over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT STDDEV_SAMP(user_id) FROM users
--> 1235 (42000) [gate] STDDEV_SAMP() over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT ANY_VALUE(name) FROM users
--> 1235 (42000) [gate] ANY_VALUE() over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT row_number() OVER (ORDER BY name) FROM users
--> 1235 (42000) [gate] a window function over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT rank() OVER w FROM users WINDOW w AS (ORDER BY name)
--> 1235 (42000) [gate] WINDOW over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT * FROM users FOR UPDATE
--> 1235 (42000) [gate] a locking read (FOR UPDATE, FOR SHARE) over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT * FROM users LOCK IN SHARE MODE
--> 1235 (42000) [gate] a locking read (FOR UPDATE, FOR SHARE) over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT LAST_INSERT_ID(), name FROM users
--> 1235 (42000) [gate] LAST_INSERT_ID(), ROW_COUNT() or FOUND_ROWS() over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT SQL_CALC_FOUND_ROWS * FROM users
--> 1235 (42000) [gate] SQL_CALC_FOUND_ROWS over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer

SELECT name INTO @x FROM users WHERE user_id = 1
--> 1235 (42000) [gate] user variables can be set only with SET @name = value when there are several shards

SELECT @n := @n + 1 FROM users WHERE user_id = 1
--> 1235 (42000) [gate] user variables can be set only with SET @name = value when there are several shards

SELECT * FROM users INTO OUTFILE '/tmp/x'
--> 1235 (42000) [gate] INTO OUTFILE writes a file on a server

SELECT * INTO DUMPFILE '/tmp/x' FROM users
--> 1235 (42000) [gate] INTO DUMPFILE writes a file on a server

SELECT GET_LOCK('a', 1) FROM users WHERE user_id = 1
--> 1235 (42000) [gate] GET_LOCK and its family cannot stand in a statement with tables: call them in a SELECT of their own

SELECT CONNECTION_ID(), name FROM users WHERE user_id = 1
--> 1235 (42000) [gate] CONNECTION_ID() is answered only in a SELECT of its own, because the number is the gate's and the servers have others

(SELECT * FROM users) LIMIT 1
--> 1235 (42000) [gate] LIMIT over several shards is not supported: add WHERE user_id = ... so that one shard has the whole answer
