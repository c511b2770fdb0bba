-- title: integer keys: what MySQL makes of each literal
-- keyspace: four shards
SELECT * FROM users WHERE user_id = 42
--> shard 0

SELECT * FROM users WHERE user_id = '42'
--> shard 0

SELECT * FROM users WHERE user_id = "42"
--> shard 0

SELECT * FROM users WHERE user_id = ' 42'
--> shard 0

SELECT * FROM users WHERE user_id = '42 '
--> shard 0

SELECT * FROM users WHERE user_id = '+42'
--> shard 0

SELECT * FROM users WHERE user_id = '042'
--> shard 0

SELECT * FROM users WHERE user_id = 00042
--> shard 0

SELECT * FROM users WHERE user_id = 42.0
--> shard 0

SELECT * FROM users WHERE user_id = 42.
--> shard 0

SELECT * FROM users WHERE user_id = _utf8mb4'42'
--> shard 0

SELECT * FROM users WHERE user_id = 42.5
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 4.2e1
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = '42.0'
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = '42x'
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = ''
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 0x2A
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = x'2A'
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = b'101010'
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 0b101010
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = N'42'
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = _latin1'42'
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = -42
--> shard 3

SELECT * FROM users WHERE user_id = '-42'
--> shard 3

SELECT * FROM users WHERE user_id = - 42
--> shard 3

SELECT * FROM users WHERE user_id = -0
--> shard 3

SELECT * FROM users WHERE user_id = 0
--> shard 3

SELECT * FROM users WHERE user_id = 9223372036854775807
--> shard 2

SELECT * FROM users WHERE user_id = 9223372036854775808
--> any of 0,1,2,3

SELECT * FROM users WHERE user_id = -9223372036854775808
--> shard 0

SELECT * FROM users WHERE user_id = -9223372036854775809
--> any of 0,1,2,3

SELECT * FROM order_items WHERE user_id = 18446744073709551615
--> shard 0

SELECT * FROM order_items WHERE user_id = -1
--> any of 0,1,2,3

SELECT * FROM counters WHERE id = 127
--> shard 1

SELECT * FROM counters WHERE id = 128
--> any of 0,1,2,3

SELECT * FROM users WHERE user_id = 99999999999999999999999999999999999999999999999999999
--> any of 0,1,2,3

-- title: text keys
SELECT * FROM mails WHERE address = 'abc'
--> shard 0

SELECT * FROM mails WHERE address = "abc"
--> shard 0

SELECT * FROM mails WHERE address = 'a\bc'
--> shard 0

SELECT * FROM mails WHERE address = 'it''s'
--> shard 1

SELECT * FROM mails WHERE address = 'it\'s'
--> shard 1

SELECT * FROM mails WHERE address = "it's"
--> shard 1

SELECT * FROM mails WHERE address = 'é€'
--> shard 0

SELECT * FROM mails WHERE address = 'abc '
--> shard 2

SELECT * FROM mails WHERE address = 'ABC'
--> shard 0

SELECT * FROM mails WHERE address = '123456789'
--> any of 0,1,2,3

SELECT * FROM mails WHERE address = 'éééééééé'
--> shard 1

SELECT * FROM mails WHERE address = 'ééééééééé'
--> any of 0,1,2,3

SELECT * FROM mails WHERE address = ''
--> shard 0

SELECT * FROM mails WHERE address = 5
--> scatter 0,1,2,3

SELECT * FROM mails WHERE address = -5
--> scatter 0,1,2,3

SELECT * FROM mails WHERE address = x'616263'
--> shard 0

SELECT * FROM mails WHERE address = _utf8mb4'abc'
--> shard 0

SELECT * FROM mails WHERE address = _binary'abc'
--> shard 0

SELECT * FROM mails WHERE address = _latin1'abc'
--> scatter 0,1,2,3

SELECT * FROM mails WHERE address = N'abc'
--> scatter 0,1,2,3

SELECT * FROM mails WHERE address = 'a' 'bc'
--> scatter 0,1,2,3

SELECT * FROM mails WHERE BINARY address = 'abc'
--> scatter 0,1,2,3

SELECT * FROM padded WHERE address = 'abc'
--> shard 0

SELECT * FROM padded WHERE address = 'abc  '
--> shard 0

SELECT * FROM codes WHERE code = 'ab'
--> shard 2

SELECT * FROM codes WHERE code = 'ab  '
--> shard 2

INSERT INTO mails VALUES ('abc', 1)
--> shard 0 write

INSERT INTO mails VALUES ('abc ', 1)
--> shard 2 write

