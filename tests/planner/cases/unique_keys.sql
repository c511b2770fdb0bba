-- title: unique keys without the sharding key
-- keyspace: four shards
CREATE TABLE users (id BIGINT PRIMARY KEY, user_id BIGINT NOT NULL)
--> ddl CREATE TABLE users on 0,1,2,3; warns 1503: PRIMARY KEY (id) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

CREATE TABLE users (id BIGINT, user_id BIGINT NOT NULL, mail VARCHAR(64) UNIQUE, PRIMARY KEY (id, user_id), UNIQUE KEY by_mail (mail, id), CONSTRAINT c UNIQUE (id DESC), UNIQUE INDEX USING BTREE (mail(10), `USER_ID`))
--> ddl CREATE TABLE users on 0,1,2,3; warns 1503: UNIQUE KEY (mail) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards; warns 1503: UNIQUE KEY by_mail (mail, id) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards; warns 1503: UNIQUE KEY c (id) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

CREATE TABLE users (id BIGINT, user_id VARCHAR(64) COLLATE utf8mb4_0900_bin NOT NULL, UNIQUE KEY k USING BTREE (user_id(10), id), UNIQUE KEY e ((CONCAT(user_id, 'x')) ASC))
--> ddl CREATE TABLE users on 0,1,2,3; warns 1503: UNIQUE KEY k (user_id(10), id) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards; warns 1503: UNIQUE KEY e ((CONCAT(user_id, 'x'))) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

CREATE TABLE users (user_id BIGINT NOT NULL, `unique` INT, x INT COMMENT 'UNIQUE' CHECK (x IN (1, 2)), y INT GENERATED ALWAYS AS (x + 1) STORED UNIQUE COMMENT 'y', z INT KEY)
--> ddl CREATE TABLE users on 0,1,2,3; warns 1503: UNIQUE KEY (y) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards; warns 1503: PRIMARY KEY (z) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

CREATE TABLE users (user_id BIGINT NOT NULL, x INT REFERENCES serial (`key`), KEY (x), INDEX i (x), FULLTEXT KEY f (x), CONSTRAINT f FOREIGN KEY (x) REFERENCES orders (order_id), CHECK (x > 0)) PARTITION BY KEY (user_id)
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE users (user_id BIGINT NOT NULL, x INT /*!80000 UNIQUE */)
--> ddl CREATE TABLE users on 0,1,2,3; warns 1503: UNIQUE KEY (x) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

CREATE TABLE users (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, user_id BIGINT NOT NULL)
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE users (id BIGINT NOT NULL AUTO_INCREMENT, user_id BIGINT NOT NULL, mail INT, PRIMARY KEY (`ID`), UNIQUE (id, mail))
--> ddl CREATE TABLE users on 0,1,2,3; warns 1503: UNIQUE KEY (id, mail) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

CREATE TABLE users (id SERIAL, user_id BIGINT NOT NULL)
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE users (id BIGINT UNSIGNED SERIAL DEFAULT VALUE, user_id BIGINT NOT NULL)
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE IF NOT EXISTS users (user_id BIGINT NOT NULL, mail INT UNIQUE)
--> ddl CREATE TABLE users on 0,1,2,3; warns 1503: UNIQUE KEY (mail) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

CREATE TABLE orders LIKE accounts
--> ddl CREATE TABLE orders on 0,1,2,3; warns 1503: UNIQUE KEY mail (mail(10)) of orders does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

CREATE TABLE IF NOT EXISTS orders (LIKE accounts)
--> ddl CREATE TABLE orders on 0,1,2,3; warns 1503: UNIQUE KEY mail (mail(10)) of orders does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(40) UNIQUE)
--> ddl CREATE TABLE countries on 0,1,2,3

CREATE UNIQUE INDEX by_name ON users (name)
--> ddl CREATE INDEX users on 0,1,2,3; warns 1503: UNIQUE KEY by_name (name) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

CREATE UNIQUE INDEX by_name USING BTREE ON shop.users (user_id, name(5)) ALGORITHM = INPLACE
--> ddl CREATE INDEX users on 0,1,2,3

