-- title: variables of the gate itself
-- keyspace: four shards
SELECT @@transaction_mode
--> own transaction_mode as @@transaction_mode

select @@SESSION.transaction_mode AS mode, @@gate_scatter
--> own transaction_mode as mode, gate_scatter as @@gate_scatter

SELECT @@transaction_mode, 1
--> 1235 (42000) [gate] @@transaction_mode is the gate's own variable: ask for it by itself (SELECT @@transaction_mode)

SELECT @@autocommit, @@session.resultset_metadata
--> 1235 (42000) [gate] @@resultset_metadata is the gate's own variable: ask for it by itself (SELECT @@resultset_metadata)

SHOW VARIABLES LIKE 'transaction_mode'
--> own shown transaction_mode as Variable_name, transaction_mode as Value

SHOW SESSION VARIABLES LIKE 'transaction\_mode'
--> own shown transaction_mode as Variable_name, transaction_mode as Value

SHOW VARIABLES LIKE 'transaction%'
--> any of 0 outside

SET transaction_mode = 'multi'
--> set own: SESSION transaction_mode=multi

SET SESSION transaction_mode = SINGLE, sql_mode = ''
--> set own: SESSION transaction_mode=single; apply: SESSION sql_mode=''

SET @@transaction_mode = DEFAULT
--> set own: SESSION transaction_mode=

SET transaction_mode = 'both'
--> 1231 (42000) [gate] Variable 'transaction_mode' can't be set to the value of 'both': it takes atomic, single, multi

SET GLOBAL transaction_mode = 'single'
--> 1227 (42000) [gate] the gate sets variables of the session only: put settings of the servers into spec.mysql.config of the keyspace

SET gate_statement_seconds = 2.5
--> set own: SESSION gate_statement_seconds=2.5

SET SESSION resultset_metadata = none
--> set own: SESSION resultset_metadata=NONE

SELECT @@resultset_metadata
--> own resultset_metadata as @@resultset_metadata

SET resultset_metadata = 5
--> 1231 (42000) Variable 'resultset_metadata' can't be set to the value of '5'

SET gate_statement_seconds = 'long'
--> 1231 (42000) [gate] Variable 'gate_statement_seconds' can't be set to the value of 'long': it takes a number of seconds

SET xa_detach_on_prepare = OFF
--> 1238 (HY000) [gate] xa_detach_on_prepare cannot be set through the gate: transactions over several shards depend on it
