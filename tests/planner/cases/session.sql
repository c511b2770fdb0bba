-- title: transactions
-- keyspace: four shards
BEGIN
--> TransactionControl verb=BEGIN

begin work
--> TransactionControl verb=BEGIN

START TRANSACTION
--> TransactionControl verb=BEGIN

START TRANSACTION READ ONLY
--> TransactionControl verb=BEGIN read_only=True

START TRANSACTION READ WRITE
--> TransactionControl verb=BEGIN

START TRANSACTION WITH CONSISTENT SNAPSHOT
--> TransactionControl verb=BEGIN snapshot=True

START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY
--> TransactionControl verb=BEGIN read_only=True snapshot=True

START TRANSACTION READ UNCOMMITTED
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: a characteristic of the transaction is unknown here

COMMIT
--> TransactionControl verb=COMMIT

COMMIT WORK
--> TransactionControl verb=COMMIT

COMMIT AND CHAIN
--> TransactionControl verb=COMMIT chain=True

COMMIT AND NO CHAIN RELEASE
--> TransactionControl verb=COMMIT release=True

COMMIT WORK AND CHAIN NO RELEASE
--> TransactionControl verb=COMMIT chain=True

ROLLBACK
--> TransactionControl verb=ROLLBACK

ROLLBACK RELEASE
--> TransactionControl verb=ROLLBACK release=True

ROLLBACK WORK TO SAVEPOINT a
--> TransactionControl verb=ROLLBACK TO SAVEPOINT savepoint=a

ROLLBACK TO a
--> TransactionControl verb=ROLLBACK TO SAVEPOINT savepoint=a

ROLLBACK TO
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: the name of the savepoint is missing

SAVEPOINT a
--> TransactionControl verb=SAVEPOINT savepoint=a

SAVEPOINT `a b`
--> TransactionControl verb=SAVEPOINT savepoint=a b

RELEASE SAVEPOINT a
--> TransactionControl verb=RELEASE SAVEPOINT savepoint=a

RELEASE a
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: the name of the savepoint is missing

COMMIT NOW
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: what follows is unknown here

BEGIN NOT ATOMIC
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: this form of transaction control is unknown here

SET TRANSACTION ISOLATION LEVEL READ COMMITTED
--> SetTransaction isolation=READ COMMITTED

SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
--> SetTransaction session=True isolation=REPEATABLE READ read_only=True

SET LOCAL TRANSACTION READ WRITE
--> SetTransaction session=True

SET GLOBAL TRANSACTION READ ONLY
--> 1227 (42000) [gate] the gate sets variables of the session only: put settings of the servers into spec.mysql.config of the keyspace

SET TRANSACTION ISOLATION LEVEL SNAPSHOT
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: a characteristic of the transaction is unknown here

XA START 'a'
--> 1235 (42000) [gate] the gate itself decides how transactions commit: use BEGIN and COMMIT

-- title: SET
SET NAMES utf8mb4
--> set gate: NAMES utf8mb4

SET NAMES 'utf8mb4' COLLATE 'utf8mb4_0900_bin'
--> set gate: NAMES 'utf8mb4' COLLATE 'utf8mb4_0900_bin'

SET NAMES latin1
--> set gate: NAMES latin1

SET NAMES gbk
--> 1235 (42000) [gate] the client character set gbk is not supported, because bytes of its characters look like quotes: use utf8mb4

SET NAMES "big5"
--> 1235 (42000) [gate] the client character set big5 is not supported, because bytes of its characters look like quotes: use utf8mb4

SET NAMES utf16
--> 1235 (42000) [gate] the client character set utf16 is not supported, because bytes of its characters look like quotes: use utf8mb4

SET NAMES
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: SET is not complete

SET CHARACTER SET utf8mb4
--> set gate: CHARACTER SET utf8mb4

SET CHARSET sjis
--> 1235 (42000) [gate] the client character set sjis is not supported, because bytes of its characters look like quotes: use utf8mb4

SET character_set_results = NULL
--> set gate: SESSION character_set_results=NULL

