-- title: files that clients send
-- keyspace: four shards
LOAD DATA LOCAL INFILE 'x' INTO TABLE users
--> load on 0,1,2,3, key 0: LOAD DATA LOCAL INFILE 'x' INTO TABLE users cut by (b'\t', b'', b'\\', b'') b'\n'

LOAD DATA LOCAL INFILE 'x' REPLACE INTO TABLE shop.users CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"' ESCAPED BY '' LINES STARTING BY '>' TERMINATED BY '\r\n' IGNORE 1 LINES (name, user_id)
--> load on 0,1,2,3, key 1: LOAD DATA LOCAL INFILE 'x' REPLACE INTO TABLE shop.users CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"' ESCAPED BY '' LINES STARTING BY '>' TERMINATED BY '\r\n' (name, user_id) cut by (b',', b'"', b'', b'>') b'\r\n'

LOAD DATA LOW_PRIORITY LOCAL INFILE 'x' IGNORE INTO TABLE users (@a, user_id) SET name = UPPER(@a)
--> load on 0,1,2,3, key 1: LOAD DATA LOW_PRIORITY LOCAL INFILE 'x' IGNORE INTO TABLE users (@a, user_id) SET name = UPPER(@a) cut by (b'\t', b'', b'\\', b'') b'\n'

LOAD DATA LOCAL INFILE 'x' INTO TABLE generated IGNORE 2 ROWS
--> load on 0,1,2,3, key 0, number 0: LOAD DATA LOCAL INFILE 'x' INTO TABLE generated cut by (b'\t', b'', b'\\', b'') b'\n'

LOAD DATA LOCAL INFILE 'x' INTO TABLE generated (n)
--> load on 0,1,2,3, key -1, number -1: LOAD DATA LOCAL INFILE 'x' INTO TABLE generated (`id`, n) cut by (b'\t', b'', b'\\', b'') b'\n'

LOAD DATA LOCAL INFILE 'x' INTO TABLE countries IGNORE 1 LINES
--> load on 0,1,2,3: LOAD DATA LOCAL INFILE 'x' INTO TABLE countries IGNORE 1 LINES

LOAD DATA LOCAL INFILE 'x' INTO TABLE tariffs (price)
--> load on 0,1,2,3, number -1: LOAD DATA LOCAL INFILE 'x' INTO TABLE tariffs (`id`, price) cut by (b'\t', b'', b'\\', b'') b'\n'

-- title: files that are refused
LOAD DATA INFILE '/etc/passwd' INTO TABLE users
--> 1235 (42000) [gate] LOAD DATA INFILE reads a file on a server, which clients cannot reach: use LOAD DATA LOCAL INFILE

LOAD XML LOCAL INFILE 'x' INTO TABLE users
--> 1235 (42000) [gate] LOAD XML is not supported: use LOAD DATA LOCAL INFILE with a text file

LOAD DATA LOCAL INFILE 'x' INTO TABLE users (name)
--> 1048 (23000) [gate] Column 'user_id' cannot be null: it is the sharding key of users, so each row must give it a value

LOAD DATA LOCAL INFILE 'x' INTO TABLE users (@k) SET user_id = @k + 1
--> 1235 (42000) [gate] SET of the sharding key user_id is not supported in LOAD DATA: its value must stand in the file

LOAD DATA LOCAL INFILE 'x' INTO TABLE generated (n) SET id = 5
--> 1235 (42000) [gate] SET of the AUTO_INCREMENT column id is not supported in LOAD DATA of a table on several shards: put the numbers into the file, or leave the column out

LOAD DATA LOCAL INFILE 'x' INTO TABLE users CHARACTER SET latin1
--> 1235 (42000) [gate] CHARACTER SET latin1 is not supported in LOAD DATA of a sharded table: send the file in utf8mb4

LOAD DATA LOCAL INFILE 'x' INTO TABLE users FIELDS TERMINATED BY ''
--> 1235 (42000) [gate] LOAD DATA without terminators (rows of fixed size) is not supported for tables on several shards: name them in FIELDS TERMINATED BY and LINES TERMINATED BY

LOAD DATA LOCAL INFILE 'x' INTO TABLE users FIELDS TERMINATED BY ';' LINES TERMINATED BY ';'
--> 1235 (42000) [gate] LOAD DATA with the same terminator for fields and lines is not supported for tables on several shards: rows then end where the columns do; end lines with another one

LOAD DATA LOCAL INFILE 'x' INTO TABLE generated FIELDS TERMINATED BY '0'
--> 1235 (42000) [gate] LOAD DATA with digits in its terminators, quotes or escapes is not supported for a table with an AUTO_INCREMENT column (id), as the gate gives the numbers

LOAD DATA LOCAL INFILE 'x' INTO TABLE users FIELDS ENCLOSED BY 'ab'
--> 1083 (42000) [gate] ENCLOSED BY and ESCAPED BY want one character

LOAD DATA LOCAL INFILE 'x' INTO TABLE countries SET name = RAND()
--> 1235 (42000) [gate] RAND has another value on each shard, and reference table countries must be the same on all: compute the value first and write it as a literal

LOAD DATA LOCAL INFILE 'x' INTO TABLE mysql.user
--> 1235 (42000) [gate] MySQL's own tables are not written through the gate

LOAD DATA LOCAL INFILE 'x' INTO TABLE nothing
--> unknown table shop.nothing

LOAD DATA LOCAL INFILE 'x' INTO users
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: INTO TABLE is missing

LOAD DATA LOCAL INFILE 'x' INTO TABLE users LIMIT 5
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: something follows that is not understood

-- keyspace: one shard
LOAD DATA LOCAL INFILE 'x' INTO TABLE users IGNORE 1 LINES (name) SET user_id = 5
--> load on 0: LOAD DATA LOCAL INFILE 'x' INTO TABLE users IGNORE 1 LINES (name) SET user_id = 5
