-- title: UPDATE and DELETE on one shard
-- keyspace: four shards
UPDATE users SET name = 'x' WHERE user_id = 1
--> shard 3 write

UPDATE users u SET u.name = 'x' WHERE u.user_id = 1
--> shard 3 write

UPDATE LOW_PRIORITY IGNORE users SET name = 'x' WHERE user_id = 1
--> shard 3 write

UPDATE users SET name = CONCAT(name, 'x'), `name` = DEFAULT WHERE user_id = 1 ORDER BY name LIMIT 1
--> shard 3 write

UPDATE users u JOIN orders o ON o.user_id = u.user_id SET u.name = o.total WHERE u.user_id = 1
--> shard 3 write

UPDATE users u, orders o SET u.name = o.total WHERE o.user_id = u.user_id AND o.user_id = 1
--> shard 3 write

UPDATE users SET name = (SELECT total FROM orders WHERE user_id = 1 LIMIT 1) WHERE user_id = 1
--> shard 3 write

UPDATE users u JOIN countries c ON c.name = u.name SET u.name = c.code WHERE u.user_id = 1
--> shard 3 write

WITH x AS (SELECT 1 AS a) UPDATE users, x SET name = 'x' WHERE user_id = 1
--> update on 0,1,2,3: WITH x AS (SELECT 1 AS a) UPDATE users, x SET name = 'x' WHERE user_id = 1

DELETE FROM users WHERE user_id = 1
--> shard 3 write

DELETE LOW_PRIORITY QUICK IGNORE FROM users WHERE user_id = 1
--> shard 3 write

DELETE FROM users WHERE user_id = 1 ORDER BY name LIMIT 1
--> shard 3 write

DELETE u FROM users u JOIN orders o ON o.user_id = u.user_id WHERE u.user_id = 1
--> shard 3 write

DELETE u, o FROM users u JOIN orders o ON o.user_id = u.user_id WHERE u.user_id = 1
--> shard 3 write

DELETE FROM users USING users JOIN orders ON users.user_id = orders.user_id WHERE users.user_id = 1
--> shard 3 write

DELETE FROM users WHERE user_id = 1 AND EXISTS (SELECT 1 FROM orders o WHERE o.user_id = users.user_id)
--> shard 3 write

DELETE FROM users WHERE user_id = 99999999999999999999
--> any of 0,1,2,3 write

-- title: writes that are refused
UPDATE users SET name = 'x'
--> update on 0,1,2,3: UPDATE users SET name = 'x'

UPDATE users SET name = 'x' WHERE name = 'y'
--> update on 0,1,2,3: UPDATE users SET name = 'x' WHERE name = 'y'

UPDATE users SET name = 'x' WHERE user_id = 1 OR name = 'y'
--> update on 0,1,2,3: UPDATE users SET name = 'x' WHERE user_id = 1 OR name = 'y'

UPDATE users SET name = 'x' LIMIT 1
--> update 1 rows on 0,1,2,3: UPDATE users SET name = 'x' LIMIT {}

UPDATE users SET user_id = 7 WHERE user_id = 1
--> move users on 3 to 2: user_id = 7 where (user_id = 1) AND NOT (`user_id` <=> 7)

UPDATE users SET name = 'x', `USER_ID` = 2 WHERE user_id = 1
--> move users on 3 to 3: name = 'x', user_id = 2 where (user_id = 1) AND NOT (`user_id` <=> 2)

UPDATE users u SET u.user_id = 7 WHERE u.user_id = 1
--> move users u on 3 to 2: user_id = 7 where (u.user_id = 1) AND NOT (`user_id` <=> 7)

UPDATE users u JOIN orders o ON o.user_id = u.user_id SET o.user_id = 7 WHERE u.user_id = 1
--> 1235 (42000) [gate] column user_id is the sharding key, which decides the shard of a row, and cannot be updated: DELETE the row and INSERT it with the new key