SET character_set_results = gbk
--> set gate: SESSION character_set_results=gbk

SET character_set_client = gb18030
--> 1235 (42000) [gate] the client character set gb18030 is not supported, because bytes of its characters look like quotes: use utf8mb4

SET collation_connection = utf8mb4_bin
--> set gate: SESSION collation_connection=utf8mb4_bin

SET autocommit = 0
--> set gate: SESSION autocommit=0

SET AUTOCOMMIT=1, sql_mode='STRICT_TRANS_TABLES', @x = 5
--> set gate: SESSION autocommit=1; apply: SESSION sql_mode='STRICT_TRANS_TABLES'; user: @`x`=5

SET SESSION sql_mode = ''
--> set apply: SESSION sql_mode=''

SET @@sql_mode = 'TRADITIONAL'
--> set apply: SESSION sql_mode='TRADITIONAL'

SET @@session.sql_mode := 'NO_ZERO_DATE'
--> set apply: SESSION sql_mode='NO_ZERO_DATE'

SET @@local.time_zone = '+00:00'
--> set apply: SESSION time_zone='+00:00'

SET LOCAL time_zone = '+00:00'
--> set apply: SESSION time_zone='+00:00'

SET sql_mode = 'ANSI_QUOTES'
--> 1235 (42000) [gate] sql_mode ANSI_QUOTES changes how statements are read, which the gate does not follow: leave it out and name modes by their words

SET sql_mode = 'STRICT_TRANS_TABLES,no_backslash_escapes'
--> 1235 (42000) [gate] sql_mode NO_BACKSLASH_ESCAPES changes how statements are read, which the gate does not follow: leave it out and name modes by their words

SET sql_mode = "ANSI"
--> 1235 (42000) [gate] sql_mode ANSI changes how statements are read, which the gate does not follow: leave it out and name modes by their words

SET sql_mode = ANSI
--> 1235 (42000) [gate] sql_mode ANSI changes how statements are read, which the gate does not follow: leave it out and name modes by their words

SET sql_mode = 4
--> 1235 (42000) [gate] sql_mode 4 changes how statements are read, which the gate does not follow: leave it out and name modes by their words

SET sql_mode = PIPES_AS_CONCAT
--> 1235 (42000) [gate] sql_mode PIPES_AS_CONCAT changes how statements are read, which the gate does not follow: leave it out and name modes by their words

SET sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')
--> set apply: SESSION sql_mode=CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES') (to be evaluated)

SET sql_mode = (SELECT REPLACE(@@sql_mode, 'a', 'b'))
--> set apply: SESSION sql_mode=(SELECT REPLACE(@@sql_mode, 'a', 'b')) (to be evaluated)

SET SQL_MODE = @OLD_SQL_MODE
--> set apply: SESSION sql_mode=@OLD_SQL_MODE (to be evaluated)

SET sql_mode = DEFAULT
--> set apply: SESSION sql_mode=DEFAULT

SET foreign_key_checks = OFF
--> set apply: SESSION foreign_key_checks=OFF

SET group_concat_max_len = 1000000
--> set apply: SESSION group_concat_max_len=1000000

SET tx_isolation = 'READ-COMMITTED'
--> set gate: SESSION transaction_isolation='READ-COMMITTED'

SET transaction_isolation = 'SERIALIZABLE'
--> set gate: SESSION transaction_isolation='SERIALIZABLE'

SET SESSION transaction_read_only = ON
--> set gate: SESSION transaction_read_only=ON

SET wait_timeout = 28800
--> set ignore: SESSION wait_timeout=28800

SET interactive_timeout = 5, innodb_lock_wait_timeout = 3
--> set ignore: SESSION interactive_timeout=5; apply: SESSION innodb_lock_wait_timeout=3

SET sql_log_bin = 0
--> 1238 (HY000) [gate] sql_log_bin cannot be set through the gate: what is not logged never reaches the replicas

SET @@session.sql_log_bin = @x
--> 1238 (HY000) [gate] sql_log_bin cannot be set through the gate: what is not logged never reaches the replicas

