-- title: comments, quotes and statements in one text
-- keyspace: four shards
/* a ' quote */ SELECT * FROM users WHERE user_id = 1
--> shard 3

SELECT /* 'x */ * FROM users -- it's
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 1 -- it's
--> shard 3

SELECT * FROM users WHERE user_id = 1 # it's "x
--> shard 3

SELECT * FROM users # 'x
WHERE user_id = 1
--> shard 3

SELECT * FROM users -- x
WHERE user_id = 1 --
--> shard 3

SELECT * FROM users WHERE user_id = 1 /* ; DROP TABLE users */
--> shard 3

SELECT /*+ MAX_EXECUTION_TIME(1000) */ * FROM users WHERE user_id = 1
--> shard 3

SELECT /*!80000 SQL_NO_CACHE */ * FROM users WHERE user_id = 1
--> shard 3

SELECT * FROM users /*! WHERE user_id = 1 */
--> shard 3

SELECT * FROM users WHERE user_id = 1 /*!50000 OR name = 'x' */
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 1 /*!080000 OR name = 'x' */
--> scatter 0,1,2,3

SELECT * FROM users WHERE user_id = 1 /*!99999 OR name = 'x' */
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: a comment with /*! is nested or of a version that is not known here

SELECT * FROM users WHERE user_id = 1 /*!5 OR name = 'x' */
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: a comment with /*! is nested or of a version that is not known here

SELECT * FROM users WHERE user_id = 1 /*! OR name = 'x'
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: a comment is not closed

SELECT * FROM users WHERE user_id = 1 /*! OR /*! name = 'x' */ */
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: a comment with /*! is nested or of a version that is not known here

/*!40101 SET NAMES utf8mb4 */;
--> set gate: NAMES utf8mb4

/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
--> set user: @`old_sql_mode`=@@SQL_MODE (to be evaluated); apply: SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO'

/*!40000 ALTER TABLE `users` DISABLE KEYS */;
--> ddl ALTER TABLE users on 0,1,2,3

/*M! SELECT 5 */ SELECT 1
--> any of 0,1,2,3

SELECT * FROM users WHERE user_id = 1 --2
--> scatter 0,1,2,3

SELECT * FROM users WHERE name = 'a\'b' AND user_id = 1
--> shard 3

SELECT * FROM users WHERE name = 'a''b' AND user_id = 1
--> shard 3

SELECT * FROM users WHERE name = "a\"b" AND user_id = 1
--> shard 3

SELECT * FROM users WHERE name = '\\' AND user_id = 1
--> shard 3

SELECT * FROM users WHERE name = '--' AND user_id = 1
--> shard 3

SELECT * FROM users WHERE name = '/*' AND user_id = 1 AND name = '*/'
--> shard 3

SELECT * FROM users WHERE name = '; DROP TABLE users; --' AND user_id = 1
--> shard 3

SELECT `a;b`, ';' FROM users WHERE user_id = 1;
--> shard 3

SELECT 1; SELECT 2
--> batch SELECT 1 | SELECT 2

SELECT 1;; SELECT ';' ; -- end
--> batch SELECT 1 | SELECT ';' ; -- end

SELECT * FROM users WHERE user_id = 1; DROP TABLE users
--> batch SELECT * FROM users WHERE user_id = 1 | DROP TABLE users

;
--> empty

;;
--> empty

/* nothing */
--> empty, with a comment

-- nothing
--> empty, with a comment

SELECT 'abc
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: a quote, a name in backticks or a comment is not closed, or a byte is zero

SELECT "abc
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: a quote, a name in backticks or a comment is not closed, or a byte is zero

SELECT `abc
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: a quote, a name in backticks or a comment is not closed, or a byte is zero

SELECT /* abc
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: a quote, a name in backticks or a comment is not closed, or a byte is zero

SELECT 1 */
--> any of 0,1,2,3

SELECT {d '2026-01-01'}
--> any of 0,1,2,3

SELECT \N
--> any of 0,1,2,3

SELECT 5a FROM users WHERE user_id = 1
--> shard 3

SELECT 1.2.3
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: a quote, a name in backticks or a comment is not closed, or a byte is zero

SELECT a.1b FROM users a WHERE user_id = 1
--> shard 3

SELECT 1e5, .5, 5., 1.5e-3, 0xFF, x'ff', b'01', N'x', _utf8mb4'x', _utf8mb4 'x'
--> any of 0,1,2,3

SELECT 'a' 'b' "c"
--> any of 0,1,2,3

SELECT 1 'name'
--> any of 0,1,2,3

SELECT user_id AS '1' FROM users WHERE user_id = 1
--> shard 3

SELECT * FROM users WHERE user_id = 1 ORDER BY 1
--> shard 3

SELECT * FROM users AS `select` WHERE `select`.user_id = 1
--> shard 3

SELECT ((((((((((1))))))))))
--> any of 0,1,2,3

SELECT * FROM users WHERE user_id = ?
--> merge 0,1,2,3: 

SELEC 1
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: `SELEC` begins no statement that is known here

SELECT FROM WHERE
--> 1064 (42000) [gate] this statement is not understood, so it is not sent anywhere: its syntax is unknown here, near `WHERE`

SELECT * FROM users WHERE
--> finish pull users 0,1,2,3: SELECT `users`.`user_id`, `users`.`name` FROM `shop`.`users`; SELECT * FROM `users` WHERE

SELECT * FROM (users) WHERE user_id = 1
--> shard 3

SELECT * FROM (users u, countries c) WHERE u.user_id = 1
--> shard 3

SELECT * FROM users u JOIN orders o ON o.user_id = u.user_id AND EXISTS (SELECT 1 FROM orders x WHERE x.user_id = u.user_id) WHERE u.user_id = 1
--> shard 3

WITH x AS (SELECT 1) DELETE FROM users WHERE user_id = 1
--> shard 3 write

WITH x AS (SELECT 1) DELETE FROM users
--> delete on 0,1,2,3: WITH x AS (SELECT 1) DELETE FROM users

WITH x AS (SELECT 1) SELECT * FROM users WHERE user_id = 1
--> shard 3
