-- title: CREATE TABLE
-- keyspace: four shards
CREATE TABLE users (user_id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(64))
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE IF NOT EXISTS shop.users (user_id BIGINT UNSIGNED NOT NULL, name VARCHAR(64), PRIMARY KEY (user_id))
--> ddl CREATE TABLE users on 0,1,2,3

create table `orders` (`order_id` bigint not null, `user_id` bigint not null, primary key (`user_id`, `order_id`), key (`total`)) engine=InnoDB default charset=utf8mb4
--> ddl CREATE TABLE orders on 0,1,2,3

CREATE TABLE orders (order_id INT, user_id INT(11), CONSTRAINT p PRIMARY KEY (order_id, user_id))
--> ddl CREATE TABLE orders on 0,1,2,3

CREATE TABLE users (user_id BIGINT NOT NULL COMMENT 'a, b (c)', CHECK (user_id > 0))
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE mails (address VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NOT NULL)
--> ddl CREATE TABLE mails on 0,1,2,3

CREATE TABLE mails (address VARCHAR(64) NOT NULL) COLLATE utf8mb4_bin
--> ddl CREATE TABLE mails on 0,1,2,3

CREATE TABLE mails (address VARCHAR(64) NOT NULL) DEFAULT CHARACTER SET = utf8mb4 COLLATE = 'utf8mb4_0900_bin'
--> ddl CREATE TABLE mails on 0,1,2,3

CREATE TABLE mails (address VARBINARY(64) NOT NULL)
--> ddl CREATE TABLE mails on 0,1,2,3

CREATE TABLE mails (address VARCHAR(64) CHARACTER SET binary NOT NULL)
--> ddl CREATE TABLE mails on 0,1,2,3

CREATE TABLE days (day DATE NOT NULL, moment DATETIME(6))
--> ddl CREATE TABLE days on 0,1,2,3

CREATE TABLE users (user_id BIGINT KEY, name VARCHAR(64))
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE users LIKE orders
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE users (LIKE orders)
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name TEXT)
--> ddl CREATE TABLE countries on 0,1,2,3

CREATE TABLE currencies (id INT AUTO_INCREMENT PRIMARY KEY)
--> ddl CREATE TABLE currencies on 0,1,2,3

CREATE TABLE users (id BIGINT)
--> 1235 (42000) [gate] table users has no column user_id, which is its sharding key: add the column, NOT NULL

CREATE TABLE users (user_id BIGINT UNIQUE KEY)
--> 1235 (42000) [gate] column user_id is the sharding key and must be NOT NULL: say so

CREATE TABLE users (user_id BIGINT)
--> 1235 (42000) [gate] column user_id is the sharding key and must be NOT NULL: say so

CREATE TABLE users (user_id BIGINT NULL)
--> 1235 (42000) [gate] column user_id is the sharding key and must be NOT NULL: say so

CREATE TABLE users (user_id BIGINT DEFAULT 5)
--> 1235 (42000) [gate] column user_id is the sharding key and must be NOT NULL: say so

CREATE TABLE users (user_id INT ZEROFILL NOT NULL)
--> 1235 (42000) [gate] column user_id cannot be the sharding key: MySQL would hash its leading zeros: leave out ZEROFILL

CREATE TABLE users (user_id DOUBLE NOT NULL)
--> 1235 (42000) [gate] column user_id cannot be the sharding key: its type DOUBLE cannot be hashed the same way everywhere: use an integer, CHAR, VARCHAR, BINARY, VARBINARY, DATE or DATETIME

CREATE TABLE users (x BIGINT, user_id BIGINT GENERATED ALWAYS AS (x + 1) STORED NOT NULL)
--> 1235 (42000) [gate] column user_id is the sharding key and cannot be a generated column: the gate must find its value in the statement

CREATE TABLE users (user_id DECIMAL(20,0) NOT NULL)
--> 1235 (42000) [gate] column user_id cannot be the sharding key: its type DECIMAL cannot be hashed the same way everywhere: use an integer, CHAR, VARCHAR, BINARY, VARBINARY, DATE or DATETIME

