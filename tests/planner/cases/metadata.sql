-- title: what one shard can tell about all
-- keyspace: four shards
SHOW TABLES
--> any of 0 outside

SHOW FULL TABLES FROM shop LIKE 'u%'
--> any of 0 outside

SHOW COLUMNS FROM users
--> any of 0 outside

SHOW FULL COLUMNS FROM users
--> any of 0 outside

SHOW FIELDS FROM users
--> any of 0 outside

SHOW INDEX FROM users
--> together 0,1,2,3 sum cardinality

SHOW KEYS FROM users
--> together 0,1,2,3 sum cardinality

SHOW CREATE TABLE users
--> any of 0 outside

SHOW CREATE DATABASE shop
--> any of 0 outside

SHOW DATABASES
--> any of 0 outside

SHOW VARIABLES LIKE 'sql_mode'
--> any of 0 outside

SHOW SESSION VARIABLES
--> any of 0 outside

SHOW GLOBAL VARIABLES LIKE 'version%'
--> any of 0 outside

SHOW CHARACTER SET
--> any of 0 outside

SHOW COLLATION
--> any of 0 outside

SHOW ENGINES
--> any of 0 outside

SHOW PLUGINS
--> any of 0 outside

SHOW GRANTS
--> any of 0 outside

SHOW TRIGGERS
--> any of 0 outside

SHOW EVENTS
--> any of 0 outside

SHOW PROCEDURE STATUS
--> any of 0 outside

SHOW STATUS LIKE 'Ssl_cipher'
--> any of 0 outside

SHOW SESSION STATUS
--> any of 0 outside

SHOW WARNINGS
--> any of 0,1,2,3 last

SHOW WARNINGS LIMIT 5
--> any of 0,1,2,3 last

SHOW ERRORS
--> any of 0,1,2,3 last

SHOW COUNT(*) WARNINGS
--> any of 0,1,2,3 last

DESCRIBE users
--> any of 0 outside

DESC users name
--> any of 0 outside

EXPLAIN users
--> any of 0 outside

EXPLAIN SELECT * FROM users WHERE user_id = 1
--> shard 3 outside

EXPLAIN FORMAT=JSON SELECT * FROM users WHERE user_id = 1
--> shard 3 outside

EXPLAIN ANALYZE SELECT * FROM users WHERE user_id = 1
--> shard 3 outside

DESC SELECT * FROM countries
--> any of 0,1,2,3 outside

EXPLAIN UPDATE users SET name = 'x' WHERE user_id = 1
--> shard 3 outside

EXPLAIN INSERT INTO countries VALUES ('de', 'x')
--> any of 0,1,2,3 outside

EXPLAIN (SELECT 1)
--> any of 0,1,2,3 outside

SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop'
--> any of 0 outside

SELECT * FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()
--> any of 0 outside

SELECT c.COLUMN_NAME FROM information_schema.columns c JOIN information_schema.tables t USING (TABLE_NAME)
--> any of 0 outside

SELECT * FROM INFORMATION_SCHEMA.KEY_COLUMN_USAGE
--> any of 0 outside

SELECT SCHEMA_NAME FROM information_schema.SCHEMATA
--> any of 0 outside

-- title: what differs between the shards
SHOW GLOBAL STATUS
--> any of 0 outside

SHOW TABLE STATUS
--> together 0,1,2,3 sum data_free, data_length, index_length, rows

SHOW PROCESSLIST
--> shown by the gate: PROCESSLIST

SHOW FULL PROCESSLIST
--> shown by the gate: full PROCESSLIST

SHOW ENGINE INNODB STATUS
--> 1235 (42000) [gate] SHOW ENGINE has another answer on each shard: ask a shard directly

SHOW BINARY LOGS
--> 1235 (42000) [gate] SHOW BINARY has another answer on each shard: ask a shard directly

SHOW REPLICA STATUS
--> 1235 (42000) [gate] SHOW REPLICA has another answer on each shard: ask a shard directly

SHOW OPEN TABLES
--> 1235 (42000) [gate] SHOW OPEN has another answer on each shard: ask a shard directly

EXPLAIN SELECT * FROM users
--> explain on 0: this is how one of 4 shards does it; GATE EXPLAIN shows all that is done

EXPLAIN FOR CONNECTION 5
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: EXPLAIN FOR CONNECTION and FOR SCHEMA are not supported

EXPLAIN DELETE FROM users
--> explain on 0: this is how one of 4 shards does it; GATE EXPLAIN shows all that is done

SELECT * FROM information_schema.TABLES
--> together 0,1,2,3 sum data_free, data_length, index_length, table_rows

SELECT TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES
--> together 0,1,2,3 sum data_free, data_length, index_length, table_rows

SELECT count(*) FROM information_schema.PROCESSLIST
--> over the sessions of the gates: SELECT count(*) FROM {} AS PROCESSLIST

SELECT * FROM information_schema.INNODB_TRX
--> 1235 (42000) [gate] information_schema.innodb_trx has other content on each shard: ask a shard directly, or a table of information_schema that describes tables and columns

SELECT * FROM performance_schema.threads
--> 1235 (42000) [gate] performance_schema.threads has other content on each shard: ask a shard directly, or a table of information_schema that describes tables and columns

SELECT * FROM mysql.user
--> 1235 (42000) [gate] mysql.user has other content on each shard: ask a shard directly, or a table of information_schema that describes tables and columns

SELECT * FROM sys.version
--> 1235 (42000) [gate] sys.version has other content on each shard: ask a shard directly, or a table of information_schema that describes tables and columns

SELECT * FROM other.users
--> 1044 (42000) [gate] table other.users is not in keyspace shop: a statement cannot leave its keyspace

SELECT * FROM nothing
--> unknown table shop.nothing

SELECT * FROM Users WHERE user_id = 1
--> unknown table shop.Users

-- title: figures of tables, row by row
SELECT TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop'
--> together 0,1,2,3 sum data_free, data_length, index_length, table_rows

SELECT * FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'shop'
--> together 0,1,2,3 sum cardinality