INSERT INTO mails VALUES ('123456789', 1)
--> 1406 (22001) [gate] Data too long for column 'address' at row 1

INSERT INTO mails VALUES (5, 1)
--> 1235 (42000) [gate] it is not certain what MySQL stores for the sharding key address at row 1: write the value in the type of the column, and text in utf8mb4

INSERT INTO padded VALUES ('abc', 1)
--> shard 0 write

INSERT INTO padded VALUES ('abc ', 1)
--> 1235 (42000) [gate] the value of address at row 1 ends with a space, which the collation of padded does not tell from the value without it: leave out the space, or use the collation utf8mb4_0900_bin

INSERT INTO codes VALUES ('ab', 1)
--> shard 2 write

INSERT INTO codes VALUES ('ab  ', 1)
--> shard 2 write

-- title: binary keys
SELECT * FROM tokens WHERE token = 'abc'
--> shard 0

SELECT * FROM tokens WHERE token = x'616263'
--> shard 0

SELECT * FROM tokens WHERE token = 0x616263
--> shard 0

SELECT * FROM tokens WHERE token = 0x00
--> shard 3

SELECT * FROM tokens WHERE token = _binary'abc'
--> shard 0

SELECT * FROM tokens WHERE token = 5
--> scatter 0,1,2,3

SELECT * FROM uuids WHERE uuid = 0x01020304
--> shard 2

SELECT * FROM uuids WHERE uuid = 0x0102
--> any of 0,1,2,3

SELECT * FROM uuids WHERE uuid = 0x0102030405
--> any of 0,1,2,3

INSERT INTO uuids VALUES (0x01020304, 1)
--> shard 2 write

INSERT INTO uuids VALUES (0x0102, 1)
--> shard 3 write

INSERT INTO uuids VALUES (0x01020000, 1)
--> shard 3 write

INSERT INTO uuids VALUES (0x0102030405, 1)
--> 1406 (22001) [gate] Data too long for column 'uuid' at row 1

-- title: dates
SELECT * FROM days WHERE day = '2026-11-21'
--> shard 1

SELECT * FROM days WHERE day = '2026-11-21 00:00:00'
--> scatter 0,1,2,3

SELECT * FROM days WHERE day = '2026-2-1'
--> scatter 0,1,2,3

SELECT * FROM days WHERE day = '2026-02-30'
--> scatter 0,1,2,3

SELECT * FROM days WHERE day = 20261121
--> scatter 0,1,2,3

SELECT * FROM days WHERE day = DATE '2026-11-21'
--> shard 1

INSERT INTO days VALUES ('2026-11-21', 1)
--> shard 1 write

INSERT INTO days VALUES ('20261121', 1)
--> 1235 (42000) [gate] it is not certain what MySQL stores for the sharding key day at row 1: write the value in the type of the column, and text in utf8mb4

INSERT INTO days VALUES (CURDATE(), 1)
--> compute CURDATE() for INSERT INTO days VALUES ( {} , 1)

SELECT * FROM moments WHERE moment = '2026-11-21 01:02:03'
--> shard 1

SELECT * FROM moments WHERE moment = '2026-11-21 01:02:03.000'
--> shard 1

SELECT * FROM moments WHERE moment = '2026-11-21T01:02:03'
--> shard 1

SELECT * FROM moments WHERE moment = '2026-11-21 01:02:03.5'
--> shard 1

SELECT * FROM moments WHERE moment = '2026-11-21 01:02:03.500000'
--> shard 1

SELECT * FROM moments WHERE moment = '2026-11-21 01:02:03.50001'
--> scatter 0,1,2,3

SELECT * FROM moments WHERE moment = '2026-11-21'
--> shard 1

-- title: keys that cannot be
SELECT * FROM wrong WHERE name = 'a'
--> 1235 (42000) [gate] column name of wrong cannot be a sharding key: under its collation utf8mb4_0900_ai_ci different spellings are equal, and would hash apart: add CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin to the column

SELECT * FROM loose WHERE id = 1
--> 1235 (42000) [gate] column id of loose is its sharding key and must be NOT NULL: ALTER TABLE on each shard before anything is written

SELECT * FROM floats WHERE x = 1
--> 1235 (42000) [gate] column x of floats cannot be a sharding key: its type DOUBLE cannot be hashed the same way everywhere: use an integer, CHAR, VARCHAR, BINARY, VARBINARY, DATE or DATETIME

SELECT * FROM keyless WHERE id = 1
--> 1235 (42000) [gate] table keyless has no column id, its sharding key: add it
