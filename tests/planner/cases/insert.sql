-- title: rows of one shard
-- keyspace: four shards
INSERT INTO users (user_id, name) VALUES (1, 'x')
--> shard 3 write

INSERT INTO users (name, user_id) VALUES ('x', 1)
--> shard 3 write

INSERT INTO users (`name`, `USER_ID`) VALUES ('x', 1)
--> shard 3 write

INSERT INTO users VALUES (1, 'x')
--> shard 3 write

INSERT INTO orders VALUES (7, 1, 5.5)
--> shard 3 write

INSERT users VALUES (1, 'x')
--> shard 3 write

insert into shop.users values (1, 'x')
--> shard 3 write

INSERT INTO `shop`.`users` (`users`.`user_id`) VALUES (1)
--> shard 3 write

INSERT INTO users (user_id) VALUE (1)
--> shard 3 write

INSERT INTO users VALUES ROW(1, 'x'), ROW(1, 'y')
--> shard 3 write

INSERT INTO users VALUES (1, 'x'), (1, 'y'), (1, 'z')
--> shard 3 write

INSERT INTO users VALUES (1, 'x'), ('1', 'y'), (1.0, 'z')
--> shard 3 write

INSERT INTO users SET user_id = 1, name = 'x'
--> shard 3 write

INSERT INTO users SET name = UPPER('a, b'), users.user_id = 1
--> shard 3 write

INSERT IGNORE INTO users VALUES (1, 'x')
--> shard 3 write

INSERT LOW_PRIORITY IGNORE users VALUES (1, 'x')
--> shard 3 write

INSERT HIGH_PRIORITY INTO users VALUES (1, 'x')
--> shard 3 write

INSERT INTO users PARTITION (p0) VALUES (1, 'x')
--> shard 3 write

REPLACE INTO users VALUES (1, 'x')
--> shard 3 write

REPLACE users SET user_id = 1
--> shard 3 write

INSERT INTO users VALUES (1, CONCAT('a', 'b', (1 + 2)))
--> shard 3 write

INSERT INTO users VALUES (-1, 'x')
--> shard 2 write

INSERT INTO users VALUES (1, NOW())
--> shard 3 write

INSERT INTO users VALUES (1, LAST_INSERT_ID())
--> shard 3 write last

INSERT INTO users VALUES (1, @name)
--> shard 3 write variables

INSERT INTO users VALUES (1, 'x') ON DUPLICATE KEY UPDATE name = 'y'
--> shard 3 write

INSERT INTO users VALUES (1, 'x') ON DUPLICATE KEY UPDATE name = VALUES(name), users.name = 'a'
--> shard 3 write

INSERT INTO users VALUES (1, 'x') AS new ON DUPLICATE KEY UPDATE name = new.name
--> shard 3 write

INSERT INTO users VALUES (1, 'x') AS new (a, b) ON DUPLICATE KEY UPDATE name = b
--> shard 3 write

INSERT INTO users SET user_id = 1, name = 'x' ON DUPLICATE KEY UPDATE name = 'y'
--> shard 3 write

-- title: keys that a server computes first
INSERT INTO users VALUES (1 + 1, 'x'), (3, 'y'), (ABS(-4), 'z')
--> compute 1 + 1 | ABS(-4) for INSERT INTO users VALUES ( {} , 'x'), (3, 'y'), ( {} , 'z')

INSERT INTO users (name, user_id) VALUES ('x', CAST('12' AS SIGNED)) ON DUPLICATE KEY UPDATE name = 'y'
--> compute CAST('12' AS SIGNED) for INSERT INTO users (name, user_id) VALUES ('x', {} ) ON DUPLICATE KEY UPDATE name = 'y'

REPLACE INTO users SET user_id = UUID_SHORT(), name = 'x'
--> compute UUID_SHORT() for REPLACE INTO users SET user_id = {} , name = 'x'

INSERT INTO users VALUES (UNIX_TIMESTAMP(), NOW())
--> compute UNIX_TIMESTAMP() for INSERT INTO users VALUES ( {} , NOW())

INSERT INTO users VALUES (LAST_INSERT_ID(), 'x')
--> compute LAST_INSERT_ID() for INSERT INTO users VALUES ( {} , 'x') (last)

INSERT INTO generated (id) VALUES (2 + 3), (NULL)
--> compute 2 + 3 for INSERT INTO generated (id) VALUES ( {} ), (NULL)

/*gate: timeout=2 */ INSERT INTO users VALUES (1 + 1, 'x')
--> timeout 2.0: compute 1 + 1 for /*gate: timeout=2 */ INSERT INTO users VALUES ( {} , 'x')

-- title: rows that are refused
INSERT INTO users (name, user_id) VALUES ('x', name + 1)
--> 1235 (42000) [gate] a value that decides the shard of a row names the column name, whose value only the shard knows: write the value itself

INSERT INTO users VALUES (COUNT(*), 'x')
--> 1111 (HY000) Invalid use of group function

INSERT INTO users VALUES (ROW_NUMBER() OVER (), 'x')
--> 1235 (42000) [gate] window functions cannot stand in VALUES: use INSERT ... SELECT

