-- title: tables without a rule live on the shard that owns slot 0
-- keyspace: four shards and unsharded tables
SELECT * FROM notes
--> shard 0

SELECT count(*) FROM notes GROUP BY text ORDER BY 1 LIMIT 5
--> shard 0

SELECT * FROM notes n JOIN countries c ON c.name = n.text
--> shard 0

SELECT * FROM notes n LEFT JOIN notes m ON n.id = m.id FOR UPDATE
--> shard 0 locks

INSERT INTO notes (text) VALUES ('x'), ('y')
--> shard 0 write

INSERT INTO notes SELECT * FROM notes
--> shard 0 write

INSERT INTO notes SELECT 1, name FROM countries
--> shard 0 write

INSERT INTO notes SELECT user_id, name FROM users
--> copy SELECT user_id, name FROM users into INSERT INTO notes VALUES {}

INSERT INTO notes VALUES (1, (SELECT 1))
--> read (SELECT 1) for INSERT INTO notes VALUES (1, {} )

UPDATE notes SET text = 'x'
--> shard 0 write

UPDATE notes SET text = 'x' WHERE id IN (SELECT user_id FROM users)
--> 1235 (42000) [gate] a sharded and an unsharded table cannot take part in one write over several shards: add WHERE user_id = ... with a key of shard shop-0-1024, or read first and write then

DELETE FROM notes LIMIT 5
--> shard 0 write

SELECT * FROM notes n JOIN users u ON u.user_id = n.id
--> finish pull notes 0: SELECT `n`.`id`, `n`.`text` FROM `shop`.`notes` AS `n`; pull users 0,1,2,3 by user_id=pull 0.id: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u`; SELECT * FROM `notes` n JOIN `users` u ON u.user_id = n.id

SELECT * FROM notes n JOIN users u WHERE u.user_id = 1
--> finish pull users 3: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u` WHERE (u.user_id = 1); pull notes 0: SELECT `n`.`id`, `n`.`text` FROM `shop`.`notes` AS `n`; SELECT * FROM `notes` n JOIN `users` u WHERE u.user_id = 1

SELECT * FROM notes n JOIN users u WHERE u.user_id = 7
--> finish pull users 2: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u` WHERE (u.user_id = 7); pull notes 0: SELECT `n`.`id`, `n`.`text` FROM `shop`.`notes` AS `n`; SELECT * FROM `notes` n JOIN `users` u WHERE u.user_id = 7

SELECT * FROM notes n JOIN users u WHERE u.user_id = 42
--> shard 0

SELECT * FROM notes n JOIN users u WHERE u.user_id = 4
--> finish pull users 2: SELECT `u`.`user_id`, `u`.`name` FROM `shop`.`users` AS `u` WHERE (u.user_id = 4); pull notes 0: SELECT `n`.`id`, `n`.`text` FROM `shop`.`notes` AS `n`; SELECT * FROM `notes` n JOIN `users` u WHERE u.user_id = 4

SELECT * FROM users WHERE user_id = 1 AND name IN (SELECT text FROM notes)
--> finish pull users 3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users` WHERE (user_id = 1); pull notes 0: SELECT `notes`.`id`, `notes`.`text` FROM `shop`.`notes`; SELECT * FROM `users` WHERE user_id = 1 AND name IN (SELECT text FROM `notes`)

UPDATE notes n JOIN users u SET n.text = u.name WHERE u.user_id = 42
--> shard 0 write

INSERT INTO countries SELECT id, text FROM notes
--> copy SELECT id, text FROM notes into INSERT INTO countries VALUES {}

CREATE TABLE anything (id INT AUTO_INCREMENT PRIMARY KEY)
--> ddl CREATE TABLE anything on 0

CREATE TABLE anything LIKE notes
--> ddl CREATE TABLE anything on 0

CREATE TABLE anything LIKE users
--> 1235 (42000) [gate] by the rules of the keyspace anything would be stored in another way than users

DROP TABLE notes
--> ddl DROP TABLE notes on 0

DROP TABLE notes, users
--> 1235 (42000) [gate] DROP an unsharded table and the others in statements of their own

TRUNCATE notes
--> ddl TRUNCATE TABLE notes on 0

ALTER TABLE notes ADD COLUMN x INT
--> ddl ALTER TABLE notes on 0

ALTER TABLE notes RENAME TO papers
--> ddl ALTER TABLE notes,papers on 0

ALTER TABLE notes RENAME TO users
--> 1235 (42000) [gate] by the rules of the keyspace users would be stored in another way than notes

RENAME TABLE notes TO papers
--> ddl RENAME TABLE notes,papers on 0

RENAME TABLE notes TO papers, users TO orders
--> 1235 (42000) [gate] RENAME an unsharded table and the others in statements of their own

CREATE INDEX i ON notes (id)
--> ddl CREATE INDEX notes on 0

SHOW TABLES
--> any of 0 outside

SELECT * FROM missing
--> unknown table shop.missing

EXPLAIN SELECT * FROM notes
--> shard 0 outside

-- title: the default sharding key
-- keyspace: four shards by tenant_id
SELECT * FROM visits WHERE tenant_id = 1
--> shard 3

SELECT * FROM visits
--> scatter 0,1,2,3

INSERT INTO visits VALUES (1, NOW())
--> shard 3 write

INSERT INTO visits (at) VALUES (NOW())
--> compute DEFAULT(tenant_id) for INSERT INTO visits (at, `tenant_id` ) VALUES (NOW(), {} )

UPDATE visits SET tenant_id = 2
--> move visits on 0,1,2,3 to 3: tenant_id = 2 where NOT (`tenant_id` <=> 2)

CREATE TABLE clicks (tenant_id BIGINT NOT NULL, x INT)
--> ddl CREATE TABLE clicks on 0,1,2,3

CREATE TABLE clicks (tenant_id BIGINT, x INT)
--> 1235 (42000) [gate] column tenant_id is the sharding key and must be NOT NULL: say so

CREATE TABLE clicks (x INT)
--> ddl CREATE TABLE clicks on 0

ALTER TABLE visits DROP COLUMN tenant_id
--> 1235 (42000) [gate] column tenant_id is the sharding key of visits: it cannot be dropped, renamed or changed, because it says where each row is

ALTER TABLE notes ADD COLUMN tenant_id BIGINT
--> 1235 (42000) [gate] with a column tenant_id the table notes would count as sharded, but its rows are on one shard: make a new table and copy the rows

ALTER TABLE notes CHANGE text TENANT_ID BIGINT
--> 1235 (42000) [gate] with a column tenant_id the table notes would count as sharded, but its rows are on one shard: make a new table and copy the rows

SELECT * FROM notes
--> shard 0

SELECT * FROM users
--> shard 0