SET insert_id = 5
--> 1238 (HY000) [gate] insert_id cannot be set through the gate: generated numbers belong to the shards

SET GLOBAL max_connections = 5
--> 1227 (42000) [gate] the gate sets variables of the session only: put settings of the servers into spec.mysql.config of the keyspace

SET @@global.max_connections = 5
--> 1227 (42000) [gate] the gate sets variables of the session only: put settings of the servers into spec.mysql.config of the keyspace

SET PERSIST max_connections = 5
--> 1227 (42000) [gate] the gate sets variables of the session only: put settings of the servers into spec.mysql.config of the keyspace

SET @@persist_only.max_connections = 5
--> 1227 (42000) [gate] the gate sets variables of the session only: put settings of the servers into spec.mysql.config of the keyspace

SET autocommit = 1, GLOBAL x = 2
--> 1227 (42000) [gate] the gate sets variables of the session only: put settings of the servers into spec.mysql.config of the keyspace

SET @a = 1
--> set user: @`a`=1

SET @A = 'it''s', @`b c` = NULL, @'d' = -1.5
--> set user: @`a`='it''s'; user: @`b c`=NULL; user: @`d`=-1.5

SET @a := 1
--> set user: @`a`=1

SET @a = @b + 1
--> set user: @`a`=@b + 1 (to be evaluated)

SET @a = (SELECT count(*) FROM users)
--> 1235 (42000) [gate] SET cannot read tables of several shards: SELECT the value first

SET @a = now()
--> set user: @`a`=now() (to be evaluated)

SET @a
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: SET is not complete

SET timestamp = 1700000000
--> set apply: SESSION timestamp=1700000000

SET PASSWORD = 'x'
--> 1235 (42000) [gate] passwords are those of the keyspace's users: change the Secret

SET ROLE admin
--> 1235 (42000) [gate] roles and resource groups are not supported through the gate

SET DEFAULT ROLE ALL TO x
--> 1235 (42000) [gate] roles and resource groups are not supported through the gate

SET RESOURCE GROUP x
--> 1235 (42000) [gate] roles and resource groups are not supported through the gate

SET keyring.x = 1
--> 1235 (42000) [gate] variables of components are set on the servers, by the operator

SET
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: SET is not complete

-- title: the rest of a session
USE shop
--> Use database=shop

USE `shop`
--> Use database=shop

use other;
--> Use database=other

USE
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: USE wants the name of a database

KILL 5
--> Kill connection=5

KILL QUERY 5
--> Kill connection=5 query_only=True

KILL CONNECTION 5
--> Kill connection=5

KILL abc
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: KILL wants the number of a connection

DO 1
--> any of 0,1,2,3

DO SLEEP(1), 2
--> any of 0,1,2,3

DO RELEASE_LOCK('a')
--> shard 0 pins outside

DO @a := 1
--> any of 0,1,2,3 pins variables

DO (SELECT 1)
--> 1235 (42000) [gate] DO with a subquery is not supported: use SELECT

DO CONNECTION_ID()
--> 1235 (42000) [gate] CONNECTION_ID() is answered only in a SELECT of its own, because the number is the gate's and the servers have others

SELECT 1
--> any of 0,1,2,3

SELECT 1 FROM DUAL
--> any of 0,1,2,3

SELECT 'a;b', "c;d", `e`
--> any of 0,1,2,3

SELECT @@version, @@version_comment LIMIT 1
--> any of 0,1,2,3

SELECT @@session.autocommit
--> any of 0,1,2,3

SELECT DATABASE(), USER(), VERSION()
--> any of 0,1,2,3

SELECT NOW()
--> any of 0,1,2,3

SELECT LAST_INSERT_ID()
--> any of 0,1,2,3 last

SELECT LAST_INSERT_ID() AS id
--> any of 0,1,2,3 last

SELECT LAST_INSERT_ID(5)
--> any of 0,1,2,3 pins

