-- title: what drivers and frameworks send when they connect
-- keyspace: four shards
SELECT @@session.transaction_isolation, @@session.auto_increment_increment AS auto_increment_increment
--> any of 0,1,2,3

SELECT CAST('test plain returns' AS CHAR(60)) AS anon_1
--> any of 0,1,2,3

SHOW VARIABLES WHERE Variable_name IN ('character_set_client', 'tx_isolation')
--> any of 0 outside

SELECT @@max_allowed_packet, @@system_time_zone, @@time_zone
--> any of 0,1,2,3

SET SQL_AUTO_IS_NULL = 0
--> set ignore: SESSION sql_auto_is_null=0

SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
--> SetTransaction session=True isolation=READ COMMITTED

SELECT VERSION(), @@sql_mode, @@default_storage_engine, @@lower_case_table_names, CONVERT_TZ('2001-01-01 01:00:00', 'UTC', 'UTC') IS NOT NULL
--> any of 0,1,2,3

SELECT table_name, column_name FROM information_schema.key_column_usage WHERE table_schema = DATABASE() AND referenced_column_name IS NOT NULL
--> any of 0 outside

select @@version_comment limit 1
--> any of 0,1,2,3

SELECT DATABASE()
--> any of 0,1,2,3

SET sql_auto_is_null = OFF, autocommit = 1
--> set ignore: SESSION sql_auto_is_null=OFF; gate: SESSION autocommit=1

SET sql_auto_is_null = 1
--> 1238 (HY000) [gate] sql_auto_is_null cannot be set through the gate: the last generated number is known on one connection only

SET @a = LAST_INSERT_ID()
--> 1235 (42000) [gate] SET cannot ask for LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS() or a named lock: use SELECT and keep the value in the program

SET @a = (SELECT 1)
--> set user: @`a`=(SELECT 1) (to be evaluated)

SET @a = GET_LOCK('a', 1)
--> 1235 (42000) [gate] SET cannot ask for LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS() or a named lock: use SELECT and keep the value in the program

SET @a = CONNECTION_ID()
--> 1235 (42000) [gate] CONNECTION_ID() is answered only in a SELECT of its own, because the number is the gate's and the servers have others

SET last_insert_id = 5
--> 1238 (HY000) [gate] last_insert_id cannot be set through the gate: generated numbers belong to the shards
