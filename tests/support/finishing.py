"""Tables, rows and statements for tests of the merge server: every type, every kind of SELECT."""

TABLES = (
    "CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(64), age INT, born DATE)",
    "CREATE TABLE orders (user_id BIGINT, id BIGINT, total DECIMAL(10,2), giver BIGINT, "
    "note VARCHAR(40) COLLATE utf8mb4_general_ci, PRIMARY KEY (user_id, id))",
    "CREATE TABLE countries (id INT PRIMARY KEY, name VARCHAR(64))",
)
KINDS = """CREATE TABLE kinds (id INT PRIMARY KEY, i8 TINYINT, u64 BIGINT UNSIGNED, i64 BIGINT,
zf INT(8) ZEROFILL, de DECIMAL(65,30), de2 DECIMAL(10,2) UNSIGNED, f FLOAT, f2 FLOAT(7,3), d DOUBLE,
d2 DOUBLE(12,4), b1 BIT(1), b BIT(33), dt DATE, t TIME(6), dtm DATETIME(6), ts TIMESTAMP(6) NULL,
ts0 TIMESTAMP NULL, y YEAR, ch CHAR(10), vc VARCHAR(100), vcl VARCHAR(100) CHARACTER SET latin1,
vcu VARCHAR(50) CHARACTER SET utf16, vck VARCHAR(50) CHARACTER SET cp932, bn BINARY(6),
vb VARBINARY(20), bl BLOB, tx LONGTEXT, e ENUM('A','b','it''s','x\\\\y','1','2'),
el ENUM('ä','B') CHARACTER SET latin1, se SET('a','B','c'), g GEOMETRY, v VECTOR(3), j JSON,
gen BIGINT AS (i64 + 1) STORED)"""
KIND_ROWS = (
    r"""INSERT INTO kinds (id,i8,u64,i64,zf,de,de2,f,f2,d,d2,b1,b,dt,t,dtm,ts,ts0,y,ch,vc,vcl,vcu,
vck,bn,vb,bl,tx,e,el,se,g,v,j) VALUES (1,-128,18446744073709551615,-9223372036854775808,42,
123456789.123456789012345678901234567890,1.10,0.1,1234.567,0.1,1234.5678,b'1',0x1FFFFFFFF,
'2020-02-31','-838:59:59.000001','2020-12-31 23:59:59.999999','2020-10-25 00:30:00.5',
'2038-01-19 03:14:07',2155,'a  ','trail  ','äö',_utf16 0x00410042,_cp932 0x8754,'ab\0',
x'00FFFB','\0x\0','long ü\n\t\\',3,'ä','a,c',ST_GeomFromText('POINT(1 2)',4326),
TO_VECTOR('[1,2.5,-3e-7]'),'{"a": 1.0, "b": 18446744073709551615}')""",
    "INSERT INTO kinds (id) VALUES (2)",
    """INSERT INTO kinds (id,i8,u64,i64,zf,de,de2,f,f2,d,d2,b1,b,dt,t,dtm,ts,ts0,y,ch,vc,vcl,bn,vb,
bl,tx,e,el,se,g,v,j) VALUES (3,127,0,0,99999999,-0.000000000000000000000000000001,0,16777217,-0.0,
1.7976931348623157e308,-0.0,b'0',0,'0000-00-00','00:00:00','0000-00-00 00:00:00',
'1970-01-01 00:00:01','0000-00-00 00:00:00',0,'','','','','','','','nomember','','',
ST_GeomFromText('LINESTRING(0 0,1 1)'),TO_VECTOR('[0,0,0]'),'null')""",
    "INSERT INTO kinds (id,f,d,e,j,dt) VALUES (4,3.4028234e38,5e-324,'1','[1.5]','2020-00-00')",
    "INSERT INTO kinds (id,f,d,e,j,tx) VALUES (5,1.17549e-38,1e23,'2','-0.0',REPEAT('ü', 300000))",
)