CREATE UNIQUE INDEX i ON accounts (id)
--> ddl CREATE INDEX accounts on 0,1,2,3

CREATE INDEX i ON users (name)
--> ddl CREATE INDEX users on 0,1,2,3

CREATE UNIQUE INDEX i ON countries (name)
--> ddl CREATE INDEX countries on 0,1,2,3

ALTER TABLE users ADD UNIQUE (name), ADD CONSTRAINT PRIMARY KEY (name), ADD CONSTRAINT c UNIQUE KEY k (name, user_id), ADD INDEX (name)
--> ddl ALTER TABLE users on 0,1,2,3; warns 1503: UNIQUE KEY (name) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards; warns 1503: PRIMARY KEY (name) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

ALTER TABLE users ADD COLUMN a INT UNIQUE AFTER name, ADD (b INT UNIQUE KEY, c INT, UNIQUE n (c, b)), ADD d INT UNIQUE FIRST, ALGORITHM = INPLACE
--> ddl ALTER TABLE users on 0,1,2,3; warns 1503: UNIQUE KEY (a) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards; warns 1503: UNIQUE KEY (b) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards; warns 1503: UNIQUE KEY n (c, b) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards; warns 1503: UNIQUE KEY (d) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

ALTER TABLE users MODIFY name VARCHAR(70) UNIQUE, CHANGE COLUMN name title VARCHAR(80) NOT NULL PRIMARY KEY
--> ddl ALTER TABLE users on 0,1,2,3; warns 1503: UNIQUE KEY (name) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards; warns 1503: PRIMARY KEY (title) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

ALTER TABLE users MODIFY COLUMN user_id BIGINT NOT NULL PRIMARY KEY
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE users ADD x INT AFTER name, ADD y INT PARTITION BY KEY (user_id)
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE accounts DROP PRIMARY KEY, ADD PRIMARY KEY (id)
--> ddl ALTER TABLE accounts on 0,1,2,3

ALTER TABLE accounts MODIFY id BIGINT NOT NULL, ADD UNIQUE (id)
--> ddl ALTER TABLE accounts on 0,1,2,3; warns 1503: UNIQUE KEY (id) of accounts does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

ALTER TABLE users MODIFY name BIGINT NOT NULL AUTO_INCREMENT, ADD UNIQUE (name)
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE countries ADD UNIQUE (name)
--> ddl ALTER TABLE countries on 0,1,2,3

ALTER TABLE users RENAME INDEX a TO b, DROP INDEX c, DROP PRIMARY KEY
--> ddl ALTER TABLE users on 0,1,2,3

-- keyspace: four shards, uniqueKeys: strict
CREATE TABLE users (id BIGINT PRIMARY KEY, user_id BIGINT NOT NULL)
--> 1503 (HY000) [gate] PRIMARY KEY (id) of users does not contain the sharding key user_id, so it would be unique only within a shard: add user_id to the key, or set uniqueKeys: warn in the Keyspace

CREATE TABLE users (id BIGINT AUTO_INCREMENT PRIMARY KEY, user_id BIGINT NOT NULL)
--> 1503 (HY000) [gate] PRIMARY KEY (id) of users does not contain the sharding key user_id, so it would be unique only within a shard: add user_id to the key, or set uniqueKeys: warn in the Keyspace

CREATE TABLE users (id BIGINT AUTO_INCREMENT, user_id BIGINT NOT NULL, PRIMARY KEY (id, user_id))
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE users (user_id BIGINT PRIMARY KEY, mail VARCHAR(64), UNIQUE KEY by_mail (mail(10)))
--> 1503 (HY000) [gate] UNIQUE KEY by_mail (mail(10)) of users does not contain the sharding key user_id, so it would be unique only within a shard: add user_id to the key, or set uniqueKeys: warn in the Keyspace