UPDATE users u JOIN orders o ON o.user_id = u.user_id SET user_id = 7 WHERE u.user_id = 1
--> 1235 (42000) [gate] column user_id is the sharding key, which decides the shard of a row, and cannot be updated: DELETE the row and INSERT it with the new key

UPDATE users u JOIN orders o SET u.name = 'x' WHERE u.user_id = 1
--> 1235 (42000) [gate] the rows of users, orders that this write brings together can lie on different shards: join them on their sharding keys (u.user_id and o.user_id) by =, or read first and write then

UPDATE users SET name = (SELECT total FROM orders LIMIT 1) WHERE user_id = 1
--> read (SELECT total FROM orders LIMIT 1 FOR SHARE) for UPDATE users SET name = {} WHERE user_id = 1

UPDATE users SET name = (SELECT total FROM orders UNION SELECT 1) WHERE user_id = 1
--> 1235 (42000) [gate] UNION, WITH and TABLE in a value that is read over several shards are not supported: read first, then write literals

DELETE FROM users WHERE name IN (SELECT sku FROM order_items)
--> 1235 (42000) [gate] the rows of users, order_items that this write brings together can lie on different shards: join them on their sharding keys (users.user_id and order_items.user_id) by =, or read first and write then

UPDATE users SET name = (@a := 1) WHERE user_id = 1
--> 1235 (42000) [gate] a SELECT of several shards cannot set user variables or LAST_INSERT_ID(): each shard would set its own; SELECT the value, and SET @name to it

UPDATE mysql.user SET x = 1
--> 1235 (42000) [gate] MySQL's own tables cannot be used in a statement that writes

DELETE FROM users
--> delete on 0,1,2,3: DELETE FROM users

DELETE FROM users WHERE name = 'x'
--> delete on 0,1,2,3: DELETE FROM users WHERE name = 'x'

DELETE FROM users LIMIT 1
--> delete 1 rows on 0,1,2,3: DELETE FROM users LIMIT {}

DELETE u FROM users u JOIN orders o ON o.order_id = u.user_id WHERE u.user_id = 1
--> 1235 (42000) [gate] the rows of users, orders that this write brings together can lie on different shards: join them on their sharding keys (u.user_id and o.user_id) by =, or read first and write then

DELETE FROM nothing WHERE id = 1
--> unknown table shop.nothing

-- title: reference tables are written on every shard
INSERT INTO countries VALUES ('de', 'Germany')
--> every 0,1,2,3 write clock

INSERT INTO countries VALUES ('de', NOW())
--> every 0,1,2,3 write clock

REPLACE INTO countries VALUES ('de', 'Germany'), ('fr', 'France')
--> every 0,1,2,3 write clock

INSERT INTO countries VALUES ('de', 'x') ON DUPLICATE KEY UPDATE name = 'y'
--> every 0,1,2,3 write clock

UPDATE countries SET name = 'x' WHERE code = 'de'
--> every 0,1,2,3 write clock

UPDATE countries SET name = 'x' ORDER BY code LIMIT 1
--> 1235 (42000) [gate] LIMIT could choose other rows on each shard: countries is a reference table

DELETE FROM countries
--> every 0,1,2,3 write clock

DELETE FROM countries LIMIT 1
--> 1235 (42000) [gate] LIMIT could choose other rows on each shard: countries is a reference table

UPDATE countries SET name = UUID()
--> 1235 (42000) [gate] UUID has another value on each shard, and reference table countries must be the same on all: compute the value first and write it as a literal

UPDATE countries SET name = RAND()
--> 1235 (42000) [gate] RAND has another value on each shard, and reference table countries must be the same on all: compute the value first and write it as a literal

UPDATE countries SET name = CURRENT_USER()
--> 1235 (42000) [gate] CURRENT_USER has another value on each shard, and reference table countries must be the same on all: compute the value first and write it as a literal