STATEMENTS = (
    "SELECT u.name, o.total FROM users u JOIN orders o ON o.giver = u.user_id ORDER BY o.user_id",
    "SELECT u.name, o.total FROM users u LEFT JOIN orders o ON o.giver = u.user_id + 3 "
    "ORDER BY u.user_id, o.id",
    "SELECT COUNT(*), SUM(a.age * b.age) FROM users a CROSS JOIN users b",
    "SELECT * FROM users a JOIN orders b USING (user_id) JOIN orders c ON c.giver = b.giver "
    "ORDER BY a.user_id",
    "SELECT name FROM users WHERE user_id IN (SELECT giver FROM orders WHERE total > 10) "
    "ORDER BY user_id",
    "SELECT name, (SELECT COUNT(*) FROM orders o WHERE o.giver < u.user_id) n FROM users u "
    "ORDER BY user_id",
    "SELECT user_id FROM users u WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.giver = u.age) "
    "ORDER BY 1",
    "SELECT user_id FROM users WHERE user_id NOT IN (SELECT giver FROM orders) ORDER BY 1",
    "SELECT user_id FROM users WHERE user_id NOT IN "
    "(SELECT giver FROM orders WHERE giver IS NOT NULL) ORDER BY 1",
    "SELECT age, COUNT(*), SUM(user_id) FROM users GROUP BY age WITH ROLLUP",
    "SELECT age, SUM(user_id) * 2 + COUNT(*) FROM users GROUP BY age HAVING MAX(user_id) > 17 "
    "ORDER BY 2 DESC",
    "SELECT AVG(total) / 3, ROUND(STDDEV(total), 6), ROUND(VAR_SAMP(total), 6) FROM orders",
    "SELECT age, GROUP_CONCAT(DISTINCT name ORDER BY name DESC SEPARATOR '|') FROM users "
    "GROUP BY age ORDER BY age",
    "SELECT age, JSON_ARRAYAGG(user_id) IS NOT NULL FROM users GROUP BY age ORDER BY age",
    "SELECT user_id, ROW_NUMBER() OVER w, RANK() OVER w, SUM(age) OVER w, LAG(name) OVER w "
    "FROM users WINDOW w AS (ORDER BY age, user_id) ORDER BY user_id",
    "SELECT note, COUNT(*) OVER (PARTITION BY note) FROM orders ORDER BY user_id",
    "WITH x AS (SELECT * FROM users WHERE age = 1) "
    "SELECT a.name, b.name FROM x a JOIN x b ON a.user_id < b.user_id ORDER BY 1, 2",
    "WITH RECURSIVE r AS (SELECT user_id, giver FROM orders WHERE user_id = 1 UNION ALL "
    "SELECT o.user_id, o.giver FROM r JOIN orders o ON o.user_id = r.giver - 1 AND o.user_id < 9) "
    "SELECT * FROM r ORDER BY 1 LIMIT 9",
    "SELECT name FROM users UNION SELECT note COLLATE utf8mb4_0900_ai_ci FROM orders "
    "WHERE note <> 'a' ORDER BY 1",
    "SELECT user_id FROM users EXCEPT SELECT giver FROM orders ORDER BY 1",
    "SELECT user_id FROM users INTERSECT SELECT giver FROM orders ORDER BY 1",
    "SELECT x.age, x.n FROM (SELECT age, COUNT(*) n FROM users GROUP BY age) x "
    "WHERE x.n > (SELECT AVG(age) FROM users) ORDER BY 1",
    "SELECT u.name, c.name FROM users u LEFT JOIN countries c ON c.id = u.age ORDER BY u.user_id",
    "SELECT DISTINCT giver DIV 3 FROM orders o JOIN users u ON u.user_id = o.giver ORDER BY 1",
    "SELECT MIN(a.id), COUNT(*) FROM orders a JOIN orders b ON a.note = b.note AND a.id <> b.id "
    "GROUP BY a.note ORDER BY 1",
    "SELECT shop.users.name FROM shop.users JOIN shop.orders ON shop.orders.giver = users.user_id "
    "WHERE orders.total < 5 ORDER BY users.user_id",
    "SELECT CURRENT_USER(), DATABASE(), COUNT(*) FROM users a JOIN orders b ON a.age = b.giver",
    "SELECT COUNT(*) FROM users a JOIN users b ON a.born < b.born AND a.born < NOW()",
    "SELECT a.name, b.total FROM users a, LATERAL (SELECT total FROM orders o "
    "WHERE o.giver = a.user_id LIMIT 1) b ORDER BY a.user_id",
    "SELECT u.user_id, u.name + 1 FROM users u JOIN orders o ON o.giver = u.user_id ORDER BY 1",
    # errors
    "SELECT name FROM users UNION SELECT note FROM orders ORDER BY 1",
    "SELECT nope FROM users u JOIN orders o ON o.giver = u.user_id",
    "SELECT user_id FROM users JOIN orders ON orders.giver = users.user_id",
    "SELECT u.name, COUNT(*) FROM users u JOIN orders o ON o.giver = u.user_id",
    "SELECT (SELECT user_id FROM orders) FROM users",
    "SELECT u.user_id - 18446744073709551615 FROM users u JOIN orders o ON o.giver = u.user_id",
)


def kinds_shown() -> str:
    with_hex = "i8 u64 i64 zf de de2 f f2 d d2 b1 b dt t dtm ts ts0 y ch vc vcl vcu vck bn vb bl tx"
    shown = [f"k.{name}, HEX(k.{name})" for name in (with_hex + " e el se v gen").split()]
    shown += [
        "k.e + 0",
        "k.se + 0",
        "ST_AsText(k.g)",
        "ST_SRID(k.g)",
        "k.j",
        "JSON_TYPE(k.j->'$.b')",
    ]
    return ", ".join(shown)