CREATE TABLE users (user_id BIGINT PRIMARY KEY, mail VARCHAR(64), UNIQUE KEY by_both (mail, user_id))
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE IF NOT EXISTS users (user_id BIGINT NOT NULL, mail INT UNIQUE)
--> ddl CREATE TABLE users on 0,1,2,3; warns 1503: UNIQUE KEY (mail) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

CREATE TABLE IF NOT EXISTS invoices (user_id BIGINT NOT NULL, mail INT UNIQUE)
--> 1503 (HY000) [gate] UNIQUE KEY (mail) of invoices does not contain the sharding key user_id, so it would be unique only within a shard: add user_id to the key, or set uniqueKeys: warn in the Keyspace

CREATE TABLE orders LIKE accounts
--> 1503 (HY000) [gate] UNIQUE KEY mail (mail(10)) of orders does not contain the sharding key user_id, so it would be unique only within a shard: add user_id to the key, or set uniqueKeys: warn in the Keyspace

CREATE TABLE users LIKE orders
--> ddl CREATE TABLE users on 0,1,2,3

CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(40) UNIQUE)
--> ddl CREATE TABLE countries on 0,1,2,3

CREATE UNIQUE INDEX by_name ON users (name)
--> 1503 (HY000) [gate] UNIQUE KEY by_name (name) of users does not contain the sharding key user_id, so it would be unique only within a shard: add user_id to the key, or set uniqueKeys: warn in the Keyspace

ALTER TABLE users ADD COLUMN age INT, ADD UNIQUE KEY by_name (name)
--> 1503 (HY000) [gate] UNIQUE KEY by_name (name) of users does not contain the sharding key user_id, so it would be unique only within a shard: add user_id to the key, or set uniqueKeys: warn in the Keyspace

ALTER TABLE users ADD COLUMN mail VARCHAR(64) UNIQUE
--> 1503 (HY000) [gate] UNIQUE KEY (mail) of users does not contain the sharding key user_id, so it would be unique only within a shard: add user_id to the key, or set uniqueKeys: warn in the Keyspace

ALTER TABLE users ADD UNIQUE (user_id)
--> ddl ALTER TABLE users on 0,1,2,3

ALTER TABLE accounts ADD INDEX (mail)
--> ddl ALTER TABLE accounts on 0,1,2,3

GATE EXPLAIN CREATE UNIQUE INDEX by_name ON users (name)
--> gate explain of CREATE UNIQUE INDEX by_name ON users (name) as 1503 (HY000) [gate] UNIQUE KEY by_name (name) of users does not contain the sharding key user_id, so it would be unique only within a shard: add user_id to the key, or set uniqueKeys: warn in the Keyspace

-- keyspace: one shard, uniqueKeys: strict
CREATE TABLE users (id BIGINT PRIMARY KEY, user_id BIGINT NOT NULL)
--> 1503 (HY000) [gate] PRIMARY KEY (id) of users does not contain the sharding key user_id, so it would be unique only within a shard: add user_id to the key, or set uniqueKeys: warn in the Keyspace

CREATE TABLE users (user_id BIGINT PRIMARY KEY)
--> ddl CREATE TABLE users on 0

-- keyspace: one shard
CREATE UNIQUE INDEX by_name ON users (name)
--> ddl CREATE INDEX users on 0; warns 1503: UNIQUE KEY by_name (name) of users does not contain the sharding key user_id: it is unique only within a shard; with user_id among its columns it is unique over all shards

-- keyspace: four shards by tenant_id
CREATE TABLE clicks (tenant_id BIGINT NOT NULL, x INT UNIQUE)
--> ddl CREATE TABLE clicks on 0,1,2,3; warns 1503: UNIQUE KEY (x) of clicks does not contain the sharding key tenant_id: it is unique only within a shard; with tenant_id among its columns it is unique over all shards

CREATE TABLE clicks (id BIGINT PRIMARY KEY, x INT UNIQUE)
--> ddl CREATE TABLE clicks on 0

-- keyspace: one shard, nothing sharded
CREATE TABLE clicks (id BIGINT PRIMARY KEY, x INT UNIQUE)
--> ddl CREATE TABLE clicks on 0