INSERT INTO users VALUES (LAST_INSERT_ID(7), 'x')
--> 1235 (42000) [gate] LAST_INSERT_ID(value) in a value that decides the shard of a row is not supported: SELECT it first

INSERT INTO users VALUES (@@warning_count, 'x')
--> 1235 (42000) [gate] @@warning_count in a value that decides the shard of a row is not supported: SELECT it first

INSERT INTO users VALUES (/*!80000 1 + */ 1, 'x')
--> 1235 (42000) [gate] an executable comment (/*! */) stands in a write of which a server must compute values: leave the comment out

/*gate: scatter=deny */ INSERT INTO users VALUES (1 + 1, 'x')
--> 1235 (42000) [gate] this statement needs several shards, and the hint scatter=deny does not allow it: add the sharding key to WHERE, or allow it with /*gate: scatter=allow */

INSERT INTO users VALUES (1, 'x'), (42, 'y')
--> insert 0: INSERT INTO users (`user_id`, `name`) VALUES (42, 'y') | 3: INSERT INTO users (`user_id`, `name`) VALUES (1, 'x')

INSERT INTO users (name) VALUES ('x')
--> compute DEFAULT(user_id) for INSERT INTO users (name, `user_id` ) VALUES ('x', {} )

INSERT INTO users () VALUES ()
--> compute DEFAULT(user_id) for INSERT INTO users (`user_id` ) VALUES ( {} )

INSERT INTO users SET name = 'x'
--> compute DEFAULT(user_id) for INSERT INTO users SET name = 'x', `user_id` = {} 

INSERT INTO users VALUES (NULL, 'x')
--> 1048 (23000) [gate] Column 'user_id' cannot be null: it is the sharding key of users, so each row must give it a value

INSERT INTO users (user_id, name) VALUES (, 1)
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: a value is missing

INSERT INTO users (user_id, name) VALUES (1, 'x'), (2, )
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: a value is missing

INSERT INTO users (user_id, name) VALUES (1, 'x'), ()
--> 1136 (21S01) Column count doesn't match value count at row 2

INSERT INTO users VALUES (DEFAULT, 'x')
--> compute DEFAULT(user_id) for INSERT INTO users VALUES ( {} , 'x')

INSERT INTO users VALUES (1 + 1, 'x')
--> compute 1 + 1 for INSERT INTO users VALUES ( {} , 'x')

INSERT INTO users VALUES (UUID_SHORT(), 'x')
--> compute UUID_SHORT() for INSERT INTO users VALUES ( {} , 'x')

INSERT INTO users VALUES (@id, 'x')
--> compute @id for INSERT INTO users VALUES ( {} , 'x') (variables)

INSERT INTO users VALUES ('1x', 'x')
--> 1235 (42000) [gate] it is not certain what MySQL stores for the sharding key user_id at row 1: write the value in the type of the column, and text in utf8mb4

INSERT INTO users VALUES (1.5, 'x')
--> 1235 (42000) [gate] it is not certain what MySQL stores for the sharding key user_id at row 1: write the value in the type of the column, and text in utf8mb4

INSERT INTO users VALUES (1e0, 'x')
--> 1235 (42000) [gate] it is not certain what MySQL stores for the sharding key user_id at row 1: write the value in the type of the column, and text in utf8mb4

INSERT INTO users VALUES (0x31, 'x')
--> 1235 (42000) [gate] it is not certain what MySQL stores for the sharding key user_id at row 1: write the value in the type of the column, and text in utf8mb4

INSERT INTO users VALUES ('a' 'b', 'x')
--> compute 'a' 'b' for INSERT INTO users VALUES ( {} , 'x')

INSERT INTO users VALUES (9223372036854775808, 'x')
--> 1264 (22003) [gate] Out of range value for column 'user_id' at row 1

INSERT INTO counters VALUES (5, 1), (300, 1)
--> 1264 (22003) [gate] Out of range value for column 'id' at row 2

INSERT INTO users VALUES (1)
--> 1136 (21S01) Column count doesn't match value count at row 1

INSERT INTO users (user_id) VALUES (1, 'x')
--> 1136 (21S01) Column count doesn't match value count at row 1

INSERT INTO users VALUES (1, 'x', 'y')
--> 1136 (21S01) Column count doesn't match value count at row 1

INSERT INTO users VALUES (1, 'x') ON DUPLICATE KEY UPDATE user_id = 42
--> 1235 (42000) [gate] column user_id is the sharding key, which decides the shard of a row, and cannot be updated: DELETE the row and INSERT it with the new key

INSERT INTO users VALUES (1, 'x') ON DUPLICATE KEY UPDATE name = 'y', `users`.`USER_ID` = 3
--> 1235 (42000) [gate] column user_id is the sharding key, which decides the shard of a row, and cannot be updated: DELETE the row and INSERT it with the new key

INSERT INTO users VALUES (1, (SELECT name FROM countries LIMIT 1))
--> read (SELECT name FROM countries LIMIT 1 FOR SHARE) for INSERT INTO users VALUES (1, {} )