SELECT ROW_COUNT(), FOUND_ROWS()
--> any of 0,1,2,3 last

SELECT @@identity
--> any of 0,1,2,3 last

SELECT @@warning_count
--> any of 0,1,2,3 last

SELECT @a
--> any of 0,1,2,3 variables

SELECT @a := 1
--> any of 0,1,2,3 pins variables

SELECT 1 INTO @a
--> any of 0,1,2,3 pins variables

SELECT name INTO @a FROM users WHERE user_id = 1
--> shard 3 pins variables

SELECT @n := @n + 1, name FROM users WHERE user_id = 1
--> shard 3 pins variables

SELECT max(name) INTO @a FROM users
--> 1235 (42000) [gate] a SELECT of several shards cannot set user variables or LAST_INSERT_ID(): each shard would set its own; SELECT the value, and SET @name to it

SELECT LAST_INSERT_ID(user_id) FROM users
--> 1235 (42000) [gate] a SELECT of several shards cannot set user variables or LAST_INSERT_ID(): each shard would set its own; SELECT the value, and SET @name to it

SELECT GET_LOCK('a', 1)
--> shard 0 pins outside

SELECT RELEASE_ALL_LOCKS()
--> shard 0 pins outside

SELECT IS_FREE_LOCK('a')
--> shard 0 pins outside

SELECT CONNECTION_ID()
--> ConnectionId column=CONNECTION_ID()

select connection_id() as id
--> ConnectionId column=id

SELECT CONNECTION_ID() id
--> ConnectionId column=id

SELECT CONNECTION_ID() + 1
--> 1235 (42000) [gate] CONNECTION_ID() is answered only in a SELECT of its own, because the number is the gate's and the servers have others

SELECT 1 UNION SELECT 2
--> any of 0,1,2,3

SELECT (SELECT 1)
--> any of 0,1,2,3

VALUES ROW(1, 2), ROW(3, 4)
--> any of 0,1,2,3

HELP 'contents'
--> any of 0,1,2,3 outside

GET DIAGNOSTICS @a = NUMBER
--> any of 0,1,2,3 last pins

LOCK TABLES users WRITE
--> 1235 (42000) [gate] LOCK is not supported in a keyspace with sharded tables: use a transaction with SELECT ... FOR UPDATE (mysqldump: --skip-add-locks)

UNLOCK TABLES
--> empty, with a comment

CALL p()
--> 1235 (42000) [gate] CALL is not supported in a keyspace with sharded tables: send the statements of the procedure one by one

HANDLER users OPEN
--> 1235 (42000) [gate] HANDLER is not supported in a keyspace with sharded tables: use SELECT

PREPARE s FROM 'SELECT 1'
--> prepare s: SELECT 1

PREPARE `S t` FROM @text
--> prepare s t: @text

PREPARE s FROM 5
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: PREPARE wants a text or a user variable

EXECUTE s
--> execute s

EXECUTE s USING @a, @`b c`
--> execute s with @a, @b c

EXECUTE s USING 5
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: EXECUTE ... USING wants user variables

DEALLOCATE PREPARE s
--> deallocate s

DROP PREPARE s
--> deallocate s

FLUSH TABLES
--> 1235 (42000) [gate] servers are run by the operator: use kubectl

RESET MASTER
--> 1235 (42000) [gate] servers are run by the operator: use kubectl

SHUTDOWN
--> 1235 (42000) [gate] servers are run by the operator: use kubectl

GRANT ALL ON shop.* TO x
--> 1235 (42000) [gate] users are those of the keyspace: change spec.users of the Keyspace

REVOKE ALL ON shop.* FROM x
--> 1235 (42000) [gate] users are those of the keyspace: change spec.users of the Keyspace

INSTALL PLUGIN x SONAME 'y'
--> 1235 (42000) [gate] servers are run by the operator: use kubectl

SIGNAL SQLSTATE '45000'
--> 1235 (42000) [gate] SIGNAL is for stored programs

HELLO
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: `HELLO` begins no statement that is known here

5
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: `5` begins no statement that is known here
