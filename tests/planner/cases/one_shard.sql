-- title: with one shard nearly everything goes there
-- keyspace: one shard
SELECT * FROM users
--> shard 0

SELECT count(*) FROM users u JOIN orders o ON o.order_id = u.user_id ORDER BY 1
--> shard 0

SELECT anything FROM whatever WHERE it = (takes)
--> shard 0

SELECT @a := 1
--> shard 0 pins variables

SELECT GET_LOCK('a', 1)
--> shard 0 pins

SELECT * FROM performance_schema.threads
--> shard 0

SELECT * FROM users INTO OUTFILE '/tmp/x'
--> 1235 (42000) [gate] INTO OUTFILE writes a file on a server

SELECT CONNECTION_ID()
--> ConnectionId column=CONNECTION_ID()

SELECT 1, CONNECTION_ID()
--> 1235 (42000) [gate] CONNECTION_ID() is answered only in a SELECT of its own, because the number is the gate's and the servers have others

INSERT INTO users VALUES (1, 'x'), (42, 'y')
--> shard 0 write

INSERT INTO users VALUES (1, 'x'), (40 + 2, 'y'), (3, 'z')
--> shard 0 write

INSERT INTO users VALUES (UUID_SHORT(), (SELECT 1))
--> shard 0 write

INSERT INTO users (name) VALUES ('x')
--> 1048 (23000) [gate] Column 'user_id' cannot be null: it is the sharding key of users, so each row must give it a value

INSERT INTO padded VALUES ('a ', 1)
--> 1235 (42000) [gate] the value of address at row 1 ends with a space, which the collation of padded does not tell from the value without it: leave out the space, or use the collation utf8mb4_0900_bin

INSERT INTO orders SELECT * FROM orders
--> shard 0 write

INSERT INTO orders (order_id) SELECT 1
--> 1048 (23000) [gate] Column 'user_id' cannot be null: it is the sharding key of orders, so each row must give it a value

INSERT INTO countries VALUES ('de', UUID())
--> shard 0 write

INSERT INTO totals VALUES (1, 2)
--> 1235 (42000) [gate] totals is a view: write to its table

INSERT INTO users VALUES (1, 'x') ON DUPLICATE KEY UPDATE user_id = 7
--> 1235 (42000) [gate] column user_id is the sharding key, which decides the shard of a row, and cannot be updated: DELETE the row and INSERT it with the new key

UPDATE users SET name = 'x'
--> shard 0 write

UPDATE users SET user_id = 7
--> 1235 (42000) [gate] column user_id is the sharding key, which decides the shard of a row, and cannot be updated: DELETE the row and INSERT it with the new key

UPDATE users u JOIN orders o SET o.user_id = u.user_id
--> 1235 (42000) [gate] column user_id is the sharding key, which decides the shard of a row, and cannot be updated: DELETE the row and INSERT it with the new key

UPDATE users u JOIN orders o ON o.order_id = u.user_id SET u.name = 'x'
--> shard 0 write

UPDATE countries SET name = UUID()
--> shard 0 write

UPDATE totals SET sum = 1
--> 1235 (42000) [gate] totals is a view: write to its table

DELETE FROM users LIMIT 5
--> shard 0 write

DELETE FROM whatever
--> shard 0 write

CREATE TABLE users (user_id BIGINT NOT NULL)
--> ddl CREATE TABLE users on 0

CREATE TABLE users (user_id DOUBLE NOT NULL)
--> 1235 (42000) [gate] column user_id cannot be the sharding key: its type DOUBLE cannot be hashed the same way everywhere: use an integer, CHAR, VARCHAR, BINARY, VARBINARY, DATE or DATETIME

CREATE TABLE users (user_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY)
--> ddl CREATE TABLE users on 0

CREATE TABLE whatever (id INT)
--> 1235 (42000) [gate] the keyspace does not say how table whatever is stored: name it in spec.tables with a shardingKey or reference: true, or set otherTables: unsharded

CREATE TEMPORARY TABLE t (id INT)
--> shard 0 write pins

ALTER TABLE users DROP COLUMN user_id
--> 1235 (42000) [gate] column user_id is the sharding key of users: it cannot be dropped, renamed or changed, because it says where each row is

CREATE VIEW v AS SELECT * FROM users
--> ddl CREATE VIEW  on 0

CREATE PROCEDURE p() SELECT 1
--> 1235 (42000) [gate] procedures, functions, triggers and events are not supported in a keyspace with sharded tables: they would see the rows of one shard only

CALL p()
--> 1235 (42000) [gate] CALL is not supported in a keyspace with sharded tables: send the statements of the procedure one by one

SHOW PROCESSLIST
--> shown by the gate: PROCESSLIST

SHOW TABLE STATUS
--> any of 0 outside

SHOW GLOBAL STATUS
--> any of 0 outside

EXPLAIN SELECT * FROM users
--> shard 0 outside

SET @a = 1
--> set user: @`a`=1

SET @a = (SELECT count(*) FROM users)
--> set user: @`a`=(SELECT count(*) FROM users) (to be evaluated)

BEGIN
--> TransactionControl verb=BEGIN

-- title: a keyspace without sharding is a plain database
-- keyspace: one shard, nothing sharded
SELECT * FROM anything
--> shard 0

INSERT INTO anything SELECT * FROM whatever
--> shard 0 write

UPDATE anything SET user_id = 5
--> shard 0 write

REPLACE INTO totals VALUES (1, 2)
--> shard 0 write

CREATE TABLE anything (id INT AUTO_INCREMENT PRIMARY KEY)
--> ddl CREATE TABLE anything on 0

CREATE TABLE anything AS SELECT 1
--> ddl CREATE TABLE anything on 0

CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END
--> ddl DDL  on 0

CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW SET NEW.name = 'x'
--> ddl DDL  on 0

CALL p()
--> shard 0 write pins

LOCK TABLES notes WRITE
--> shard 0 write pins

UNLOCK TABLES
--> shard 0 write pins

PREPARE s FROM 'SELECT 1'
--> prepare s: SELECT 1

EXECUTE s USING @a
--> execute s with @a

HANDLER notes OPEN
--> shard 0 write pins

DROP TABLE notes
--> ddl DROP TABLE notes on 0

ALTER TABLE notes ADD COLUMN user_id INT
--> ddl ALTER TABLE notes on 0

CREATE DATABASE x
--> 1235 (42000) [gate] databases are keyspaces: create, change or delete a Keyspace resource

GRANT ALL ON *.* TO x
--> 1235 (42000) [gate] users are those of the keyspace: change spec.users of the Keyspace
