-- title: comments that ask something of the gate
-- keyspace: four shards
/*gate: shard=shop-1024-2048 */ SELECT * FROM users
--> shard 1

SELECT /*gate: shard=shop-0-1024*/ COUNT(*) FROM users ORDER BY name
--> shard 0

/*gate: shard=shop-1024-2048 */ SELECT * FROM users WHERE user_id = 1
--> shard 1

/*gate: shard=shop-1024-2048 */ SELECT * FROM performance_schema.threads
--> shard 1

/*gate: shard=shop-1024-2048 */ SHOW ENGINE INNODB STATUS
--> shard 1

/*gate: shard=shop-1024-2048 */ SELECT * FROM other.users
--> 1044 (42000) [gate] table other.users is not in keyspace shop: a statement cannot leave its keyspace

/*gate: shard=shop-9 */ SELECT * FROM users
--> 1235 (42000) [gate] there is no shard 'shop-9': there are shop-0-1024, shop-1024-2048, shop-2048-3072, shop-3072-4096

/*gate: shard=shop-1024-2048 */ UPDATE users SET name = 'x' WHERE user_id = 1
--> shard 1 write

/*gate: shard=shop-1024-2048 */ INSERT INTO users VALUES (1, 'x')
--> 1235 (42000) [gate] shard= before INSERT has no meaning: hints are for SELECT, SHOW, UPDATE and DELETE, and all but shard= for INSERT and REPLACE

/*gate: shard=shop-1024-2048 */ UPDATE countries SET name = 'x'
--> 1235 (42000) [gate] shard= is not for a write that belongs on other shards as well

/*gate: scatter=deny */ SELECT * FROM users ORDER BY name
--> 1235 (42000) [gate] this statement needs 4 shards, and the hint scatter=deny does not allow it: add the sharding key to WHERE, or allow it with /*gate: scatter=allow */

/*gate: scatter=deny */ SELECT * FROM users WHERE user_id = 1
--> shard 3

/*gate: scatter=deny */ UPDATE users SET name = 'x' WHERE user_id IN (1, 42)
--> 1235 (42000) [gate] this statement needs 2 shards, and the hint scatter=deny does not allow it: add the sharding key to WHERE, or allow it with /*gate: scatter=allow */

/*gate: scatter=allow, timeout=2.5 */ SELECT * FROM users
--> scatter True, timeout 2.5: scatter 0,1,2,3

SELECT /*gate: read=replica*/ name FROM users WHERE user_id = 1
--> read replica: shard 3

/*gate: read=replica */ /*gate: timeout=1 */ SELECT name FROM users WHERE user_id = 1
--> read replica, timeout 1.0: shard 3

/*gate: replica */ SELECT 1
--> 1235 (42000) [gate] the hint 'replica' is not known: known are shard, read (primary, replica), scatter (allow, deny) and timeout (seconds)

/*gate: timeout=0 */ SELECT 1
--> 1235 (42000) [gate] the hint 'timeout=0' is not known: known are shard, read (primary, replica), scatter (allow, deny) and timeout (seconds)

/*gate: read=replica */ COMMIT
--> 1235 (42000) [gate] /*gate: */ before COMMIT has no meaning: hints are for SELECT, SHOW, UPDATE and DELETE, and all but shard= for INSERT and REPLACE

SELECT '/*gate: shard=nowhere */' FROM users WHERE user_id = 1
--> shard 3

SELECT name FROM users WHERE user_id = 1 /*gate: shard=nowhere */
--> shard 3

/* gate is not meant: shard=1 */ SELECT name FROM users WHERE user_id = 1
--> shard 3

EXPLAIN SELECT * FROM users ORDER BY name
--> explain on 0: this is how one of 4 shards does it; GATE EXPLAIN shows all that is done

EXPLAIN SELECT * FROM users WHERE user_id IN (42, 7)
--> explain on 0: this is how one of 2 shards does it; GATE EXPLAIN shows all that is done

EXPLAIN SELECT * FROM users WHERE user_id = 1
--> shard 3 outside

GATE EXPLAIN SELECT * FROM users WHERE name = 'a' ORDER BY name LIMIT 3
--> gate explain of SELECT * FROM users WHERE name = 'a' ORDER BY name LIMIT 3 as merge 0,1,2,3 [hide 1] [order 0 bytes] [limit 3]: SELECT WEIGHT_STRING(name) AS `gate 0`, `users`.* FROM users WHERE name = 'a' ORDER BY name  LIMIT 3

GATE EXPLAIN ANALYZE SELECT * FROM users WHERE user_id = 1;
--> gate explain analyze of SELECT * FROM users WHERE user_id = 1 as shard 3

GATE EXPLAIN INSERT INTO users VALUES (1, 'a')
--> gate explain of INSERT INTO users VALUES (1, 'a') as shard 3 write

GATE EXPLAIN
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: GATE EXPLAIN wants a statement

/*gate: scatter=deny */
--> empty, with a comment