CREATE TABLE users (user_id TIMESTAMP NOT NULL)
--> 1235 (42000) [gate] column user_id cannot be the sharding key: its type TIMESTAMP cannot be hashed the same way everywhere: use an integer, CHAR, VARCHAR, BINARY, VARBINARY, DATE or DATETIME

CREATE TABLE users (user_id JSON NOT NULL)
--> 1235 (42000) [gate] column user_id cannot be the sharding key: its type JSON cannot be hashed the same way everywhere: use an integer, CHAR, VARCHAR, BINARY, VARBINARY, DATE or DATETIME

CREATE TABLE users (user_id ENUM('a', 'b') NOT NULL)
--> 1235 (42000) [gate] column user_id cannot be the sharding key: its type ENUM cannot be hashed the same way everywhere: use an integer, CHAR, VARCHAR, BINARY, VARBINARY, DATE or DATETIME

CREATE TABLE mails (address TEXT NOT NULL)
--> 1235 (42000) [gate] column address cannot be the sharding key: its type TEXT cannot be hashed the same way everywhere: use an integer, CHAR, VARCHAR, BINARY, VARBINARY, DATE or DATETIME

CREATE TABLE mails (address VARCHAR(64) NOT NULL)
--> 1235 (42000) [gate] column address cannot be the sharding key: under its collation utf8mb4_0900_ai_ci different spellings are equal, and would hash apart: add CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin to the column

CREATE TABLE mails (address VARCHAR(64) COLLATE utf8mb4_unicode_ci NOT NULL) COLLATE utf8mb4_bin
--> 1235 (42000) [gate] column address cannot be the sharding key: under its collation utf8mb4_unicode_ci different spellings are equal, and would hash apart: add CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin to the column

CREATE TABLE mails (address VARCHAR(64) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL)
--> 1235 (42000) [gate] column address cannot be the sharding key: its collation latin1_bin is not of utf8mb4: use utf8mb4_0900_bin

CREATE TABLE mails (address VARCHAR(64) CHARACTER SET utf8mb4 NOT NULL) COLLATE utf8mb4_bin
--> 1235 (42000) [gate] column address cannot be the sharding key: under its collation utf8mb4_general_ci different spellings are equal, and would hash apart: add CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin to the column

CREATE TABLE users (user_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY)
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE users (id SERIAL, user_id BIGINT NOT NULL)
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE users (user_id BIGINT NOT NULL) SELECT 1 AS user_id
--> 1235 (42000) [gate] CREATE TABLE ... SELECT is not supported: CREATE TABLE with its columns, then INSERT ... SELECT

CREATE TABLE users AS SELECT * FROM orders
--> 1235 (42000) [gate] CREATE TABLE ... SELECT is not supported: CREATE TABLE with its columns, then INSERT ... SELECT

CREATE TABLE users LIKE countries
--> 1235 (42000) [gate] by the rules of the keyspace users would be stored in another way than countries

CREATE TABLE nothing (id BIGINT NOT NULL)
--> 1235 (42000) [gate] the keyspace does not say how table nothing is stored: name it in spec.tables with a shardingKey or reference: true, or set otherTables: unsharded

CREATE TABLE other.users (user_id BIGINT NOT NULL)
--> 1044 (42000) [gate] tables are made and changed only in keyspace shop, not in other

CREATE TEMPORARY TABLE users (user_id BIGINT NOT NULL)
--> 1235 (42000) [gate] temporary tables are not supported in a keyspace of several shards