INSERT INTO generated (n) VALUES (1)
--> 1 numbers of generated.id, brings 0: insert on 2: INSERT INTO generated (n, `id`) VALUES (1, 7)

INSERT INTO generated VALUES (NULL, 1)
--> 1 numbers of generated.id, brings 0: insert on 2: INSERT INTO generated (`id`, `n`) VALUES ( 7 , 1)

INSERT INTO generated VALUES (0, 1)
--> 1 numbers of generated.id, brings 0: insert on 2: INSERT INTO generated (`id`, `n`) VALUES ( 7 , 1)

INSERT INTO generated VALUES (DEFAULT, 1)
--> 1 numbers of generated.id, brings 0: insert on 2: INSERT INTO generated (`id`, `n`) VALUES ( 7 , 1)

INSERT INTO generated VALUES (5, 1)
--> 0 numbers of generated.id, brings 5: insert on 2: INSERT INTO generated (`id`, `n`) VALUES ( 5 , 1)

INSERT INTO nothing VALUES (1)
--> unknown table shop.nothing

INSERT INTO other.users VALUES (1, 'x')
--> 1044 (42000) [gate] table other.users is not in keyspace shop: a statement cannot leave its keyspace

INSERT INTO mysql.user VALUES (1)
--> 1235 (42000) [gate] MySQL's own tables are not written through the gate

INSERT INTO users
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: VALUES, SET or SELECT is missing

INSERT INTO users VALUES (1, 'x'
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: `)` is missing

INSERT INTO users VALUES (1, 'x') RETURNING user_id
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: something follows that is not understood

INSERT INTO users VALUES (1, GET_LOCK('a', 1))
--> 1235 (42000) [gate] GET_LOCK and its family cannot stand in a statement with tables: call them in a SELECT of their own

-- title: INSERT ... SELECT
INSERT INTO orders SELECT * FROM orders WHERE user_id = 1
--> shard 3 write

INSERT INTO orders (order_id, user_id) SELECT order_id, user_id FROM order_items WHERE user_id = 1
--> shard 3 write

INSERT INTO orders (order_id, user_id, total) SELECT i.order_id, i.user_id, 0 FROM users u JOIN order_items i ON i.user_id = u.user_id WHERE u.user_id = 1
--> shard 3 write

INSERT INTO orders (order_id, user_id) SELECT 5, 1
--> shard 3 write

INSERT INTO orders (order_id, user_id) SELECT 5, 1 FROM countries
--> shard 3 write

INSERT INTO orders (order_id, user_id) SELECT order_id, 1 FROM order_items WHERE user_id = 1
--> shard 3 write

INSERT INTO orders (order_id, user_id) SELECT order_id, 42 FROM order_items WHERE user_id = 1
--> copy SELECT order_id, 42 FROM order_items WHERE user_id = 1 into INSERT INTO orders (order_id, user_id) VALUES {}

INSERT INTO orders (order_id, user_id) SELECT user_id, order_id FROM order_items WHERE user_id = 1
--> copy SELECT user_id, order_id FROM order_items WHERE user_id = 1 into INSERT INTO orders (order_id, user_id) VALUES {}

INSERT INTO orders SELECT * FROM orders
--> copy on 0,1,2,3: INSERT INTO orders SELECT * FROM orders

INSERT INTO orders SELECT order_id, user_id + 1, total FROM orders WHERE user_id = 1
--> copy SELECT order_id, user_id + 1, total FROM orders WHERE user_id = 1 into INSERT INTO orders VALUES {}

INSERT INTO orders (order_id) SELECT order_id FROM orders WHERE user_id = 1
--> 1048 (23000) [gate] Column 'user_id' cannot be null: it is the sharding key of orders, so each row must give it a value

INSERT INTO orders (order_id, user_id) SELECT * FROM order_items WHERE user_id = 1
--> copy SELECT * FROM order_items WHERE user_id = 1 into INSERT INTO orders (order_id, user_id) VALUES {}

INSERT INTO orders (order_id, user_id) SELECT 5, 1 UNION SELECT 6, 1
--> copy SELECT 5, 1 UNION SELECT 6, 1 into INSERT INTO orders (order_id, user_id) VALUES {}

INSERT INTO orders (order_id, user_id) (SELECT 5, 1)
--> copy (SELECT 5, 1) into INSERT INTO orders (order_id, user_id) VALUES {}

INSERT INTO orders (order_id, user_id) WITH x AS (SELECT 1) SELECT 5, 1
--> shard 3 write

INSERT INTO orders SELECT * FROM orders WHERE user_id = 1 ON DUPLICATE KEY UPDATE total = 1
--> shard 3 write

INSERT INTO orders SELECT * FROM orders WHERE user_id = 1 ON DUPLICATE KEY UPDATE user_id = 7
--> 1235 (42000) [gate] column user_id is the sharding key, which decides the shard of a row, and cannot be updated: DELETE the row and INSERT it with the new key

REPLACE INTO orders SELECT * FROM orders WHERE user_id = 1
--> shard 3 write

INSERT INTO orders TABLE orders
--> copy TABLE orders into INSERT INTO orders VALUES {}