UPDATE countries SET name = @@server_id
--> 1235 (42000) [gate] @@server_id has another value on each shard, and reference table countries must be the same on all: compute the value first and write it as a literal

UPDATE countries SET name = @name
--> every 0,1,2,3 write variables clock

UPDATE countries c JOIN tariffs t ON t.id = c.code SET c.name = t.price
--> every 0,1,2,3 write clock

UPDATE countries c JOIN users u ON u.name = c.name SET c.name = 'x' WHERE u.user_id = 1
--> 1235 (42000) [gate] reference table countries is whole on every shard: write to it without other tables

INSERT INTO countries SELECT * FROM countries
--> every 0,1,2,3 write clock

INSERT INTO countries SELECT name, name FROM users
--> copy SELECT name, name FROM users into INSERT INTO countries VALUES {}

INSERT INTO countries SELECT * FROM countries LIMIT 1
--> copy SELECT * FROM countries LIMIT 1 into INSERT INTO countries VALUES {}

INSERT INTO tariffs VALUES (1, 2.5)
--> 0 numbers of tariffs.id, brings 1: insert alike on 0,1,2,3: INSERT INTO tariffs VALUES ( 1 , 2.5) (clock)

INSERT INTO tariffs VALUES (NULL, 2.5)
--> 1 numbers of tariffs.id, brings 0: insert alike on 0,1,2,3: INSERT INTO tariffs VALUES ( 7 , 2.5) (clock)

INSERT INTO tariffs VALUES (0, 2.5)
--> 1 numbers of tariffs.id, brings 0: insert alike on 0,1,2,3: INSERT INTO tariffs VALUES ( 7 , 2.5) (clock)

INSERT INTO tariffs VALUES ('0', 2.5)
--> 1 numbers of tariffs.id, brings 0: insert alike on 0,1,2,3: INSERT INTO tariffs VALUES ( 7 , 2.5) (clock)

INSERT INTO tariffs VALUES (1, 2.5), (0, 2.5)
--> 1 numbers of tariffs.id, brings 1: insert alike on 0,1,2,3: INSERT INTO tariffs VALUES ( 1 , 2.5), ( 7 , 2.5) (clock)

INSERT INTO tariffs (price) VALUES (2.5)
--> 1 numbers of tariffs.id, brings 0: insert alike on 0,1,2,3: INSERT INTO tariffs (price, `id`) VALUES (2.5, 7) (clock)

INSERT INTO tariffs VALUES (LAST_INSERT_ID(), 2.5)
--> compute LAST_INSERT_ID() for INSERT INTO tariffs VALUES ( {} , 2.5) (last)

-- title: writes that read tables of several shards first
DELETE FROM accounts WHERE mail IN (SELECT name FROM users)
--> delete on 0,1,2,3: DELETE FROM accounts WHERE `accounts`.`id` are those of SELECT CRC32(`accounts`.`user_id`) MOD 4096 AS slot, `accounts`.`id` FROM accounts WHERE mail IN (SELECT name FROM users FOR SHARE) FOR UPDATE

UPDATE accounts a SET a.mail = 'x' WHERE a.user_id > (SELECT MAX(user_id) FROM users) AND a.mail <> 'y'
--> update on 0,1,2,3: UPDATE accounts a SET a.mail = 'x' WHERE `a`.`id` are those of SELECT CRC32(`a`.`user_id`) MOD 4096 AS slot, `a`.`id` FROM accounts a WHERE a.user_id > (SELECT MAX(user_id) FROM users FOR SHARE) AND a.mail <> 'y' FOR UPDATE

UPDATE accounts SET mail = 'x' WHERE mail IN (SELECT name FROM users) ORDER BY mail LIMIT 3
--> update on 0,1,2,3: UPDATE accounts SET mail = 'x' WHERE `accounts`.`id` are those of SELECT CRC32(`accounts`.`user_id`) MOD 4096 AS slot, `accounts`.`id` FROM accounts WHERE mail IN (SELECT name FROM users FOR SHARE) ORDER BY mail LIMIT 3 FOR UPDATE