CREATE TABLE users (user_id BIGINT NOT NULL
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: `)` is missing

-- title: ALTER TABLE
ALTER TABLE users ADD COLUMN age INT, ADD INDEX (age)
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE users DROP COLUMN name
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE users MODIFY name TEXT, ENGINE = InnoDB
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE users AUTO_INCREMENT = 5
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE users DROP PRIMARY KEY, ADD PRIMARY KEY (user_id)
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE users MODIFY COLUMN user_id BIGINT UNSIGNED NOT NULL
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE mails MODIFY address VARCHAR(99) COLLATE utf8mb4_0900_bin NOT NULL
--> 1235 (42000) [gate] column address is the sharding key: in another type its values would hash to other shards

ALTER TABLE users RENAME COLUMN name TO title
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE users RENAME TO orders
--> ddl ALTER TABLE users,orders on 0,1,2,3

ALTER TABLE users CHANGE name title VARCHAR(5)
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE users DISABLE KEYS
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE users DROP user_id
--> 1235 (42000) [gate] column user_id is the sharding key of users: it cannot be dropped, renamed or changed, because it says where each row is

ALTER TABLE users DROP COLUMN `USER_ID`
--> 1235 (42000) [gate] column user_id is the sharding key of users: it cannot be dropped, renamed or changed, because it says where each row is

ALTER TABLE users RENAME COLUMN user_id TO id
--> 1235 (42000) [gate] column user_id is the sharding key of users: it cannot be dropped, renamed or changed, because it says where each row is

ALTER TABLE users CHANGE user_id id BIGINT NOT NULL
--> 1235 (42000) [gate] column user_id is the sharding key of users: it cannot be dropped, renamed or changed, because it says where each row is

ALTER TABLE users CHANGE COLUMN user_id user_id INT NOT NULL
--> 1235 (42000) [gate] column user_id is the sharding key of users: it cannot be dropped, renamed or changed, because it says where each row is

ALTER TABLE users MODIFY user_id BIGINT
--> 1235 (42000) [gate] column user_id is the sharding key and must stay NOT NULL: say so

ALTER TABLE users MODIFY user_id VARCHAR(20) COLLATE utf8mb4_bin NOT NULL
--> 1235 (42000) [gate] column user_id is the sharding key: in another type its values would hash to other shards

ALTER TABLE users MODIFY user_id DOUBLE NOT NULL
--> 1235 (42000) [gate] column user_id is the sharding key: its type DOUBLE cannot be hashed the same way everywhere: use an integer, CHAR, VARCHAR, BINARY, VARBINARY, DATE or DATETIME

ALTER TABLE mails MODIFY address VARCHAR(99) NOT NULL
--> 1235 (42000) [gate] column address is the sharding key: under its collation utf8mb4_0900_ai_ci different spellings are equal, and would hash apart: add CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin to the column

ALTER TABLE mails CONVERT TO CHARACTER SET latin1
--> 1235 (42000) [gate] CONVERT TO would change the collation of the sharding key address: MODIFY the other columns one by one

ALTER TABLE users CONVERT TO CHARACTER SET utf8mb4
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE users ADD COLUMN id BIGINT AUTO_INCREMENT PRIMARY KEY
--> 1235 (42000) [gate] a new AUTO_INCREMENT column would number the rows that users has on each shard from 1: make a new table and copy the rows with INSERT ... SELECT

ALTER TABLE users RENAME TO nothing
--> 1235 (42000) [gate] the keyspace does not say how table nothing is stored: name it in spec.tables with a shardingKey or reference: true, or set otherTables: unsharded

ALTER TABLE users RENAME TO countries
--> 1235 (42000) [gate] by the rules of the keyspace countries would be stored in another way than users

ALTER TABLE users EXCHANGE PARTITION p WITH TABLE orders
--> 1235 (42000) [gate] ALTER TABLE ... EXCHANGE works on files of a server: it is not supported

ALTER TABLE users DISCARD TABLESPACE
--> 1235 (42000) [gate] ALTER TABLE ... DISCARD works on files of a server: it is not supported

ALTER TABLE nothing ADD x INT
--> unknown table shop.nothing

CREATE TABLE countries (code CHAR(2) PRIMARY KEY, id CHAR(36) DEFAULT (CONCAT('x', UUID())))
--> 1235 (42000) [gate] UUID in a default has another value on each shard, and reference table countries must be the same on all: leave the default out and write the value (INSERT ... VALUES may say it)

CREATE TABLE countries (code CHAR(2) PRIMARY KEY, user INT DEFAULT (1 + 1), KEY user (user))
--> ddl CREATE TABLE countries on 0,1,2,3

ALTER TABLE countries ADD id CHAR(36) DEFAULT (UUID())
--> 1235 (42000) [gate] UUID in a default has another value on each shard, and reference table countries must be the same on all: leave the default out and write the value (INSERT ... VALUES may say it)

ALTER TABLE countries ADD x INT
--> ddl ALTER TABLE countries on 0,1,2,3

ALTER TABLE other.users ADD x INT
--> 1044 (42000) [gate] tables are made and changed only in keyspace shop, not in other

-- title: the others
DROP TABLE users
--> ddl DROP TABLE users on 0,1,2,3

DROP TABLE IF EXISTS users, orders
--> ddl DROP TABLE users,orders on 0,1,2,3

DROP TABLE IF EXISTS nothing
--> ddl DROP TABLE nothing on 0,1,2,3

DROP TABLE nothing
--> unknown table shop.nothing

DROP TEMPORARY TABLE users
--> 1235 (42000) [gate] temporary tables are not supported in a keyspace of several shards

TRUNCATE users
--> ddl TRUNCATE TABLE users on 0,1,2,3

TRUNCATE TABLE shop.users
--> ddl TRUNCATE TABLE users on 0,1,2,3

RENAME TABLE users TO orders
--> ddl RENAME TABLE users,orders on 0,1,2,3

RENAME TABLE users TO order_items, orders TO users, order_items TO orders
--> ddl RENAME TABLE users,order_items,orders,users,order_items,orders on 0,1,2,3

RENAME TABLE counters TO loose, generated TO counters
--> 1235 (42000) [gate] counters would stand for another kind of table (columns, their order, sharding key or AUTO_INCREMENT) while rows are written to it: RENAME the old one first and the new one in a statement of its own

RENAME TABLE users TO nothing
--> 1235 (42000) [gate] the keyspace does not say how table nothing is stored: name it in spec.tables with a shardingKey or reference: true, or set otherTables: unsharded

RENAME TABLE users TO countries
--> 1235 (42000) [gate] by the rules of the keyspace countries would be stored in another way than users

CREATE INDEX i ON users (name)
--> ddl CREATE INDEX users on 0,1,2,3

CREATE UNIQUE INDEX i USING BTREE ON shop.users (name)
--> ddl CREATE INDEX users on 0,1,2,3; warns 1503: UNIQUE KEY i (name) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

DROP INDEX i ON users
--> ddl DROP INDEX users on 0,1,2,3

ANALYZE TABLE users
--> ddl ANALYZE TABLE users on 0,1,2,3

OPTIMIZE LOCAL TABLE users, orders
--> ddl ANALYZE TABLE users,orders on 0,1,2,3

CHECK TABLE users
--> ddl ANALYZE TABLE users on 0,1,2,3

REPAIR TABLE nothing
--> unknown table shop.nothing

CHECKSUM TABLE users
--> 1235 (42000) [gate] CHECKSUM TABLE has another answer on each shard

CREATE DATABASE shop
--> 1235 (42000) [gate] databases are keyspaces: create, change or delete a Keyspace resource

DROP DATABASE shop
--> 1235 (42000) [gate] databases are keyspaces: create, change or delete a Keyspace resource

ALTER DATABASE shop COLLATE utf8mb4_bin
--> 1235 (42000) [gate] databases are keyspaces: create, change or delete a Keyspace resource

CREATE SCHEMA IF NOT EXISTS shop
--> 1235 (42000) [gate] databases are keyspaces: create, change or delete a Keyspace resource

CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END
--> 1235 (42000) [gate] procedures, functions, triggers and events are not supported in a keyspace with sharded tables: they would see the rows of one shard only

CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW SET NEW.name = 'x'
--> 1235 (42000) [gate] procedures, functions, triggers and events are not supported in a keyspace with sharded tables: they would see the rows of one shard only

CREATE FUNCTION f() RETURNS INT RETURN 1
--> 1235 (42000) [gate] procedures, functions, triggers and events are not supported in a keyspace with sharded tables: they would see the rows of one shard only

CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1
--> 1235 (42000) [gate] procedures, functions, triggers and events are not supported in a keyspace with sharded tables: they would see the rows of one shard only

CREATE USER x
--> 1235 (42000) [gate] users are those of the keyspace: change spec.users of the Keyspace

ALTER USER x IDENTIFIED BY 'y'
--> 1235 (42000) [gate] users are those of the keyspace: change spec.users of the Keyspace

DROP USER x
--> 1235 (42000) [gate] users are those of the keyspace: change spec.users of the Keyspace

CREATE TABLESPACE t
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: CREATE of this is unknown here