UPDATE accounts SET mail = (SELECT MAX(name) FROM users) WHERE user_id = 1
--> read (SELECT MAX(name) FROM users FOR SHARE) for UPDATE accounts SET mail = {} WHERE user_id = 1

UPDATE accounts SET mail = 'x' WHERE user_id = 5 AND mail IN (SELECT name FROM users WHERE user_id = 5)
--> shard 2 write

INSERT INTO users VALUES ((SELECT MAX(user_id) + 1 FROM users), 'x')
--> read (SELECT MAX(user_id) + 1 FROM users FOR SHARE) for INSERT INTO users VALUES ( {} , 'x')

UPDATE accounts SET id = 7 WHERE mail IN (SELECT name FROM users)
--> 1235 (42000) [gate] the rows of accounts, users that this write brings together can lie on different shards: join them on their sharding keys (accounts.user_id and users.user_id) by =, or read first and write then

DELETE FROM accounts WHERE mail IN (SELECT name FROM users UNION SELECT 'x')
--> 1235 (42000) [gate] the rows of accounts, users that this write brings together can lie on different shards: join them on their sharding keys (accounts.user_id and users.user_id) by =, or read first and write then

INSERT INTO users VALUES (1, 'x') ON DUPLICATE KEY UPDATE name = (SELECT MAX(mail) FROM accounts)
--> 1235 (42000) [gate] a subquery in ON DUPLICATE KEY UPDATE is not supported: read first, then write literals

-- title: joins over several shards of which one table is written
DELETE a FROM accounts a JOIN users u ON u.name = a.mail WHERE u.user_id > 5
--> delete on 0,1,2,3: DELETE FROM `shop`.`accounts` AS `a`  WHERE `a`.`id` are those of SELECT DISTINCT CRC32(`a`.`user_id`) MOD 4096 AS slot, `a`.`id` FROM accounts a JOIN users u ON u.name = a.mail WHERE u.user_id > 5 FOR UPDATE

DELETE FROM a USING accounts AS a JOIN users u ON u.name = a.mail
--> delete on 0,1,2,3: DELETE FROM `shop`.`accounts` AS `a`  WHERE `a`.`id` are those of SELECT DISTINCT CRC32(`a`.`user_id`) MOD 4096 AS slot, `a`.`id` FROM accounts AS a JOIN users u ON u.name = a.mail  FOR UPDATE

UPDATE IGNORE accounts a, users u SET a.mail = CONCAT(a.mail, 'x') WHERE u.name = a.mail
--> update on 0,1,2,3: UPDATE IGNORE `shop`.`accounts` AS `a` SET a.mail = CONCAT(a.mail, 'x') WHERE `a`.`id` are those of SELECT DISTINCT CRC32(`a`.`user_id`) MOD 4096 AS slot, `a`.`id` FROM accounts a, users u WHERE u.name = a.mail FOR UPDATE

UPDATE accounts a JOIN users u ON u.name = a.mail SET a.mail = u.name
--> 1235 (42000) [gate] the rows of accounts, users that this write brings together can lie on different shards: join them on their sharding keys (a.user_id and u.user_id) by =, or read first and write then

UPDATE accounts a JOIN users u ON u.name = a.mail SET a.mail = 'x', u.name = 'y'
--> 1235 (42000) [gate] the rows of accounts, users that this write brings together can lie on different shards: join them on their sharding keys (a.user_id and u.user_id) by =, or read first and write then

DELETE a, u FROM accounts a JOIN users u ON u.name = a.mail
--> 1235 (42000) [gate] the rows of accounts, users that this write brings together can lie on different shards: join them on their sharding keys (a.user_id and u.user_id) by =, or read first and write then
